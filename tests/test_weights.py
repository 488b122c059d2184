"""Weights: the manifest, finding, fetching from bad mirrors, reading every format, loading generators."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from wav2lip_kit import checkpoints, weights
from wav2lip_kit.errors import WeightsError
from wav2lip_kit.model import Wav2Lip
from wav2lip_kit.notices import collect_notices

WIDTH = 0.02
MEL = torch.linspace(-4, 4, 80 * 16).reshape(1, 1, 80, 16)
FACES = torch.linspace(0, 1, 6 * 96 * 96).reshape(1, 6, 96, 96)
PAYLOAD = bytes(range(256)) * 4096  # 1 MiB
PAGE = b"<!DOCTYPE html><html><body>Sign in</body></html>"


@contextmanager
def refused(pattern: str) -> Iterator[None]:
    """The block ends in a WeightsError of one line that matches."""
    with pytest.raises(WeightsError) as caught:
        yield
    assert "\n" not in str(caught.value)
    assert re.search(pattern, str(caught.value)), str(caught.value)


@pytest.fixture
def generator() -> Wav2Lip:
    torch.manual_seed(1)
    return Wav2Lip(WIDTH).eval()


def mouths(model: Wav2Lip) -> torch.Tensor:
    with torch.inference_mode():
        return model(MEL, FACES)


@dataclass
class House:
    """A clone, a cache and a weights folder in a temporary place, and the manifest they obey."""

    clone: Path
    cache: Path
    folder: Path
    items: list[dict[str, object]] = field(default_factory=list)

    def add(self, name: str, content: bytes | None, mirrors: list[str] | None = None, kind: str = "generator") -> Path:
        """Describe `content` in the manifest under `name`; gives the path it has in the weights folder."""
        self.items.append(
            {
                "name": name,
                "kind": kind,
                "file": f"{name}.pth",
                "bytes": None if content is None else len(content),
                "sha256": None if content is None else hashlib.sha256(content).hexdigest(),
                "licence": "-",
                "description": "-",
                "mirrors": mirrors or [],
            }
        )
        (self.clone / "manifest.json").write_text(json.dumps({"weights": self.items}))
        return self.folder / f"{name}.pth"


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    house = House(tmp_path / "clone", tmp_path / "cache", tmp_path / "folder with space")
    house.clone.mkdir()
    house.folder.mkdir()
    (house.clone / "manifest.json").write_text('{"weights": []}')
    monkeypatch.setattr(weights, "data_path", lambda relative: house.clone / Path(relative).name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(house.cache))
    monkeypatch.setenv("WAV2LIP_KIT_WEIGHTS", str(house.folder))
    monkeypatch.delenv("WAV2LIP_KIT_OFFLINE", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return house


# ── the manifest of this repository ──


def test_manifest_names_what_the_design_names() -> None:
    entries = {entry.name: entry for entry in weights.available_weights()}
    assert {"wav2lip", "wav2lip_gan", "demo", "retinaface", "yunet", "lr_asd"} == set(entries)
    assert all(entry.kind in weights.INSTEAD and entry.licence and entry.description for entry in entries.values())
    for entry in entries.values():
        if entry.name != "demo":
            assert entry.bytes and re.fullmatch("[0-9a-f]{64}", entry.sha256 or "") and len(entry.mirrors) >= 2
        assert all(re.match("https://|gdrive:", mirror) for mirror in entry.mirrors)
        assert not any("/blob/" in mirror for mirror in entry.mirrors)  # such an address gives a web page
    assert "non-commercial" in entries["wav2lip"].licence and "non-commercial" in entries["wav2lip_gan"].licence


@pytest.mark.parametrize("name", ["retinaface", "yunet", "lr_asd"])
def test_manifest_describes_the_real_files(
    name: str, shared_weights: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WAV2LIP_KIT_WEIGHTS", str(shared_weights))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert weights.verify_weights(name).parent == shared_weights


# ── finding ──


def test_unknown_name_lists_the_names_and_says_that_a_path_works(house: House) -> None:
    house.add("wav2lip", PAYLOAD)
    with refused(r"unknown weights 'wav3lip': choose wav2lip, or give the path"):
        weights.find_weights("wav3lip")
    with refused(r"unknown weights"):
        weights.entry("wav3lip")


def test_missing_path_and_folder_are_told(house: House, tmp_path: Path) -> None:
    house.add("wav2lip", PAYLOAD)
    with refused(r"no checkpoint file '.*x y\.pth'.*wav2lip"):
        weights.find_weights(tmp_path / "x y.pth")
    with refused(r"is a folder"):
        weights.find_weights(str(tmp_path))


def test_a_given_path_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "Gewichte mit Ümlaut.pth"
    path.write_bytes(b"anything")
    assert weights.find_weights(path) == weights.find_weights(str(path)) == path


def test_folders_are_searched_in_order(house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    in_folder = house.add("net", PAYLOAD)
    in_clone, in_second = house.clone / "net.pth", tmp_path / "second" / "net.pth"
    in_second.parent.mkdir()
    monkeypatch.setenv("WAV2LIP_KIT_WEIGHTS", os.pathsep.join([str(house.folder), str(in_second.parent)]))
    for path in (in_clone, in_second, in_folder):
        path.write_bytes(PAYLOAD)
        assert weights.find_weights("net") == weights.find_local("net") == path
    assert weights.download_folder() == house.folder

    monkeypatch.delenv("WAV2LIP_KIT_WEIGHTS")
    assert weights.download_folder() == house.cache / "wav2lip_kit"
    in_clone.unlink()
    (house.cache / "wav2lip_kit" / "net.pth").write_bytes(PAYLOAD)
    assert weights.find_weights("net") == house.cache / "wav2lip_kit" / "net.pth"


def test_absent_without_fetching_says_where_it_looked_and_what_to_do(house: House) -> None:
    house.add("net", PAYLOAD, kind="detector")
    with refused(r"not here.*net\.pth in .*folder with space.*clone.*weights fetch net`, or use --detector haar"):
        weights.find_weights("net", fetch=False)
    with refused(r"not here"):
        weights.verify_weights("net")
    assert weights.find_local("net") is None


def test_wrong_size_and_wrong_sha256_are_refused(house: House) -> None:
    path = house.add("net", PAYLOAD)
    path.write_bytes(PAGE)
    with refused(rf"has {len(PAGE)} bytes, expected {len(PAYLOAD)} \(it looks like a web page.*delete it"):
        weights.find_weights("net")
    path.write_bytes(PAYLOAD[::-1])
    got, expected = (hashlib.sha256(data).hexdigest() for data in (PAYLOAD[::-1], PAYLOAD))
    with refused(rf"sha256 {got}, expected {expected}: delete it, or run"):
        weights.find_weights("net")
    assert path.exists()  # the user's own file is not ours to delete


def test_a_good_file_further_on_is_used_when_the_first_is_damaged(house: House) -> None:
    path = house.add("net", PAYLOAD)
    path.write_bytes(PAGE)
    (house.clone / "net.pth").write_bytes(PAYLOAD)
    assert weights.find_weights("net") == house.clone / "net.pth"


def test_a_file_is_hashed_once_and_again_when_it_changed(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    path = house.add("net", PAYLOAD)
    path.write_bytes(PAYLOAD)
    hashed: list[int] = []
    sha256 = hashlib.sha256
    monkeypatch.setattr(weights.hashlib, "sha256", lambda *args: hashed.append(1) or sha256(*args))
    weights.find_weights("net")
    weights.find_weights("net")
    assert len(hashed) == 1
    weights.verify_weights("net")
    assert len(hashed) == 2
    path.write_bytes(PAYLOAD[::-1])
    os.utime(path, ns=(1, 1))
    assert weights.find_local("net") is None
    with refused("sha256"):
        weights.find_weights("net")


def test_an_unwritable_or_damaged_memory_only_costs_time(house: House) -> None:
    path = house.add("net", PAYLOAD)
    path.write_bytes(PAYLOAD)
    house.cache.write_text("a file where the cache folder should be")
    assert weights.find_weights("net") == path
    house.cache.unlink()
    weights.find_weights("net")
    (memory,) = house.cache.rglob("*.json")
    memory.write_text("{not json")
    assert weights.find_weights("net") == path


# ── fetching ──


class Mirrors(ThreadingHTTPServer):
    """A server on this machine whose paths are mirrors, each bad in its own way; `asked` keeps (path, Range)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), MirrorHandler)
        self.asked: list[tuple[str, str | None]] = []
        self.payload = PAYLOAD
        self.flaky_left = 1

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}"


