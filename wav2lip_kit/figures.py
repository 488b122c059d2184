"""What is shown in a notebook cell: players, still pictures, tables, and the timeline."""

from __future__ import annotations

import csv
import html
from base64 import b64encode
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from IPython.display import HTML, Audio, display

from .audio import SAMPLE_RATE_HZ, read_audio
from .errors import FaceError
from .faces.people import find_people, thumbnails
from .faces.presence import absence
from .faces.speakers import names_in
from .faces.tracks import Tracks
from .media import probe, read_image_bgr
from .preflight import preflight
from .previews import MOST_S, compare_sides, measure_result, preview_result, preview_source, try_sync
from .project import Project
from .settings import parse_trim
from .timing import format_time, parse_time
from .training import TrainResult
from .widgets.preview import make_preview, read_still

MOST_SHOWN_BYTES = 8_000_000
WIDTH_PX, SINGLE_PX = 860, 480
REASON_COLOURS = {"": "#2e9e5b", "nobody": "#8886", "tiny": "#d9a03d", "unsure": "#b06fc4", "turned": "#c4574a"}
PICTURES = 8
"""In the timeline."""
LANES = 8
"""People in the timeline; those who are seen less are only counted."""


# ── pictures and sound ─────────────────────────────────────────────────────────────────────────────────────────────


def show_source(project: Project) -> None:
    """Show the trimmed video with its own sound, and the trimmed new audio."""
    display(show_video(preview_source(project), [f"the video, {_how_much(project.video.duration_s)}"]))
    start_s, end_s = parse_trim(project.settings.trim_audio)
    length_s = (end_s or project.audio.duration_s) - start_s
    blocks = read_audio(project.audio.path, start_s=start_s, end_s=start_s + min(MOST_S, length_s))
    display(Audio(np.concatenate(list(blocks), axis=1), rate=SAMPLE_RATE_HZ, normalize=False))
    display(_framed("", [f"the new audio, {_how_much(length_s)}"]))


def show_try(project: Project, at: str = "", seconds: float = 1.0) -> HTML:
    """Render a moment, and show source, result and mask side by side.

    Args:
        project: With the settings to try.
        at: When, such as `0:35`; the middle of the longest segment when empty.
        seconds: How long; 0 for one frame.
    """
    if not project.segments_path.is_file():
        project.suggest()
    tried = try_sync(project, parse_time(at) if at.strip() else None, seconds)
    names = ["source", "result", "what is replaced"]
    return show_still(read_still(tried, 0), names) if seconds == 0 else show_video(tried, names, is_looped=True)


def show_result(project: Project) -> HTML:
    """A player for the result; of a long one its beginning."""
    return show_video(preview_result(project), [f"the result, {_how_much(probe(project.final_path).duration_s)}"])


def show_comparison(project: Project, at: str = "") -> HTML:
    """One player with before and after side by side, from a time such as `0:35` on; the first segment when empty."""
    return show_video(compare_sides(project, moment(project, at)), ["before", "after"])


def moment(project: Project, at: str) -> float:
    """The time in seconds that was typed; where the first segment begins when nothing was, or the video."""
    return parse_time(at) if at.strip() else project.segments[0].start_s if project.segments else 0.0


def show_video(path: Path, captions: Sequence[str] = (), *, is_looped: bool = False) -> HTML:
    """A player that carries the video along; only for small ones, such as those of `previews`.

    Args:
        path: The mp4.
        captions: One for each of the pictures that stand side by side in it.
        is_looped: Begin by itself, without sound, and again and again.
    """
    if path.stat().st_size > MOST_SHOWN_BYTES:
        text = f"The preview is too large for a notebook ({path.stat().st_size / 1e6:.0f} MB): open {path}"
        return HTML(html.escape(text))
    how = "autoplay loop muted" if is_looped else "preload=metadata"
    source = _data_url(path.read_bytes(), "video/mp4")
    return _framed(f'<video controls playsinline {how} style="{_PICTURE}" src="{source}"></video>', captions)


def show_still(jpeg: bytes, captions: Sequence[str] = ()) -> HTML:
    """A picture, with a caption for each of those that stand side by side in it."""
    return _framed(f'<img style="{_PICTURE}" src="{_data_url(jpeg, "image/jpeg")}">', captions)


_PICTURE = "display:block;width:100%;border-radius:6px"


def _data_url(data: bytes, kind: str) -> str:
    return f"data:{kind};base64,{b64encode(data).decode()}"


def _framed(picture: str, captions: Sequence[str]) -> HTML:
    width_px = SINGLE_PX if len(captions) < 2 else WIDTH_PX
    cells = "".join(f'<span style="flex:1;text-align:center">{html.escape(text)}</span>' for text in captions)
    below = f'<div style="display:flex;padding:4px 0 10px;opacity:.75">{cells}</div>'
    return HTML(f'<div style="max-width:{width_px}px">{picture}{below}</div>')


