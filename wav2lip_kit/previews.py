"""Small videos to look at: an excerpt, before beside after, and a moment tried out before the long work.

All are excerpts of at most `MOST_S` seconds with small pictures, side by side in one file, so that nothing big travels
into a notebook and what belongs together stays together in time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from tqdm.auto import tqdm

from .audio import AudioInfo, probe_audio
from .blending import crop_mask
from .combine import combine_parts
from .errors import FaceError, InputError, MediaError
from .faces.tracks import Tracks
from .files import content_id, key_of, replace_when_whole
from .frames import Encoding, Frame, FrameWriter, read_frames
from .media import VideoInfo, even, probe
from .metrics import Quality, compare_frames, read_regions
from .project import Project
from .settings import parse_trim
from .sync import render
from .timeline import Part, PartReader, result_pts
from .timing import format_time

SIDE_PX = 480
MOST_S = 30.0
CRF = 24
METRIC_FRAMES = 60
GIF_WIDTH_PX = 640


def write_excerpt(
    columns: Sequence[Iterable[Frame]],
    info: VideoInfo,
    out: Path,
    *,
    sound: AudioInfo | None = None,
    sound_start_s: float = 0.0,
) -> Path:
    """Write videos of one size side by side, small, from their first frame on for at most `MOST_S` seconds.

    Args:
        columns: The frames of each video, all with the same times.
        info: Gives size, rate, time base and colour of each.
        out: The mp4 to write.
        sound: What is heard; None for silence.
        sound_start_s: Where in `sound` the first frame lies.

    Raises:
        MediaError: If there is no frame.
    """
    size = small_size(info)
    wide = replace(info, width_px=len(columns) * size[0], height_px=size[1], sample_aspect=Fraction(1))
    with replace_when_whole(out) as part, TemporaryDirectory() as folder:
        silent = part if sound is None else Path(folder) / "silent.mp4"
        first_pts = end_pts = -1
        with FrameWriter(silent, wide, Encoding(crf=CRF)) as writer:
            for frames in zip(*columns, strict=False):
                pts = frames[0].pts
                if end_pts < 0:
                    first_pts = pts
                if info.time_s(pts - first_pts) >= MOST_S:
                    break
                pictures = [[_resized(p, k, size) for k, p in enumerate(f.planes)] for f in frames]
                y, u, v = (np.hstack(planes) for planes in zip(*pictures, strict=True))
                writer.write(Frame((y, u, v), pts - first_pts, frames[0].duration))
                end_pts = pts - first_pts + (frames[0].duration or round(1 / info.rate / info.time_base))
        if end_pts < 0:
            raise MediaError(f"{info.name} has no frame there; choose an earlier time")
        if sound is not None:
            combine_parts([silent], sound, part, end_pts=end_pts, time_base=info.time_base, audio_start_s=sound_start_s)
    return out


def small_size(info: VideoInfo) -> tuple[int, int]:
    """Width and height of a preview in square pixels, both even, never more than the video has."""
    width, height = float(info.width_px * info.sample_aspect), float(info.height_px)
    scale = min(1.0, SIDE_PX / max(width, height))
    return even(max(1, round(width * scale))), even(max(1, round(height * scale)))


def _resized(plane: np.ndarray, index: int, size: tuple[int, int]) -> np.ndarray:
    size = size if index == 0 else (size[0] // 2, size[1] // 2)
    return cv2.resize(np.ascontiguousarray(plane), size, interpolation=cv2.INTER_AREA)


def preview_source(project: Project) -> Path:
    """The beginning of the project's trimmed video with its own sound, as a small mp4 in the project's folder."""
    info = project.video
    sound = probe_audio(info.path) if info.has_audio else None
    out = project.folder / "preview.mp4"
    return write_excerpt([read_frames(info)], info, out, sound=sound, sound_start_s=info.start_s)


def preview_result(project: Project) -> Path:
    """The beginning of final_video.mp4, as a small mp4 in the project's folder."""
    info = _result(project)
    out = project.folder / "preview_result.mp4"
    return write_excerpt([read_frames(info)], info, out, sound=probe_audio(info.path))


