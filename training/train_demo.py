"""Train the demo weights from nothing: speech and faces are made, then the network learns in two stages.

    python training/train_demo.py --folder /tmp/demo_weights          # an hour on two cores, minutes on a GPU

First the audio encoder alone regresses aperture, width and rounding of the mouth from a mel window: without that a
generator learns the mean mouth and never listens. Then the generator starts from that encoder. Everything is kept in
the folder (data, log.csv, sheets to look at); weights/demo.safetensors and its manifest entry are written at the end.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from scipy.spatial import KDTree
from torch import Tensor, distributed, nn
from torch.nn import functional

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]

from face_data import FaceData, make_faces  # noqa: E402
from speech_data import HELD_OUT_VOICES, VOICES, SpeechData, make_speech  # noqa: E402

from wav2lip_kit.losses import (  # noqa: E402
    average_of,
    faces_of,
    follow,
    forgetful,
    mouth_error,
    mouth_weight,
    picture_loss,
    recoloured,
    where_copying_is_wrong,
)
from wav2lip_kit.model import FACE_DECODER, WIDEST, Wav2Lip  # noqa: E402

WIDTH = 0.25
AUDIO_BATCH, BATCH = 256, 48
RATE, AUDIO_SHARE = 2e-3, 0.15  # learning rate, and the part of it that the audio encoder gets in the second stage
NEIGHBOURS = 32  # sounds to choose from for every picture
NEAR = np.array([2.0, 0.7, 1.0], np.float32)  # how much aperture, width and rounding count when sounds are matched
MEDIA = (
    "faces drawn by examples/portrait.py; two public-domain portraits with redrawn mouths (Eileen Collins, NASA, from "
    "scikit-image; Grace Hopper, US Navy, from matplotlib); espeak-ng speech"
)


# ── data ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pictures and the sounds that make them."""

    speech: SpeechData
    faces: FaceData
    sounds: np.ndarray
    """(G, M, NEIGHBOURS) int64: columns of `speech` whose mouth is nearest to the picture's."""

    @staticmethod
    def match(speech: SpeechData, faces: FaceData, rng: np.random.Generator) -> Pairs:
        starts = rng.choice(speech.starts, min(len(speech.starts), 500_000), replace=False)

        def places(shapes: np.ndarray) -> np.ndarray:  # noise: closed mouths are many and all alike
            return (shapes * NEAR + rng.normal(0, 0.015, shapes.shape)).astype(np.float32)

        nearest = KDTree(places(speech.shapes[starts])).query(places(faces.shapes.reshape(-1, 3)), k=NEIGHBOURS)[1]
        return Pairs(speech, faces, starts[nearest].reshape(*faces.shapes.shape[:2], NEIGHBOURS))

    def batch(self, rng: np.random.Generator, size: int, variety: float = 1.0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Mel windows (B, 1, 80, 16), references and targets (B, 3, 96, 96) in 0..1, shapes (B, 3).

        Reference and target differ in the mouth only: when the network works, the reference is the frame itself.
        `variety` is how much light and colour differ between pairs: 1 as a room has them, 2 as cameras of all kinds.
        """
        group = rng.integers(len(self.faces.shapes), size=size)
        mouths = self.faces.shapes.shape[1]
        target = rng.integers(mouths, size=size)
        reference = (target + rng.integers(1, mouths, size=size)) % mouths
        sound = self.sounds[group, target, rng.integers(NEIGHBOURS, size=size)]
        both = np.concatenate([self.faces.crops_bgr[group, reference], self.faces.crops_bgr[group, target]])
        pictures = recoloured(torch.from_numpy(both).permute(0, 3, 1, 2).float() / 255, rng, variety)
        mel = torch.from_numpy(self.speech.windows(sound))
        return mel, pictures[:size], pictures[size:], torch.from_numpy(self.speech.shapes[sound])


def prepare(
    folder: Path, *, n_utterances: int = 2000, n_looks: int = 380, n_repaints: int = 240
) -> tuple[Pairs, Pairs]:
    """Pairs to train on, and pairs of other persons and voices to check with; made once, kept in `folder`."""

    def kept(name: str, cls: Any, make: Callable[[], Any]) -> Any:
        path = folder / f"{name}.npz"
        if not path.is_file():
            print(f"making {path}", flush=True)
            make().save(path)
        return cls.load(path)

    speech = kept("speech", SpeechData, lambda: make_speech(n_utterances, VOICES, 1))
    speech_val = kept("speech_val", SpeechData, lambda: make_speech(60, HELD_OUT_VOICES, 2))
    spoken = speech.shapes[speech.starts]
    faces = kept("faces", FaceData, lambda: make_faces(n_looks, n_repaints, spoken, 3))
    faces_val = kept("faces_val", FaceData, lambda: make_faces(12, 6, spoken, 4))
    rng = np.random.default_rng(0)
    return Pairs.match(speech, faces, rng), Pairs.match(speech_val, faces_val, rng)


# ── the two stages ───────────────────────────────────────────────────────────────────────────────────────────────────


class Clock:
    """Processor time spent of a budget; the learning rate falls with it, so that a run ends well on any machine.

    Processor time, not the wall's: what else the machine does meanwhile makes a run longer, not worse.
    """

    def __init__(self, minutes: float, device: str) -> None:
        self.begin_s, self.minutes = time.process_time(), minutes
        self.threads = torch.get_num_threads() if device == "cpu" else 1

    @property
    def spent(self) -> float:
        """0 at the start, 1 at the end."""
        return (time.process_time() - self.begin_s) / 60 / self.minutes / self.threads

    @staticmethod
    def rate(spent: float) -> float:
        """A short rise, then a cosine down to 0."""
        return RATE * min(1.0, spent / 0.01 + 0.05) * 0.5 * (1 + np.cos(np.pi * min(1.0, spent)))


class Listener(nn.Module):
    """The audio encoder with a linear head that says aperture, width and rounding."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(round(WIDEST * WIDTH), 3)

    def forward(self, mel: Tensor) -> Tensor:
        return self.head(self.encoder(mel).flatten(1))


def train_listener(listener: Listener, data: Pairs, val: Pairs, minutes: float, device: str) -> None:
    rng, clock = np.random.default_rng(1), Clock(minutes, device)
    optimizer = torch.optim.AdamW(listener.parameters(), RATE, weight_decay=1e-2)
    listener.train()
    step = 0
    while clock.spent < 1:
        _set_rates(optimizer, [clock.rate(clock.spent)])
        sound = rng.choice(data.speech.starts, AUDIO_BATCH)
        mel = torch.from_numpy(data.speech.windows(sound)).to(device)
        shapes = torch.from_numpy(data.speech.shapes[sound]).to(device)
        with torch.autocast(device, torch.bfloat16):
            said = listener(mel)
        loss = functional.smooth_l1_loss(said.float(), shapes, beta=0.1)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if step % 200 == 0:
            print(
                f"listener {step:5d}  loss {loss.item():.4f}  held-out aperture r {hears(listener, val):.3f}",
                flush=True,
            )
        step += 1
    print(f"listener {step:5d}  held-out aperture r {hears(listener, val):.3f}", flush=True)


@torch.no_grad()
def hears(listener: Listener, val: Pairs) -> float:
    """Correlation of the aperture with the truth on voices that were held out."""
    was_training = listener.training
    listener.eval()
    device = next(listener.parameters()).device
    starts = val.speech.starts[::29]
    said = listener(torch.from_numpy(val.speech.windows(starts)).to(device))[:, 0].cpu().numpy()
    listener.train(was_training)
    return float(np.corrcoef(said, val.speech.shapes[starts, 0])[0, 1])


class DeepTeacher(nn.Module):
    """Heads on the decoder's inner stages: each has to show the target in small, and to know its mouth.

    Without them the network copies the reference through its shallow skips within the first minute, what it hears
    dies on the way up (5e-6 of the output), and no gradient wakes it again.
    """

    STAGES = (1, 2, 3, 4, 5)  # 3, 6, 12, 24 and 48 px

    def __init__(self, model: Wav2Lip) -> None:
        super().__init__()
        channels = [round(FACE_DECODER[k].channels * WIDTH) for k in self.STAGES]
        self.pictures = nn.ModuleList([nn.Conv2d(n, 3, 1) for n in channels])
        self.shapes = nn.ModuleList([nn.Conv2d(n, 3, 1) for n in channels])
        self.features: dict[int, Tensor] = {}
        for k in self.STAGES:
            model.face_decoder_blocks[k].register_forward_hook(lambda _m, _i, out, k=k: self.features.update({k: out}))

    def forward(self, target: Tensor, shapes: Tensor, weight: Tensor) -> Tensor:
        """The loss of the last pass through the model."""
        loss = torch.zeros((), device=target.device)
        for k, picture, shape in zip(self.STAGES, self.pictures, self.shapes, strict=True):
            features = self.features[k].float()
            size = (features.shape[-2], features.shape[-1])
            small, small_weight = (functional.adaptive_avg_pool2d(t, size) for t in (target, weight))
            loss = loss + 0.3 * (small_weight * (picture(features) - small).abs()).mean()
            loss = loss + 0.3 * functional.smooth_l1_loss(shape(features).mean((2, 3)), shapes, beta=0.1)
        return loss


def train_generator(
    model: Wav2Lip, listener: Listener, data: Pairs, val: Pairs, minutes: float, folder: Path, device: str
) -> Wav2Lip:
    """Train `model`, whose audio encoder is the listener's, and return its average over the last steps."""
    member, team = distributed.get_rank(), distributed.get_world_size()
    rng, clock, spent = np.random.default_rng(2 + 1000 * member), Clock(minutes, device), 0.0
    average = average_of(model)
    if (start := folder / "start.safetensors").is_file():
        model.load_state_dict({k: t.float() for k, t in load_file(start).items()}, strict=False)
    average.load_state_dict(model.state_dict())
    torch.manual_seed(1)  # all members begin alike
    teacher = DeepTeacher(model).to(device)
    rest = [p for name, p in model.named_parameters() if not name.startswith("audio_encoder.")]
    optimizer = torch.optim.AdamW(
        [{"params": [*rest, *teacher.parameters()]}, {"params": list(listener.parameters())}],
        RATE,
        betas=(0.9, 0.98),
        weight_decay=1e-2,
    )
    everywhere = mouth_weight(device)
    fixed = [t.to(device) for t in val.batch(np.random.default_rng(3), 96)]
    model.train()
    step, saved_s, losses = 0, time.monotonic(), []
    with (folder / ("log.csv" if member == 0 else os.devnull)).open("w", newline="") as file:
        log = csv.writer(file)
        log.writerow(["step", "minutes", "loss", "mouth_l1", "mouth_l1_wrong_audio", "heard"])
        while spent < 1:
            _set_rates(optimizer, [clock.rate(spent), clock.rate(spent) * AUDIO_SHARE])
            variety = 1 + min(1.0, 3 * spent)  # more once it listens: before, colours drown what little the mouth says
            mel, reference, target, shapes = (t.to(device) for t in data.batch(rng, BATCH // team, variety))
            with torch.autocast(device, torch.bfloat16):
                made = model(mel, faces_of(forgetful(reference, rng), target))
                said = listener(mel)
            weight = everywhere * where_copying_is_wrong(reference, target)
            loss = picture_loss(made.float(), target, weight, min(1.0, max(0.0, 2 * spent - 0.6)))
            loss = loss + (1 - 0.8 * spent) * teacher(target, shapes, weight)
            loss = loss + 0.3 * functional.smooth_l1_loss(said.float(), shapes, beta=0.1)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            spent = agree(optimizer, clock.spent)
            optimizer.step()
            follow(average, model, step)
            losses.append(loss.item())
            step += 1
            if member == 0 and (time.monotonic() - saved_s > 75 or spent >= 1):
                saved_s = time.monotonic()
                right, wrong = check(average, fixed, folder / f"sheet_{step:05d}.png")
                row = [step, spent * minutes, np.mean(losses[-100:]), right, wrong, hears(listener, val)]
                log.writerow([f"{v:.5g}" for v in row])
                file.flush()
                print("generator " + "  ".join(f"{v:.5g}" for v in row), flush=True)
                write_weights(average, folder / "demo.safetensors", f"{step} steps of {BATCH}, {row[1]:.0f} minutes")
    return average


def agree(optimizer: torch.optim.Optimizer, spent: float) -> float:
    """Average gradients, and the time spent, over the team; its members stay equal from step to step."""
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"]]
    flat = torch.cat([torch.tensor([spent], device=gradients[0].device), *(g.flatten() for g in gradients)])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    at = 1
    for gradient in gradients:
        gradient.copy_(flat[at : at + gradient.numel()].view_as(gradient))
        at += gradient.numel()
    return float(flat[0])


def _set_rates(optimizer: torch.optim.Optimizer, rates: list[float]) -> None:
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate


@torch.no_grad()
def check(model: Wav2Lip, batch: list[Tensor], sheet: Path) -> tuple[float, float]:
    """Mouth L1 with the right audio and with another's; writes references, results and targets above one another."""
    mel, reference, target, _ = batch
    made = model(mel, faces_of(reference, target))
    wrong = model(mel.roll(1, 0), faces_of(reference, target))
    rows = [torch.cat(list(pictures[:16]), dim=2) for pictures in (reference, made, wrong, target)]
    picture = (torch.cat(rows, dim=1).permute(1, 2, 0).cpu().numpy() * 255).round().astype(np.uint8)
    cv2.imwrite(str(sheet), picture)
    return mouth_error(made, target), mouth_error(wrong, target)


# ── what comes out ───────────────────────────────────────────────────────────────────────────────────────────────────


def write_weights(model: Wav2Lip, path: Path, recipe: str) -> None:
    """Store a generator as half-precision safetensors; batch norm's step counters are left out."""
    tensors = {name: t.half().cpu().contiguous() for name, t in model.state_dict().items() if t.is_floating_point()}
    about = {
        "what": "wav2lip_kit demo weights: a small Wav2Lip generator, for demonstration and tests only",
        "width": str(WIDTH),
        "recipe": f"training/train_demo.py, {recipe}",
        "media": MEDIA,
        "licence": "MIT",
        "date": date.today().isoformat(),
    }
    save_file(tensors, path, metadata=about)


def draw_curves(log: Path, out: Path) -> None:
    """The run as a picture."""
    from matplotlib.figure import Figure

    with log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    minutes, *values = (
        [float(row[name]) for row in rows] for name in ("minutes", "loss", "mouth_l1", "mouth_l1_wrong_audio", "heard")
    )
    figure = Figure(figsize=(8, 3), layout="constrained")
    pictures, sounds = figure.subplots(1, 2)
    for series, label in zip(
        values, ("loss in training", "mouth L1, right audio", "mouth L1, wrong audio"), strict=False
    ):
        pictures.semilogy(minutes, series, label=label)
    pictures.legend(frameon=False)
    sounds.plot(minutes, values[3], label="aperture heard, held-out voices, r")
    sounds.legend(frameon=False)
    for axes in (pictures, sounds):
        axes.set_xlabel("minutes of the second stage")
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(out, dpi=100)


def install(path: Path) -> None:
    """Copy the weights to weights/ and write size and sha256 into the manifest."""
    content = path.read_bytes()
    (ROOT / "weights" / "demo.safetensors").write_bytes(content)
    manifest = ROOT / "weights" / "manifest.json"
    listed = json.loads(manifest.read_text(encoding="utf-8"))
    entry = next(item for item in listed["weights"] if item["name"] == "demo")
    entry.update(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    manifest.write_text(json.dumps(listed, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="data, log and checkpoints; 1 GB")
    parser.add_argument("--listen", type=float, default=8, help="minutes for the audio encoder")
    parser.add_argument("--minutes", type=float, default=70, help="minutes for the generator")
    parser.add_argument("--keep", action="store_true", help="leave weights/ as it is")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    prepare(args.folder)
    (args.folder / "meeting").unlink(missing_ok=True)  # where the processes that train find one another
    # Two processes with a core each are twice as fast as one with two cores as soon as anything else runs beside.
    team = 1 if torch.cuda.is_available() else os.cpu_count() or 1
    torch.multiprocessing.spawn(train, (team, args.folder, args.listen, args.minutes), nprocs=team)  # pyright: ignore[reportPrivateImportUsage]
    draw_curves(args.folder / "log.csv", args.folder / "curves.png")
    if not args.keep:
        install(args.folder / "demo.safetensors")
        draw_curves(args.folder / "log.csv", ROOT / "training" / "demo_curves.png")


def train(member: int, team: int, folder: Path, listen_minutes: float, minutes: float) -> None:
    """One process of the team that trains; the first one also checks and writes."""
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder.resolve()}/meeting", rank=member, world_size=team
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        torch.set_num_threads(1)
    torch.manual_seed(0)
    data, val = prepare(folder)
    model = Wav2Lip(WIDTH).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    listener = Listener(model.audio_encoder).to(device)
    heard = folder / "listener.pt"
    if member == 0 and not heard.is_file():
        print(
            f"{len(data.speech.starts) / 4800:.0f} minutes of speech, {data.sounds[..., 0].size} pictures", flush=True
        )
        torch.set_num_threads(team)
        train_listener(listener, data, val, listen_minutes, device)
        torch.set_num_threads(1)
        torch.save(listener.state_dict(), heard)
    distributed.barrier()
    listener.load_state_dict(torch.load(heard, map_location=device, weights_only=True))
    train_generator(model, listener, data, val, minutes, folder, device)
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
