"""Real faces in whole runs, judged on the pixels of final_video.mp4.

The runs are lossless (crf 0), so that a pixel which nobody wrote is the source's own, to the last level, and no
allowance for the encoder is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import frames_of

from wav2lip_kit import LipSyncer, Project
from wav2lip_kit.audio import mel_spectrogram, mel_windows, read_audio
from wav2lip_kit.blending import crop_mask, paste_mouth
from wav2lip_kit.colour import frame_to_bgr
from wav2lip_kit.faces.crops import cut_crop
from wav2lip_kit.faces.detectors import Detection, RetinaFaceDetector
from wav2lip_kit.faces.speakers import speaker_face
from wav2lip_kit.faces.tracking import TrackConfig, track_faces
from wav2lip_kit.faces.tracks import Tracks, iou
from wav2lip_kit.frames import Frame, read_frames
from wav2lip_kit.media import VideoInfo, probe

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def detector(shared_weights: Path) -> RetinaFaceDetector:
    return RetinaFaceDetector(shared_weights / "retinaface_mobilenet0.25.pth")


def job_of(folder: Path, video: Path, speaker: str, media: Path, weights: Path) -> Project:
    """A run of everything; one folder for all speakers of a video, so that its faces are tracked once."""
    return Project.create(
        folder,
        video,
        media / "audio" / "LJ001-0001.wav",
        speaker=speaker,
        segments="all",
        weights="demo",
        detector=str(weights / "retinaface_mobilenet0.25.pth"),
        device="cpu",
        crf=0,
    )


def changes(source: list[Frame], result: Path) -> list[np.ndarray]:
    """By how much each pixel of each frame was changed, in its plane that was changed the most: (H, W) uint8."""
    frames = frames_of(result)
    assert len(frames) == len(source)
    found = []
    for before, after in zip(source, frames, strict=True):
        luma, u, v = (cv2.absdiff(a, b) for a, b in zip(before.planes, after.planes, strict=True))
        chroma = np.maximum(u, v).repeat(2, axis=0).repeat(2, axis=1)
        found.append(np.maximum(luma, chroma))
    return found


def raw_faces(video: Path, frames: list[Frame], detector: RetinaFaceDetector) -> list[list[Detection]]:
    """What the detector is sure of in each frame on its own: no tracks, no smoothing."""
    color, sure = probe(video).color, TrackConfig().sure_score
    some = (frames[i : i + 8] for i in range(0, len(frames), 8))
    looks = (found for few in some for found in detector.detect([frame_to_bgr(f, color) for f in few]))
    return [[d for d in found if d.score >= sure] for found in looks]


def is_synced(change: np.ndarray, face: Detection) -> bool:
    """Whether this face has a new mouth: enough was changed, and its middle is near the middle of the mouth."""
    assert face.landmarks_xy is not None
    height_px = face.box_xyxy[3] - face.box_xyxy[1]
    if np.count_nonzero(change > 2) < 0.03 * height_px**2:
        return False
    moments = cv2.moments(change.astype(np.float32))
    centre = np.array([moments["m10"], moments["m01"]]) / moments["m00"]
    away = centre - face.landmarks_xy[3:].mean(axis=0)
    return bool(np.linalg.norm(away) < 0.2 * height_px)


# ── two people, one picked ─────────────────────────────────────────────────────────────────────────────────────────
# The right one is alone and in the middle until the cut; from then on a line parts the picture between the two.

DEBATE_CUT, DIVIDE_PX = 61, 322
DEBATE = {
    "left": ("160,110@0:05", "0,0,300,368", "person-2"),
    "right": ("490,110@0:05", "230,0,640,368", "person-1"),
}


@pytest.fixture(scope="module")
def debate(shared_media: Path) -> Path:
    return shared_media / "video" / "debate_two_faces_17s.mp4"


@pytest.fixture(scope="module")
def debate_frames(debate: Path) -> list[Frame]:
    return frames_of(debate)


@pytest.fixture(scope="module")
def debate_faces(debate: Path, debate_frames: list[Frame], detector: RetinaFaceDetector) -> list[list[Detection]]:
    return raw_faces(debate, debate_frames, detector)


@pytest.fixture(scope="module")
def debate_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("debate") / "job"


@pytest.mark.parametrize("side", DEBATE)
def test_the_picked_one_of_two_is_synced_in_every_frame_and_never_the_other(
    side: str,
    debate: Path,
    debate_frames: list[Frame],
    debate_faces: list[list[Detection]],
    debate_folder: Path,
    shared_media: Path,
    shared_weights: Path,
) -> None:
    jobs = [job_of(debate_folder, debate, way, shared_media, shared_weights) for way in DEBATE[side]]
    for job in jobs:
        job.suggest(progress=False)
    tracks = jobs[0].track(progress=False)
    plans = [job.plan(tracks) for job in jobs]
    for plan in plans[1:]:
        assert np.array_equal(plan.face.boxes_xyxy, plans[0].face.boxes_xyxy, equal_nan=True)
        assert plan.paths == plans[0].paths, "another way of picking gives other parts"
    found = changes(debate_frames, jobs[0].run(progress=False))
    for index, (change, faces) in enumerate(zip(found, debate_faces, strict=True)):
        if index < DEBATE_CUT:
            if side == "left":
                assert not change.any(), f"frame {index}: the other was synced, who is alone in it"
                continue
            (face,) = faces
        else:
            left, right = sorted(faces, key=lambda f: f.box_xyxy[0])
            face, others_half = (left, change[:, DIVIDE_PX:]) if side == "left" else (right, change[:, :DIVIDE_PX])
            assert not others_half.any(), f"frame {index}: the other was touched"
        assert is_synced(change, face), f"frame {index}: the picked one was not synced"


# ── many people, three cuts ────────────────────────────────────────────────────────────────────────────────────────

CUTS = [20, 82, 211]
"""Seen by eye: the first frames of the second, third and fourth shot."""
SINGER, LISTENER = "250,90@0:04", "420,130@0:08"
"""The one sings in the first and third shot; the other sits in the fourth, between others, a profile overlaps her."""


@pytest.fixture(scope="module")
def crowd(shared_media: Path) -> Path:
    return shared_media / "video" / "whgov_hamilton_10s.mp4"


@pytest.fixture(scope="module")
def crowd_frames(crowd: Path) -> list[Frame]:
    return frames_of(crowd)


@pytest.fixture(scope="module")
def crowd_faces(crowd: Path, crowd_frames: list[Frame], detector: RetinaFaceDetector) -> list[list[Detection]]:
    return raw_faces(crowd, crowd_frames, detector)


@pytest.fixture(scope="module")
def crowd_tracks(crowd: Path, detector: RetinaFaceDetector) -> Tracks:
    return track_faces(probe(crowd), detector, progress=False)


def test_boxes_beside_a_cut_are_those_of_their_own_shot(
    crowd_tracks: Tracks, crowd_faces: list[list[Detection]]
) -> None:
    """Against the detector's own boxes; what a cut pulls, it pulls one way in all frames beside it."""
    assert crowd_tracks.cuts.tolist() == CUTS
    pulls, errors = [], []
    for first in (0, *CUTS):
        last = min([cut for cut in CUTS if cut > first], default=crowd_tracks.n_frames)
        for track in crowd_tracks.tracks:
            if track.stop <= first or track.start >= last:
                continue
            assert first <= track.start and track.stop <= last, "a track goes over a cut"
            for beside in (range(first, first + 5 if first else 0), range(last - 5, last)):
                off = []
                for index in beside:
                    if not track.start <= index < track.stop:
                        continue
                    box = track.boxes_xyxy[index - track.start]
                    face = max(crowd_faces[index], key=lambda f: iou(f.box_xyxy, box), default=None)
                    # The detector, too, is unsure of dim faces, and of where they end.
                    if face is not None and face.score > 0.92 and iou(face.box_xyxy, box) > 0.3:
                        off.append((box - face.box_xyxy) / (face.box_xyxy[3] - face.box_xyxy[1]))
                        if index in (first, last - 1):
                            assert np.abs(off[-1]).max() < 0.01, f"frame {index}, right at the cut"
                if len(off) > 2:
                    pulls.append(np.abs(np.mean(off, axis=0)).max())
                    errors += [np.abs(o).max() for o in off]
    assert len(pulls) >= 8 and max(pulls) < 0.03
    # Single boxes differ by the detector's own trembling as well: in the second shot the camera pans, all is blurred.
    assert np.quantile(errors, 0.9) < 0.03 and max(errors) < 0.06