def compare_sides(project: Project, at_s: float = 0.0, *, tracks: Tracks | None = None) -> Path:
    """Before and after side by side, with the new audio, from `at_s` on.

    Returns:
        A small mp4 in the project's folder; one that is there for the same result and time is taken as it is.

    Raises:
        InputError: If there is no result yet, or it ends before `at_s`.
    """
    after = _result(project)
    if not 0 <= at_s < after.duration_s:
        raise InputError(
            f"{format_time(max(0.0, at_s))} lies outside the result, which lasts "
            f"{format_time(after.duration_s, decimals=1)}: choose an earlier time"
        )
    out = project.folder / f"compare-{key_of(content_id(project.final_path), at_s)}.mp4"
    if not out.is_file():
        for stale in project.folder.glob("compare-*.mp4"):
            stale.unlink()
        start_pts = round(at_s / after.time_base)
        columns = (_shown_frames(project, tracks, start_pts), read_frames(after, start_pts))
        write_excerpt(columns, after, out, sound=probe_audio(project.final_path), sound_start_s=at_s)
    return out


def measure_result(project: Project, *, tracks: Tracks | None = None, progress: bool = True) -> Quality:
    """How close the result is to its source, over about `METRIC_FRAMES` frames spread over all of it.

    Raises:
        InputError: If there is no result yet.
    """
    after = _result(project)
    n_frames = round(after.duration_s * after.rate)
    pairs = (
        (before.planes[0], frame.planes[0])
        for before, frame in zip(_shown_frames(project, tracks), read_frames(after), strict=False)
    )
    with tqdm(pairs, total=n_frames, desc="quality", unit="frame", disable=not progress, leave=False) as bar:
        quality = compare_frames(bar, read_regions(project.report_path), every=max(1, n_frames // METRIC_FRAMES))
    if quality is None:
        raise InputError(f"{project.final_path.name} has no frames: combine again")
    return quality


def _result(project: Project) -> VideoInfo:
    if not project.final_path.is_file():
        raise InputError(f"no final_video.mp4 in {str(project.folder)!r} yet: combine first")
    return probe(project.final_path)


def _shown_frames(project: Project, tracks: Tracks | None, start_pts: int = 0) -> Iterator[Frame]:
    """The source's frames as the result shows them, in its order and at its times, from `start_pts` on."""
    tracks = tracks or project.track(progress=False)
    reader = PartReader(project.video, tracks)
    for part in project.plan(tracks).parts:
        if result_pts(tracks, part).max() >= start_pts:
            yield from (frame for _, frame in reader.read(part) if frame.pts >= start_pts)


def export_comparison(side_by_side: Path, out: Path, *, start_s: float = 0.0, duration_s: float = 4.0) -> Path:
    """Cut a piece of `compare_sides` for sharing, with MoviePy: a .gif (no sound, 10 pictures a second) or an .mp4.

    Raises:
        InputError: If MoviePy is missing, the name is neither, or the piece lies outside.
    """
    if out.suffix.lower() not in (".gif", ".mp4"):
        raise InputError(f"cannot export {out.name!r}: choose a name that ends in .gif or .mp4")
    try:
        open_clip = _video_file_clip()
    except ImportError as error:
        raise InputError(f"the export needs MoviePy ({error}): run `pip install moviepy`") from error
    with open_clip(str(side_by_side)) as clip, replace_when_whole(out) as part:
        if not 0 <= start_s < clip.duration or duration_s <= 0:
            raise InputError(
                f"{format_time(max(0.0, start_s))} lies outside the comparison, which lasts "
                f"{format_time(clip.duration, decimals=1)}: choose an earlier time"
            )
        end_s = min(start_s + duration_s, clip.duration)
        piece = clip.subclipped(start_s, end_s) if hasattr(clip, "subclipped") else clip.subclip(start_s, end_s)
        if out.suffix.lower() == ".gif":
            small = piece.resized if hasattr(piece, "resized") else piece.resize
            small(width=min(GIF_WIDTH_PX, clip.w)).write_gif(str(part), fps=10, logger=None)
        else:
            sound = part.with_suffix(".m4a")  # MoviePy would leave its own beside the notebook
            piece.write_videofile(str(part), audio_codec="aac", temp_audiofile=str(sound), logger=None)
    return out


def _video_file_clip() -> Any:
    try:
        from moviepy import VideoFileClip
    except ImportError:  # before 2.0, as on Colab
        from moviepy.editor import VideoFileClip  # type: ignore[import-not-found,no-redef]
    return VideoFileClip


def try_sync(
    project: Project, at_s: float | None = None, duration_s: float = 1.0, *, tracks: Tracks | None = None
) -> Path:
    """Render a moment with the project's settings, and put source, result and mask side by side.

    Args:
        project: Its segments are not asked: any moment that shows the speaker can be tried.
        at_s: Where it begins; None for the middle of the longest segment.
        duration_s: At most `MOST_S`; 0 for one frame.
        tracks: Of `Project.track`, which is run when None.

    Returns:
        A small mp4 with the new audio, in the project's folder.

    Raises:
        FaceError: If the speaker is not seen then.
        InputError: If the time lies outside the video, or the weights are not to be had.
    """
    if not 0 <= duration_s <= MOST_S:
        raise InputError(f"cannot try {duration_s:g} s: choose 0 (one frame) to {MOST_S:g}")
    tracks, info = tracks or project.track(), project.video
    if at_s is None:
        if not project.segments:
            raise InputError("nothing is marked to be synced: mark a segment, or give a time to try such as 0:35")
        longest = max(project.segments, key=lambda s: s.duration_s)
        at_s = max(longest.start_s, (longest.start_s + longest.end_s - duration_s) / 2)
    if at_s >= tracks.end_s:
        raise InputError(f"{info.name} ends at {format_time(tracks.end_s)}: choose a time before, not {at_s:g} s")
    first = min(int(np.searchsorted(tracks.times_s, at_s - 1e-6)), tracks.n_frames - 1)
    last = max(first + 1, int(np.searchsorted(tracks.times_s, at_s + duration_s - 1e-6)))
    face = project.face(tracks)
    matrices = [face.crop_matrix(index) for index in range(first, last)]
    if all(matrix is None for matrix in matrices):
        raise FaceError(
            f"the speaker is not seen at {format_time(at_s)}: choose a time where the face is "
            f"({project.suggestions(tracks)}), or another speaker"
        )
    part = Part(first, last, 0, False, 1)
    result = project.folder / "try.mp4"
    with replace_when_whole(result) as unfinished:
        render(
            ((frame, matrices[index - first]) for index, frame in PartReader(info, tracks).read(part)),
            info,
            unfinished,
            project.load_syncer(),
            project.sound.mel,
            shift_s=project.settings.shift_ms / 1000,
            paste=project.settings.paste,  # type: ignore[arg-type]
            encoding=Encoding(crf=project.settings.crf),
        )
    mask = crop_mask(project.settings.paste)  # type: ignore[arg-type]
    columns = (
        [frame for _, frame in PartReader(info, tracks).read(part)],
        read_frames(probe(result)),
        (_masked(frame, matrices[index - first], mask) for index, frame in PartReader(info, tracks).read(part)),
    )
    heard_s = parse_trim(project.settings.trim_audio)[0] + float(tracks.times_s[first])
    return write_excerpt(
        columns, info, project.folder / "try_side_by_side.mp4", sound=project.audio, sound_start_s=heard_s
    )


def _masked(frame: Frame, matrix: np.ndarray | None, mask: np.ndarray) -> Frame:
    """The frame in the dark, lit where the mask is."""
    light = np.zeros(frame.planes[0].shape, np.float32)
    if matrix is not None:
        how = cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
        light = cv2.warpAffine(mask, matrix, light.shape[::-1], flags=how)
    luma = np.rint(frame.planes[0] * (0.25 + 0.75 * light)).astype(np.uint8)
    return Frame((luma, *frame.planes[1:]), frame.pts, frame.duration)
