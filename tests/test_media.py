"""Reading and writing pictures: which frames, when they are shown, and their exact planes."""

from __future__ import annotations

import gc
import random
import struct
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any
from zlib import crc32

import av
import cv2
import numpy as np
import psutil
import pytest
from av.video.frame import VideoFrame
from clips import frames_of, make_clip, make_sound, number_of, numbered_picture, times_of

from wav2lip_kit.errors import InputError, MediaError, RunError
from wav2lip_kit.frames import Encoding, Frame, FrameWriter, read_frames
from wav2lip_kit.media import BT709, ColorTags, VideoInfo, check_whole, probe
from wav2lip_kit.notices import collect_notices

NTSC, FILM = Fraction(30000, 1001), Fraction(24000, 1001)


def fingerprint(frame: Frame) -> tuple[int, int, int]:
    """Time and exact content of a frame."""
    return frame.pts, frame.duration, crc32(b"".join(np.ascontiguousarray(p).tobytes() for p in frame.planes))


def packets_of(path: Path, kind: str = "video") -> list[Any]:
    with av.open(str(path)) as container:
        return [p for p in container.demux(container.streams.best(kind)) if p.size]  # type: ignore[arg-type]


def spoil(path: Path, out: Path, start: int, n_bytes: int) -> Path:
    """A copy with random bytes from `start` on."""
    data = bytearray(path.read_bytes())
    data[start : start + n_bytes] = random.Random(0).randbytes(n_bytes)
    out.write_bytes(data)
    return out


# ── probing ────────────────────────────────────────────────────────────────────────────────────────────────────────

REAL_CLIPS = {  # width, height, rate, frames, duration
    "latentsync_demo1.mp4": (1080, 1920, 25, 250, 10.0),
    "cutaway_noface_22s.mov": (1280, 720, 30, 681, 22.7),
    "debate_two_faces_17s.mp4": (640, 368, 24, 410, 17.083),
    "whgov_hamilton_10s.mp4": (640, 360, NTSC, 275, 10.02),
    "vfr_suit_6s.mp4": (700, 700, None, 135, 6.133),
    "nasa_13013.mp4": (480, 270, NTSC, 390, 13.013),
    "nasa_13013_rotated.mp4": (270, 480, NTSC, 17, 0.567),
    "grid_swiz3n.mpg": (360, 288, 25, 75, 3.0),
    "grid_bbaf2n.mpg": (360, 288, 25, 75, 3.0),
    "carphone_tiny_face.mp4": (176, 144, NTSC, 120, 4.004),
}


