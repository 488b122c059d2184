"""Following faces through a video in one streaming pass.

Faces are looked for on a small copy of every k-th frame, now and then everywhere and else around those that are known,
and on the frames between where something changed; detections are linked into tracks by overlap, size and appearance; a
cut ends every track. Short misses are interpolated, long ones end the track. Boxes stay float, and are smoothed by a
window centred on the frame, inside a track only: no lag, no smear across a cut.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from scipy.ndimage import gaussian_filter1d
from tqdm.auto import tqdm

from ..colour import frame_to_bgr
from ..errors import MediaError
from ..frames import read_frames
from ..media import VideoInfo
from .appearance import signature
from .cuts import CutFinder
from .detectors import Detection, FaceDetector
from .tracks import Track, Tracks, iou

TRACKS_VERSION = 4
"""Part of a tracks file's key: raise it when the same settings find other tracks."""
Region = tuple[int, int, int, int]
LOOKS_AT_ONCE = 8
EVERYWHERE = 4
"""Every so many looks the whole picture is searched; the looks between only see the surroundings of known faces."""
AROUND_PX = 96
"""Of the small copy, searched around a face: so much more than the detectors see at once that boxes stay the same."""
STILL = 0.08
"""Of the face's height: where the edges of a box move by less from look to look, they are not looked at between."""
GRID_PX = 32
"""Regions begin on the detectors' coarsest grid, or boxes would move by a part of it."""
MIN_LIKENESS = 0.6
"""Of two looks at one face; seen: 0.88 and more. Below it another face has taken the place."""


@dataclass(frozen=True)
class TrackConfig:
    """How faces are followed.

    Attributes:
        every_s: Time between looks, in seconds; faces are looked for more densely where something changes.
        side_px: Longest side of the small copy that is searched.
        sure_score: A track begins with a look at least this sure; less sure ones (a head that turns, a hand before the
            face) only go on with it.
        max_gap_s: A face missed for longer than this ends its track.
        min_track_s: Shorter tracks are taken for false alarms.
        smooth_s: Standard deviation of the centred smoothing, in seconds.
        cut_difference: `least` of `CutFinder`.
        cut_ratio: `ratio` of `CutFinder`.
    """

    every_s: float = 0.2
    side_px: int = 640
    sure_score: float = 0.8
    max_gap_s: float = 0.4
    min_track_s: float = 0.15
    smooth_s: float = 0.07
    cut_difference: float = 12.0
    cut_ratio: float = 2.5


def track_faces(
    info: VideoInfo, detector: FaceDetector, config: TrackConfig = TrackConfig(), *, progress: bool = True
) -> Tracks:
    """Follow every face of a video. Memory does not grow with its length but for the boxes themselves.

    Raises:
        MediaError: If the video (or its trim) holds no frame.
    """
    every = max(1, round(config.every_s * info.rate))
    follower = _Follower(detector, config, every, max_gap=max(every, round(config.max_gap_s * info.rate)))
    pts: list[int] = []
    duration = 0
    bar = tqdm(
        total=round(info.duration_s * info.rate) or None, desc="track", unit="frame", disable=not progress, leave=False
    )
    with bar:
        for frame in read_frames(info):
            pts.append(frame.pts)
            duration = frame.duration
            follower.add(frame_to_bgr(frame, info.color, config.side_px))
            bar.update()
        bar.total = len(pts)  # it was an estimate, and a notebook shows a bar that ends short of it as failed
    if not pts:
        raise MediaError(f"{info.name} has no frame between {info.start_s:g} s and {info.end_s or info.duration_s:g} s")
    follower.finish()
    scale = max(1.0, max(info.width_px, info.height_px) / config.side_px)
    min_frames = max(2, round(config.min_track_s * info.rate)) if len(pts) > 2 else 1
    sigma = float(config.smooth_s * info.rate)
    tracks = [t for t in (_fill(p, scale, sigma) for p in follower.closed) if len(t.boxes_xyxy) >= min_frames]
    return Tracks(
        pts=np.array(pts, np.int64),
        time_base=info.time_base,
        last_duration=duration or max(1, round(1 / info.rate / info.time_base)),
        cuts=np.array(follower.cuts, int),
        tracks=tuple(sorted(tracks, key=lambda t: (t.start, -t.area))),
    )


