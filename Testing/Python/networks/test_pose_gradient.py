"""The two routes to a similarity's pose gradient lead to the same loss and to the same derivative for every weight."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from closed_forms import along_index_axis, blob_map, blobs_around, looking, oblique_grid
from render_checks import noise_map
from torch import Tensor

from xrayreg.checks import InputError
from xrayreg.geometry import Camera, VoxelGrid, retract
from xrayreg.networks.model import moving_images
from xrayreg.networks.model.learned_similarity import LearnedSimilarity, SimilarityDescription
from xrayreg.networks.model.similarity_table import build
from xrayreg.networks.training.pose_gradient import (
    PoseLesson,
    Route,
    double_backward_gradient,
    exact_gradient,
    gradient_loss,
)
from xrayreg.networks.training.uncertainty_weights import UncertaintyWeights, total_loss
from xrayreg.render.torch_engine import TorchProjector
from xrayreg.scene import Attenuation
from xrayreg.settings import GRADIENT_LOSSES, SIMILARITY_NAMES

DOUBLE = torch.float64
PX = 32
CAMERA = Camera.from_sid(500.0, 4.0, PX, PX)
GRIDS = {
    "oblique": oblique_grid((9, 8, 10), (6.0, 7.0, 5.0), mirrored=False),
    "mirrored": oblique_grid((9, 8, 10), (6.0, 7.0, 5.0), mirrored=True),
}


def network_named(name: str, volume_network: bool) -> LearnedSimilarity:
    """A narrow network in double precision, without dropout, which would draw anew for each route."""
    torch.manual_seed(5)
    network = build(SimilarityDescription(name, PX, 0.25, volume_network)).double()
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return network


def lesson_on(grid: VoxelGrid, about_nominal: bool = False) -> PoseLesson:
    """Two poses of a volume of noise, and pictures of noise."""
    generator = torch.Generator().manual_seed(6)
    pivot = torch.as_tensor(grid.centre)
    nominal = looking(grid).expand(2, 4, 4)
    poses, truth = (
        retract(
            nominal,
            torch.randn(2, 6, generator=generator, dtype=DOUBLE) * 0.2 * torch.tensor([1.0] * 3 + [20] * 3),
            pivot,
        )
        for _ in range(2)
    )
    return PoseLesson(
        projector=TorchProjector(Attenuation(0.03 * noise_map(grid).mu.double(), grid)),
        camera=CAMERA,
        fixed=torch.rand(2, 1, PX, PX, generator=generator, dtype=DOUBLE),
        camera_from_volume=poses,
        true_camera_from_volume=truth,
        pivot=pivot,
        scale_mm=30.0,
        base_camera_from_volume=nominal if about_nominal else None,
    )


def loss_and_derivatives(route: Route, network: LearnedSimilarity, lesson: PoseLesson, loss: str) -> dict[str, Tensor]:
    """The total loss, what it is made of and its derivative by every weight."""
    weights = UncertaintyWeights().double()
    found = route(network, lesson)
    total = total_loss(gradient_loss(found, lesson, loss), found.comparison, weights)
    named = dict(network.named_parameters())
    derivatives = torch.autograd.grad(total, [*named.values()], allow_unused=True)
    results = {"total": total, "similarity": found.comparison.similarity, "gradient": found.gradient}
    results |= {name: one for name, one in zip(named, derivatives, strict=True) if one is not None}
    return {name: value.detach() for name, value in results.items()}


def assert_same(network: LearnedSimilarity, lesson: PoseLesson, loss: str) -> None:
    exact = loss_and_derivatives(exact_gradient, network, lesson, loss)
    expected = loss_and_derivatives(double_backward_gradient, network, lesson, loss)
    assert exact.keys() == expected.keys()
    largest = max(float(value.abs().max()) for name, value in expected.items() if "." in name)
    for name, value in expected.items():
        # What is zero but for rounding, as a bias in front of a normalisation, has no relative error.
        size = max(float(value.abs().max()), 1e-6 * largest if "." in name else 0.0)
        assert float((exact[name] - value).abs().max()) <= 1e-4 * size, name


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("volume_network", [False, True])
@pytest.mark.parametrize("name", SIMILARITY_NAMES)
def test_both_routes_teach_every_weight_the_same(name, volume_network, grid):
    assert_same(network_named(name, volume_network), lesson_on(GRIDS[grid]), "geodesic")


@pytest.mark.parametrize("volume_network", [False, True])
def test_they_do_with_the_other_loss_and_parameters_about_a_nominal_view(volume_network):
    assert_same(network_named("prost", volume_network), lesson_on(GRIDS["mirrored"], about_nominal=True), "direction")


@pytest.mark.parametrize("route", [exact_gradient, double_backward_gradient])
def test_the_gradient_is_the_difference_of_the_similarity_between_poses(route):
    # Smooth, and seen along an axis: where rays change the axis that they run along, an image has steps.
    grid = oblique_grid((24, 25, 26), (3.0, 2.5, 2.8))
    pose = along_index_axis(grid, 2).expand(2, 4, 4)
    lesson = replace(
        lesson_on(grid),
        projector=TorchProjector(blob_map(grid, blobs_around(grid, 7.0))),
        camera_from_volume=pose,
    )
    network = network_named("prost-vit", False).eval()
    found = route(network, lesson).gradient
    step = 1e-3
    for column in range(6):
        aside = torch.zeros(2, 6, dtype=DOUBLE)
        aside[:, column] = step * (1 if column < 3 else lesson.scale_mm)
        ends = []
        for sign in (1, -1):
            there = replace(lesson, camera_from_volume=retract(pose, sign * aside, lesson.pivot))
            ends.append(double_backward_gradient(network, there).comparison.similarity.detach())
        difference = (ends[0] - ends[1]) / (2 * step)
        # Bilinear reads have kinks between voxels: a difference is no better than this.
        assert (found[:, column] - difference).abs().max() < 2e-2 * found.abs().max()


def test_maps_refined_before_give_the_same_gradient_and_teach_the_3d_network_nothing():
    network, lesson = network_named("prost", True), lesson_on(GRIDS["oblique"])
    maps = network.refine_volume(lesson.volume)
    found = exact_gradient(network, lesson, maps)
    assert torch.equal(found.gradient, exact_gradient(network, lesson).gradient)
    gradient_loss(found, lesson, "direction").backward()
    assert network.volume_network is not None
    assert all(parameter.grad is None for parameter in network.volume_network.parameters())
    assert network.moving_encoder[0].weight.grad.abs().max() > 0


def test_a_start_at_the_truth_teaches_finite_numbers():
    lesson = lesson_on(GRIDS["oblique"])
    lesson = replace(lesson, camera_from_volume=lesson.true_camera_from_volume)
    assert lesson.true_gradient.abs().max() < 1e-12
    for loss in GRADIENT_LOSSES:
        results = loss_and_derivatives(exact_gradient, network_named("prost", True), lesson, loss)
        assert all(value.isfinite().all() for value in results.values())


def test_steps_of_either_loss_make_it_smaller():
    network, lesson = network_named("prost", True), lesson_on(GRIDS["oblique"])
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for _ in range(15):
        loss = gradient_loss(exact_gradient(network, lesson), lesson, "direction")
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert min(losses[-5:]) < 0.5 * losses[0]


def test_a_3d_network_without_the_compiled_renderer_says_so(monkeypatch):
    monkeypatch.setattr(moving_images, "available_engines", lambda: {"numba": "the package numba is not installed"})
    with pytest.raises(InputError, match="numba is not installed"):
        exact_gradient(network_named("prost", True), lesson_on(GRIDS["oblique"]))


def test_uncertainty_weights_are_those_of_two_normal_laws():
    weights = UncertaintyWeights()
    with torch.no_grad():
        weights.log_variances.copy_(torch.tensor([0.4, -1.0]))
    spread = weights.log_variances.exp().sqrt()
    expected = 3.0 / (2 * spread[0] ** 2) + 5.0 / (2 * spread[1] ** 2) + spread[0].log() + spread[1].log()
    torch.testing.assert_close(weights(torch.tensor([3.0, 5.0])), expected)
