"""The network's surroundings: what it is given, what comes out, and that the fast way gives the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from wav2lip_kit.errors import InputError
from wav2lip_kit.model import Wav2Lip
from wav2lip_kit.sync import LipSyncer, fold_batch_norms, pick_device


def lively_model(seed: int = 0) -> Wav2Lip:
    """A small generator whose batch norms have seen something, so that folding them is not trivial."""
    torch.manual_seed(seed)
    model = Wav2Lip(0.125)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor in (module.running_mean, module.weight.data, module.bias.data):
                torch.nn.init.uniform_(tensor, -0.3, 1.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    return model.eval()


def some_input(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(-4, 4, (n, 1, 80, 16)).astype(np.float32), rng.integers(0, 256, (n, 96, 96, 3), np.uint8)


class Recorder(torch.nn.Module):
    """Stands in for the generator, keeps what it is given, and answers with a colour of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.faces: list[torch.Tensor] = []
        self.mels: list[torch.Tensor] = []

    def forward(self, mel: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
        self.faces.append(faces)
        self.mels.append(mel)
        answer = torch.zeros(len(faces), 3, 96, 96)
        answer[:, 0], answer[:, 1], answer[:, 2] = 0.25, 0.5, 1.0
        return answer


def test_the_network_sees_bgr_with_the_lower_half_hidden_and_answers_in_bgr() -> None:
    recorder = Recorder()
    syncer = LipSyncer(recorder, device="cpu", precision=torch.float32)  # type: ignore[arg-type]
    mels, crops = some_input(5)
    out = syncer(mels, crops)
    (faces,), (mel,) = recorder.faces, recorder.mels
    want = torch.from_numpy(crops).permute(0, 3, 1, 2) / 255
    assert faces.shape == (5, 6, 96, 96) and torch.equal(faces[:, 3:], want)
    assert torch.equal(faces[:, :3, :48], want[:, :, :48]) and not faces[:, :3, 48:].any()
    assert torch.equal(mel, torch.from_numpy(mels))
    assert out.dtype == np.uint8 and out.shape == (5, 96, 96, 3)
    assert (out[..., 0] == 64).all() and (out[..., 1] == 128).all() and (out[..., 2] == 255).all()


def test_folding_batch_norms_keeps_the_function() -> None:
    mels, _ = some_input(3)
    faces = torch.rand(3, 6, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before = lively_model()(torch.from_numpy(mels), faces)
        folded = fold_batch_norms(lively_model())
        after = fold_batch_norms(folded)(torch.from_numpy(mels), faces)  # folding twice does no harm
    assert before.std() > 0.01
    assert torch.allclose(before, after, atol=1e-5)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())


def test_batches_make_no_difference() -> None:
    mels, crops = some_input(11)
    whole = LipSyncer(lively_model(), device="cpu", precision=torch.float32, batch_size=16)(mels, crops)
    pieces = LipSyncer(lively_model(), device="cpu", precision=torch.float32, batch_size=4)(mels, crops)
    assert np.abs(whole.astype(int) - pieces).max() <= 1
    assert whole[:, :, :, 0].std() > 1, "the network's answer is flat: the test says nothing"


def test_the_fast_number_type_is_not_seen() -> None:
    mels, crops = some_input(4)
    exact = LipSyncer(lively_model(), device="cpu", precision=torch.float32)(mels, crops)
    fast = LipSyncer(lively_model(), device="cpu", precision=torch.bfloat16)(mels, crops)
    assert np.abs(exact.astype(int) - fast).mean() < 1.0


def test_nothing_in_gives_nothing_out() -> None:
    assert LipSyncer(lively_model(), device="cpu")(*some_input(0)).shape == (0, 96, 96, 3)


@pytest.mark.parametrize(
    ("mels", "crops"),
    [((2, 80, 16), (2, 96, 96, 3)), ((2, 1, 80, 16), (2, 3, 96, 96)), ((3, 1, 80, 16), (2, 96, 96, 3))],
)
def test_wrong_shapes_are_named(mels: tuple[int, ...], crops: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"mels must be \(B, 1, 80, 16\).*crops_bgr\.shape"):
        LipSyncer(lively_model(), device="cpu")(np.zeros(mels, np.float32), np.zeros(crops, np.uint8))


def test_an_unknown_device_is_named() -> None:
    with pytest.raises(InputError, match=r"'tpu': choose auto, cpu, cuda"):
        pick_device("tpu")