@pytest.mark.parametrize("name", REAL_CLIPS)
def test_probe_of_real_clips(name: str, shared_media: Path) -> None:
    width, height, rate, n_frames, duration_s = REAL_CLIPS[name]
    info = probe(shared_media / "video" / name)
    assert (info.width_px, info.height_px) == (width, height)
    if rate is not None:
        assert info.rate == rate
    assert info.duration_s == pytest.approx(duration_s, abs=0.005)
    if width * height < 1e6:
        frames = list(read_frames(info))
        assert len(frames) == n_frames
        assert frames[0].planes[0].shape == (height, width)
        assert frames[0].planes[1].shape == frames[0].planes[2].shape == (height // 2, width // 2)


@pytest.mark.parametrize(
    ("name", "has_audio"),
    [
        ("grid_swiz3n.mpg", True),
        ("nasa_13013.mp4", True),
        ("carphone_tiny_face.mp4", False),
        ("monalisa_39s.mp4", False),
    ],
)
def test_probe_knows_whether_there_is_sound(name: str, has_audio: bool, shared_media: Path) -> None:
    assert probe(shared_media / "video" / name).has_audio is has_audio


def test_sample_aspect_of_non_square_pixels(shared_media: Path) -> None:
    assert probe(shared_media / "video" / "debate_two_faces_17s.mp4").sample_aspect == Fraction(46, 45)


def test_the_larger_of_two_video_streams_is_read(shared_media: Path) -> None:
    path = shared_media / "video" / "nasa_13013.mp4"
    with av.open(str(path)) as container:
        sizes = [s.width * s.height for s in container.streams.video]
    assert len(sizes) == 2
    info = probe(path)
    assert info.width_px * info.height_px == max(sizes)


def test_variable_rate_keeps_every_time(shared_media: Path) -> None:
    times_s = np.array(times_of(shared_media / "video" / "vfr_suit_6s.mp4"))
    gaps_ms = np.round(np.diff(times_s) * 1000, 1)
    assert len(times_s) == 135
    assert times_s[0] == pytest.approx(507 / 15360)
    assert {gap: int((gaps_ms == gap).sum()) for gap in set(gaps_ms.tolist())} == {33.3: 86, 66.7: 48}


def test_time_zero_is_the_start_of_the_container(shared_media: Path) -> None:
    """The picture starts at 0.852 s of the file's clock, the sound at 0.008 s."""
    times_s = times_of(shared_media / "video" / "whgov_hamilton_10s.mp4")
    assert times_s[0] == pytest.approx(0.852 - 0.008, abs=0.001)


def test_text_named_mp4(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_text("this is no film\n" * 100)
    with pytest.raises(MediaError, match=r"film\.mp4.*no video or audio file"):
        probe(path)


def test_missing_empty_and_folder_without_frames(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"no such video.*nothing\.mp4"):
        probe(tmp_path / "nothing.mp4")
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(MediaError, match="0 bytes"):
        probe(tmp_path / "empty.mp4")
    with pytest.raises(MediaError, match="no frames in folder"):
        probe(tmp_path)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"no video stream \(it holds: audio\)"):
        probe(make_sound(tmp_path / "a.mp3", 0.5))


def add_cover(container: Any) -> Any:
    stream = container.add_stream("mjpeg", rate=1)
    stream.width = stream.height = 320
    stream.pix_fmt = "yuvj420p"
    stream.disposition = av.stream.Disposition.attached_pic
    return stream


def test_cover_picture_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    with av.open(str(path), "w") as container:
        sound: Any = container.add_stream("libmp3lame", rate=44100, layout="mono")
        cover = add_cover(container)
        container.mux(cover.encode(VideoFrame.from_ndarray(np.full((320, 320, 3), 90, np.uint8), format="rgb24")))
        container.mux(cover.encode(None))
        tone = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), format="fltp", layout="mono")
        tone.rate = 44100
        container.mux(sound.encode(tone))
        container.mux(sound.encode(None))
    with av.open(str(path)) as container:
        assert container.streams.video, "the test needs a cover picture"
    with pytest.raises(MediaError, match="no video stream"):
        probe(path)


def test_unknown_codec_is_named(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", 3)
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))
    with pytest.raises(MediaError, match="video is in a format unknown here"):
        probe(path)


def test_recording_without_a_duration(tmp_path: Path) -> None:
    """What a browser's recorder leaves: WebM whose header was written before its end was known."""
    path = make_clip(tmp_path / "live.webm", 30, 30, codec="libvpx", options={"deadline": "realtime", "live": "1"})
    whole = path.read_bytes()
    at = whole.index(b"\x44\x89\x88")  # Duration, an 8-byte float
    path.write_bytes(whole[:at] + b"\xec\x89" + bytes(9) + whole[at + 11 :])  # Void of the same size
    with av.open(str(path)) as container:
        assert container.duration is None
    info = probe(path)
    assert info.duration_s == pytest.approx(1.0, abs=0.04)
    assert [number_of(f) for f in read_frames(info)] == list(range(30))
    check_whole(info)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov", ".ts"])
def test_duration_is_the_picture_s_own(suffix: str, tmp_path: Path) -> None:
    """Matroska has a length for the whole file only; the sound is three times as long here."""
    info = probe(make_clip(tmp_path / f"a{suffix}", 50, 25, sound_s=6.0))
    assert info.duration_s == pytest.approx(2.0, abs=0.05)
    check_whole(info)


# ── whole or not ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_truncated_avi_is_refused_with_what_is_there(shared_media: Path) -> None:
    info = probe(shared_media / "broken" / "truncated_result.avi")
    with pytest.raises(MediaError, match=r"cut off.*4:04\.5 but ends at 0:24\.0.*--trim 0:00-0:24"):
        check_whole(info)
    check_whole(info.trimmed(0, 20))


