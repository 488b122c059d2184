"""Lip-syncing: the network in batches, and the streaming pass that renders a stretch of video with new mouths.

read ─► crop ─► [thread] ─► network ─► [thread] ─► paste ─► encode
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .audio import N_MELS, WINDOW, mel_windows
from .blending import Paste, crop_mask, match_colour, paste_mouth
from .checkpoints import load_generator
from .errors import InputError
from .faces.crops import CROP_PX, cut_crop
from .frames import Encoding, Frame, FrameWriter
from .media import VideoInfo
from .model import Wav2Lip
from .threads import prefetch

Device = Literal["auto", "cpu", "cuda"]
DEVICES = ("auto", "cpu", "cuda")


def pick_device(device: str = "auto") -> str:
    """`cuda` or `cpu`.

    Raises:
        InputError: If the name is unknown, or CUDA was asked for and is not there.
    """
    if device not in DEVICES:
        raise InputError(f"unknown device {device!r}: choose {', '.join(DEVICES)}")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "device 'cuda' is not there (torch sees no GPU): "
            "use --device cpu, or in Colab Runtime ▸ Change runtime type"
        )
    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device


def pick_precision(device: str) -> torch.dtype:
    """The fastest number type whose loss is not seen: half on a GPU, bfloat16 where the processor computes in it."""
    if device == "cuda":
        return torch.float16
    has_bfloat16 = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
    return torch.bfloat16 if has_bfloat16 else torch.float32


class LipSyncer:
    """Makes mouths: crops and mel windows in, crops with the new mouth out.

    Args:
        model: A generator in eval mode.
        device: `auto`, `cpu` or `cuda`.
        precision: Number type of the network; the fastest that `device` has when None.
        batch_size: How many crops go through the network at once; chosen for the device when None.
    """

    def __init__(
        self,
        model: Wav2Lip,
        *,
        device: str = "auto",
        precision: torch.dtype | None = None,
        batch_size: int | None = None,
    ) -> None:
        self.device = pick_device(device)
        self.precision = precision or pick_precision(self.device)
        self.batch_size = batch_size or (64 if self.device == "cuda" else 16)
        folded: Any = fold_batch_norms(model.eval())
        self._model = folded.to(self.device, self.precision, memory_format=torch.channels_last)

    @classmethod
    def from_pretrained(cls, name_or_path: str = "wav2lip", *, device: str = "auto", **options: Any) -> LipSyncer:
        """Load weights by registry name or from a checkpoint, fetching them when needed."""
        return cls(load_generator(name_or_path), device=device, **options)

    @torch.inference_mode()
    def __call__(self, mels: np.ndarray, crops_bgr: np.ndarray) -> np.ndarray:
        """Give the faces the mouths that fit the sound.

        Args:
            mels: (B, 1, 80, 16) float32 mel windows.
            crops_bgr: (B, 96, 96, 3) uint8.

        Returns:
            (B, 96, 96, 3) uint8 BGR.

        Raises:
            ValueError: If a shape is another.
        """
        if (
            mels.shape[1:] != (1, N_MELS, WINDOW)
            or crops_bgr.shape[1:] != (CROP_PX, CROP_PX, 3)
            or len(mels) != len(crops_bgr)
        ):
            raise ValueError(
                f"mels must be (B, 1, {N_MELS}, {WINDOW}) and crops_bgr (B, {CROP_PX}, {CROP_PX}, 3), "
                f"got {mels.shape = } and {crops_bgr.shape = }"
            )
        mouths = []
        for start in range(0, len(mels), self.batch_size):
            mel = torch.from_numpy(np.ascontiguousarray(mels[start : start + self.batch_size])).to(
                self.device, self.precision
            )
            crops = torch.from_numpy(np.ascontiguousarray(crops_bgr[start : start + self.batch_size])).to(self.device)
            reference = crops.permute(0, 3, 1, 2).to(self.precision) / 255
            masked = reference.clone()
            masked[:, :, CROP_PX // 2 :] = 0
            faces = torch.cat([masked, reference], dim=1).contiguous(memory_format=torch.channels_last)
            out = self._model(mel, faces)
            out = (out.float() * 255).round().clamp(0, 255).to(torch.uint8)
            mouths.append(out.permute(0, 2, 3, 1).cpu().numpy())
        return np.concatenate(mouths) if mouths else np.zeros((0, CROP_PX, CROP_PX, 3), np.uint8)


def fold_batch_norms(model: Wav2Lip) -> Wav2Lip:
    """Fold every batch norm into the convolution before it, in place: the same function in fewer steps."""
    for module in model.modules():
        block = getattr(module, "conv_block", None)
        if isinstance(block, nn.Sequential) and len(block) == 2:
            convolution: Any = block[0]
            norm = block[1]
            if not isinstance(norm, nn.BatchNorm2d):
                continue  # folded before
            block[0] = fuse_conv_bn_eval(convolution, norm, transpose=isinstance(convolution, nn.ConvTranspose2d))
            block[1] = nn.Identity()
    return model


@dataclass(frozen=True, eq=False)
class Shot:
    """What the render of one frame needs: the frame, and for a frame to be synced its crop."""

    frame: Frame
    matrix: np.ndarray | None = None
    crop_bgr: np.ndarray | None = None
    mouth_bgr: np.ndarray | None = None


def render(
    frames: Iterable[tuple[Frame, np.ndarray | None]],
    info: VideoInfo,
    out: Path,
    syncer: LipSyncer | None,
    mel: np.ndarray,
    *,
    shift_s: float = 0.0,
    paste: Paste = "mouth",
    encoding: Encoding = Encoding(),  # noqa: B008 (frozen)
    on_frame: Callable[[], object] = lambda: None,
) -> int:
    """Render one stretch of video to a file, in one streaming pass.

    Args:
        frames: Each frame with its `pts` in the result, and the map (2, 3) to its crop, or None to leave it as it is.
        info: The video; gives size, rate, time base and colour of the result.
        out: The mp4 to write, video only.
        syncer: May be None when no frame has a crop.
        mel: (80, n) of the new audio, whose time zero is the result's.
        shift_s: Takes the sound from this much later.
        paste: `mouth` or `box`.
        encoding: Of the result.
        on_frame: Called after every frame, for progress.

    Returns:
        How many frames were written.
    """
    mask = crop_mask(paste)
    # Enough ahead to keep both neighbours busy, but not more than about 100 MB of pictures.
    batch = min(syncer.batch_size if syncer else 8, max(4, 100_000_000 // (info.width_px * info.height_px * 3)))

    def crops() -> Iterator[Shot]:
        for frame, matrix in frames:
            yield Shot(frame) if matrix is None else Shot(frame, matrix, cut_crop(frame, matrix, info.color))

    def mouths() -> Iterator[Shot]:
        for shots in _batches(prefetch(crops(), batch), batch):
            todo = [s for s in shots if s.crop_bgr is not None]
            made: Iterator[np.ndarray] = iter(())
            if todo and syncer is not None:
                times_s = np.array([info.time_s(s.frame.pts) for s in todo])
                made = iter(syncer(mel_windows(mel, times_s, shift_s), np.stack([s.crop_bgr for s in todo])))  # type: ignore[arg-type]
            for shot in shots:
                yield shot if shot.crop_bgr is None else Shot(shot.frame, shot.matrix, shot.crop_bgr, next(made))

    count = 0
    with FrameWriter(out, info, encoding) as writer:
        for shot in prefetch(mouths(), batch):
            frame = shot.frame
            if shot.mouth_bgr is not None and shot.crop_bgr is not None and shot.matrix is not None:
                mouth = shot.mouth_bgr if paste == "box" else match_colour(shot.mouth_bgr, shot.crop_bgr, mask)
                frame, _ = paste_mouth(frame, mouth, shot.matrix, info.color, mask)
            writer.write(frame)
            on_frame()
            count += 1
    return count


def _batches(items: Iterator[Shot], size: int) -> Iterator[list[Shot]]:
    batch: list[Shot] = []
    try:
        for item in items:
            batch.append(item)
            if len(batch) == size:
                yield batch
                batch = []
        if batch:
            yield batch
    finally:
        items.close()  # type: ignore[attr-defined]
