"""Our own similarity: its derivatives, the gradients of all pairs of a batch, and the poses that its points predict."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from training_scenes import CPU, SETTINGS, OnePatient, subject

from xrayreg.geometry import retract, transform_points
from xrayreg.networks.data.pose_sampling import nominal_rotation, sample_poses
from xrayreg.networks.model.backbones import residual_backbone
from xrayreg.networks.model.embedding import EMBEDDED, EmbeddingSimilarity, SmoothLayers
from xrayreg.networks.model.learned_similarity import SimilarityDescription
from xrayreg.networks.model.similarity_table import build, build_for
from xrayreg.networks.training.embedding_lesson import (
    EmbeddingLesson,
    PairGradients,
    pose_numbers,
    similarity_lesson,
)
from xrayreg.networks.training.geodesic_gradients import squared_geodesic
from xrayreg.networks.training.pose_gradient import PoseLesson, exact_gradient, render_unrefined
from xrayreg.networks.training.similarity_lesson import SimilarityLesson, training_pairs
from xrayreg.networks.training.similarity_validation import ValidationPairs
from xrayreg.settings import PoseDistribution, SimilaritySettings

# The network's images are as large as those that the lesson renders, so that both see the same.
RUN = replace(
    SETTINGS,
    batch=3,
    camera=replace(SETTINGS.camera, image_px=32),
    similarity=SimilaritySettings(architecture="embedding", width=0.25, starts=2),
)


def new_similarity() -> EmbeddingSimilarity:
    torch.manual_seed(3)
    network = build_for(RUN)
    assert isinstance(network, EmbeddingSimilarity)
    return network


def pairs() -> PoseLesson:
    return training_pairs(OnePatient(), RUN, 0, CPU.device)


def test_derivatives_that_are_written_out_are_those_of_autograd():
    torch.manual_seed(0)
    layers = SmoothLayers(5, 7, 6, 3).double()
    values, directions = torch.randn(4, 5, dtype=torch.float64), torch.randn(4, 2, 5, dtype=torch.float64)
    found, along = layers.with_derivatives(values, directions)
    torch.testing.assert_close(found, layers(values))
    for number in range(2):
        _, expected = torch.autograd.functional.jvp(layers, values, directions[:, number])
        torch.testing.assert_close(along[:, number], expected)
    # And so are the weights' derivatives of the derivatives: what training descends along.
    weight = layers.layers[0].weight
    (first,) = torch.autograd.grad(along.square().sum(), weight)
    step = 1e-6 * torch.randn_like(weight)

    def moved(sign: int) -> torch.Tensor:
        with torch.no_grad():
            weight.add_(sign * step)
            value = layers.with_derivatives(values, directions)[1].square().sum()
            weight.sub_(sign * step)
        return value

    # Central differences with steps of 1e-6 in float64 keep about nine digits.
    torch.testing.assert_close((moved(1) - moved(-1)) / 2, (first * step).sum(), rtol=1e-6, atol=0.0)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_number_of_weights_is_that_of_its_layers(channels):
    network = build(SimilarityDescription("embedding", 64, 1.0, channels == 3))
    inner = [(channels * 256, 1024), (1024, 1024), (1024, EMBEDDED)]
    backbone, features = residual_backbone(1, 32, 4, "group")
    assert features == 8 * 32 * 16
    outer = [(features, 512), (512, EMBEDDED)]
    expected = sum((before + 1) * after for before, after in inner + outer) + _weights(backbone)
    assert network.parameters_count == expected + (8571 if channels == 3 else 0)


def test_all_pairs_have_the_gradient_that_one_pair_alone_has():
    network, batch = new_similarity(), pairs()
    moving, jacobian = render_unrefined(batch)
    points, derivatives = network.moving_points(moving, jacobian)
    goals = network.fixed_encoder(batch.fixed)
    found = PairGradients.of(batch, batch.true_camera_from_volume[::2]).gradients(points, derivatives, goals)
    assert found.shape == (6, 3, 6)
    exact = exact_gradient(network, batch)
    own = torch.stack([found[number, number // 2] for number in range(6)])
    torch.testing.assert_close(own, exact.gradient, rtol=1e-4, atol=1e-6 * float(own.detach().abs().max()))
    # So have the true gradients, and a start that is its own goal counts nothing.
    truth = PairGradients.of(batch, batch.true_camera_from_volume[::2]).true_gradient
    own_truth = torch.stack([truth[number, number // 2] for number in range(6)])
    torch.testing.assert_close(own_truth, batch.true_gradient.float())
    at_itself = PairGradients.of(batch, batch.camera_from_volume)
    assert not at_itself.weight.diagonal().any()
    # Of unit vectors in float32, squared differences are rounded to about 1e-14.
    assert at_itself.loss(at_itself.true_gradient, "angle") < 1e-12
    assert at_itself.mean_angle_deg(-at_itself.true_gradient) == pytest.approx(180.0)


def test_its_residuals_are_what_the_similarity_squares():
    network, batch = new_similarity(), pairs()
    images = render_unrefined(batch)
    residuals, derivatives = network.residuals(batch.fixed, *images)
    exact = exact_gradient(network, batch)
    assert network.sums_squares
    torch.testing.assert_close(residuals.square().sum(1), exact.comparison.similarity)
    gradient = 2 * torch.einsum("bpn,bn->bp", derivatives, residuals)
    torch.testing.assert_close(gradient, exact.gradient, rtol=1e-4, atol=1e-6 * float(gradient.detach().abs().max()))
    other = build(SimilarityDescription("prost", 32, 0.25, volume_network=False))
    assert not other.sums_squares
    with pytest.raises(ValueError, match="prost is no sum of squares"):
        other.residuals(batch.fixed, *images)


def test_where_no_pair_counts_nothing_is_learned_and_nothing_is_nan():
    alone = PairGradients(torch.zeros(1, 1, 6))
    gradients = torch.ones(1, 1, 6, requires_grad=True)
    loss = alone.loss(gradients, "angle")
    loss.backward()
    assert loss == 0
    assert not gradients.grad.any()


def test_pose_numbers_are_zero_at_the_nominal_view_and_as_far_apart_as_poses():
    batch, poses = pairs(), PoseDistribution()
    centre = batch.pivot
    spreads = replace(poses, rotation_deg=(0.0,) * 3, translation_mm=(0.0,) * 3)
    nominal = sample_poses(spreads, centre, 1, torch.Generator())
    assert pose_numbers(nominal, batch, poses).abs().max() < 1e-12
    # Anywhere, half a degree and a millimetre apart: (2 sin(a/2))^2 is a^2 but for a^4 / 12.
    some = sample_poses(poses, centre, 5, torch.Generator().manual_seed(1))
    twists = torch.randn(5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    other = retract(some, twists * torch.tensor([0.01] * 3 + [1.0] * 3), centre)
    apart = (pose_numbers(some, batch, poses) - pose_numbers(other, batch, poses)).square().sum(1)
    torch.testing.assert_close(apart, squared_geodesic(some, other, centre, batch.scale_mm), rtol=1e-3, atol=0.0)
    # The last three are where the isocentre lies, from its nominal place.
    place = transform_points(some, centre[None])[:, 0]
    expected = (place - torch.tensor([0.0, 0.0, poses.sod_mm])) / batch.scale_mm
    torch.testing.assert_close(pose_numbers(some, batch, poses)[:, 9:], expected)
    assert nominal_rotation(poses).shape == (3, 3)


def test_every_weight_learns_and_the_map_to_poses_is_not_kept():
    lesson = similarity_lesson(new_similarity(), OnePatient(), ValidationPairs((), {}))
    assert isinstance(lesson, EmbeddingLesson)
    loss, parts = lesson.batch(RUN, 0, CPU.device)(lambda inputs: None)
    loss.backward()
    # Nothing is drawn for the layer that predicts poses: processes that share gradients must begin alike.
    assert not any(some.any() for some in lesson.pose_of_point.parameters())
    assert all(some.grad is not None and some.grad.isfinite().all() for some in lesson.trained.parameters())
    assert set(parts) == {"gradient", "pose", "angle_deg"}
    assert 0 < parts["angle_deg"] < 180
    kept = {id(some) for some in lesson.network.parameters()}
    assert {id(some) for some in lesson.pose_of_point.parameters()}.isdisjoint(kept)


def test_with_a_volume_network_it_learns_as_the_others_do():
    settings = replace(RUN, similarity=replace(RUN.similarity, volume_network=True))
    torch.manual_seed(4)
    lesson = similarity_lesson(build_for(settings), OnePatient(), ValidationPairs((), {}))
    assert isinstance(lesson, EmbeddingLesson)
    assert not lesson.batch_made_ahead(settings)
    assert isinstance(similarity_lesson(build(SimilarityDescription()), OnePatient(), None), SimilarityLesson)
    assert subject().isocentre.shape == (3,)


def _weights(module: nn.Module) -> int:
    return sum(some.numel() for some in module.parameters())
