"""Fine-tuning a generator on videos of a talking person: `wav2lip-kit train`.

The network sees a frame without its lower half, another frame of the same face, and what is said; it learns to draw the
lower half. The end of every video is held out: the error of the mouth there is what is reported, chosen by, and stopped
by. Everything lies in a folder, so that a run that was interrupted goes on.
"""

from __future__ import annotations

import csv
import math
import time
from dataclasses import asdict, dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm.auto import tqdm

from .checkpoints import load_generator, weights_id
from .errors import InputError
from .faces.detectors import load_detector
from .files import StrPath, key_of, replace_when_whole
from .losses import (
    average_of,
    faces_of,
    follow,
    forgetful,
    mouth_error,
    mouth_weight,
    picture_loss,
    recoloured,
    where_copying_is_wrong,
)
from .model import Wav2Lip
from .notices import notice
from .sync import pick_device, pick_precision
from .training_data import Clip, find_videos, prepare_clips
from .weights import find_weights, looks_like, named_entry

BATCH = {"cpu": 32, "cuda": 64}
RATE = 2.5e-4
"""Learning rate at width 1; narrower networks take a higher one."""
AUDIO_SHARE = 0.15
"""Of the learning rate, for the audio encoder: it has heard more voices than it will hear here."""
CHECKS = 20
"""How often the held-out error is measured in a run; at least once in two minutes."""
PATIENCE, WARM_STEPS = 0.35, 300
"""A run stops when the error has not fallen for this part of its time, but not within its first steps."""
BETTER = 0.995
STATE_S = 120.0
CHECKED = 128
"""Held-out crops that are checked."""


@dataclass(frozen=True)
class TrainResult:
    """What a run has come to; errors are mean absolute differences of the held-out mouths, in levels of 0..255.

    Attributes:
        path: The weights.
        error_before: With the weights it started from.
        error_after: With the weights it ended with.
        error_wrong_audio: The same with the sound of another moment; where it is no larger, nobody listens.
        steps: How many batches were learned from.
        minutes: Time spent learning.
        curves: A CSV file with a line for every check.
    """

    path: Path
    error_before: float
    error_after: float
    error_wrong_audio: float
    steps: int
    minutes: float
    curves: Path

    def __str__(self) -> str:
        change = 100 * (self.error_after / self.error_before - 1)
        return (
            f"mouth error where held out {self.error_before:.2f} → {self.error_after:.2f} levels ({change:+.0f} %), "
            f"with the wrong sound {self.error_wrong_audio:.2f}; {self.steps} steps in {self.minutes:.1f} minutes"
        )


@dataclass
class _State:
    """Where a run stands; errors in 0..1."""

    step: int = 0
    spent_s: float = 0.0
    checked_at_s: float = 0.0
    best_at_s: float = 0.0
    error_before: float = math.nan
    error: float = math.inf
    error_wrong_audio: float = math.inf
    log: list[tuple[float, ...]] = field(default_factory=list)


def train(
    videos: StrPath,
    out: StrPath,
    *,
    init: str = "wav2lip",
    folder: StrPath | None = None,
    minutes: float = 30.0,
    detector: str = "auto",
    device: str = "auto",
    progress: bool = True,
) -> TrainResult:
    """Fine-tune a generator on one person's videos.

    Args:
        videos: A folder of videos of a person talking, or one video. Their own sound is learned from.
        out: The weights to write, NAME.safetensors.
        init: Weights to start from: a registry name or a checkpoint.
        folder: Keeps the crops and the state of the run; beside `out` when None.
        minutes: Time to learn for. A run that was interrupted goes on with what is left of it.
        detector: Face detector; see `faces.detectors`.
        device: `auto`, `cpu` or `cuda`.
        progress: Show bars.

    Raises:
        InputError: If an argument is wrong, or no video can be learned from; each with its reason.
    """
    found, out = find_videos(videos), Path(out)
    if out.suffix != ".safetensors" or not out.parent.is_dir():
        raise InputError(f"cannot write {str(out)!r}: give a name that ends in .safetensors, in a folder that exists")
    if not 0 < minutes <= 10_000:
        raise InputError(f"minutes are {minutes:g}: give a time above 0")
    device = pick_device(device)
    model = load_generator(init, progress=progress)
    folder = Path(folder) if folder else out.with_suffix(".training")
    folder.mkdir(parents=True, exist_ok=True)
    clips, data_key = prepare_clips(found, folder, load_detector(detector, device=device), progress=progress)
    if device == "cpu" and model.width > 0.5:
        notice("without a GPU these weights learn about 3 frames a second: use a GPU, or --init demo to try it out")
    run = _Run(model, clips, folder / f"state-{key_of(data_key, weights_id(init))}.pt", minutes * 60, device)
    try:
        run.learn(progress)
    finally:
        run.save()  # also when it is interrupted
    state, curves = run.state, folder / "log.csv"
    with replace_when_whole(curves) as part, part.open("w", newline="") as file:
        csv.writer(file).writerows([("step", "minutes", "loss", "mouth_error", "mouth_error_wrong_audio"), *state.log])
    about = {
        "what": "Wav2Lip generator fine-tuned with wav2lip_kit",
        "width": str(model.width),
        "recipe": f"{init}, then {state.step} steps on {len(clips)} videos",
        "licence": _licence(init),
        "date": date.today().isoformat(),
    }
    with replace_when_whole(out) as part:
        save_file(run.best, part, metadata=about)
    return TrainResult(
        out,
        255 * state.error_before,
        255 * state.error,
        255 * state.error_wrong_audio,
        state.step,
        state.spent_s / 60,
        curves,
    )