@dataclass(eq=False)
class _Path:
    """A track in the making: the frames on which the face was seen, and what was seen.

    What was seen is kept in one array that grows: thousands of small ones, made between large ones that come and go,
    scatter the heap, and an hour takes a gigabyte more.
    """

    indices: array[int] = field(default_factory=lambda: array("q"))
    seen: array[float] = field(default_factory=lambda: array("f"))
    """Of each look 15 numbers: box, landmarks, score."""
    last: Detection | None = None
    signature: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    """Of the last look."""
    signatures: np.ndarray = field(default_factory=lambda: np.zeros(1, np.float32))
    """The sum of all."""

    def fit(self, detection: Detection, signature: np.ndarray) -> float:
        """How well a detection goes on with this track; 0 where it is another face."""
        likeness = float(self.signature @ signature)
        return likeness * _nearness(self.last, detection) if self.last and likeness >= MIN_LIKENESS else 0.0

    def add(self, index: int, detection: Detection, signature: np.ndarray) -> _Path:
        landmarks_xy = np.full((5, 2), np.nan) if detection.landmarks_xy is None else detection.landmarks_xy
        self.indices.append(index)
        self.seen.extend([*detection.box_xyxy.tolist(), *landmarks_xy.ravel().tolist(), detection.score])
        self.last, self.signature, self.signatures = detection, signature, self.signatures + signature
        return self


