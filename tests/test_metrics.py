"""Metrics: MSE, PSNR and SSIM of two videos, against NumPy and scikit-image, whole and outside the mouths."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import write_video
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from wav2lip_kit import cli
from wav2lip_kit.errors import InputError
from wav2lip_kit.frames import read_frames
from wav2lip_kit.media import probe
from wav2lip_kit.metrics import compare_videos, find_report, psnr_db, read_regions

LOSSLESS = {"crf": "0", "preset": "ultrafast"}
MOUTH = (16, 32, 48, 60)  # x0, y0, x1, y1
N = 6


def smooth_pictures() -> list[np.ndarray]:
    """Pictures (64, 80, 3) uint8 with a gradient that moves."""
    y, x = np.mgrid[:64, :80]
    grays = [128 + 80 * np.sin((x + 3 * t) / 9) + 0.5 * y for t in range(N)]
    return [np.repeat(np.clip(gray, 0, 255).astype(np.uint8)[..., None], 3, axis=2) for gray in grays]


def luma(path: Path) -> np.ndarray:
    """(T, H, W) uint8."""
    return np.stack([frame.planes[0].copy() for frame in read_frames(probe(path))])


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    return write_video(tmp_path / "reference.mp4", smooth_pictures(), options=LOSSLESS)


@pytest.fixture
def noisy(tmp_path: Path) -> Path:
    """The reference with more noise in every frame."""
    random = np.random.default_rng(0)
    pictures = [np.clip(p + random.normal(0, 2 * t, p.shape), 0, 255) for t, p in enumerate(smooth_pictures())]
    return write_video(tmp_path / "noisy.mp4", [p.astype(np.uint8) for p in pictures], options=LOSSLESS)


@pytest.fixture
def dubbed(tmp_path: Path) -> Path:
    """The reference, its mouth painted over in the frames 2 and 3; the report that says so lies beside it."""
    x0, y0, x1, y1 = MOUTH
    pictures = smooth_pictures()
    for t in (2, 3):
        pictures[t][y0 + 8 : y1 - 8, x0 + 8 : x1 - 8] = 0
    report = {"mouth_regions": {"frame": [2, 3], "box_xyxy": [MOUTH, MOUTH]}}
    (tmp_path / "dubbed.report.json").write_text(json.dumps(report))
    return write_video(tmp_path / "dubbed.mp4", pictures, options=LOSSLESS)


def test_whole_picture_agrees_with_numpy_and_scikit_image(reference: Path, noisy: Path) -> None:
    quality = compare_videos(reference, noisy, progress=False)
    a, b = luma(reference), luma(noisy)
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    ssim = np.mean([structural_similarity(x, y, **settings) for x, y in zip(a, b, strict=True)])
    assert quality.n_frames == N
    assert quality.whole.mse == pytest.approx(np.mean((a.astype(float) - b) ** 2), rel=1e-5)
    assert quality.whole.psnr_db == pytest.approx(peak_signal_noise_ratio(a, b), abs=1e-4)  # of all frames' mean MSE
    assert quality.whole.ssim == pytest.approx(ssim, abs=1e-6)
    assert 20 < quality.whole.psnr_db < 50
    assert 0.2 < quality.whole.ssim < 0.99
    assert quality.outside_mouth is None


def test_equal_videos_have_no_difference(reference: Path) -> None:
    whole = compare_videos(reference, reference, progress=False).whole
    assert (whole.mse, whole.psnr_db) == (0.0, math.inf)
    assert whole.ssim == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize(("mse", "db"), [(255.0**2, 0.0), (1.0, 48.1308), (100.0, 28.1308), (0.0, math.inf)])
def test_psnr(mse: float, db: float) -> None:
    assert psnr_db(mse) == pytest.approx(db, abs=1e-4)


def test_outside_mouth_leaves_the_reports_regions_out(reference: Path, dubbed: Path) -> None:
    report = dubbed.with_suffix(".report.json")
    assert find_report(dubbed) == report
    quality = compare_videos(reference, dubbed, report, progress=False)
    assert quality.outside_mouth is not None
    assert quality.outside_mouth.mse == 0
    assert quality.outside_mouth.psnr_db == math.inf
    assert quality.whole.mse > 50

    # The same change in a frame that the report doesn't know is a change outside the mouths.
    report.write_text(json.dumps({"mouth_regions": {"frame": [2], "box_xyxy": [MOUTH]}}))
    leak = compare_videos(reference, dubbed, report, progress=False).outside_mouth
    assert leak is not None
    assert leak.mse == pytest.approx(quality.whole.mse / 2, rel=0.2)
    assert leak.ssim < 1 - 1e-3


def test_a_mouth_that_fills_the_picture_leaves_nothing_outside(reference: Path, dubbed: Path) -> None:
    report = dubbed.with_suffix(".report.json")
    report.write_text(json.dumps({"mouth_regions": {"frame": list(range(N)), "box_xyxy": [[0, 0, 80, 64]] * N}}))
    assert compare_videos(reference, dubbed, report, progress=False).outside_mouth is None
    report.write_text(json.dumps({"mouth_regions": {"frame": [2, 3], "box_xyxy": [[0, 0, 80, 64]] * 2}}))
    outside = compare_videos(reference, dubbed, report, progress=False).outside_mouth
    assert outside is not None
    assert (outside.mse, outside.psnr_db) == (0.0, math.inf)
    assert outside.ssim == pytest.approx(1.0, abs=1e-9)


def test_a_project_s_report_is_found_too(tmp_path: Path) -> None:
    assert find_report(tmp_path / "final_video.mp4") is None
    (tmp_path / "report.json").write_text("{}")
    assert find_report(tmp_path / "final_video.mp4") == tmp_path / "report.json"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"mouth_regions": {"frame": [1], "box_xyxy": []}}'])
def test_what_is_no_report_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(InputError, match=r"x\.json' is no report .* leave --report out"):
        read_regions(tmp_path / "x.json")


@pytest.mark.parametrize("shorter_first", [True, False])
def test_videos_of_different_length_are_refused(reference: Path, tmp_path: Path, shorter_first: bool) -> None:
    shorter = write_video(tmp_path / "shorter.mp4", smooth_pictures()[:4], options=LOSSLESS)
    pair = (shorter, reference) if shorter_first else (reference, shorter)
    with pytest.raises(InputError, match=r"shorter\.mp4 ends after 4 frames.*one length"):
        compare_videos(*pair, progress=False)


def test_videos_of_different_size_are_refused(reference: Path, tmp_path: Path) -> None:
    small = write_video(tmp_path / "small.mp4", [p[:, :64] for p in smooth_pictures()])
    with pytest.raises(InputError, match=r"reference\.mp4 is 80×64 but small\.mp4 is 64×64: .*one size"):
        compare_videos(reference, small, progress=False)


def test_pictures_smaller_than_the_window_of_ssim_are_refused(tmp_path: Path) -> None:
    tiny = write_video(tmp_path / "tiny.mp4", [np.zeros((8, 16, 3), np.uint8)] * 2)
    with pytest.raises(InputError, match=r"tiny\.mp4 is 16×8: SSIM needs at least 11 pixels"):
        compare_videos(tiny, tiny, progress=False)


def test_printed_for_people(reference: Path, dubbed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["metrics", str(reference), str(dubbed), "--quiet"]) == 0
    printed = capsys.readouterr()
    count, whole, outside = printed.out.splitlines()
    assert count == f"{N} frames"
    assert re.fullmatch(r"whole picture +MSE +\d+\.\d{3} +PSNR +\d+\.\d\d dB +SSIM 0\.\d{4}", whole)
    assert re.fullmatch(r"outside mouths +MSE +0\.000 +PSNR +inf dB +SSIM [01]\.\d{4}", outside)
    assert printed.err == ""


def test_printed_for_programs(reference: Path, noisy: Path, dubbed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def strict(text: str) -> dict[str, Any]:
        return json.loads(text, parse_constant=pytest.fail)  # Infinity is not JSON

    assert cli.main(["metrics", str(reference), str(dubbed), "--quiet", "--json"]) == 0
    of_dubbed = strict(capsys.readouterr().out)
    assert of_dubbed["outside_mouth"]["psnr_db"] is None
    assert of_dubbed["whole"]["mse"] > 50
    assert cli.main(["metrics", str(reference), str(noisy), "--quiet", "--json"]) == 0
    of_noisy = strict(capsys.readouterr().out)
    assert of_noisy["n_frames"] == N
    assert of_noisy["outside_mouth"] is None
    assert set(of_noisy["whole"]) == {"mse", "psnr_db", "ssim"}


def test_bar_goes_to_stderr_unless_quiet(reference: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["metrics", str(reference), str(reference)]) == 0
    printed = capsys.readouterr()
    assert "metrics" in printed.err
    assert "frame/s" not in printed.out
