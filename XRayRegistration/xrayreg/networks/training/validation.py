"""Validation: errors of a network on X-rays at held-out poses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ...geometry import rotation_angle, transform_points
from ..model.backbones import PoseNetwork
from ..model.card import MedianErrors
from ..model.heads import Hypotheses, best


@dataclass(frozen=True, eq=False)
class ValidationImages:
    """Images of one kind and their ground truth.

    inputs: float32 (N, 3, H, W) as `view.network_input` makes them.
    poses: camera_from_canonical (N, 4, 4) float64 [mm].
    points: corners of the anatomy's box in the canonical frame (N, P, 3) float64 [mm].
    """

    inputs: Tensor
    poses: Tensor
    points: Tensor


# By kind of image: clean (DRRs without any effect), physics (X-rays of the simulator).
ValidationSet = Mapping[str, ValidationImages]


@torch.no_grad()
def validate(
    network: PoseNetwork, validation: ValidationSet, device: torch.device, at_once: int = 64
) -> dict[str, MedianErrors]:
    """Median errors by kind of image, with the network in evaluation mode; `at_once`: images per forward pass."""
    was_training = network.training
    network.eval()
    try:
        return {kind: _errors(_predicted(network, images.inputs, device, at_once), images)
                for kind, images in validation.items()}  # fmt: skip
    finally:
        network.train(was_training)


def overall(validation: Mapping[str, MedianErrors]) -> float:
    """One number [mm] by which networks are compared: the mean over the kinds of image of their median mTRE."""
    errors = [errors.mtre_mm for errors in validation.values()]
    return sum(errors) / len(errors) if errors else float("inf")


def _predicted(network: PoseNetwork, inputs: Tensor, device: torch.device, at_once: int) -> Hypotheses:
    parts = [network(some.to(device)) for some in inputs.split(at_once)]
    # Errors are measured in float64, which not every GPU has.
    poses = torch.cat([part.poses.cpu() for part in parts]).double()
    return Hypotheses(poses, torch.cat([part.logits.cpu() for part in parts]).double())


def _errors(predicted: Hypotheses, images: ValidationImages) -> MedianErrors:
    likeliest, truth = best(predicted), images.poses
    shift = (likeliest - truth)[:, :3, 3].abs()
    every = _mtre(predicted.poses, truth[:, None], images.points[:, None])
    return MedianErrors(
        rotation_deg=_median(torch.rad2deg(rotation_angle(likeliest, truth))),
        x_mm=_median(shift[:, 0]),
        y_mm=_median(shift[:, 1]),
        depth_mm=_median(shift[:, 2]),
        mtre_mm=_median(_mtre(likeliest, truth, images.points)),
        nearest_mtre_mm=_median(every.min(dim=1).values),
        images=len(truth),
    )


def _mtre(predicted: Tensor, truth: Tensor, points: Tensor) -> Tensor:
    """Mean distance [mm] of points (..., P, 3) between poses (..., 4, 4) in the camera frame."""
    return (transform_points(predicted, points) - transform_points(truth, points)).norm(dim=-1).mean(dim=-1)


def _median(values: Tensor) -> float:
    return float(values.quantile(0.5))
