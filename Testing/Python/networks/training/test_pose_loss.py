"""Loss terms: closed forms, gradients that are finite differences, and hypotheses that share the work."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields

import pytest
import torch
from phantoms import camera_at, frontal, phantom_map
from scipy.spatial.transform import Rotation
from torch import Tensor

from xrayreg.geometry import retract, rigid, rotation_from_vector
from xrayreg.networks.model.canonical_frame import CanonicalFrame
from xrayreg.networks.model.heads import Hypotheses, PoseHead, best
from xrayreg.networks.training.pose_loss import (
    MM_PER_DISSIMILARITY,
    consistency_mm,
    dissimilarity,
    geodesic_mm,
    mixture,
    pose_loss,
    projected_mm,
    region_mismatch,
    shift_mm,
)
from xrayreg.render import render
from xrayreg.render.numba_engine import NumbaProjector
from xrayreg.render.torch_engine import TorchProjector
from xrayreg.settings import LossSettings, NetworkCamera, NetworkSettings

ORIGIN = torch.zeros(3, dtype=torch.float64)
SID = 1000.0
CAMERA = NetworkCamera(32, 240.0, SID)
POINTS = torch.tensor([[x, y, z] for x in (-40, 40) for y in (-50, 50) for z in (-60, 60)], dtype=torch.float64)
POSE_TERMS = ("geodesic", "points", "shift", "consistency")
ONLY_GEODESIC = LossSettings(shift=0.0)
UPRIGHT = CanonicalFrame(frontal()[0, :3, :3], 700.0)


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def some_poses(count: int, seed: int = 0, spread: float = 1.0) -> Tensor:
    """Frontal views turned and shifted."""
    generator = torch.Generator().manual_seed(seed)
    twists = torch.randn(count, 6, dtype=torch.float64, generator=generator)
    scale = spread * numbers(0.3, 0.3, 0.3, 20.0, 20.0, 40.0)
    return retract(frontal().expand(count, 4, 4), twists * scale, ORIGIN)


def certain(poses: Tensor) -> Hypotheses:
    """Hypotheses of one pose for each view (B, 4, 4)."""
    return Hypotheses(poses[:, None], torch.zeros(len(poses), 1, dtype=poses.dtype))


def integrals(size: int) -> Callable[[Tensor], Tensor]:
    """The phantom's line integrals by the torch engine, as two parts of unequal weight, in double precision."""
    projector = TorchProjector(phantom_map(torch.float64))
    camera = camera_at(size)

    def made(poses: Tensor) -> Tensor:
        image = render(projector, camera, poses)
        return torch.stack([0.3 * image, 0.7 * image], dim=1)

    return made


@pytest.mark.parametrize("angle", [0.0, 1e-6, 0.01, 1.0, 3.0])
def test_geodesic_of_a_turn_and_a_shift_is_their_hypotenuse(angle) -> None:
    axis = numbers(0.6, -0.48, 0.64)
    pose = some_poses(1)[0]
    moved = retract(pose, torch.cat([angle * axis, numbers(3.0, -4.0, 12.0)]), ORIGIN)
    # The smooth root adds a millionth of a square millimetre.
    assert float(geodesic_mm(moved, pose, SID)) == pytest.approx(math.hypot(SID / 2 * angle, 13.0), abs=1e-7)


def test_geodesic_of_the_truth_is_nothing_and_flat() -> None:
    truth = some_poses(3)
    poses = truth.clone().requires_grad_()
    error = geodesic_mm(poses, truth, SID)
    error.sum().backward()
    assert float(error.detach().max()) < 2e-3
    assert float(poses.grad.abs().max()) < 1e-6


def test_projected_distance_of_a_sideways_shift_of_a_point_is_the_shift() -> None:
    truth = rigid(torch.eye(3, dtype=torch.float64), numbers(0, 0, 700.0))
    moved = rigid(torch.eye(3, dtype=torch.float64), numbers(3.0, -4.0, 700.0))
    assert float(projected_mm(moved, truth, torch.zeros(1, 3))) == pytest.approx(5.0, rel=1e-6)
    # A point nearer to the source is magnified against the isocentre.
    near = torch.tensor([[0.0, 0.0, -100.0]])
    assert float(projected_mm(moved, truth, near)) == pytest.approx(5.0 * 700 / 600, rel=1e-6)


