"""How close two videos are: MSE, PSNR and SSIM, of the whole picture and outside the mouths.

    PSNR = 10 · log10(255² / MSE)      SSIM: Wang et al. 2004, Gaussian window of 11 pixels, on luma

All are taken on the luma plane, frame by frame, in the order of time; PSNR is that of the mean MSE, and SSIM leaves out
the outer 5 pixels, where its window would reach beyond the picture.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from .errors import InputError, MediaError
from .frames import read_frames
from .media import VideoInfo, probe

WINDOW_PX = 11


@dataclass(frozen=True)
class Difference:
    """Means over all frames: `mse` in squared levels of 0..255, `psnr_db` infinite for equal pictures, `ssim` -1..1."""

    mse: float
    psnr_db: float
    ssim: float

    def __str__(self) -> str:
        return f"MSE {self.mse:8.3f}   PSNR {self.psnr_db:6.2f} dB   SSIM {self.ssim:.4f}"


@dataclass(frozen=True)
class Quality:
    """The comparison of two videos; `outside_mouth` is None where no report says where the mouths are."""

    n_frames: int
    whole: Difference
    outside_mouth: Difference | None

    def __str__(self) -> str:
        lines = [f"{self.n_frames} frames", f"whole picture    {self.whole}"]
        if self.outside_mouth:
            lines.append(f"outside mouths   {self.outside_mouth}")
        return "\n".join(lines)

    def to_json(self) -> str:
        """As JSON; an infinite PSNR becomes null."""
        values = asdict(self)
        for part in (values["whole"], values["outside_mouth"]):
            if part and not np.isfinite(part["psnr_db"]):
                part["psnr_db"] = None
        return json.dumps(values)


def psnr_db(mse: float) -> float:
    """Peak signal-to-noise ratio for 8-bit levels; infinite for 0."""
    return float("inf") if mse == 0 else float(10 * np.log10(255**2 / mse))


def find_report(result: Path) -> Path | None:
    """The report that lies beside a result, if any."""
    beside = [result.with_suffix(".report.json"), result.parent / "report.json"]
    return next((p for p in beside if p.is_file()), None)


def compare_videos(reference: Path, result: Path, report: Path | None = None, *, progress: bool = True) -> Quality:
    """Compare two videos of one size, frame by frame.

    Args:
        reference: What it should look like.
        result: What is judged.
        report: Of the result; tells where mouths were synced.
        progress: Show a bar.

    Raises:
        InputError: If sizes differ, the picture is smaller than the window of SSIM, or one has more frames.
        MediaError: If one cannot be read.
    """
    a, b = probe(reference), probe(result)
    if (a.width_px, a.height_px) != (b.width_px, b.height_px):
        raise InputError(
            f"{reference.name} is {a.width_px}×{a.height_px} but {result.name} is {b.width_px}×{b.height_px}: "
            "compare videos of one size"
        )
    if min(a.width_px, a.height_px) < WINDOW_PX:
        raise InputError(
            f"{reference.name} is {a.width_px}×{a.height_px}: SSIM needs at least {WINDOW_PX} pixels each way, "
            "compare larger videos"
        )
    regions = read_regions(report) if report else {}
    total = round(a.duration_s * a.rate)
    pairs = _pairs(reference, a, result, b)
    with tqdm(pairs, total=total, desc="metrics", unit="frame", disable=not progress, leave=False) as bar:
        quality = compare_frames(bar, regions)
    if quality is None:
        raise MediaError(f"{reference.name} has no frames")
    return quality


def _pairs(reference: Path, a: VideoInfo, result: Path, b: VideoInfo) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for count, (x, y) in enumerate(zip_longest(_luma(a), _luma(b))):
        if x is None or y is None:
            shorter = reference if x is None else result
            raise InputError(
                f"{shorter.name} ends after {count} frames, the other goes on: compare videos of one length"
            )
        yield x, y


def compare_frames(
    pairs: Iterable[tuple[np.ndarray, np.ndarray]], regions: Mapping[int, list[int]], *, every: int = 1
) -> Quality | None:
    """Compare luma planes, pair by pair.

    Args:
        pairs: Two planes (H, W) uint8 of one size, of at least `WINDOW_PX` each way.
        regions: By index of a pair, the region (x0, y0, x1, y1) that could change; empty where it is not known.
        every: Look at n-th pair only: SSIM takes some 40 ms.

    Returns:
        None if there is no pair.
    """
    sums, counts = np.zeros((2, 2)), np.zeros((2, 1))  # whole, outside × mse, ssim
    for index, (x, y) in enumerate(pairs):
        if index % every == 0:
            values = _compare(x, y, regions.get(index))
            sums += np.nan_to_num(values)
            counts += np.isfinite(values[:, :1])
    if counts[0, 0] == 0:
        return None
    (mse, ssim), (mse_outside, ssim_outside) = (sums / np.maximum(1, counts)).tolist()
    has_outside = bool(regions) and counts[1, 0] > 0
    outside = Difference(mse_outside, psnr_db(mse_outside), ssim_outside) if has_outside else None
    return Quality(int(counts[0, 0]), Difference(mse, psnr_db(mse), ssim), outside)


def _luma(info: VideoInfo) -> Iterator[np.ndarray]:
    return (frame.planes[0] for frame in read_frames(info))


def _compare(x: np.ndarray, y: np.ndarray, region: list[int] | None) -> np.ndarray:
    """(2, 2): MSE and SSIM of the whole picture, and outside `region` (NaN where it leaves nothing)."""
    from skimage.metrics import structural_similarity

    squares = np.square(x.astype(np.float32) - y)
    both: Any = structural_similarity(
        x, y, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    ssim, similarity = both
    whole = [squares.mean(dtype=np.float64), ssim]
    if region is None:
        return np.array([whole, whole])
    edge = WINDOW_PX // 2
    outside = np.ones(x.shape, bool)
    x0, y0, x1, y1 = region
    outside[y0:y1, x0:x1] = False
    inner = np.s_[edge:-edge, edge:-edge]
    if not outside[inner].any():
        return np.array([whole, [np.nan, np.nan]])
    return np.array(
        [whole, [squares[outside].mean(dtype=np.float64), similarity[inner][outside[inner]].mean(dtype=np.float64)]]
    )


def read_regions(report: Path) -> dict[int, list[int]]:
    """Per frame of the result that was synced, the region (x0, y0, x1, y1) that could change.

    Raises:
        InputError: If the file is no report.
    """
    try:
        regions = json.loads(report.read_text(encoding="utf-8"))["mouth_regions"]
        return dict(zip(regions["frame"], regions["box_xyxy"], strict=True))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{str(report)!r} is no report of wav2lip_kit ({type(error).__name__}): leave --report out"
        ) from error
