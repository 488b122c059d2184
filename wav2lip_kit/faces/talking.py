"""Who talks: the eyes of LR-ASD on every face, and how well what they see goes with the sound.

LR-ASD (Liao et al., "LR-ASD: lightweight and robust network for active speaker detection", 2025) looks at a face for
a second or so and tells how much it seems to talk. Its visual half is written anew here and reads the published
weights. Whose voice is heard is told by whether a mouth moves when there is sound and rests when there is none:
their correlation tells two people apart who talk at once, each before a microphone of their own. The network's other
half, which hears, does not (`docs/faces.md`).

    face (T, 112, 112) grey, 25 a second ─► 3 blocks of convolutions ─► (T, 128) ─► (T,) seems to talk
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor, nn
from tqdm.auto import tqdm

from ..audio import SAMPLE_RATE_HZ, read_audio
from ..checkpoints import read_state_dict
from ..errors import FaceError, WeightsError
from ..frames import read_frames
from ..media import VideoInfo
from ..weights import find_weights
from .crops import warp
from .people import Person
from .tracks import Track, Tracks

TALKING_VERSION = 1
"""Part of the key of what is kept: raise it when the same faces get other numbers."""
FACE_PX = 112
RATE_HZ = 25
LOOK_S = 5.0
MAX_LOOKS = 16
"""At most this much of a person is looked at, spread over all of their time: it is enough, and bounds the work."""
MAX_PEOPLE = 6
LAGS = np.arange(-15, 16)
"""Of the sound, in 25ths of a second: those that `sound_lag` tries."""
CLEARLY = 0.15
SMOOTH_S = 0.08
PREFIX = "model.visualEncoder."


class _Block(nn.Module):
    """Two convolutions over space, then two over time, each with its norm; named as in the published weights."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        half = n_out // 2
        self.s_1 = nn.Conv3d(n_in, half, (1, 5, 5), (1, stride, stride), (0, 2, 2), bias=False)
        self.s_norm_1 = nn.BatchNorm3d(half, eps=0.001)
        self.s_2 = nn.Conv3d(half, n_out, (1, 3, 3), padding=(0, 1, 1), bias=False)
        self.s_norm_2 = nn.BatchNorm3d(n_out, eps=0.001)
        self.t_1 = nn.Conv3d(n_out, n_out, (5, 1, 1), padding=(2, 0, 0), bias=False)
        self.t_norm_1 = nn.BatchNorm3d(n_out, eps=0.001)
        self.t_2 = nn.Conv3d(n_out, n_out, (3, 1, 1), padding=(1, 0, 0), bias=False)
        self.t_norm_2 = nn.BatchNorm3d(n_out, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.s_norm_2(self.s_2(torch.relu(self.s_norm_1(self.s_1(x))))))
        return torch.relu(self.t_norm_2(self.t_2(torch.relu(self.t_norm_1(self.t_1(x))))))


class TalkingFace(nn.Module):
    """Faces (T, 112, 112) uint8 grey to (T,): above 0 they seem to talk."""

    def __init__(self) -> None:
        super().__init__()
        self.block1, self.block2, self.block3 = _Block(1, 32, 2), _Block(32, 64, 1), _Block(64, 128, 1)
        self.pool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))
        self.head = nn.Linear(128, 2)

    def forward(self, faces_gray: Tensor) -> Tensor:
        x = ((faces_gray.float() / 255 - 0.4161) / 0.1688)[None, None]
        x = self.block3(self.pool(self.block2(self.pool(self.block1(x)))))
        is_not, is_talking = self.head(x.amax(dim=(3, 4))[0].T).unbind(dim=1)
        return (is_talking - is_not) / 2


def load_talking_face() -> TalkingFace:
    """Load the network, fetching its 3 MB when they are not there.

    Raises:
        WeightsError: If they are not to be had, or are others.
    """
    path = find_weights("lr_asd")
    state = read_state_dict(path)
    wanted = {k.removeprefix(PREFIX): v for k, v in state.items() if k.startswith(PREFIX)}
    wanted |= {k.replace("lossV.FC", "head"): v for k, v in state.items() if k.startswith("lossV.FC")}
    model = TalkingFace()
    try:
        model.load_state_dict(wanted)
    except RuntimeError as error:
        raise WeightsError(f"{str(path)!r} is no LR-ASD checkpoint: run `wav2lip-kit weights fetch lr_asd`") from error
    return model.eval()


def talking_seconds(
    info: VideoInfo, tracks: Tracks, people: Sequence[Person], *, progress: bool = True
) -> dict[str, float]:
    """How long each person talks in the video's own sound, by name.

    It is the time in which the face seems to talk, times how well that goes with the loudness (correlation, 0 at
    least). Only the six who are seen the most are looked at, and of each at most 80 s.

    Raises:
        FaceError: If the video has no sound of its own.
        MediaError: If its sound cannot be read.
        WeightsError: If the network is not to be had.
    """
    if info.kind != "file":
        raise FaceError(f"{info.name} has no sound of its own")
    loudness = _loudness(info)
    model = load_talking_face()
    talks_s: dict[str, float] = {}
    for person in tqdm(people[:MAX_PEOPLE], desc="talking", unit="person", disable=not progress, leave=False):
        ticks, seems = _seems_to_talk(model, info, tracks, person)
        talks_s[person.name] = person.screen_s * _talking_share(seems, loudness, ticks)
    return talks_s


