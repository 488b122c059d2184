"""The generator against the reference: names, shapes, counts, values."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from wav2lip_kit.model import Wav2Lip, width_of


def golden_tensor(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The value that goldens/README.md gives a tensor of this name."""
    noise = np.random.default_rng(zlib.crc32(key.encode())).standard_normal
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    if len(shape) == 4:
        value = noise(shape) * np.sqrt(2 / np.prod(shape[1:])) * (0.02 if key == "output_block.1.weight" else 1)
    elif key.endswith("running_var"):
        value = 1 + 0.1 * np.abs(noise(shape))
    elif key.endswith(".1.weight"):
        value = 1 + 0.1 * noise(shape)
    else:
        value = 0.1 * noise(shape)
    return np.asarray(value, np.float32)


def test_state_dict_is_the_references_key_for_key(shared_goldens: Path) -> None:
    golden = json.loads((shared_goldens / "wav2lip_state_dict.json").read_text())
    ours = {key: list(tensor.shape) for key, tensor in Wav2Lip().state_dict().items()}
    assert ours == golden
    assert list(ours) == list(golden)


def test_forward_is_the_references(shared_goldens: Path) -> None:
    model = Wav2Lip().eval()
    state = {key: torch.from_numpy(golden_tensor(key, tuple(t.shape))) for key, t in model.state_dict().items()}
    model.load_state_dict(state)
    golden = np.load(shared_goldens / "wav2lip_forward.npz")
    with torch.inference_mode():
        output = model(torch.from_numpy(golden["mel"]), torch.from_numpy(golden["faces"])).numpy()
    assert golden["output"].std() > 0.01  # the golden itself says something
    assert np.abs(output - golden["output"]).max() <= 1e-5


@pytest.mark.parametrize(
    ("width", "millions"), [(0.25, "2.28"), (0.375, "5.11"), (0.5, "9.08"), (0.75, "20.42"), (1.0, "36.30")]
)
def test_width_gives_the_expected_parameter_count(width: float, millions: str) -> None:
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in Wav2Lip(width).parameters())
    assert f"{count / 1e6:.2f}" == millions


def test_width_1_has_all_parameters() -> None:
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in Wav2Lip().parameters()) == 36_298_035


@pytest.mark.parametrize("width", [0.001, 0.1, 0.3, 1 / 3, 0.375, 0.71, 1.0, 1.25])
def test_any_width_is_told_by_its_tensors(width: float) -> None:
    with torch.device("meta"):
        model = Wav2Lip(width)
        again = Wav2Lip(width_of(model.state_dict()))
    assert model.width == pytest.approx(width, abs=1 / 1024 + 1 / 512)
    assert [t.shape for t in again.state_dict().values()] == [t.shape for t in model.state_dict().values()]


def test_narrow_model_keeps_its_outer_shapes() -> None:
    model = Wav2Lip(width=0.05).eval()
    with torch.inference_mode():
        mouths = model(torch.randn(2, 1, 80, 16), torch.rand(2, 6, 96, 96))
    assert mouths.shape == (2, 3, 96, 96)
    assert mouths.min() >= 0 and mouths.max() <= 1


def test_gradients_reach_every_parameter() -> None:
    model = Wav2Lip(width=0.02).train()
    model(torch.randn(2, 1, 80, 16), torch.rand(2, 6, 96, 96)).sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("width", [0, -1.0, float("nan")])
def test_width_must_be_positive(width: float) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        Wav2Lip(width)
