"""A similarity that nobody had to train: the squared difference of normalised images, in the place of a network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from constant_networks import FRONTAL, card_for
from pelvis_scenes import pelvis
from torch import Tensor

from xrayreg.networks.model.checkpoint import SimilarityCheckpoint, save_checkpoint
from xrayreg.networks.model.learned_similarity import (
    FeatureComparison,
    LearnedSimilarity,
    SimilarityDescription,
    for_each_image,
)
from xrayreg.networks.model.similarity_table import SIMILARITIES, build_for
from xrayreg.scene import Volume
from xrayreg.settings import NetworkCamera, PoseDistribution, SimilarityName, SimilaritySettings

PX = 64
WIDE = PoseDistribution((0.0,), 700.0, "normal", "twist", (20.0,) * 3, (30.0, 30.0, 60.0))


class Difference(LearnedSimilarity):
    """Mean squared difference of images brought to zero mean and unit variance: 2 - 2 ZNCC."""

    def __init__(self, description: SimilarityDescription) -> None:
        super().__init__(replace(description, volume_network=False), None)
        # A checkpoint without any weight is none.
        self.weight = torch.nn.Parameter(torch.ones(1))

    def compare(self, fixed: Tensor, moving: Tensor) -> FeatureComparison:
        """See `LearnedSimilarity.compare`."""
        self.require_images(fixed, moving)
        one, other = (_normal(image) for image in (fixed, moving))
        return FeatureComparison((one - other).square().flatten(1).mean(1) * self.weight)


class Squares(Difference):
    """The same, with the residuals whose squares it sums up."""

    @property
    def sums_squares(self) -> bool:
        """See `LearnedSimilarity.sums_squares`."""
        return True

    def residuals(self, fixed: Tensor, moving: Tensor, jacobian: Tensor) -> tuple[Tensor, Tensor]:
        """See `LearnedSimilarity.residuals`."""
        pixels = moving.shape[-1] * moving.shape[-2]
        # torch.func would load Triton, which crashes in a process that holds the libraries of slicer-core.
        along = [torch.autograd.functional.jvp(_normal, moving, column)[1] for column in jacobian.unbind(2)]
        apart = _normal(moving) - for_each_image(_normal(fixed), len(moving))
        return apart.flatten(1) / pixels**0.5, torch.stack(along, 1).flatten(2) / pixels**0.5


class Nothing(Difference):
    """The same number for all images, or none."""

    number = 0.5

    def compare(self, fixed: Tensor, moving: Tensor) -> FeatureComparison:
        """See `LearnedSimilarity.compare`."""
        return FeatureComparison(0 * super().compare(fixed, moving).similarity + self.number)


class NoNumber(Nothing):
    """NaN for all images."""

    number = float("nan")


def checkpoint(
    name: SimilarityName = "prost", px: int = PX, poses: PoseDistribution = WIDE, volume: Volume | None = None
) -> SimilarityCheckpoint:
    """A similarity of that architecture; call it within `standing_in`, or it is an untrained network."""
    wanted = SimilaritySettings(architecture=name)
    card = card_for(volume or pelvis(), 1, NetworkCamera(px), poses)
    card = replace(card, settings=replace(card.settings, similarity=wanted))
    return SimilarityCheckpoint(card, build_for(card.settings).eval())


@contextmanager
def standing_in(kind: type[LearnedSimilarity] = Difference, name: SimilarityName = "prost") -> Iterator[None]:
    """Within this context files of an architecture hold networks of another kind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SIMILARITIES, name, kind)  # type: ignore[arg-type]
        yield


def written(path: Path, **changes: object) -> str:
    """The name of a file with such a similarity."""
    save_checkpoint(path, checkpoint(**changes))  # type: ignore[arg-type]
    return str(path)


def _normal(image: Tensor) -> Tensor:
    centred = image - image.mean((-2, -1), keepdim=True)
    return centred / (centred.square().mean((-2, -1), keepdim=True) + 1e-12).sqrt()


__all__ = [
    "FRONTAL",
    "PX",
    "WIDE",
    "Difference",
    "NoNumber",
    "Nothing",
    "Squares",
    "checkpoint",
    "standing_in",
    "written",
]