def test_truncated_mp4_without_index(shared_media: Path) -> None:
    with pytest.raises(MediaError, match="cut off"):
        probe(shared_media / "broken" / "truncated_result_voice.mp4")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_truncated_behind_its_index(suffix: str, tmp_path: Path) -> None:
    whole = tmp_path / f"whole{suffix}"
    codec = "mpeg4" if suffix == ".avi" else "libx264"
    make_clip(whole, 200, 25, codec=codec)
    if suffix == ".mp4":  # the index at the front, as in files made for the web
        fast = tmp_path / "fast.mp4"
        with av.open(str(whole)) as source, av.open(str(fast), "w", options={"movflags": "faststart"}) as target:
            stream = target.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(video=0):
                if packet.dts is not None:
                    packet.stream = stream
                    target.mux(packet)
        whole = fast
    check_whole(probe(whole))
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    info = probe(cut)
    with pytest.raises(MediaError, match=r"cut off: it should last 0:08\.0 but ends at 0:0[2-6]"):
        check_whole(info)
    check_whole(info.trimmed(0, 2))
    assert [number_of(f) for f in read_frames(info.trimmed(0, 2))] == list(range(50))


def test_a_last_picture_that_stands_still_is_whole(tmp_path: Path) -> None:
    """A slide show: its last frame begins at 2 s and is shown until 8 s."""
    path = tmp_path / "slides.mkv"
    make_clip(path, 4, 25, pts=[0, 500, 1000, 2000], time_base=Fraction(1, 1000), sound_s=8.0)
    check_whole(probe(path))


# ── reading ────────────────────────────────────────────────────────────────────────────────────────────────────────

RATES = [FILM, Fraction(25), NTSC, Fraction(50), Fraction(60)]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi"])
@pytest.mark.parametrize("rate", RATES, ids=str)
def test_every_frame_at_its_time(rate: Fraction, suffix: str, tmp_path: Path) -> None:
    codec = "mpeg4" if suffix == ".avi" else "libx264"
    info = probe(make_clip(tmp_path / f"a{suffix}", 45, rate, codec=codec))
    frames = list(read_frames(info))
    assert info.rate == rate
    assert [number_of(f) for f in frames] == list(range(45))
    np.testing.assert_allclose([info.time_s(f.pts) for f in frames], [float(k / rate) for k in range(45)], atol=0.001)
    assert info.duration_s == pytest.approx(float(45 / rate), abs=0.002)


SEEK_CLIPS: dict[str, tuple[str, str, dict[str, str]]] = {
    "h264 with b-frames": (".mp4", "libx264", {"bf": "3", "g": "20"}),
    "one long gop": (".mp4", "libx264", {"g": "1000", "bf": "3"}),
    "open gop": (".mkv", "libx264", {"x264-params": "open-gop=1:keyint=15:bframes=3:scenecut=0"}),
    "intra refresh": (".mp4", "libx264", {"x264-params": "intra-refresh=1:keyint=15"}),
    "transport stream": (".ts", "libx264", {"g": "20", "bf": "3"}),
    "hevc": (".mp4", "libx265", {"x265-params": "keyint=20:log-level=none"}),
    "mpeg-1": (".mpg", "mpeg1video", {"g": "12", "bf": "2", "b": "4M"}),
    "avi with b-frames": (".avi", "mpeg4", {"g": "20", "bf": "2"}),
    "webm": (".webm", "libvpx", {"deadline": "realtime", "g": "20"}),
}


@pytest.mark.parametrize("name", SEEK_CLIPS)
def test_a_stretch_holds_the_frames_that_reading_from_the_start_gives(name: str, tmp_path: Path) -> None:
    suffix, codec, options = SEEK_CLIPS[name]
    info = probe(make_clip(tmp_path / f"a{suffix}", 90, 25, codec=codec, options=options))
    whole = [fingerprint(f) for f in read_frames(info)]
    assert len(whole) == 90
    for first, last in [(0, 5), (1, 2), (13, 30), (40, 41), (59, 75), (88, 90)]:
        end_pts = whole[last][0] if last < 90 else None
        assert [fingerprint(f) for f in read_frames(info, whole[first][0], end_pts)] == whole[first:last]
    assert list(read_frames(info, whole[-1][0] + 1)) == []