def _how_much(duration_s: float) -> str:
    whole = format_time(duration_s, decimals=1)
    return f"all {whole} of it" if duration_s <= MOST_S else f"the first {MOST_S:.0f} s of {whole}"


# ── tables ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def show_quality(project: Project) -> HTML:
    """How much the picture was changed, in whole and outside the mouths."""
    quality = measure_result(project)
    rows = [["", "<b>MSE</b>", "<b>PSNR</b>", "<b>SSIM</b>"]]
    for name, part in (("whole picture", quality.whole), ("outside the mouths", quality.outside_mouth)):
        if part is not None:
            rows.append([name, f"{part.mse:.2f}", f"{part.psnr_db:.1f} dB", f"{part.ssim:.4f}"])
    said = (
        f"Over {quality.n_frames} frames. An SSIM near 1 and a PSNR above 40 dB mean that no difference from the "
        "source is seen; outside the mouths there is none but that of encoding."
    )
    return show_table(rows, said)


def show_training(result: TrainResult) -> HTML:
    """The error of the held-out mouth before and after, and its way down."""
    rows = [
        ["before", f"{result.error_before:.2f}"],
        ["after", f"<b>{result.error_after:.2f}</b>"],
        ["after, with the wrong sound", f"{result.error_wrong_audio:.2f}"],
    ]
    said = f"Mean difference in levels of 0 to 255, after {result.steps} steps in {result.minutes:.1f} minutes."
    with result.curves.open(encoding="utf-8") as file:
        checks = [(float(row["minutes"]), float(row["mouth_error"])) for row in csv.DictReader(file)]
    return show_table(rows, said, _curve(checks))


def _curve(points: Sequence[tuple[float, float]]) -> str:
    """A line through (x, y) points, from the smallest x and y to the largest."""
    x, y = np.array(points).T
    across = 400 * (x - x.min()) / max(1e-9, np.ptp(x))
    down = 4 + 92 * (y.max() - y) / max(1e-9, np.ptp(y))
    line = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(across, down, strict=True))
    return (
        '<svg viewBox="0 0 400 100" style="display:block;width:100%;max-width:400px;border-bottom:1px solid #8888">'
        f'<polyline points="{line}" fill="none" stroke="#3d8bd9" stroke-width="2"/></svg>'
    )


def show_table(rows: Sequence[Sequence[str]], said: str = "", below: str = "") -> HTML:
    """A table of HTML cells, with a line of text and more HTML below it."""
    style = "text-align:left;vertical-align:top;padding:4px 18px 4px 0"
    body = "".join("<tr>" + "".join(f'<td style="{style}">{cell}</td>' for cell in row) + "</tr>" for row in rows)
    line = f'<div style="max-width:{WIDTH_PX}px;opacity:.75">{html.escape(said)}</div>' if said else ""
    return HTML(f'<table style="max-width:{WIDTH_PX}px;border-collapse:collapse">{body}</table>{line}{below}')


# ── the timeline ───────────────────────────────────────────────────────────────────────────────────────────────────


def show_segments(project: Project) -> HTML:
    """The video as a strip of pictures, how high the speaker's face is in it, the segments to sync, and who is seen."""
    tracks = project.track()
    preview = make_preview(project, tracks)
    end_s = tracks.end_s
    segments = "".join(
        f'<div title="{segment}" style="position:absolute;top:0;bottom:0;left:{100 * segment.start_s / end_s:.2f}%;'
        f'width:{100 * segment.duration_s / end_s:.2f}%;background:#3d8bd9;border-radius:3px"></div>'
        for segment in project.segments
    )
    pictures = _data_url(_strip(preview.thumbs, preview.n_thumbs), "image/jpeg")
    times = "".join(f"<span>{format_time(end_s * k / 4, decimals=0 if end_s > 20 else 1)}</span>" for k in range(5))
    total = format_time(project.segments.duration_s, decimals=1)
    said = f"synced: {total} of {format_time(end_s, decimals=1)} · {project.segments or 'nothing is marked'}"
    return HTML(
        f'<div style="max-width:{WIDTH_PX}px;line-height:1.4">'
        f'<img style="display:block;width:100%;border-radius:6px" src="{pictures}">{_face_curve(project, tracks)}'
        f'<div style="position:relative;height:14px;margin:3px 0;background:#8883;border-radius:3px">{segments}</div>'
        f"{_why_not(project, tracks)}"
        f'<div style="display:flex;justify-content:space-between;opacity:.75">{times}</div>{_lanes(project, tracks)}'
        f'<div style="padding:4px 0 10px"><b style="color:#3d8bd9">■</b> {html.escape(said)}</div></div>'
    )


