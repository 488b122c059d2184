"""The Wav2Lip generator: a mel window and a masked face in, the same face with the mouth that says it out.

The network of Prajwal et al., "A Lip Sync Expert Is All You Need for Speech to Lip Generation In The Wild" (ACM
Multimedia 2020). Its state dict equals the published one key for key, so the names of attributes and the nesting of
modules below are not free.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

FACE_SIZE_PX = 96
WIDEST = 512
"""Channels of the widest stage at width 1; the grid on which widths lie."""
WIDEST_KEY = "audio_encoder.12.conv_block.0.weight"
"""The tensor whose first axis tells the width of a checkpoint."""


class Stage(NamedTuple):
    """One convolution that may change size and channels, then `residuals` 3×3 ones that change neither."""

    channels: int
    residuals: int = 0
    kernel: int = 3
    stride: int | tuple[int, int] = 1
    padding: int = 1
    transposed: bool = False
    output_padding: int = 0


FACE_ENCODER = (  #                              faces (6, 96, 96)
    (Stage(16, kernel=7, padding=3),),  #        (16, 96, 96)
    (Stage(32, residuals=2, stride=2),),  #      (32, 48, 48)
    (Stage(64, residuals=3, stride=2),),  #      (64, 24, 24)
    (Stage(128, residuals=2, stride=2),),  #     (128, 12, 12)
    (Stage(256, residuals=2, stride=2),),  #     (256, 6, 6)
    (Stage(512, residuals=1, stride=2),),  #     (512, 3, 3)
    (Stage(512, padding=0), Stage(512, kernel=1, padding=0)),  # (512, 1, 1)
)
AUDIO_ENCODER = (  #                             mel (1, 80, 16)
    Stage(32, residuals=2),  #                   (32, 80, 16)
    Stage(64, residuals=2, stride=(3, 1)),  #    (64, 27, 16)
    Stage(128, residuals=2, stride=3),  #        (128, 9, 6)
    Stage(256, residuals=1, stride=(3, 2)),  #   (256, 3, 3)
    Stage(512, padding=0),  #                    (512, 1, 1)
    Stage(512, kernel=1, padding=0),  #          (512, 1, 1)
)
# Behind each of these the face encoder's output of the same size is joined on; the next takes the channels of both.
FACE_DECODER = (
    Stage(512, kernel=1, padding=0),  #                                        (512, 1, 1), joined 1024
    Stage(512, residuals=1, transposed=True, padding=0),  #                    (512, 3, 3), joined 1024
    Stage(512, residuals=2, transposed=True, stride=2, output_padding=1),  #   (512, 6, 6), joined 768
    Stage(384, residuals=2, transposed=True, stride=2, output_padding=1),  #   (384, 12, 12), joined 512
    Stage(256, residuals=2, transposed=True, stride=2, output_padding=1),  #   (256, 24, 24), joined 320
    Stage(128, residuals=2, transposed=True, stride=2, output_padding=1),  #   (128, 48, 48), joined 160
    Stage(64, residuals=2, transposed=True, stride=2, output_padding=1),  #    (64, 96, 96), joined 80
)
OUTPUT = Stage(32)  #                                                          (32, 96, 96), then (3, 96, 96)


class Block(nn.Module):
    """Convolution, batch norm, the input added where `residual`, ReLU."""

    def __init__(self, conv: nn.Module, channels: int, residual: bool = False) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(conv, nn.BatchNorm2d(channels))
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv_block(x)
        return functional.relu(out + x if self.residual else out, inplace=True)


def _stack(channels_in: int, stages: Sequence[Stage], width: float) -> list[Block]:
    blocks: list[Block] = []
    for stage in stages:
        channels = _scaled(stage.channels, width)
        shape = (channels_in, channels, stage.kernel, stage.stride, stage.padding)
        conv = nn.ConvTranspose2d(*shape, stage.output_padding) if stage.transposed else nn.Conv2d(*shape)
        blocks.append(Block(conv, channels))
        blocks += [Block(nn.Conv2d(channels, channels, 3, padding=1), channels, True) for _ in range(stage.residuals)]
        channels_in = channels
    return blocks


def _scaled(channels: int, width: float) -> int:
    return max(1, round(channels * width))


class Wav2Lip(nn.Module):
    """The generator, 36.3 million parameters at width 1.

    Args:
        width: Multiplies the channels of all inner layers (rounded, at least 1). It is itself rounded to the nearest
            1/512, so that the widest layer tells it exactly (`width_of`).

    Raises:
        ValueError: If `width` is not positive.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        if not width > 0:
            raise ValueError(f"width is {width}: it must be positive")
        self.width = width = _scaled(WIDEST, width) / WIDEST

        self.face_encoder_blocks = nn.ModuleList()
        skips: list[int] = []
        channels = 6
        for stages in FACE_ENCODER:
            self.face_encoder_blocks.append(nn.Sequential(*_stack(channels, stages, width)))
            channels = _scaled(stages[-1].channels, width)
            skips.append(channels)

        self.audio_encoder = nn.Sequential(*_stack(1, AUDIO_ENCODER, width))

        self.face_decoder_blocks = nn.ModuleList()
        channels = _scaled(AUDIO_ENCODER[-1].channels, width)
        for stage, skip in zip(FACE_DECODER, reversed(skips), strict=True):
            self.face_decoder_blocks.append(nn.Sequential(*_stack(channels, (stage,), width)))
            channels = _scaled(stage.channels, width) + skip

        last = _stack(channels, (OUTPUT,), width)
        self.output_block = nn.Sequential(*last, nn.Conv2d(_scaled(OUTPUT.channels, width), 3, 1), nn.Sigmoid())

    def forward(self, mel: Tensor, faces: Tensor) -> Tensor:
        """Draw the mouths.

        Args:
            mel: (B, 1, 80, 16), from -4 to 4, the mel windows.
            faces: (B, 6, 96, 96), from 0 to 1, BGR: the crop with its lower half black, then a whole reference crop.

        Returns:
            (B, 3, 96, 96), from 0 to 1, BGR: the whole crop with its new mouth.
        """
        skips: list[Tensor] = []
        x = faces
        for block in self.face_encoder_blocks:
            x = block(x)
            skips.append(x)
        x = self.audio_encoder(mel)
        for block, skip in zip(self.face_decoder_blocks, reversed(skips), strict=True):
            x = torch.cat((block(x), skip), dim=1)
        return self.output_block(x)


def width_of(state_dict: Mapping[str, Tensor]) -> float:
    """The width of the `Wav2Lip` a state dict was made by, from the channels of its widest layer.

    Raises:
        KeyError: If that layer is not there.
    """
    return state_dict[WIDEST_KEY].shape[0] / WIDEST