@pytest.mark.parametrize(
    "name", ["grid_bbaf2n.mpg", "vfr_suit_6s.mp4", "whgov_hamilton_10s.mp4", "latentsync_demo1.mp4"]
)
def test_a_stretch_of_a_real_clip(name: str, shared_media: Path) -> None:
    info = probe(shared_media / "video" / name).trimmed(0, 3)
    whole = [fingerprint(f) for f in read_frames(info)]
    first, last = len(whole) // 3, len(whole) * 2 // 3
    assert [fingerprint(f) for f in read_frames(info, whole[first][0], whole[last][0])] == whole[first:last]


def test_trim_is_half_open_and_starts_at_zero(tmp_path: Path) -> None:
    info = probe(make_clip(tmp_path / "a.mp4", 50, 25))
    trim = info.trimmed(0.4, 1.2)
    frames = list(read_frames(trim))
    assert [number_of(f) for f in frames] == list(range(10, 30))
    assert [trim.time_s(f.pts) for f in frames] == pytest.approx([k / 25 for k in range(20)])
    assert trim.duration_s == pytest.approx(0.8)
    again = trim.trimmed(0.2)
    assert [number_of(f) for f in read_frames(again)] == list(range(15, 30))
    assert (again.start_s, again.end_s) == (pytest.approx(0.6), 1.2)
    assert info.trimmed(1.0, 99).duration_s == pytest.approx(1.0)


@pytest.mark.parametrize("stretch", [(1.0, 1.0), (1.5, 0.5), (2.0, None), (7.0, 8.0)])
def test_empty_trim(stretch: tuple[float, float | None], tmp_path: Path) -> None:
    info = probe(make_clip(tmp_path / "a.mp4", 50, 25))
    with pytest.raises(InputError, match=r"^trim "):
        info.trimmed(*stretch)


def test_rotation_gives_the_upright_picture(shared_media: Path) -> None:
    path = shared_media / "video" / "nasa_13013_rotated.mp4"
    info = probe(path)
    with av.open(str(path)) as container:
        stored = [f.to_ndarray(format="yuv420p") for f in container.decode(video=0)]
    assert info.rotation_deg == 90
    for frame, picture in zip(read_frames(info), stored, strict=True):
        np.testing.assert_array_equal(frame.planes[0], np.rot90(picture[:270]))  # counter-clockwise


def set_rotation(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Write a, b, c, d of the display matrix into the track header of an mp4."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    a, b, c, d = (v << 16 for v in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("matrix", "turns"), [((0, 1, -1, 0), -1), ((-1, 0, 0, -1), 2), ((0, -1, 1, 0), 1)], ids=["90", "180", "270"]
)
def test_rotation_of_odd_sizes(matrix: tuple[int, int, int, int], turns: int, tmp_path: Path) -> None:
    """A display matrix (0, 1, -1, 0) turns the picture clockwise, as phones do."""
    path = make_clip(tmp_path / "a.mp4", 2, size=(320, 240))
    upright = frames_of(path)[0].planes
    set_rotation(path, matrix)
    info = probe(path)
    turned = next(read_frames(info)).planes
    assert (info.width_px, info.height_px) == ((320, 240) if turns == 2 else (240, 320))
    for plane, before in zip(turned, upright, strict=True):
        np.testing.assert_array_equal(plane, np.rot90(before, turns))


def test_odd_sizes_are_padded_with_their_edge(tmp_path: Path) -> None:
    info = probe(make_clip(tmp_path / "a.mkv", 2, size=(255, 137), codec="ffv1", options={"level": "3"}))
    with av.open(str(info.path)) as container:
        picture = next(container.decode(video=0))
        luma = np.frombuffer(picture.planes[0], np.uint8).reshape(137, -1)[:, :255]  # type: ignore[call-overload]
    planes = next(read_frames(info)).planes
    assert (info.width_px, info.height_px) == (256, 138)
    np.testing.assert_array_equal(planes[0], np.pad(luma, ((0, 1), (0, 1)), mode="edge"))
    assert planes[1].shape == planes[2].shape == (69, 128)