class MirrorHandler(BaseHTTPRequestHandler):
    server: Mirrors

    def do_GET(self) -> None:
        path = self.path.strip("/")
        wanted = self.headers.get("Range")
        self.server.asked.append((path, wanted))
        payload = self.server.payload
        if path == "gone":
            self.send_error(404)
        elif path == "page":
            self.answer(200, PAGE, {"Content-Type": "text/html; charset=utf-8"})
        elif path == "page_in_disguise":
            self.answer(200, PAGE.ljust(len(payload)))
        elif path == "other_size":
            self.answer(200, payload + b"more")
        elif path == "longer_without_saying":
            self.answer(200, payload + b"more", length=None)
        elif path == "other_bytes":
            self.answer(200, payload[::-1])
        elif path == "stops" or (path == "flaky" and self.server.flaky_left > 0):
            self.server.flaky_left -= 1
            self.answer(200, payload[: len(payload) // 2], length=len(payload))
        elif path == "ignores_range" or not wanted:
            self.answer(200, payload)
        else:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            said = start + 7 if path == "wrong_part" else start
            extent = f"bytes {said}-{len(payload) - 1}/{len(payload)}"
            self.answer(206, payload[start:], {"Content-Range": "" if path == "silent_part" else extent})

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None, length: int | None = -1) -> None:
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(len(body) if length == -1 else length))
        for name, value in {"Content-Type": "application/octet-stream", **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def mirrors() -> Iterator[Mirrors]:
    server = Mirrors()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def part_of(house: House, name: str = "net") -> Path:
    return house.folder / f"{name}.pth.{hashlib.sha256(PAYLOAD).hexdigest()[:12]}.part"


def fetch(house: House, mirrors: Mirrors, *paths: str) -> Path:
    house.add("net", PAYLOAD, [mirrors.url(path) for path in paths])
    return weights.fetch_weights("net", progress=False)


def test_fetch_leaves_the_whole_file_and_nothing_else(house: House, mirrors: Mirrors) -> None:
    path = fetch(house, mirrors, "good")
    assert path == house.folder / "net.pth"
    assert path.read_bytes() == PAYLOAD
    assert list(house.folder.iterdir()) == [path]
    assert weights.find_weights("net") == weights.fetch_weights("net") == path
    assert len(mirrors.asked) == 1
    weights.fetch_weights("net", force=True, progress=False)
    assert len(mirrors.asked) == 2


def test_find_fetches_what_is_absent_into_a_folder_that_is_made(
    house: House, mirrors: Mirrors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WAV2LIP_KIT_WEIGHTS")
    house.add("net", PAYLOAD, [mirrors.url("good")])
    assert weights.find_weights("net", progress=False) == house.cache / "wav2lip_kit" / "net.pth"


@pytest.mark.parametrize(
    "bad",
    ["gone", "page", "page_in_disguise", "other_size", "longer_without_saying", "other_bytes", "stops"],
)
def test_a_bad_mirror_is_told_and_the_next_one_taken(house: House, mirrors: Mirrors, bad: str) -> None:
    assert fetch(house, mirrors, bad, "good").read_bytes() == PAYLOAD
    assert [path for path, _ in mirrors.asked] == [bad, "good"]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("gone", "HTTP 404"),
        ("page", "sent a web page, not the file"),
        ("page_in_disguise", "sent a web page, not the file"),
        ("other_size", f"offers {len(PAYLOAD) + 4} bytes, expected {len(PAYLOAD)}"),
        ("longer_without_saying", f"what it sent has {len(PAYLOAD) + 4} bytes, expected {len(PAYLOAD)}"),
        ("other_bytes", f"what it sent has the sha256 {hashlib.sha256(PAYLOAD[::-1]).hexdigest()}, expected "),
        ("stops", f"stopped at {len(PAYLOAD) // 2} of {len(PAYLOAD)} bytes"),
    ],
)
def test_when_all_mirrors_fail_one_line_tells_what_each_said(
    house: House, mirrors: Mirrors, bad: str, words: str
) -> None:
    with refused(rf"could not be fetched \(127.0.0.1:\d+: {re.escape(words)}.*by hand into .*, or use --weights demo$"):
        fetch(house, mirrors, bad)
    assert not (house.folder / "net.pth").exists()
    assert part_of(house).exists() == (bad == "stops")  # only an early end is worth continuing