def test_projected_distance_is_blind_along_the_ray_and_finite_behind_the_source() -> None:
    truth = some_poses(2)
    deeper = truth.clone()
    deeper[:, :3, 3] *= 1.2
    assert float(projected_mm(deeper, truth, torch.zeros(1, 3)).max()) < 2e-3
    behind = truth.clone()
    behind[:, 2, 3] = -50.0
    behind.requires_grad_()
    error = projected_mm(behind, truth, POINTS)
    error.sum().backward()
    assert bool(torch.isfinite(error).all()) and bool(torch.isfinite(behind.grad).all())
    assert float(error.detach().min()) > 100


def test_shift_counts_depth_a_quarter_and_turns_about_the_isocentre_not_at_all() -> None:
    truth = some_poses(2)
    turned = retract(truth, numbers(0.3, -0.2, 0.4, 0, 0, 0), ORIGIN)
    # Rounding of a thousandth in the square root at zero.
    assert float(shift_mm(turned, truth).max()) < 2e-3
    across, along = (retract(truth, numbers(0, 0, 0, *shift), ORIGIN) for shift in ((3.0, -4.0, 0.0), (0.0, 0.0, 20.0)))
    for moved in (across, along):
        torch.testing.assert_close(shift_mm(moved, truth), torch.full((2,), 5.0, dtype=torch.float64))


def test_consistency_forgives_an_error_that_all_views_share() -> None:
    truth = some_poses(4)
    wrong_patient = retract(torch.eye(4, dtype=torch.float64), numbers(0.2, -0.1, 0.3, 5.0, 6.0, -7.0), ORIGIN)
    # Rounding of a thousandth in the square root at zero.
    assert float(consistency_mm(truth @ wrong_patient, truth, SID)) < 2e-3
    one_wrong = truth.clone()
    one_wrong[2] = retract(truth[2], numbers(0, 0, 0, 3.0, 4.0, 0.0), ORIGIN)
    # Two of the four ways are wrong: the one there, where the shift stays what it is, and the one from there.
    assert float(consistency_mm(one_wrong, truth, SID)) == pytest.approx((5.0 + 5.0) / 4, abs=2e-3)


def test_single_hypothesis_is_charged_its_error() -> None:
    errors = numbers(0.0, 3.0, 700.0)[:, None]
    torch.testing.assert_close(mixture(torch.zeros_like(errors), errors, 10.0), errors[:, 0])


def test_mixture_is_the_likelihood_of_its_parts() -> None:
    logits, errors = numbers(0.3, -1.0, 2.0)[None], numbers(4.0, 30.0, 11.0)[None]
    likelihood = (logits.softmax(-1) * torch.exp(-errors / 10.0)).sum()
    torch.testing.assert_close(mixture(logits, errors, 10.0)[0], -10.0 * likelihood.log())


def test_mixture_teaches_the_nearest_hypothesis_and_its_logit() -> None:
    logits = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    errors = numbers(200.0, 5.0, 300.0)[None].requires_grad_()
    mixture(logits, errors, 10.0).sum().backward()
    torch.testing.assert_close(errors.grad, numbers(0.0, 1.0, 0.0)[None], atol=1e-6, rtol=0)
    assert logits.grad[0, 1] < 0 < min(logits.grad[0, 0], logits.grad[0, 2])


@pytest.mark.parametrize("rotation", ["sixd", "quaternion"])
@pytest.mark.parametrize("term", POSE_TERMS)
def test_gradient_with_respect_to_the_network_is_the_finite_difference(term, rotation) -> None:
    head = PoseHead(4, NetworkSettings(hypotheses=3, rotation=rotation), CAMERA, UPRIGHT).double()
    torch.nn.init.normal_(head.last.weight, std=0.1, generator=torch.Generator().manual_seed(5))
    features = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    weights = {**dict.fromkeys(POSE_TERMS, 0.0), term: 1.0}
    # A step takes its sharpness as given.
    settings = LossSettings(**weights, sharpness_mm=(10.0, 10.0))
    truth = some_poses(3, seed=7)

    def loss(given: Tensor) -> Tensor:
        return pose_loss(head(given), truth, settings, CAMERA, POINTS)[0]

    assert torch.autograd.gradcheck(loss, features.requires_grad_(), eps=1e-6, atol=1e-4)
    (slope,) = torch.autograd.grad(loss(features), features)
    assert float(slope.norm()) > 0.1