def test_names_in_any_script(tmp_path: Path) -> None:
    folder = tmp_path / "мои 'видео' と"
    folder.mkdir()
    path = make_clip(folder / 'лицо "1" 顔.mp4', 5)
    assert [number_of(f) for f in read_frames(probe(path))] == list(range(5))


# ── damage ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["h264 with b-frames", "one long gop", "hevc", "mpeg-1", "transport stream"])
def test_damage_in_the_middle(name: str, tmp_path: Path) -> None:
    """Frames before the damage are exact, the video goes on behind it to its end, and the user is told."""
    suffix, codec, options = SEEK_CLIPS[name]
    clean = make_clip(tmp_path / f"clean{suffix}", 90, 25, codec=codec, options=options)
    whole = [fingerprint(f) for f in read_frames(probe(clean))]
    start = packets_of(clean)[45].pos or clean.stat().st_size // 2
    info = probe(spoil(clean, tmp_path / f"spoiled{suffix}", start, 600))
    with collect_notices() as notices:
        found = [fingerprint(f) for f in read_frames(info)]
    assert [n for n in notices if "damaged" in n]
    times = {pts for pts, *_ in whole}
    assert {pts for pts, *_ in found} <= times
    assert found[:30] == whole[:30]
    assert len(found) >= 80
    assert found[-1][0] == whole[-1][0]


def test_real_clip_with_one_key_frame_goes_on_behind_damage(shared_media: Path, tmp_path: Path) -> None:
    clean = shared_media / "video" / "latentsync_demo1.mp4"
    spoiled = spoil(clean, tmp_path / "spoiled.mp4", packets_of(clean)[25].pos, 2000)
    info = probe(spoiled).trimmed(0, 3)
    assert 70 <= sum(1 for _ in read_frames(info)) < 75


# ── pixel formats ──────────────────────────────────────────────────────────────────────────────────────────────────