class _Run:
    """One run: network, average, optimizer, and where it stands; all of it from the state file if there is one."""

    def __init__(self, model: Wav2Lip, clips: list[Clip], state_path: Path, budget_s: float, device: str) -> None:
        self.clips, self.state_path, self.budget_s, self.device = clips, state_path, budget_s, device
        self.state = _State()
        network: Any = model.train().requires_grad_(True)
        self.model: Wav2Lip = network.to(device, memory_format=torch.channels_last)
        self.average = average_of(self.model)
        heard = list(self.model.audio_encoder.parameters())
        rest = [p for name, p in self.model.named_parameters() if not name.startswith("audio_encoder.")]
        self.optimizer = torch.optim.AdamW(
            [{"params": rest}, {"params": heard}], RATE, betas=(0.9, 0.98), weight_decay=1e-2
        )
        self.precision = pick_precision(device)
        self.scaler = torch.amp.GradScaler(device, enabled=self.precision == torch.float16)
        self.held_out = self._held_out()
        self.best = _tensors(self.average)
        if state_path.is_file():
            self._load()

    # ── learning ───────────────────────────────────────────────────────────────────────────────────────────────────

    def learn(self, progress: bool) -> None:
        """Learn until the time is spent, or the error has not fallen for long."""
        state, everywhere = self.state, mouth_weight(self.device)
        if not state.log:
            self._check(math.nan)
        every_s = min(120.0, self.budget_s / CHECKS)
        saved_s = time.monotonic()
        bar = tqdm(
            total=math.ceil(self.budget_s), desc="train", unit="s", initial=int(state.spent_s), disable=not progress
        )
        with bar:
            while state.spent_s < self.budget_s and not self._is_stuck():
                began_s = time.monotonic()
                loss = self._step(everywhere)
                state.spent_s += time.monotonic() - began_s
                bar.update(int(state.spent_s) - bar.n)
                if state.spent_s - state.checked_at_s >= every_s or state.spent_s >= self.budget_s:
                    self._check(loss)
                    bar.set_postfix_str(f"mouth error {255 * state.error:.2f}, at first {255 * state.error_before:.2f}")
                if time.monotonic() - saved_s > STATE_S:
                    self.save()
                    saved_s = time.monotonic()

    def _is_stuck(self) -> bool:
        waited_s = self.state.spent_s - self.state.best_at_s
        return self.state.step > WARM_STEPS and waited_s > PATIENCE * self.budget_s

    def _step(self, everywhere: Tensor) -> float:
        spent = min(1.0, self.state.spent_s / self.budget_s)
        rate = RATE / self.model.width * min(1.0, (1 + self.state.step) / 50) * 0.5 * (1 + math.cos(math.pi * spent))
        for group, share in zip(self.optimizer.param_groups, (1.0, AUDIO_SHARE), strict=True):
            group["lr"] = rate * share
        rng = np.random.default_rng([7, self.state.step])  # a run that was interrupted goes on as it would have
        mel, reference, target = (t.to(self.device) for t in _batch(rng, self.clips, BATCH[self.device]))
        with self._fast():
            made = self.model(mel, faces_of(forgetful(reference, rng), target))
        loss = picture_loss(
            made.float(), target, everywhere * where_copying_is_wrong(reference, target), sharpness=spent
        )
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.step(self.optimizer)
        self.scaler.update()
        follow(self.average, self.model, self.state.step)
        self.state.step += 1
        return loss.item()

    def _fast(self) -> torch.autocast:
        return torch.autocast(self.device, self.precision, enabled=self.precision != torch.float32)

    # ── checking ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _held_out(self) -> list[Tensor]:
        """Mel windows, references and targets that are never learned from, the same at every check."""
        windows, pictures = [], []
        for clip in self.clips:
            n = len(clip.times_s) - clip.held_out
            chosen = np.unique(np.linspace(0, n - 1, max(2, CHECKED // len(self.clips))).astype(int))
            windows.append(clip.windows(clip.held_out + chosen))
            both = np.stack([clip.held_out + (chosen + n // 2) % n, clip.held_out + chosen])
            pictures.append(np.asarray(clip.crops_bgr)[both])
        crops = np.concatenate(pictures, axis=1)
        return [torch.from_numpy(np.concatenate(windows)), _pictures(crops[0]), _pictures(crops[1])]

    @torch.no_grad()
    def _check(self, loss: float) -> None:
        """Measure the average's error on what is held out, and keep it where it is the best so far."""
        mel, reference, target = (t.to(self.device) for t in self.held_out)
        state, errors = self.state, []
        for sound in (mel, mel.roll(len(mel) // 2, 0)):
            with self._fast():
                made = [
                    self.average(*pair)
                    for pair in zip(sound.split(32), faces_of(reference, target).split(32), strict=True)
                ]
            errors.append(mouth_error(torch.cat(made).float(), target))
        state.log.append((state.step, state.spent_s / 60, loss, 255 * errors[0], 255 * errors[1]))
        state.checked_at_s = state.spent_s
        if len(state.log) == 1:
            state.error_before = errors[0]
        if errors[0] < state.error:
            if errors[0] < BETTER * state.error:
                state.best_at_s = state.spent_s
            state.error, state.error_wrong_audio = errors
            self.best = _tensors(self.average)

    # ── the state ──────────────────────────────────────────────────────────────────────────────────────────────────

    def save(self) -> None:
        """Write everything that is needed to go on."""
        with replace_when_whole(self.state_path) as part:
            torch.save(
                {
                    "state": asdict(self.state),
                    "model": self.model.state_dict(),
                    "average": self.average.state_dict(),
                    "optimizer": self.optimizer.state_dict(),
                    "scaler": self.scaler.state_dict(),
                    "best": self.best,
                },
                part,
            )

    def _load(self) -> None:
        kept = torch.load(self.state_path, map_location=self.device, weights_only=True)
        self.state = _State(**kept["state"])
        self.model.load_state_dict(kept["model"])
        self.average.load_state_dict(kept["average"])
        self.optimizer.load_state_dict(kept["optimizer"])
        self.scaler.load_state_dict(kept["scaler"])
        self.best = kept["best"]


def _batch(rng: np.random.Generator, clips: list[Clip], size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mel windows (B, 1, 80, 16), references and targets (B, 3, 96, 96); clips count by their length."""
    lengths = np.array([clip.n_train for clip in clips])
    counts = rng.multinomial(size, lengths / lengths.sum())
    windows, pictures = [], []
    for clip, count in zip(clips, counts, strict=True):
        targets = np.sort(rng.integers(clip.n_train, size=count))
        both = np.stack([clip.references(rng, targets), targets])
        windows.append(clip.windows(targets))
        pictures.append(_moved(rng, clip.crops_bgr[both]))
    crops = np.concatenate(pictures, axis=1)
    changed = recoloured(_pictures(np.concatenate(crops)), rng)
    return torch.from_numpy(np.concatenate(windows)), changed[:size], changed[size:]


def _moved(rng: np.random.Generator, crops: np.ndarray, most_px: int = 3) -> np.ndarray:
    """References and targets (2, B, 96, 96, 3), every pair moved a little, as another box would have cut it."""
    size = crops.shape[2]
    wide = np.pad(crops, ((0, 0), (0, 0), (most_px, most_px), (most_px, most_px), (0, 0)), mode="edge")
    moved = np.empty_like(crops)
    for index, (x, y) in enumerate(rng.integers(0, 2 * most_px + 1, (crops.shape[1], 2))):
        moved[:, index] = wide[:, index, y : y + size, x : x + size]
    return moved


def _pictures(crops_bgr: np.ndarray) -> Tensor:
    """(B, 96, 96, 3) uint8 as (B, 3, 96, 96) in 0..1."""
    return torch.from_numpy(np.ascontiguousarray(crops_bgr.transpose(0, 3, 1, 2))).float() / 255


def _tensors(model: torch.nn.Module) -> dict[str, Tensor]:
    """A copy of a generator's tensors, half-precision; batch norm's step counters are left out."""
    return {name: t.half().cpu().contiguous() for name, t in model.state_dict().items() if t.is_floating_point()}


def _licence(init: str) -> str:
    """Of the weights that were started from; what is made from them can't be freer."""
    if entry := named_entry(init):
        return entry.licence
    path = find_weights(init)
    if looks_like(path) == "safetensors":
        with safe_open(path, "np") as file:
            return (file.metadata() or {}).get("licence", "as the weights it was started from")
    return "as the weights it was started from"