class _Follower:
    """Decides which small copies are searched, and links what is found.

    Looks are gathered and searched together, because a detector is faster on eight pictures than eight times on one;
    the copies since the last look are held until then, and no longer.
    """

    def __init__(self, detector: FaceDetector, config: TrackConfig, every: int, max_gap: int) -> None:
        self._detector, self._config, self._every, self._max_gap = detector, config, every, max_gap
        self._waiting: dict[int, np.ndarray] = {}
        self._due: list[int] = []
        self._looked: tuple[int, list[Detection]] | None = None
        """The last look, and what it saw."""
        self._open: list[_Path] = []
        self._count = 0
        self._last_look = -every
        self._cut_finder = CutFinder(config.cut_difference, config.cut_ratio)
        self.closed: list[_Path] = []
        self.cuts: list[int] = []

    def add(self, picture_bgr: np.ndarray) -> None:
        """Take the small copy of the next frame."""
        for small, begins_shot in self._cut_finder.add(picture_bgr):
            self._follow(small, begins_shot)

    def finish(self) -> None:
        """Take what is left after the last frame, and close every track."""
        for small, begins_shot in self._cut_finder.finish():
            self._follow(small, begins_shot)
        self._end_shot()

    def _follow(self, picture_bgr: np.ndarray, begins_shot: bool) -> None:
        index = self._count
        self._count += 1
        if begins_shot:
            self._end_shot()
            self.cuts.append(index)
        self._waiting[index] = picture_bgr
        if index - self._last_look >= self._every:
            self._due.append(index)
            self._last_look = index
            if len(self._due) == LOOKS_AT_ONCE:
                self._look()

    def _end_shot(self) -> None:
        """Search what is waiting, the shot's last frame too, and close every track."""
        if self._waiting and max(self._waiting) not in self._due:
            self._due.append(max(self._waiting))
        self._look()
        self.closed += self._open
        self._open, self._looked, self._last_look = [], None, -self._every

    def _look(self) -> None:
        """Search the frames that are due, and half-way between two looks in a row until they agree."""
        first = self._due[:1] if self._looked is None else []
        found = self._search(list(dict.fromkeys([*first, *self._due[::-1][::EVERYWHERE]])))
        region = self._region(list(found.values()))
        found |= self._search([index for index in self._due if index not in found], region)
        while halfway := self._halfway(found):
            found |= self._search(halfway, region)
        for index in sorted(found):
            self._link(index, found[index])
        self._looked = (max(found), found[max(found)]) if found else None
        self._waiting = {}
        self._due = []

    def _halfway(self, found: Mapping[int, list[Detection]]) -> list[int]:
        """Frames in the middle of looks that disagree."""
        looks = [*([] if self._looked is None else [self._looked]), *sorted(found.items())]
        return [(i + j) // 2 for (i, a), (j, b) in pairwise(looks) if j - i > 1 and not self._agree(a, b)]

    def _agree(self, before: Sequence[Detection], after: Sequence[Detection]) -> bool:
        """Whether two looks see the same faces in nearly the same places."""
        before, after = self._sure(before), self._sure(after)
        return len(before) == len(after) and all(min(_motion(b, a) for a in after) < STILL for b in before)

    def _sure(self, faces: Iterable[Detection]) -> list[Detection]:
        return [face for face in faces if face.score >= self._config.sure_score]

    def _region(self, looks: Sequence[Sequence[Detection]]) -> Region | None:
        """Around all faces of looks that see as many; None where they do not, or where it is most of the picture."""
        boxes = [d.box_xyxy for look in looks for d in look]
        if not boxes or len({len(self._sure(look)) for look in looks}) > 1:
            return None
        height, width = next(iter(self._waiting.values())).shape[:2]
        low = (np.min(boxes, axis=0)[:2] - AROUND_PX) // GRID_PX * GRID_PX
        high = -((np.max(boxes, axis=0)[2:] + AROUND_PX) // -GRID_PX) * GRID_PX
        x0, y0 = np.maximum(low, 0).astype(int).tolist()
        x1, y1 = np.minimum(high, [width, height]).astype(int).tolist()
        return (x0, y0, x1, y1) if (x1 - x0) * (y1 - y0) < 0.9 * width * height else None

    def _search(self, indices: Sequence[int], region: Region | None = None) -> dict[int, list[Detection]]:
        """Search some of the waiting copies, or a region (x0, y0, x1, y1) of them."""
        found: dict[int, list[Detection]] = {}
        x0, y0, x1, y1 = region or (0, 0, None, None)
        for start in range(0, len(indices), LOOKS_AT_ONCE):
            some = indices[start : start + LOOKS_AT_ONCE]
            looks = self._detector.detect([self._waiting[i][y0:y1, x0:x1] for i in some])
            found |= {i: [d.moved(x0, y0) for d in look] for i, look in zip(some, looks, strict=True)}
        return found

    def _link(self, index: int, detections: Sequence[Detection]) -> None:
        still_open = []
        for path in self._open:
            (still_open if index - path.indices[-1] <= self._max_gap else self.closed).append(path)
        self._open = still_open
        looks = [signature(self._waiting[index], d) for d in detections]
        pairs = sorted(
            ((p.fit(detections[j], looks[j]), i, j) for i, p in enumerate(self._open) for j in range(len(detections))),
            reverse=True,
        )
        linked_paths: set[int] = set()
        linked: set[int] = set()
        for fit, i, j in pairs:
            if fit <= 0 or i in linked_paths or j in linked:
                continue
            linked_paths.add(i)
            linked.add(j)
            self._open[i].add(index, detections[j], looks[j])
        self._open += [
            _Path().add(index, d, looks[j])
            for j, d in enumerate(detections)
            if j not in linked and d.score >= self._config.sure_score
        ]


def _motion(before: Detection, after: Detection) -> float:
    """How far the edges of a face moved, of its height."""
    height_px = before.box_xyxy[3] - before.box_xyxy[1]
    return float(np.abs(after.box_xyxy - before.box_xyxy).max() / max(1.0, height_px))


def _nearness(a: Detection, b: Detection) -> float:
    """How well two detections a few frames apart fit one face: their overlap, 0 where nothing speaks for it."""
    overlap = iou(a.box_xyxy, b.box_xyxy)
    if overlap >= 0.2:
        return overlap
    size_a, size_b = _size(a.box_xyxy), _size(b.box_xyxy)
    moved = float(np.hypot(*(_centre(a.box_xyxy) - _centre(b.box_xyxy))))
    is_near = moved < 0.6 * min(size_a, size_b) and max(size_a, size_b) < 1.5 * min(size_a, size_b)
    return 0.1 if is_near else 0.0


def _centre(box_xyxy: np.ndarray) -> np.ndarray:
    return (box_xyxy[:2] + box_xyxy[2:]) / 2


def _size(box_xyxy: np.ndarray) -> float:
    return float(np.sqrt(np.prod(box_xyxy[2:] - box_xyxy[:2])))


def _fill(path: _Path, scale: float, sigma: float) -> Track:
    """Interpolate between the looks, smooth, and scale to the source's pixels."""
    indices = np.array(path.indices)
    frames = np.arange(indices[0], indices[-1] + 1)
    seen = np.array(path.seen, np.float64).reshape(-1, 15)
    dense = np.column_stack([np.interp(frames, indices, column) for column in seen.T])
    scores, places = dense[:, 14], smooth_centred(dense[:, :14], sigma) * scale
    return Track(
        int(indices[0]),
        places[:, :4].astype(np.float32),
        scores.astype(np.float32),
        places[:, 4:].reshape(-1, 5, 2).astype(np.float32),
        path.signatures / float(np.linalg.norm(path.signatures)),
    )


def smooth_centred(values: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian smoothing along the first axis with no lag, at the ends neither.

    The ends are continued by point reflection, so that a steady motion stays exactly itself up to its last frame.
    """
    reach = min(int(3 * sigma + 0.5), len(values) - 1)
    if reach < 1 or sigma <= 0:
        return values
    padded = np.pad(values, [(reach, reach)] + [(0, 0)] * (values.ndim - 1), mode="reflect", reflect_type="odd")
    return gaussian_filter1d(padded, sigma, axis=0, truncate=3.0, mode="nearest")[reach:-reach]