@pytest.mark.parametrize(
    ("who", "shots"), [(SINGER, [(0, 20), (82, 211)]), (LISTENER, [(211, 275)])], ids=["singer", "listener"]
)
def test_nobody_but_the_picked_person_is_touched_in_a_crowd(
    who: str,
    shots: list[tuple[int, int]],
    crowd: Path,
    crowd_frames: list[Frame],
    crowd_faces: list[list[Detection]],
    tmp_path_factory: pytest.TempPathFactory,
    shared_media: Path,
    shared_weights: Path,
) -> None:
    job = job_of(tmp_path_factory.getbasetemp() / "crowd", crowd, who, shared_media, shared_weights)
    found = changes(crowd_frames, job.run(progress=False))
    picked = job.face(job.track(progress=False)).boxes_xyxy
    others = 0
    for index, (change, faces) in enumerate(zip(found, crowd_faces, strict=True)):
        if not any(first <= index < last for first, last in shots):
            assert not change.any(), f"frame {index}: the picked person is not in it"
            continue
        own = max(faces, key=lambda f: iou(f.box_xyxy, picked[index]))
        assert is_synced(change, own), f"frame {index}: the picked person was not synced"
        for face in faces:
            # Half-way between two faces the detector now and then sees a third.
            if face is not own and iou(face.box_xyxy, own.box_xyxy) < 0.2:
                x0, y0, x1, y1 = np.clip(np.round(face.box_xyxy), 0, None).astype(int)
                # By one level, where the boxes of neighbours overlap and the feather ends.
                assert change[y0:y1, x0:x1].max() <= 1, f"frame {index}: {face.box_xyxy} was touched"
                others += 1
    assert others > 15, "nobody else to be touched"


