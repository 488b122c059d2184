"""What a result says about itself: the report, and the mark in the file that a face in it was changed."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from . import __version__
from .audio import AudioInfo
from .files import content_id
from .media import VideoInfo
from .segments import Segments

SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"


def digital_source_type(video_kind: str) -> str:
    """The IPTC term: a dubbed video is a composite with trained algorithmic media; a talking photo is synthetic."""
    return SOURCE_TYPES + ("compositeSynthetic" if video_kind == "image" else "compositeWithTrainedAlgorithmicMedia")


def provenance_comment(video_kind: str) -> str:
    """The comment in the mp4's metadata."""
    said = f"The mouth in this video was lip-synced to other audio by a neural network (wav2lip_kit {__version__})."
    return f"{said} {digital_source_type(video_kind)}"


def build_report(
    *,
    video: VideoInfo,
    audio: AudioInfo,
    settings: Mapping[str, Any],
    weights: str,
    segments: Segments,
    n_frames: int,
    duration_s: float,
    mouth_regions: Mapping[int, tuple[int, int, int, int]],
    notices: Sequence[str],
) -> str:
    """The report as JSON text: what went in, what was asked for, what came out, and what the user was told.

    `mouth_regions` gives, by index of the result's frames, the region (x0, y0, x1, y1) outside which every pixel is the
    source's before encoding.
    """
    report = {
        "format": "wav2lip_kit.report",
        "version": 1,
        "made_by": f"wav2lip_kit {__version__}, Python {platform.python_version()}",
        "made_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "digital_source_type": digital_source_type(video.kind),
        "video": {
            "name": video.name,
            "content_id": content_id(video.path),
            "size_px": [video.width_px, video.height_px],
            "rate": str(video.rate),
        },
        "audio": {
            "name": audio.name,
            "content_id": content_id(audio.path),
            "rate_hz": audio.rate_hz,
            "layout": audio.layout,
        },
        "settings": dict(settings),
        "weights_id": weights,
        "segments": [[s.start_s, s.end_s] for s in segments],
        "frames": n_frames,
        "frames_synced": len(mouth_regions),
        "duration_s": duration_s,
        "notices": list(notices),
        "mouth_regions": {"frame": list(mouth_regions), "box_xyxy": [list(b) for b in mouth_regions.values()]},
    }
    # One line a key: thousands of regions must not make thousands of lines.
    lines = (f"  {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in report.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"