def test_a_mirror_that_is_not_there_is_told(house: House, mirrors: Mirrors) -> None:
    house.add("net", PAYLOAD, ["http://127.0.0.1:9/net.pth", mirrors.url("gone")])
    with refused(r"127.0.0.1:9: [Cc]onnection refused; 127.0.0.1:\d+: HTTP 404"):
        weights.fetch_weights("net", progress=False)


def test_a_partial_download_is_continued(house: House, mirrors: Mirrors) -> None:
    part_of(house).write_bytes(PAYLOAD[:1000])
    assert fetch(house, mirrors, "good").read_bytes() == PAYLOAD
    assert mirrors.asked == [("good", "bytes=1000-")]


def test_a_connection_lost_is_continued_by_the_next_run(house: House, mirrors: Mirrors) -> None:
    with refused("stopped at"):
        fetch(house, mirrors, "flaky")
    assert weights.fetch_weights("net", progress=False).read_bytes() == PAYLOAD
    assert mirrors.asked == [("flaky", None), ("flaky", f"bytes={len(PAYLOAD) // 2}-")]


def test_a_server_that_ignores_the_range_sends_all_anew(house: House, mirrors: Mirrors) -> None:
    part_of(house).write_bytes(PAYLOAD[:1000])
    assert fetch(house, mirrors, "ignores_range").read_bytes() == PAYLOAD