@pytest.mark.parametrize("term", ["image", "region"])
def test_gradient_of_a_picture_term_is_the_finite_difference(term) -> None:
    truth = frontal()
    start = retract(truth, numbers(0.08, -0.05, 0.1, 6.0, -5.0, 10.0), ORIGIN)
    settings = LossSettings(geodesic=0.0, **{term: 1.0})
    made = integrals(24)

    def loss(twist: Tensor) -> Tensor:
        return pose_loss(certain(retract(start, twist[None], ORIGIN)), truth, settings, CAMERA, render=made)[0]

    twist = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(loss(twist), twist)
    # Joseph's integrals have kinks where a ray crosses a voxel's edge: steps of a micrometre keep clear of most.
    steps = numbers(1e-6, 1e-6, 1e-6, 1e-3, 1e-3, 1e-3)
    with torch.no_grad():
        differences = torch.stack([(loss(step) - loss(-step)) / (2 * step.sum()) for step in torch.diag(steps)])
    torch.testing.assert_close(slope, differences, rtol=2e-3, atol=2e-3 * float(slope.abs().max()))


@pytest.mark.parametrize("term", ["image", "region"])
def test_picture_terms_are_nothing_at_the_truth_and_more_away_from_it(term) -> None:
    settings = LossSettings(geodesic=0.0, **{term: 1.0})
    made, truth = integrals(24), frontal()

    def loss(millimetres: float) -> float:
        pose = retract(truth, numbers(0, 0, 0, millimetres, 0, 0), ORIGIN)
        return float(pose_loss(certain(pose), truth, settings, CAMERA, render=made)[0])

    assert loss(0.0) == pytest.approx(0.0, abs=1e-3 * MM_PER_DISSIMILARITY)
    assert 0.005 * MM_PER_DISSIMILARITY < loss(5.0) < loss(15.0) < loss(40.0)


def test_soft_regions_have_a_gradient_where_thresholded_ones_have_none() -> None:
    made, truth = integrals(24), frontal()
    wanted = made(truth)[:, -1]
    twist = numbers(0, 0, 0, 20.0, 0, 0).requires_grad_()
    shown = made(retract(truth, twist[None], ORIGIN))[:, -1]
    (slope,) = torch.autograd.grad(region_mismatch(shown, wanted).sum(), twist)
    assert float(slope[3]) > 1e-4

    def thresholded_dice(one: Tensor, other: Tensor) -> Tensor:
        """The overlap of xvr's images above zero; a little above, as blobs end nowhere."""
        level = 0.1
        inside, there = (one > level).to(one), (other > level).to(other)
        return 1 - 2 * (inside * there).sum() / (inside.sum() + there.sum())

    def shifted(millimetres: float) -> Tensor:
        return made(retract(truth, numbers(0, 0, 0, millimetres, 0, 0), ORIGIN))[:, -1]

    # It sees a large error, and no graph leads back from it; moved a little, it is the same to the last digit.
    assert float(thresholded_dice(shifted(20.0), wanted)) > 0.05
    assert not thresholded_dice(made(retract(truth, twist[None], ORIGIN))[:, -1], wanted).requires_grad
    assert float(thresholded_dice(shifted(20.0), wanted) - thresholded_dice(shifted(20.0 + 1e-7), wanted)) == 0
    assert float(region_mismatch(shifted(20.0 + 1e-7), wanted) - region_mismatch(shifted(20.0), wanted)) > 0


