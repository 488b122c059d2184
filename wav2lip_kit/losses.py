"""What a generator is trained with: pairs made more varied, pairs that do not reward copying, and the picture loss.

Tensors are (B, 3, 96, 96) BGR in 0..1. A reference shows the same face as the target with another mouth.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .faces.crops import CROP_PX

MOUTH_ROWS, MOUTH_COLUMNS = slice(57, 86), slice(24, 72)
"""Where in a crop the mouth is looked for when errors are reported."""
EMA = 0.998


def recoloured(pictures: Tensor, rng: np.random.Generator, variety: float = 1.0) -> Tensor:
    """Another exposure, contrast, white balance and side of the light, or mirrored.

    Args:
        pictures: (2·B, 3, 96, 96), the references and then their targets, which are changed alike.
        rng: Where chance comes from.
        variety: How much: 1 as a room has it, 2 as cameras of all kinds have.
    """
    size = len(pictures) // 2

    def each(values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.concatenate([values, values]).astype(np.float32))

    gamma = each(np.exp(rng.normal(0, 0.07 * variety, (size, 1, 1, 1))))
    exposure = np.exp(rng.uniform(-0.16, 0.1, (size, 1, 1, 1)) * variety)
    gain = each(exposure * rng.normal(1, 0.025 * variety, (size, 3, 1, 1)))
    slope = torch.linspace(-1, 1, CROP_PX)
    across, down = (each(rng.normal(0, 0.04 * variety, (size, 1, 1, 1))) for _ in range(2))
    light = torch.exp(across * slope + down * slope[:, None])
    mirror = each(rng.random((size, 1, 1, 1)) < 0.5) > 0
    return torch.where(mirror, pictures.flip(3), pictures).clamp_min(1e-4).pow(gamma).mul(gain * light).clamp(0, 1)


def faces_of(reference: Tensor, target: Tensor) -> Tensor:
    """What the generator sees, (B, 6, 96, 96): the target without its lower half, then the reference."""
    masked = target.clone()
    masked[:, :, CROP_PX // 2 :] = 0
    return torch.cat([masked, reference], dim=1).contiguous(memory_format=torch.channels_last)


def _mouth_area(device: torch.device | str) -> tuple[Tensor, Tensor]:
    """Rows, and the place of the mouth, 0..1, both (96, 96)."""
    y, x = (torch.arange(CROP_PX, device=device, dtype=torch.float32)[axes] for axes in ((..., None), (None, ...)))
    return y + 0 * x, torch.exp(-(((x - 47.5) / 21) ** 4) - ((y - 71) / 14) ** 4)


def mouth_weight(device: torch.device | str) -> Tensor:
    """How much each pixel counts, (96, 96), 1 on average: the lower half more than the upper, the mouth most."""
    rows, mouth = _mouth_area(device)
    weight = 0.4 + 0.6 * (rows >= CROP_PX // 2 - 2) + 4 * mouth
    return weight / weight.mean()


def forgetful(reference: Tensor, rng: np.random.Generator) -> Tensor:
    """Half of the references lose their mouth to a blur: whoever only copies has nothing to copy."""
    _, core = _mouth_area(reference.device)
    chosen = torch.from_numpy(rng.random((len(reference), 1, 1, 1)) < 0.5).to(reference.device)
    blurred = reference
    for size, pad in (((33, 1), (16, 0)), ((1, 33), (0, 16))):  # a square at once costs as much as the whole network
        blurred = functional.avg_pool2d(blurred, size, 1, pad, count_include_pad=False)
    return torch.where(chosen, reference + core * (blurred - reference), reference)


def where_copying_is_wrong(reference: Tensor, target: Tensor) -> Tensor:
    """Where reference and target differ, (B, 1, 96, 96): 1 elsewhere, up to 7 there."""
    difference = functional.avg_pool2d((target - reference).abs().mean(1, keepdim=True), 5, 1, 2)
    return 1 + 6 * (difference / 0.08).clamp(0, 1)


def picture_loss(made: Tensor, target: Tensor, weight: Tensor, sharpness: float) -> Tensor:
    """Weighted L1 and square of the pictures, and L1 of their slopes at two scales.

    Args:
        made: What the generator drew.
        target: What it should have drawn.
        weight: Broadcast to (B, 1, 96, 96).
        sharpness: 0..1 adds to the slopes' share.
    """
    weight = weight.expand(len(made), 1, CROP_PX, CROP_PX)
    # The square lets a mouth be learned while colours are still wrong, where L1 sees nothing but the colours' sign.
    difference = made - target
    loss = (weight * (difference.abs() + 10 * difference**2)).mean()
    for scale in (1, 2):
        if scale == 2:
            made, target = functional.avg_pool2d(made, 2), functional.avg_pool2d(target, 2)
            weight = functional.avg_pool2d(weight, 2)
        difference = made - target
        down = (weight[:, :, 1:] * (difference[:, :, 1:] - difference[:, :, :-1]).abs()).mean()
        across = (weight[..., 1:] * (difference[..., 1:] - difference[..., :-1]).abs()).mean()
        loss = loss + (1 + sharpness) * (0.6 * down + (0.2 + 0.4 * sharpness) * across)
    return loss


def mouth_error(made: Tensor, target: Tensor) -> float:
    """Mean absolute difference of the mouths, in 0..1."""
    return float((made - target)[..., MOUTH_ROWS, MOUTH_COLUMNS].abs().mean())


def average_of(model: nn.Module) -> nn.Module:
    """A copy of `model` that `follow` moves after it: steadier than the model itself, and what is kept."""
    return copy.deepcopy(model).eval().requires_grad_(False)


@torch.no_grad()
def follow(average: nn.Module, model: nn.Module, step: int) -> None:
    """Move the average of weights, and of batch norm's statistics, towards `model` after its `step`-th step."""
    decay = min(EMA, (1 + step) / (20 + step))
    now = model.state_dict()
    for name, tensor in average.state_dict().items():
        if tensor.is_floating_point():
            tensor.lerp_(now[name], 1 - decay)