@pytest.mark.parametrize(
    ("bad", "words"), [("wrong_part", "sent bytes from 1007 on, asked for 1000"), ("silent_part", "without saying")]
)
def test_a_resume_that_is_not_what_was_asked_is_refused(house: House, mirrors: Mirrors, bad: str, words: str) -> None:
    part_of(house).write_bytes(PAYLOAD[:1000])
    with refused(words):
        fetch(house, mirrors, bad)
    assert part_of(house).read_bytes() == PAYLOAD[:1000]


def test_a_bad_partial_download_is_dropped_and_fetched_from_the_start(house: House, mirrors: Mirrors) -> None:
    part_of(house).write_bytes(b"x" * 1000)
    assert fetch(house, mirrors, "good").read_bytes() == PAYLOAD
    assert mirrors.asked == [("good", "bytes=1000-"), ("good", None)]


@pytest.mark.parametrize(("content", "asked"), [(PAYLOAD, 0), (PAYLOAD + b"x", 1)])
def test_a_part_as_long_as_the_file_or_longer(house: House, mirrors: Mirrors, content: bytes, asked: int) -> None:
    part_of(house).write_bytes(content)
    assert fetch(house, mirrors, "good").read_bytes() == PAYLOAD
    assert mirrors.asked == [("good", None)] * asked


def test_a_damaged_file_is_replaced_by_fetch(house: House, mirrors: Mirrors) -> None:
    (house.folder / "net.pth").write_bytes(PAGE)
    assert fetch(house, mirrors, "good").read_bytes() == PAYLOAD


def test_progress_is_shown_on_demand_only(house: House, mirrors: Mirrors, capsys: pytest.CaptureFixture[str]) -> None:
    fetch(house, mirrors, "good")
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""
    weights.fetch_weights("net", force=True, progress=True)
    assert "net.pth" in capsys.readouterr().err


def test_offline_refuses_at_once(house: House, mirrors: Mirrors, monkeypatch: pytest.MonkeyPatch) -> None:
    house.add("net", PAYLOAD, [mirrors.url("good")])
    monkeypatch.setenv("WAV2LIP_KIT_OFFLINE", "1")
    words = r"OFFLINE is set: unset it and run .wav2lip-kit weights fetch net., or download net\.pth by hand into .*"
    with refused(words + "--weights demo"):
        weights.find_weights("net")
    assert mirrors.asked == []
    monkeypatch.setenv("WAV2LIP_KIT_OFFLINE", "0")
    assert weights.find_weights("net", progress=False).read_bytes() == PAYLOAD