def test_dissimilarity_compares_each_image_with_its_own() -> None:
    images = torch.rand(3, 20, 20, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(dissimilarity(images, 3 * images + 1), torch.zeros(3).double(), atol=2e-4, rtol=0)
    each = torch.cat([dissimilarity(images[n : n + 1], images.flip(0)[n : n + 1]) for n in range(3)])
    torch.testing.assert_close(dissimilarity(images, images.flip(0)), each)
    assert float(each[0]) > 0.5


def test_nothing_to_see_gives_no_number_that_is_none() -> None:
    empty = torch.zeros(2, 20, 20, requires_grad=True)
    loss = (dissimilarity(empty, torch.zeros(2, 20, 20)) + region_mismatch(empty, torch.zeros(2, 20, 20))).sum()
    loss.backward()
    assert bool(torch.isfinite(loss.detach())) and bool(torch.isfinite(empty.grad).all())


def test_pictures_are_made_of_as_many_views_as_asked_and_of_known_ones_no_more() -> None:
    asked: list[int] = []

    def made(poses: Tensor) -> Tensor:
        asked.append(len(poses))
        return poses[:, :2, :3, None].expand(-1, -1, -1, 12) ** 2

    truth = some_poses(5)
    for rendered, known, expected in ((2, None, [2, 2]), (0, None, [5, 5]), (9, made(truth), [5])):
        asked.clear()
        settings = LossSettings(image=1.0, rendered=rendered)
        pose_loss(certain(truth.clone().requires_grad_()), truth, settings, CAMERA, render=made, integrals=known)
        assert asked == expected


def test_pictures_are_made_of_the_hypothesis_nearest_to_the_truth() -> None:
    truth = some_poses(2)
    far = retract(truth, numbers(1.0, 0, 0, 0, 0, 50.0), ORIGIN)
    seen: list[Tensor] = []

    def made(poses: Tensor) -> Tensor:
        seen.append(poses)
        return poses[:, None, :3, :3].expand(-1, 2, -1, -1) + torch.eye(3)

    hypotheses = Hypotheses(torch.stack([far, truth, far], 1), torch.tensor([[5.0, 0.0, 1.0]] * 2).double())
    loss, parts = pose_loss(hypotheses, truth, LossSettings(region=1.0), CAMERA, render=made)
    torch.testing.assert_close(seen[0], truth)
    # The log tells the nearest's terms, and the errors of the most believed.
    assert parts["geodesic"] == pytest.approx(0.0, abs=2e-3)
    assert parts["rotation_deg"] == pytest.approx(math.degrees(1.0))
    assert parts["shift_mm"] == pytest.approx(50.0)
    assert float(loss) > 40


def test_poses_that_are_no_numbers_make_a_loss_that_is_none_and_are_not_rendered() -> None:
    truth = some_poses(2)
    lost = truth.clone()
    lost[1, 0, 3] = math.nan

    def never(poses: Tensor) -> Tensor:
        raise AssertionError("asked to render")

    for term in ("image", "region"):
        settings = LossSettings(geodesic=0.0, **{term: 1.0})
        assert math.isnan(float(pose_loss(certain(lost), truth, settings, CAMERA, render=never)[0]))


def test_compiled_engine_teaches_from_poses_in_single_precision() -> None:
    projector = NumbaProjector(phantom_map())
    camera = camera_at(24)

    def made(poses: Tensor) -> Tensor:
        return render(projector, camera, poses)[:, None].float()

    truth = frontal()
    settings = LossSettings(geodesic=0.0, shift=0.0, image=1.0)
    pose = retract(truth, numbers(0, 0, 0, 12.0, 0, 0), ORIGIN)
    slopes = []
    for start, shown in ((pose.float(), made), (pose, integrals(24))):
        start = start.clone().requires_grad_()
        pose_loss(certain(start), truth, settings, CAMERA, render=shown)[0].backward()
        slopes.append(start.grad[0, :3].double())
    # Both engines compute the same derivative, one of them in six digits.
    torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-2, atol=1e-2 * float(slopes[1].abs().max()))


def test_weights_scale_their_terms_and_terms_add_up() -> None:
    truth, poses = some_poses(3), some_poses(3, seed=1)

    def loss(**weights: float) -> float:
        settings = LossSettings(**{**dict.fromkeys(POSE_TERMS, 0.0), **weights})
        return float(pose_loss(certain(poses), truth, settings, CAMERA, POINTS)[0])

    alone = {term: loss(**{term: 1.0}) for term in POSE_TERMS}
    assert min(alone.values()) > 1
    weights = {"geodesic": 2.0, "points": 0.5, "shift": 1.5, "consistency": 3.0}
    assert loss(**weights) == pytest.approx(sum(weights[term] * alone[term] for term in POSE_TERMS))
    assert loss() == 0


@pytest.mark.parametrize("term", ["points", "image", "region"])
def test_term_without_what_it_needs_is_refused(term) -> None:
    with pytest.raises(ValueError, match=term):
        pose_loss(certain(some_poses(2)), some_poses(2), LossSettings(**{term: 1.0}), CAMERA)


