"""Material to train on: the crops and the sound of talking faces, cut from videos once and kept in a folder.

    VIDEO ─► tracks ─► stretches with a face ─► KEY.crops.npy, KEY.mel.f32, KEY.npz        (KEY: content and settings)

A video that cannot be learned from is left out with a notice that says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from .audio import mel_windows, write_mel
from .errors import InputError, MediaError, WeightsError
from .faces.crops import CROP_PX, cut_crop
from .faces.detectors import FaceDetector
from .faces.people import find_people
from .faces.presence import suggest_segments
from .faces.speakers import Face, speaker_face
from .faces.talking import sound_lag
from .faces.tracking import TrackConfig, track_faces
from .faces.tracks import Tracks
from .files import StrPath, content_id, key_of, replace_when_whole
from .frames import read_frames
from .media import VideoInfo, probe
from .notices import notice

DATA_VERSION = 3
VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".ts")
MIN_VIDEO_S, MIN_FACE_S = 3.0, 2.0
HELD_OUT, HELD_OUT_MOST_S = 0.25, 30.0
"""The end of every video is held out: this part of its face time, but no more than this."""
GAP_S = 0.3
"""Between what is learned and what is held out: a mel window is 0.2 s long."""
SYNC_S, HEARD = 8.0, 0.25
"""From this length on, mouth and loudness have to agree this well: real talkers reach 0.4 to 0.8, others 0.1."""
REFERENCE_S = (0.2, 4.0)
"""How far from its target a reference lies: near enough for the same pose, not so near that the mouth is the same."""


@dataclass(frozen=True, eq=False)
class Clip:
    """One talking face.

    Attributes:
        name: Of the video.
        crops_bgr: (T, 96, 96, 3) uint8, mapped from the file.
        times_s: (T,) when each was shown; there may be gaps.
        mel: (80, n) float32, mapped from the file.
        n_train: How many of the first crops are to learn from.
        held_out: Index of the first crop that is held out.
    """

    name: str
    crops_bgr: np.ndarray
    times_s: np.ndarray
    mel: np.ndarray
    n_train: int
    held_out: int

    def windows(self, indices: np.ndarray) -> np.ndarray:
        """The mel windows (B, 1, 80, 16) of some crops."""
        return mel_windows(self.mel, self.times_s[indices])

    def references(self, rng: np.random.Generator, targets: np.ndarray) -> np.ndarray:
        """For each of `targets` (B,) another crop of the same face, with another mouth and about the same pose."""
        times = self.times_s[: self.n_train]
        away_s = rng.uniform(*REFERENCE_S, len(targets)) * rng.choice([-1, 1], len(targets))
        for _ in range(2):  # a side that has nothing is exchanged for the other
            found = np.clip(np.searchsorted(times, times[targets] + away_s), 0, self.n_train - 1)
            is_near = np.abs(times[found] - times[targets]) < REFERENCE_S[0]
            away_s = np.where(is_near, -away_s, away_s)
        return found


def find_videos(where: StrPath) -> list[Path]:
    """The videos in a folder and the folders in it, or the one video that `where` is.

    Raises:
        InputError: If there is none.
    """
    where = Path(where)
    if where.is_file():
        return [where]
    if not where.is_dir():
        raise InputError(f"no such folder: {str(where)!r}; give a folder of talking videos with --videos")
    videos = sorted(p for p in where.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file())
    if not videos:
        raise InputError(f"no video in {str(where)!r}: put talking videos there ({', '.join(VIDEO_SUFFIXES)})")
    return videos


def prepare_clips(
    videos: list[Path], folder: Path, detector: FaceDetector, *, progress: bool = True
) -> tuple[list[Clip], str]:
    """Have the material of some videos in `folder`; what is there already is used as it is.

    Returns:
        The clips, and a key of their content.

    Raises:
        InputError: If no video can be learned from; says why for each.
    """
    clips, keys, refused = [], [], []
    for path in tqdm(videos, desc="material", unit="video", disable=not progress, leave=False):
        try:
            key = key_of(content_id(path), detector.name, TrackConfig(), DATA_VERSION)
            if not (folder / f"{key}.npz").is_file():
                _cut(path, folder, key, detector, progress)
            clips.append(_load(folder, key, path.name))
            keys.append(key)
        except InputError as error:
            refused.append(str(error) if path.name in str(error) else f"{path.name}: {error}")
    if not clips:
        raise InputError("; ".join(refused))
    for reason in refused:
        notice(f"left out: {reason}")
    return clips, key_of(*sorted(keys))


def _load(folder: Path, key: str, name: str) -> Clip:
    with np.load(folder / f"{key}.npz") as kept:
        times_s = kept["times_s"]
    end_s = times_s[-1] - min(HELD_OUT * len(times_s) * float(np.median(np.diff(times_s))), HELD_OUT_MOST_S)
    return Clip(
        name,
        np.load(folder / f"{key}.crops.npy", mmap_mode="r"),
        times_s,
        np.memmap(folder / f"{key}.mel.f32", np.float32, mode="r").reshape(-1, 80).T,
        n_train=int(np.searchsorted(times_s, end_s - GAP_S)),
        held_out=int(np.searchsorted(times_s, end_s)),
    )


def _cut(path: Path, folder: Path, key: str, detector: FaceDetector, progress: bool) -> None:
    """Write the material of one video; its .npz last, so that it stands for all."""
    info = probe(path)
    if info.kind != "file" or (info.duration_s and info.duration_s < MIN_VIDEO_S):
        raise MediaError(f"{path.name} is too short: it lasts {info.duration_s:.1f} s, {MIN_VIDEO_S:g} s are needed")
    if not info.has_audio:
        raise MediaError(f"{path.name} has no sound: give videos of people talking")
    tracks = track_faces(info, detector, progress=progress)
    face = _talking_face(tracks, path.name)
    _check_sync(info, tracks)
    count = int((~np.isnan(face.scores)).sum())
    with replace_when_whole(folder / f"{key}.crops.npy") as part:
        crops = np.lib.format.open_memmap(part, "w+", np.uint8, (count, CROP_PX, CROP_PX, 3))
        _fill(crops, info, face)
        crops.flush()
    write_mel(path, folder / f"{key}.mel.f32")
    times_s = tracks.times_s[~np.isnan(face.scores)]
    with replace_when_whole(folder / f"{key}.npz") as part:
        np.savez(part, times_s=times_s)


def _check_sync(info: VideoInfo, tracks: Tracks) -> None:
    """Refuse a mouth that is not the source of the sound, or that the sound is late for."""
    person = find_people(tracks)[0]
    if person.screen_s < SYNC_S:
        return
    try:
        late_s, heard = sound_lag(info, tracks, person)
    except WeightsError as error:
        notice(f"whether mouth and sound belong together is not tested: {error}")
        return
    if heard < HEARD:
        raise MediaError(
            f"{info.name}: the mouth does not follow the sound (correlation {heard:.2f}, {HEARD:g} is needed): "
            "give videos in which the person who is seen the most is the one who talks"
        )
    if late_s:
        raise MediaError(
            f"{info.name}: the sound is about {abs(late_s):.1f} s {'late' if late_s > 0 else 'early'}: "
            "put it in its place first, or a mouth would be learned that is as wrong"
        )


def _talking_face(tracks: Tracks, name: str) -> Face:
    """The largest face where it is there for some time."""
    if not tracks.tracks:
        raise MediaError(f"{name} shows no face: give videos in which the person is seen talking")
    face = speaker_face(tracks)
    is_face = suggest_segments(tracks, face).frame_mask(tracks.times_s)
    face = face.where(is_face, Face.of(tracks.n_frames, []))
    seen_s = float((~np.isnan(face.scores)).mean() * tracks.end_s)
    if seen_s < MIN_FACE_S:
        raise MediaError(f"{name} shows a face for only {seen_s:.1f} s: {MIN_FACE_S:g} s are needed")
    return face


def _fill(crops: np.ndarray, info: VideoInfo, face: Face) -> None:
    at = 0
    for index, frame in enumerate(read_frames(info)):
        matrix = face.crop_matrix(index)
        if matrix is not None:
            crops[at] = cut_crop(frame, matrix, info.color)
            at += 1