def sound_lag(info: VideoInfo, tracks: Tracks, person: Person) -> tuple[float, float]:
    """How much later than a person's mouth the sound is, in seconds, and how well they agree then (correlation).

    Good to about 0.2 s: the network sees that somebody talks, not what. So 0 is kept where no other lag
    is clearly better; and in less than about 8 s any sound agrees with any mouth at some lag.

    Raises:
        FaceError, MediaError, WeightsError: As `talking_seconds`.
    """
    loudness = _loudness(info)
    ticks, seems = _seems_to_talk(load_talking_face(), info, tracks, person)
    scores = [_agreement(seems, loudness, ticks + lag) for lag in LAGS]
    best, now = int(np.argmax(scores)), int(np.flatnonzero(LAGS == 0)[0])
    best = best if scores[best] > scores[now] + CLEARLY else now
    return float(LAGS[best]) / RATE_HZ, scores[best]


def _seems_to_talk(
    model: TalkingFace, info: VideoInfo, tracks: Tracks, person: Person
) -> tuple[np.ndarray, np.ndarray]:
    """At every 25th of a second that is looked at: its tick from time zero, and how much the face seems to talk."""
    at: list[np.ndarray] = [np.zeros(0, int)]
    seen: list[np.ndarray] = [np.zeros(0)]
    for track, start, stop in _looks(tracks, person):
        ticks, faces = _faces(info, tracks, track, start, stop)
        if len(ticks):
            with torch.inference_mode():
                seems = model(torch.from_numpy(faces)).double().numpy()
            at.append(ticks)
            seen.append(gaussian_filter1d(seems, SMOOTH_S * RATE_HZ))
    return np.concatenate(at), np.concatenate(seen)


def _talking_share(seems: np.ndarray, loudness: np.ndarray, ticks: np.ndarray) -> float:
    """The part of the time in which a face talks, 0..1, from what is seen, and heard, at `ticks`."""
    agreement = _agreement(seems, loudness, ticks)
    return agreement * float((1 / (1 + np.exp(-seems))).mean()) if agreement > 0 else 0.0


def _agreement(seems: np.ndarray, loudness: np.ndarray, ticks: np.ndarray) -> float:
    """Correlation of what is seen with the loudness at `ticks`; 0 where one of them does not vary."""
    known = (ticks >= 0) & (ticks < len(loudness))
    if known.sum() < RATE_HZ // 2:
        return 0.0
    seen, heard = seems[known], gaussian_filter1d(loudness, SMOOTH_S * RATE_HZ)[ticks[known]]
    return float(np.corrcoef(seen, heard)[0, 1]) if seen.std() and heard.std() else 0.0


def _loudness(info: VideoInfo) -> np.ndarray:
    """The logarithm of the loudness of the video's own sound, 25 a second."""
    size = SAMPLE_RATE_HZ // RATE_HZ
    rest = np.zeros(0, np.float32)
    levels: list[np.ndarray] = []
    for block in read_audio(info.path, start_s=info.start_s, end_s=info.end_s):
        wave = np.concatenate([rest, block[0]])
        whole = len(wave) // size * size
        levels.append(np.sqrt(np.square(wave[:whole]).reshape(-1, size).mean(axis=1)))
        rest = wave[whole:]
    return np.log(np.concatenate([*levels, np.zeros(0, np.float32)]) + 1e-4)


def _looks(tracks: Tracks, person: Person) -> list[tuple[Track, int, int]]:
    """Stretches of at most `LOOK_S` of a person, as frames [start, stop) of a track; evenly spread where too many."""
    found: list[tuple[Track, int, int]] = []
    for track in person.tracks:
        times_s = tracks.times_s[track.start : track.stop]
        pieces = max(1, int(np.ceil((times_s[-1] - times_s[0]) / LOOK_S)))
        edges = np.linspace(track.start, track.stop, pieces + 1).round().astype(int).tolist()
        found += [(track, a, b) for a, b in pairwise(edges) if b > a]
    if len(found) <= MAX_LOOKS:
        return found
    return [found[i] for i in np.linspace(0, len(found) - 1, MAX_LOOKS).round().astype(int)]


def _faces(info: VideoInfo, tracks: Tracks, track: Track, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """The face at every 25th of a second: the ticks (n,) int from time zero, and the faces (n, 112, 112) uint8."""
    pts = tracks.pts[start:stop]
    crops = list(_crops(info, track, start, pts))
    times_s = pts[: len(crops)] * float(tracks.time_base)
    ticks = np.arange(int(np.ceil(times_s[0] * RATE_HZ)), int(times_s[-1] * RATE_HZ) + 1)
    shown = np.clip(np.searchsorted(times_s, ticks / RATE_HZ + 1e-6, side="right") - 1, 0, len(crops) - 1)
    return ticks, np.stack([crops[i] for i in shown]) if len(ticks) else np.zeros((0, FACE_PX, FACE_PX), np.uint8)


def _crops(info: VideoInfo, track: Track, start: int, pts: np.ndarray) -> Iterator[np.ndarray]:
    frames = read_frames(info, int(pts[0]), int(pts[-1]) + 1)
    for index, frame in zip(range(start, start + len(pts)), frames, strict=False):
        x0, y0, x1, y1 = (float(v) for v in track.boxes_xyxy[index - track.start])
        # The square the network was trained on: the lower middle of the face.
        size = max(x1 - x0, y1 - y0)
        scale = FACE_PX / (0.7 * size)
        middle = np.array([(x0 + x1) / 2, (y0 + y1) / 2 + 0.2 * size])
        matrix = np.column_stack([scale * np.eye(2), FACE_PX / 2 - scale * middle])
        yield warp(np.ascontiguousarray(frame.planes[0]), matrix, FACE_PX)