def test_every_weight_of_the_settings_is_used() -> None:
    weights = {field.name for field in fields(LossSettings)} - {"rendered", "sharpness_mm", "sharpness_share"}
    truth, made = some_poses(2), integrals(16)
    settings = LossSettings(**dict.fromkeys(weights, 1.0))
    _, parts = pose_loss(certain(some_poses(2, seed=1)), truth, settings, CAMERA, POINTS, made)
    assert set(parts) == weights | {"rotation_deg", "shift_mm"}


def learnt(hypotheses: int, draw: Callable[[torch.Generator], Tensor]) -> Hypotheses:
    """What a head without anything to see believes after 400 batches of poses (32, 4, 4)."""
    torch.manual_seed(0)
    head = PoseHead(1, NetworkSettings(hypotheses=hypotheses), CAMERA, UPRIGHT)
    optimiser = torch.optim.Adam(head.parameters(), lr=0.02)
    generator = torch.Generator().manual_seed(1)
    for _ in range(400):
        optimiser.zero_grad()
        pose_loss(head(torch.ones(32, 1)), draw(generator), ONLY_GEODESIC, CAMERA)[0].backward()
        optimiser.step()
    with torch.no_grad():
        said = head(torch.ones(1, 1))
    return Hypotheses(said.poses.double(), said.logits)


@pytest.mark.parametrize("apart_deg", [12.0, 90.0, 180.0])
def test_hypotheses_specialise_where_one_image_has_two_poses(apart_deg) -> None:
    """A view of a patient who may lie one way or the other, which the image does not tell: 30 % against 70 %."""
    turns = rotation_from_vector(torch.deg2rad(numbers(0, apart_deg / 2, 0)) * numbers(-1, 1)[:, None])
    modes = rigid(turns @ UPRIGHT.nominal_rotation, numbers(0, 0, 700.0))
    said = learnt(2, lambda generator: modes[(torch.rand(32, generator=generator) < 0.7).long()])
    errors = geodesic_mm(said.poses[0, :, None], modes[None], SID)
    # Each mode has its own hypothesis, to a tenth of the way between them.
    assert sorted(errors.argmin(dim=0).tolist()) == [0, 1]
    assert float(errors.min(dim=0).values.max()) < SID / 2 * math.radians(apart_deg) / 10
    assert float(said.beliefs[0, errors[:, 1].argmin()]) == pytest.approx(0.7, abs=0.1)


def test_sharpness_follows_the_error_of_the_nearest_within_its_limits() -> None:
    truth = some_poses(1)

    def loss(*shifts_mm: float) -> float:
        poses = torch.cat([retract(truth, numbers(0, 0, 0, shift, 0, 0), ORIGIN) for shift in shifts_mm])
        hypotheses = Hypotheses(poses[None], torch.zeros(1, len(shifts_mm)).double())
        return float(pose_loss(hypotheses, truth, ONLY_GEODESIC, CAMERA)[0])

    for shifts, sharpness in (((4.0, 9.0), 10.0), ((60.0, 90.0), 30.0), ((300.0, 350.0), 60.0)):
        assert loss(*shifts) == pytest.approx(
            float(mixture(torch.zeros(1, 2), torch.tensor([shifts]), sharpness)), rel=1e-5
        )


def test_hypotheses_do_not_cut_up_what_is_not_known() -> None:
    """Poses spread about one view by eleven degrees about each axis and twenty millimetres, which the image hides."""

    def spread(generator: torch.Generator) -> Tensor:
        twists = torch.randn(32, 6, dtype=torch.float64, generator=generator)
        return retract(UPRIGHT.nominal_pose.expand(32, 4, 4), twists * numbers(0.2, 0.2, 0.2, 20.0, 20.0, 20.0), ORIGIN)

    error = geodesic_mm(best(learnt(4, spread))[0], UPRIGHT.nominal_pose, SID)
    # The most believed lies in the middle, to three degrees. At a sharpness of 10 mm alone it is ten degrees off it.
    assert float(error) < SID / 2 * math.radians(3)


def test_single_precision_on_poses_in_double_is_fine() -> None:
    truth = torch.as_tensor(Rotation.random(4, random_state=0).as_matrix())
    poses = rigid(truth, torch.tensor([0.0, 0.0, 700.0]).double())
    said = Hypotheses(poses.float()[:, None].requires_grad_(), torch.zeros(4, 1))
    loss, _ = pose_loss(said, poses, ONLY_GEODESIC, CAMERA)
    assert loss.dtype == torch.float32
    # Rotations are rounded to a ten-millionth, half a metre away.
    assert float(loss.detach()) < 2e-3