def test_a_folder_that_cannot_be_made_is_told_before_fetching(
    house: House, mirrors: Mirrors, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    house.add("net", PAYLOAD, [mirrors.url("good")])
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WAV2LIP_KIT_WEIGHTS", str(tmp_path / "file" / "folder"))
    with refused(r"can't make the folder .*: set WAV2LIP_KIT_WEIGHTS to another folder"):
        weights.fetch_weights("net")
    assert mirrors.asked == []


def test_a_full_disk_is_told_before_fetching(house: House, mirrors: Mirrors, monkeypatch: pytest.MonkeyPatch) -> None:
    house.add("net", PAYLOAD, [mirrors.url("good")])
    monkeypatch.setattr(weights.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with refused(r"has 0 MiB free, 1 are needed"):
        weights.fetch_weights("net")
    assert mirrors.asked == []


def test_drive_files_go_through_gdown(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*, id: str, output: str, quiet: bool) -> None:
        assert (id, quiet) == ("abc", True)
        Path(output).write_bytes(PAYLOAD)

    monkeypatch.setitem(sys.modules, "gdown", type("gdown", (), {"download": staticmethod(download)}))
    house.add("net", PAYLOAD, ["gdrive:abc"])
    assert weights.fetch_weights("net", progress=False).read_bytes() == PAYLOAD


def test_drive_files_without_gdown_or_with_its_error(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.add("net", PAYLOAD, ["gdrive:abc"])
    monkeypatch.setitem(sys.modules, "gdown", None)
    with refused(r"drive.google.com: needs gdown, run `pip install gdown`"):
        weights.fetch_weights("net", progress=False)

    def download(**_: object) -> None:
        raise RuntimeError("Too many users\nhave viewed this file")

    monkeypatch.setitem(sys.modules, "gdown", type("gdown", (), {"download": staticmethod(download)}))
    with refused(r"drive.google.com: Too many users have viewed this file"):
        weights.fetch_weights("net", progress=False)


# ── reading ──


def save_raw(model: Wav2Lip, path: Path) -> None:
    torch.save(model.state_dict(), path)


def save_training(model: Wav2Lip, path: Path, *, zipped: bool = True) -> None:
    """As the reference's training saves: names of a DataParallel, and Adam's state, two tensors a parameter."""
    state = {f"module.{key}": tensor for key, tensor in model.state_dict().items()}
    moments = {i: {"step": 1, "m": p.detach(), "v": p.detach() * 2} for i, p in enumerate(model.parameters())}
    checkpoint = {"state_dict": state, "optimizer": {"state": moments}, "global_step": 3, "global_epoch": 1}
    torch.save(checkpoint, path, _use_new_zipfile_serialization=zipped)


def save_training_legacy(model: Wav2Lip, path: Path) -> None:
    save_training(model, path, zipped=False)


def save_torchscript(model: Wav2Lip, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(model, (MEL, FACES)), path)


def save_safetensors(model: Wav2Lip, path: Path) -> None:
    save_file(model.state_dict(), path)


@pytest.mark.parametrize(
    "save",
    [save_raw, save_training, save_training_legacy, save_torchscript, save_safetensors],
    ids=lambda f: f.__name__,
)
@pytest.mark.parametrize("suffix", [".pth", ".bin"])
def test_every_format_loads_to_the_same_output(
    generator: Wav2Lip, tmp_path: Path, save: Callable[[Wav2Lip, Path], None], suffix: str
) -> None:
    path = tmp_path / f"the name says nothing{suffix}"
    save(generator, path)
    state = checkpoints.read_state_dict(path)
    assert state.keys() == generator.state_dict().keys()
    model = checkpoints.load_generator(path)
    assert not model.training and model.width == generator.width
    assert torch.allclose(mouths(model), mouths(generator), atol=1e-6)
    assert list(tmp_path.iterdir()) == [path]  # no slim copy beside a user's own file


class Touch:
    """Pickled, it is a call that makes a file when it is read carelessly."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("how", ["zip", "legacy", "protocol 2", "protocol 5"])
def test_a_pickle_that_would_run_code_does_not(generator: Wav2Lip, tmp_path: Path, how: str) -> None:
    path, target = tmp_path / "evil.pth", tmp_path / "it ran"
    checkpoint = {"state_dict": generator.state_dict(), "extra": Touch(target)}
    if how.startswith("protocol"):
        path.write_bytes(pickle.dumps(checkpoint, protocol=int(how[-1])))
    else:
        torch.save(checkpoint, path, _use_new_zipfile_serialization=how == "zip")
    with refused(
        r"evil\.pth' \(\d+ bytes\) is a pickle that (would run code \([\w.]+\)|could run code).* is refused: fetch"
    ):
        checkpoints.load_generator(path)
    assert not target.exists()
    if how.startswith("protocol"):  # the trap is a real one
        pickle.loads(path.read_bytes())
        assert target.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", r"\(0 bytes\) looks like an empty file"),
        (PAGE, rf"\({len(PAGE)} bytes\) looks like a web page \(HTML\): fetch it again"),
        (b"\n  <HTML lang=en>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n", "git LFS pointer"),
        (b"just some words", "looks like text"),
        (bytes(range(1, 128)) * 9, "no known format"),
        (pickle.dumps([1, 2], protocol=2), "looks like a pickle, but is damaged"),
        (b"\x80\x02" + b"\xff" * 100, "pickle that could run code or is damaged"),
    ],
)
def test_what_is_no_checkpoint_is_told_by_its_content(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "wav2lip.pth"
    path.write_bytes(content)
    with refused(words):
        checkpoints.read_state_dict(path)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
@pytest.mark.parametrize(
    "save", [save_raw, save_training_legacy, save_torchscript, save_safetensors], ids=lambda f: f.__name__
)
def test_a_truncated_file_is_told(
    generator: Wav2Lip, tmp_path: Path, save: Callable[[Wav2Lip, Path], None], share: float
) -> None:
    path = tmp_path / "cut.pth"
    save(generator, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with refused(r"cut\.pth' \(\d+ bytes\) looks like .*damaged"):
        checkpoints.load_generator(path)


def test_the_real_truncated_checkpoint_is_told(shared_media: Path) -> None:
    with refused(r"truncated_wav2lip_gan\.pth' \(1835008 bytes\) looks like a pickle, but is damaged or cut off"):
        checkpoints.load_generator(shared_media / "broken" / "truncated_wav2lip_gan.pth")


def test_an_absent_checkpoint_is_told(tmp_path: Path) -> None:
    with refused("no checkpoint file"):
        checkpoints.read_state_dict(tmp_path / "nothing.pth")


# ── generators ──


@pytest.mark.parametrize("width", [0.03, 1 / 17, 0.375])
def test_odd_widths_are_inferred(tmp_path: Path, width: float) -> None:
    model = Wav2Lip(width).eval()
    save_raw(model, tmp_path / "x.pth")
    again = checkpoints.load_generator(tmp_path / "x.pth")
    assert again.width == model.width
    assert torch.equal(mouths(again), mouths(model))


def test_half_precision_and_absent_counters_load(generator: Wav2Lip, tmp_path: Path) -> None:
    state = {k: t.half() for k, t in generator.state_dict().items() if not k.endswith("num_batches_tracked")}
    save_file(state, tmp_path / "half.safetensors")
    model = checkpoints.load_generator(tmp_path / "half.safetensors")
    assert all(p.dtype == torch.float32 and p.device.type == "cpu" for p in model.parameters())
    assert torch.allclose(mouths(model), mouths(generator), atol=1e-3)


def test_another_network_is_told_by_its_first_keys(generator: Wav2Lip, tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"face_encoder.0.weight": torch.zeros(3)}, path)
    with refused(r"holds no Wav2Lip generator \(it lacks 'face_encoder_blocks.0.0.conv_block.0.weight', \d+ such\)"):
        checkpoints.load_generator(path)
    torch.save({**generator.state_dict(), "more": torch.zeros(3)}, path)
    with refused(r"has the unexpected 'more', 1 such"):
        checkpoints.load_generator(path)
    state = generator.state_dict()
    torch.save({**state, "output_block.1.weight": torch.zeros(4, 1, 1, 1)}, path)
    with refused(r"another network \('output_block.1.weight' is \(4, 1, 1, 1\), expected \(3, 1, 1, 1\)\)"):
        checkpoints.load_generator(path)
    torch.save({**state, "output_block.1.bias": torch.full((3,), torch.nan)}, path)
    with refused(r"'output_block.1.bias' holds values that are not finite"):
        checkpoints.load_generator(path)


def test_a_detector_is_no_generator(house: House) -> None:
    house.add("eyes", PAYLOAD, kind="detector")
    house.add("net", PAYLOAD)
    with refused(r"weights 'eyes' are a detector, no generator: choose one of net, or a checkpoint file"):
        checkpoints.load_generator("eyes")


def add_checkpoint(house: House, model: Wav2Lip, name: str = "net") -> Path:
    made = house.folder / "made.pth"
    save_training(model, made)
    path = house.add(name, made.read_bytes())
    made.rename(path)
    return path


def slim_of(path: Path) -> Path:
    return path.with_name(f"net.{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}.slim.safetensors")


def test_the_slim_copy_is_made_used_and_equal(
    house: House, generator: Wav2Lip, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = add_checkpoint(house, generator)
    first = checkpoints.load_generator("net")
    slim = slim_of(path)
    assert slim.stat().st_size < path.stat().st_size / 2
    assert sorted(house.folder.iterdir()) == sorted([path, slim])

    read: list[Path] = []
    original = checkpoints.read_state_dict
    monkeypatch.setattr(checkpoints, "read_state_dict", lambda p: read.append(p) or original(p))
    second = checkpoints.load_generator("net")
    assert read == [slim]
    assert torch.allclose(mouths(first), mouths(generator), atol=1e-6)
    assert torch.allclose(mouths(second), mouths(generator), atol=1e-6)


def test_a_slim_copy_of_another_file_is_not_used(house: House, generator: Wav2Lip) -> None:
    path = add_checkpoint(house, generator)
    other = Wav2Lip(WIDTH).eval()
    save_safetensors(other, path.with_name("net.0123456789ab.slim.safetensors"))
    assert torch.allclose(mouths(checkpoints.load_generator("net")), mouths(generator), atol=1e-6)


def test_a_damaged_slim_copy_is_made_anew(house: House, generator: Wav2Lip) -> None:
    path = add_checkpoint(house, generator)
    slim_of(path).write_bytes(PAGE)
    assert torch.allclose(mouths(checkpoints.load_generator("net")), mouths(generator), atol=1e-6)
    assert checkpoints.read_state_dict(slim_of(path)).keys() == generator.state_dict().keys()


def test_a_slim_copy_that_cannot_be_written_is_told(house: House, generator: Wav2Lip) -> None:
    path = add_checkpoint(house, generator)
    slim_of(path).mkdir()
    with collect_notices() as notices:
        assert torch.allclose(mouths(checkpoints.load_generator("net")), mouths(generator), atol=1e-6)
    assert len(notices) == 1 and "slim copy" in notices[0]
    assert not list(house.folder.glob("*.part*"))


def test_absent_demo_comes_with_the_clone(house: House) -> None:
    house.add("demo", None)
    for look in (weights.find_weights, checkpoints.load_generator, checkpoints.weights_id):
        with refused(r"demo\.pth"):
            look("demo")


def test_demo_is_loaded_from_the_clone(house: House, generator: Wav2Lip) -> None:
    house.add("demo", None)
    save_safetensors(generator, house.clone / "demo.pth")
    with collect_notices() as notices:
        model = checkpoints.load_generator("demo")
    assert notices == []
    assert torch.allclose(mouths(model), mouths(generator), atol=1e-6)
    assert checkpoints.weights_id("demo") == hashlib.sha256((house.clone / "demo.pth").read_bytes()).hexdigest()[:16]


def test_id_follows_the_content(house: House, tmp_path: Path) -> None:
    house.add("net", PAYLOAD)
    assert checkpoints.weights_id("net") == hashlib.sha256(PAYLOAD).hexdigest()[:16]  # known before it is fetched
    (tmp_path / "a.pth").write_bytes(PAYLOAD)
    assert checkpoints.weights_id(tmp_path / "a.pth") == checkpoints.weights_id("net")
    (tmp_path / "b.pth").write_bytes(PAGE)
    assert checkpoints.weights_id(tmp_path / "b.pth") != checkpoints.weights_id("net")
    with refused("no checkpoint file"):
        checkpoints.weights_id(tmp_path / "c.pth")


def test_listing_loads_no_torch() -> None:
    code = "import sys, wav2lip_kit.weights as w; w.available_weights(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_safetensors_whose_header_length_looks_like_a_pickle(tmp_path: Path) -> None:
    """The first byte of a safetensors file is the low byte of a length; it may be 0x80, with which pickles begin."""
    path = tmp_path / "x.safetensors"
    for padding in range(256):
        save_file({"a": torch.ones(2)}, path, metadata={"pad": "x" * padding})
        if path.read_bytes()[0] == 0x80:
            break
    assert path.read_bytes()[0] == 0x80
    assert checkpoints.read_state_dict(path)["a"].tolist() == [1, 1]
