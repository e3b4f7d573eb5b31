"""SOPI's first step (ICASSP 2024; methods.md A4): a pose from an X-ray and the CT itself, within given ranges."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...checks import InputError
from .split_attention import SplitAttentionBottleneck

# Channels and grid size at the end of both branches.
BRANCH, SIDE = 128, 64
STAGES, HIDDEN = (256, 512, 1024), (512, 128)
_VOLUME_CHANNELS = 8
# Upper limit of ReLU6.
_MOST = 6.0


@dataclass(frozen=True)
class PoseRanges:
    """The lowest and highest value of three rotations [deg] and three translations [mm], in the order of the result."""

    lowest: tuple[float, float, float, float, float, float] = (70.0, -10.0, -10.0, -30.0, -30.0, 600.0)
    highest: tuple[float, float, float, float, float, float] = (110.0, 10.0, 10.0, 30.0, 30.0, 750.0)

    def __post_init__(self) -> None:
        if not all(low < high for low, high in zip(self.lowest, self.highest, strict=True)):
            raise InputError(
                "ranges of a pose",
                expected="each lowest value below its highest",
                found=f"{self.lowest} and {self.highest}",
                remedy="exchange them",
            )


class SopiRegressor(nn.Module):
    """From X-rays (B, 1, H, W) and volumes (B, 1, nk, nj, ni) of any size to poses (B, 6).

    The volume is averaged to 128 voxels a side and halved by convolutions into two channels of 64 slices, concatenated
    with the 128 channels from two halvings of an X-ray of 256 pixels. Three stages of a convolution, a
    bottleneck of split attention and pooling follow, then layers of 1024, 512, 128 and 6 numbers.
    ReLU6 / 6 spans the ranges.
    """

    def __init__(self, ranges: PoseRanges | None = None, width: float = 1.0, side: int = SIDE) -> None:
        """width: factor on the channels of the stages; side: size of the joint grid, at least 8."""
        super().__init__()
        if side < 8 or side % 8:
            raise InputError(
                "grid of the regressor", expected="a multiple of 8 places", found=f"{side}", remedy=f"use {SIDE}"
            )
        self.side = side
        self.slices_channels = BRANCH // SIDE
        self.volume_branch = nn.Sequential(
            nn.Conv3d(1, _VOLUME_CHANNELS, 3, padding=1),
            nn.ReLU(),
            nn.Conv3d(_VOLUME_CHANNELS, self.slices_channels, 3, stride=2, padding=1),
            nn.ReLU(),
        )
        self.xray_branch = nn.Sequential(
            nn.Conv2d(1, BRANCH // 2, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(BRANCH // 2, BRANCH, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(side),
        )
        layers: list[nn.Module] = []
        before = BRANCH + self.slices_channels * side
        for published in STAGES:
            after = max(4, 4 * round(published * width / 4))
            layers += [nn.Conv2d(before, after, 3, padding=1), SplitAttentionBottleneck(after), nn.MaxPool2d(2)]
            before = after
        self.stages = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        last = nn.Linear(HIDDEN[1], 6)
        # In the middle of ReLU6, where its derivative is not zero.
        nn.init.constant_(last.bias, _MOST / 2)
        self.head = nn.Sequential(
            nn.Linear(before, HIDDEN[0]), nn.ReLU(), nn.Linear(HIDDEN[0], HIDDEN[1]), nn.ReLU(), last
        )
        given = PoseRanges() if ranges is None else ranges
        self.lowest: Tensor
        self.highest: Tensor
        self.register_buffer("lowest", _radians(given.lowest))
        self.register_buffer("highest", _radians(given.highest))

    def forward(self, fixed: Tensor, volume: Tensor) -> Tensor:
        """Three rotations [rad] and three translations [mm], (B, 6), in order and limits of the ranges."""
        averaged = nn.functional.adaptive_avg_pool3d(volume, 2 * self.side)
        slices = self.volume_branch(averaged).flatten(1, 2)
        together = torch.cat([slices, self.xray_branch(fixed)], dim=1)
        share = nn.functional.relu6(self.head(self.stages(together))) / _MOST
        return self.lowest + share * (self.highest - self.lowest)


def _radians(values: tuple[float, ...]) -> Tensor:
    return torch.tensor([*(math.radians(value) for value in values[:3]), *values[3:]])