def _why_not(project: Project, tracks: Tracks) -> str:
    """A thin line that tells by colour, and in its titles, why a face is not there."""
    try:
        reasons = absence(tracks, project.face(tracks), project.settings.presence)
    except FaceError:  # told above the line
        return ""
    runs = [0, *(np.flatnonzero(reasons[1:] != reasons[:-1]) + 1).tolist(), len(reasons)]
    edges = _edges_percent(tracks)
    parts = f'<div style="width:{edges[0]:.3f}%"></div>' + "".join(
        f'<div title="{reasons[a] or "face"}" style="width:{edges[b] - edges[a]:.3f}%;'
        f'background:{REASON_COLOURS[str(reasons[a])]}"></div>'
        for a, b in pairwise(runs)
    )
    legend = " ".join(f'<b style="color:{REASON_COLOURS[r]}">■</b> {r}' for r in REASON_COLOURS if r and r in reasons)
    return f'<div style="display:flex;height:5px;margin:3px 0">{parts}</div><div style="opacity:.75">{legend}</div>'


def _edges_percent(tracks: Tracks) -> np.ndarray:
    """(T + 1,) where each frame begins on the timeline, and where the last ends; a video may begin late."""
    return 100 * np.append(tracks.times_s, tracks.end_s) / tracks.end_s


def _lanes(project: Project, tracks: Tracks) -> str:
    """A lane for everybody found, in the gallery's colours: when they are seen. Who is synced has the thicker one."""
    people = find_people(tracks)
    shown = people[:LANES]
    edges = _edges_percent(tracks)
    try:
        speaking = names_in(project.face(tracks), people)
    except FaceError:  # told above the line
        return ""
    lanes = ""
    for person, picture in zip(shown, thumbnails(project.video, tracks, shown), strict=True):
        is_synced = person.name in speaking
        face = _data_url(cv2.imencode(".jpg", picture)[1].tobytes(), "image/jpeg")
        stretches = "".join(
            f'<div style="position:absolute;top:0;bottom:0;left:{edges[t.start]:.2f}%;'
            f'width:{edges[t.stop] - edges[t.start]:.2f}%;background:{person.colour};border-radius:2px"></div>'
            for t in person.tracks
        )
        name = f"<b>{person.name}, the speaker</b>" if is_synced else person.name
        seen = format_time(person.screen_s, decimals=1)
        lanes += (
            f'<div style="display:flex;align-items:center;gap:8px;margin-top:6px">'
            f'<img style="width:24px;height:24px;border-radius:50%;border:2px solid {person.colour}" src="{face}">'
            f'<span style="opacity:{1 if is_synced else 0.75}">{name} · {seen}</span>'
            f'</div><div style="position:relative;height:{8 if is_synced else 4}px;margin:2px 0;background:#8883;'
            f'border-radius:2px">{stretches}</div>'
        )
    more = f'<div style="opacity:.75">and {len(people) - LANES} more</div>' if len(people) > LANES else ""
    return lanes + more


def show_preflight(project: Project) -> HTML:
    """What the long run will do and what it will take here, found by rendering a moment; and the same as a picture."""
    if not project.segments_path.is_file():
        project.suggest()
    ahead = preflight(project, project.track())
    rows = [[f"<b>{html.escape(name)}</b>", html.escape(text)] for name, text in ahead.rows().items()]
    return HTML(f"{show_segments(project).data}{show_table(rows).data}")


def _strip(thumbs: Path, n_thumbs: int) -> bytes:
    """A few of the thumbnails, side by side, as JPEG."""
    tiles = np.split(read_image_bgr(thumbs), n_thumbs, axis=1)
    wanted = ((np.arange(PICTURES) + 0.5) * n_thumbs / PICTURES).astype(int)
    return cv2.imencode(".jpg", np.hstack([tiles[k] for k in wanted]))[1].tobytes()


def _face_curve(project: Project, tracks: Tracks) -> str:
    """How high the speaker's face is in the picture, over the time, as a filled curve."""
    try:
        face = project.face(tracks)
    except FaceError as error:
        return f'<div style="opacity:.75">{html.escape(str(error))}</div>'
    is_there = absence(tracks, face, project.settings.presence) == ""
    heights = np.append(np.where(is_there, face.heights_px / project.video.height_px, 0), 0)
    n = min(400, tracks.n_frames + 1)
    # Before the first frame the index is -1: the 0 at the end.
    heights = heights[np.searchsorted(tracks.times_s, np.arange(n) * tracks.end_s / n + 1e-6, side="right") - 1]
    points = " ".join(f"{k},{30 - 30 * min(1.0, float(h)):.1f}" for k, h in enumerate(heights))
    return (
        f'<svg viewBox="0 0 {n - 1} 30" preserveAspectRatio="none" style="display:block;width:100%;height:30px">'
        f'<polygon points="0,30 {points} {n - 1},30" fill="#2e9e5b" fill-opacity=".55"/></svg>'
    )