# ── where the mouth lands ──────────────────────────────────────────────────────────────────────────────────────────

FRONTAL = (
    "grid_bbaf2n.mpg",
    "grid_lrwp9a.mpg",
    "grid_pwij3p.mpg",
    "grid_swiz3n.mpg",
    "latentsync_demo1.mp4",
    "latentsync_demo2.mp4",
    "cutaway_noface_22s.mov",
    "selfie_portrait_12s.mp4",
)
FACE_PX = 200
"""Mouths are compared in pictures in which the face would be this high."""


@pytest.fixture(scope="module")
def syncer() -> LipSyncer:
    return LipSyncer.from_pretrained("demo", device="cpu")


@pytest.fixture(scope="module")
def mel(shared_media: Path) -> np.ndarray:
    return mel_spectrogram(np.concatenate(list(read_audio(shared_media / "audio" / "LJ001-0001.wav")), axis=1)[0])


def reference_boxes(boxes_xyxy: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The boxes (T, 4) int that the original's inference crops: whole pixels, 10 px longer at the chin wherever the
    picture has them, then the mean over the frame and the four after it (the last five for all at the end)."""
    whole = boxes_xyxy.astype(int)
    whole = np.clip(np.add(whole, [0, 0, 0, 10]), 0, [shape[1], shape[0]] * 2)
    starts = np.minimum(np.arange(len(whole)), max(0, len(whole) - 5))
    return np.stack([whole[s : s + 5].mean(axis=0) for s in starts]).astype(int)


def mouth_picture(
    picture_bgr: np.ndarray, centre: np.ndarray, height_px: float, by_px: tuple[float, float]
) -> np.ndarray:
    """The mouth alone, (H, W) float32: around `centre` of a frame, scaled to a face of `FACE_PX`, moved by `by_px`."""
    scale = FACE_PX / height_px
    size = np.array([80, 60])
    matrix = np.column_stack([np.eye(2) * scale, size / 2 + by_px - scale * centre])
    grey = cv2.cvtColor(picture_bgr, cv2.COLOR_BGR2GRAY)
    grey = cv2.warpAffine(grey, matrix, size.tolist(), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    return cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.5)


def offset_px(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """By how much what b shows lies beside what a shows, (2,) pixels: the translation of highest correlation."""
    how = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 200, 1e-5)
    start = np.eye(2, 3, dtype=np.float32)
    _, matrix = cv2.findTransformECC(a, b, start, cv2.MOTION_TRANSLATION, how, None, 1)  # type: ignore[call-overload]
    return matrix[:, 2]


def some_frames(info: VideoInfo, n: int) -> Iterator[Frame]:
    for frame in islice(read_frames(info), n):
        yield Frame((np.array(frame.planes[0]), np.array(frame.planes[1]), np.array(frame.planes[2])), frame.pts)


@pytest.mark.parametrize("clip", FRONTAL)
def test_mouths_land_where_the_references_do(
    clip: str, shared_media: Path, detector: RetinaFaceDetector, syncer: LipSyncer, mel: np.ndarray
) -> None:
    """The same sound in the same frames, cropped, generated and put back by both: less than 2 % of the face apart."""
    n_frames = 50
    info = replace(probe(shared_media / "video" / clip), end_s=2.5)
    frames = list(some_frames(info, n_frames))
    face = speaker_face(track_faces(info, detector, progress=False))
    pictures = [frame_to_bgr(f, info.color) for f in frames]
    height, width = pictures[0].shape[:2]
    seen = [detector.detect([frame_to_bgr(f, info.color, 640)])[0][0] for f in frames]
    scale = max(1.0, max(width, height) / 640)
    theirs = reference_boxes(np.stack([s.box_xyxy for s in seen]) * scale, (height, width))
    looked = range(0, n_frames, 2)
    matrices = [m for i in looked if (m := face.crop_matrix(i)) is not None]
    assert len(matrices) == len(looked)
    windows = mel_windows(mel, 0.5 + np.array(looked) / 25)
    our_mouths = syncer(
        windows, np.stack([cut_crop(frames[i], m, info.color) for i, m in zip(looked, matrices, strict=True)])
    )
    their_mouths = syncer(
        windows,
        np.stack([cv2.resize(pictures[i][y0:y1, x0:x1], (96, 96)) for i in looked for x0, y0, x1, y1 in [theirs[i]]]),
    )
    apart, misread = [], []
    for index, matrix, our_mouth, their_mouth in zip(looked, matrices, our_mouths, their_mouths, strict=True):
        pasted, _ = paste_mouth(frames[index], our_mouth, matrix, info.color, crop_mask("box"))
        ours, reference = frame_to_bgr(pasted, info.color), pictures[index].copy()
        x0, y0, x1, y1 = theirs[index]
        reference[y0:y1, x0:x1] = cv2.resize(their_mouth, (x1 - x0, y1 - y0))
        assert seen[index].landmarks_xy is not None
        centre, face_px = seen[index].landmarks_xy[3:].mean(axis=0) * scale, float(face.heights_px[index])
        mouth = mouth_picture(ours, centre, face_px, (0, 0))
        off = offset_px(mouth, mouth_picture(reference, centre, face_px, (0, 0)))
        apart.append(float(np.linalg.norm(off)) / FACE_PX)
        moved = offset_px(mouth, mouth_picture(reference, centre, face_px, (4, -3)))
        misread.append(float(np.abs(moved - off - [4, -3]).max()) / FACE_PX)
    assert max(misread) < 0.005, "a known offset is not read"
    print(
        f"{clip}: apart by {np.median(apart):.2%} of the face's height (median), {max(apart):.2%} (most); "
        f"a known offset is read to {max(misread):.2%}"
    )
    assert np.median(apart) < 0.005 and max(apart) < 0.02