FORMATS = {
    "yuv420p10le": ("ffv1", "yuv420p10le"),
    "yuv422p": ("ffv1", "yuv422p"),
    "yuv444p": ("ffv1", "yuv444p"),
    "yuv422p10le": ("prores_ks", "yuv422p10le"),
    "uyvy422": ("rawvideo", "uyvy422"),
    "nv12": ("rawvideo", "nv12"),
    "gbrp": ("libx264rgb", "rgb24"),
    "argb": ("qtrle", "argb"),
    "gray": ("ffv1", "gray"),
    "pal8": ("gif", "rgb8"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_other_pixel_formats_are_reduced_and_the_user_is_told(name: str, tmp_path: Path) -> None:
    codec, pix_fmt = FORMATS[name]
    suffix = {"prores_ks": ".mov", "qtrle": ".mov", "gif": ".gif"}.get(codec, ".nut" if codec == "rawvideo" else ".mkv")
    picture = np.full((240, 320, 3), 255, np.uint8)
    picture[:, 160:] = (0, 0, 255)  # white on the left, red on the right
    info = probe(make_clip(tmp_path / f"a{suffix}", 3, codec=codec, pix_fmt=pix_fmt, options={}, pictures=[picture]))
    with collect_notices() as notices:
        frames = list(read_frames(info))
    assert len(frames) == 3
    assert any("reduced to 8-bit 4:2:0" in n for n in notices)
    white, red = ([int(p[p.shape[0] // 2, p.shape[1] * at // 4]) for p in frames[1].planes] for at in (1, 3))
    assert white == pytest.approx([235, 128, 128], abs=2)
    if name in ("gbrp", "argb", "pal8"):
        assert info.color.matrix == BT709
        assert red == pytest.approx([63, 102, 240], abs=3)
    elif name != "gray":  # as it was made by the test: BT.601
        assert red == pytest.approx([81, 90, 240], abs=3)


@pytest.mark.parametrize("pix_fmt", ["yuvj420p", "yuvj422p", "yuvj444p"])
def test_full_range_stays_full_range(pix_fmt: str, tmp_path: Path) -> None:
    """The JPEG pictures of cameras: white is 255, and the result is tagged so."""
    picture = np.full((240, 320, 3), 255, np.uint8)
    picture[:, 160:] = 0
    options = {"qmin": "1", "qscale": "1"}
    info = probe(make_clip(tmp_path / "a.mkv", 2, codec="mjpeg", pix_fmt=pix_fmt, options=options, pictures=[picture]))
    luma = next(read_frames(info)).planes[0]
    assert info.color.range == 2
    assert (int(luma[100, 20]), int(luma[100, 300])) == pytest.approx((255, 0), abs=2)


# ── images ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def write_image(path: Path, picture: np.ndarray) -> None:
    path.write_bytes(cv2.imencode(path.suffix, picture)[1].tobytes())


def test_folder_of_frames_in_natural_order(tmp_path: Path) -> None:
    folder = tmp_path / "кадры"
    folder.mkdir()
    for number in (0, 1, 2, 9, 10, 11):
        write_image(folder / f"shot1_frame{number}.png", numbered_picture(number))
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(b"")
    info = probe(folder, rate=NTSC)
    frames = list(read_frames(info))
    assert [number_of(f) for f in frames] == [0, 1, 2, 9, 10, 11]
    assert [info.time_s(f.pts) for f in frames] == pytest.approx([k * 1001 / 30000 for k in range(6)])
    assert (info.kind, info.rate) == ("folder", NTSC)
    assert info.duration_s == pytest.approx(6 * 1001 / 30000)
    assert [number_of(f) for f in read_frames(info, frames[2].pts, frames[4].pts)] == [2, 9]
    assert [number_of(f) for f in read_frames(info, frames[2].pts - 1, frames[4].pts)] == [2, 9]
    assert [number_of(f) for f in read_frames(info.trimmed(0.1, 0.16))] == [9, 10]


@pytest.mark.parametrize("kind", ["alpha", "gray16", "gray8", "jpeg"])
def test_kinds_of_images(kind: str, tmp_path: Path) -> None:
    """Light grey, 200 of 255, is luma 188 in limited range."""
    path = tmp_path / ("a.jpg" if kind == "jpeg" else "a.png")
    pictures = {
        "alpha": np.dstack([np.full((64, 64, 3), 200, np.uint8), np.full((64, 64), 128, np.uint8)]),
        "gray16": np.full((64, 64), 200 * 257, np.uint16),
        "gray8": np.full((64, 64), 200, np.uint8),
        "jpeg": np.full((64, 64, 3), 200, np.uint8),
    }
    write_image(path, pictures[kind])
    (frame,) = read_frames(probe(path))
    assert [int(p[30, 30]) for p in frame.planes] == pytest.approx([188, 128, 128], abs=1)


def test_red_image_becomes_bt709(tmp_path: Path) -> None:
    write_image(tmp_path / "red.png", np.full((33, 35, 3), (0, 0, 255), np.uint8))
    info = probe(tmp_path / "red.png")
    (frame,) = read_frames(info)
    assert (info.kind, info.width_px, info.height_px, info.color.matrix) == ("image", 36, 34, BT709)
    assert [int(p[10, 10]) for p in frame.planes] == pytest.approx([63, 102, 240], abs=1)


def test_wrong_images(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("<html>not found</html>")
    with pytest.raises(MediaError, match=r"a\.png.*no readable image"):
        probe(tmp_path / "a.png")
    folder = tmp_path / "frames"
    folder.mkdir()
    write_image(folder / "1.png", numbered_picture(1))
    write_image(folder / "2.png", numbered_picture(2, (256, 240)))
    with pytest.raises(MediaError, match=r"2\.png.*256×240.*320×240"):
        list(read_frames(probe(folder)))


# ── writing ────────────────────────────────────────────────────────────────────────────────────────────────────────


def noise_frames(info: VideoInfo, times: list[int]) -> Iterator[Frame]:
    rng = np.random.default_rng(1)
    height, width = info.height_px, info.width_px
    for pts in times:
        y = rng.integers(0, 256, (height, width), np.uint8)
        u, v = rng.integers(0, 256, (2, height // 2, width // 2), np.uint8)
        yield Frame((y, u, v), pts, 0)


TAGS = [
    ColorTags(1, 1, 1, 1),
    ColorTags(6, 6, 6, 1),
    ColorTags(1, 1, 1, 2),
    ColorTags(9, 16, 9, 1),
    ColorTags(),
]


@pytest.mark.parametrize("color", TAGS, ids=str)
def test_lossless_round_trip_keeps_planes_times_and_tags(color: ColorTags, tmp_path: Path) -> None:
    base = probe(make_clip(tmp_path / "a.mkv", 2, NTSC, size=(258, 138)))
    info = replace(base, color=color, sample_aspect=Fraction(46, 45), time_base=Fraction(1, 16000))
    times = [0, 533, 1068, 2700, 3000, 9000]  # uneven, in 1/16000 s
    frames = list(noise_frames(info, times))
    out = tmp_path / "out.mp4"
    with FrameWriter(out, info, Encoding(crf=0)) as writer:
        for frame in frames:
            writer.write(frame)
    back = probe(out)
    assert (back.width_px, back.height_px, back.sample_aspect) == (258, 138, Fraction(46, 45))
    assert back.color == color
    assert back.time_base == info.time_base
    found = frames_of(out)
    assert [f.pts for f in found] == times
    for ours, theirs in zip(frames, found, strict=True):
        for a, b in zip(ours.planes, theirs.planes, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("suffix", [".mkv", ".avi", ".ts", ".mp4"])
@pytest.mark.parametrize("rate", RATES, ids=str)
def test_written_times_are_the_source_s(rate: Fraction, suffix: str, tmp_path: Path) -> None:
    info = probe(make_clip(tmp_path / f"a{suffix}", 20, rate, codec="mpeg4" if suffix == ".avi" else "libx264"))
    out = tmp_path / "out.mp4"
    with FrameWriter(out, info) as writer:
        for frame in read_frames(info):
            writer.write(frame)
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        assert stream.time_base == info.time_base, "parts with another time base cannot be joined"
        assert stream.average_rate == pytest.approx(rate, rel=0.03)
    assert times_of(out) == pytest.approx(times_of(info.path), abs=0.001)
    assert [number_of(f) for f in read_frames(probe(out))] == list(range(20))


def test_a_picture_that_starts_late_is_written_late(tmp_path: Path) -> None:
    """The parts of a result carry absolute time stamps."""
    info = probe(make_clip(tmp_path / "a.mp4", 5, 25))
    out = tmp_path / "out.mp4"
    with FrameWriter(out, info) as writer:
        for frame in read_frames(info):
            writer.write(replace(frame, pts=frame.pts + round(7 / info.time_base)))
    with av.open(str(out)) as container:
        times_s = [float(f.pts * f.time_base) for f in container.decode(video=0)]
    assert times_s == pytest.approx([7 + k / 25 for k in range(5)])


def test_full_disk_is_one_clear_error(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    info = probe(make_clip(tmp_path / "a.mp4", 60, 25))
    with pytest.raises(RunError, match="is the disk full"), FrameWriter("/dev/full", info, Encoding(crf=0)) as writer:
        for frame in noise_frames(info, [k * 512 for k in range(20)]):
            writer.write(frame)


# ── memory ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_memory_stays_flat_while_reading_and_writing(tmp_path: Path) -> None:
    """600 frames of 640×480 are 276 MB of planes; the first hundred may fill FFmpeg's pools."""
    info = probe(make_clip(tmp_path / "a.mp4", 600, 25, size=(640, 480), options={"preset": "ultrafast"}))
    process = psutil.Process()
    used: list[int] = []
    with FrameWriter(tmp_path / "out.mp4", info, Encoding(preset="ultrafast")) as writer:
        for index, frame in enumerate(read_frames(info)):
            writer.write(frame)
            if index in (150, 599):
                gc.collect()
                used.append(process.memory_info().rss)
    assert used[1] - used[0] < 30_000_000
