"""A problem's score, gradient and normal matrix as functions of the pose, over one and several views."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from phantoms import PIVOT, camera_at, frontal, phantom_map, xray
from scipy.spatial.transform import Rotation
from torch import Tensor

import xrayreg.registration.problem
from xrayreg.geometry import Camera, pose_difference, retract
from xrayreg.registration.problem import Prior, Problem, build_problem, reduction
from xrayreg.render import prepare, render
from xrayreg.scene import Radiograph
from xrayreg.settings import Term
from xrayreg.similarity import Similarity, Target

DOUBLE = torch.float64
TRUTH = frontal((0.1, -0.15, 0.05), (6.0, -8.0, 20.0))
POSES = torch.cat([TRUTH, frontal((0.15, -0.1, 0.1), (9.0, -5.0, 35.0))])
TERMS = {
    "global": (Term(),),
    "gradient correlation": (Term("gradient"),),
    "patches and gradients": (Term(weight=0.5), Term("gradient", window=9, stride=3)),
}


def lateral(size: int = 24) -> Camera:
    """A second camera, 80 degrees round the patient from the first, further away and of another pitch."""
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("y", 80, degrees=True).as_matrix()
    turn[:3, 3] = np.array([0.0, 0.0, 750.0]) - turn[:3, :3] @ (0.0, 0.0, 700.0)
    return Camera.from_sid(1100.0, 280.0 / size, size, size + 3, turn)


def problem(
    cameras: tuple[Camera, ...], terms: tuple[Term, ...] = (Term(),), *, engine: str = "torch", image_px: int = 24
) -> Problem:
    views = tuple(xray(camera, TRUTH) for camera in cameras)
    return built(views, terms, engine=engine, image_px=image_px)


def built(
    views: tuple[Radiograph, ...], terms: tuple[Term, ...] = (Term(),), *, engine: str = "torch", image_px: int = 24
) -> Problem:
    projector = prepare(phantom_map(DOUBLE), engine, "cpu")
    return build_problem(projector, views, Similarity(terms), image_px=image_px, pivot=PIVOT)


def differences(given: Problem, poses: Tensor, step: float = 1e-6) -> Tensor:
    """Derivatives (B, 6) of the cost with respect to the twist by central differences."""
    columns = []
    for direction in torch.eye(6, dtype=DOUBLE) * step:
        ahead, behind = (
            given.scores(retract(poses, sign * direction.expand(len(poses), 6), given.pivot)) for sign in (1, -1)
        )
        columns.append((behind - ahead) / (2 * step))
    return torch.stack(columns, dim=1)


@pytest.mark.parametrize("terms", TERMS.values(), ids=TERMS)
@pytest.mark.parametrize("cameras", [(camera_at(24),), (camera_at(24), lateral())], ids=["one view", "two views"])
def test_the_gradient_is_the_derivative_of_the_score(terms, cameras):
    given = problem(cameras, terms)
    found = given.agreement(POSES)
    torch.testing.assert_close(found.score, given.scores(POSES).double())
    expected = differences(given, POSES)
    # Double precision throughout; steps of 1e-6 rad and mm may cross a kink of the interpolation on a few rays. The
    # floor of patches (1e-4 of the variance) is held fixed in the gradient.
    scale = found.normal.diagonal(dim1=-2, dim2=-1).sqrt()
    assert ((found.gradient - expected).abs() / scale).max() < 2e-3
    assert (expected[1].abs() / scale[1]).max() > 0.05


def test_scores_are_differentiable_with_respect_to_the_poses():
    given = problem((camera_at(24), lateral()))
    twist = torch.zeros(2, 6, dtype=DOUBLE, requires_grad=True)
    (slope,) = torch.autograd.grad(given.scores(retract(POSES, twist, PIVOT)).sum(), twist)
    torch.testing.assert_close(-slope, given.agreement(POSES).gradient, rtol=1e-6, atol=1e-9)


def test_several_views_count_as_their_mean():
    cameras = (camera_at(24), lateral())
    both = problem(cameras).agreement(POSES)
    first = problem(cameras[:1]).agreement(POSES)
    # The second view alone: its twist is about axes of the first camera, so it goes through the pair's geometry.
    given = problem(cameras)
    second = replace(given, views=given.views[1:]).agreement(POSES)
    for name in ("score", "gradient", "normal"):
        mean = (getattr(first, name) + getattr(second, name)) / 2
        torch.testing.assert_close(getattr(both, name), mean, rtol=1e-6, atol=1e-9)


def test_the_second_view_looks_from_where_its_camera_stands():
    given = problem((camera_at(24), lateral()))
    images = given.images(TRUTH)
    expected = render(given.projector, given.views[1].camera, torch.as_tensor(lateral().camera_from_world) @ TRUTH)
    assert images[1].shape == (1, 27, 24)
    torch.testing.assert_close(images[1], expected)


def test_the_world_of_the_rig_does_not_matter():
    moved = np.eye(4)
    moved[:3, :3] = Rotation.from_rotvec([0.3, 1.0, -0.4]).as_matrix()
    moved[:3, 3] = (40.0, -25.0, 60.0)
    cameras = (camera_at(24), lateral())
    radiographs = tuple(xray(camera, TRUTH) for camera in cameras)
    elsewhere = tuple(
        replace(r, camera=replace(r.camera, camera_from_world=r.camera.camera_from_world @ np.linalg.inv(moved)))
        for r in radiographs
    )
    there = built(elsewhere)
    # A problem's pose is that of its first camera, whatever the world is called.
    torch.testing.assert_close(there.scores(POSES), problem(cameras).scores(POSES), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("engine", ["torch", "numba"])
def test_the_truth_scores_best(engine):
    given = problem((camera_at(48),), (Term(weight=0.5), Term("gradient")), engine=engine, image_px=48)
    nudges = torch.cat([torch.diag_embed(torch.tensor([0.02] * 3 + [2.0, 2.0, 12.0])), torch.zeros(1, 6)]).double()
    around = torch.cat([retract(TRUTH, sign * nudges[:6], PIVOT) for sign in (1, -1)])
    best = given.scores(TRUTH)
    # The DRR is the map's, the X-ray the closed form's: they differ by the 1 % that interpolation flattens.
    assert best.item() > 0.998
    assert given.scores(around).max() < best


def test_resolution_brings_camera_and_image_down_together():
    camera = camera_at(96)
    given = problem((camera,), image_px=32)
    view = given.views[0]
    assert reduction(camera, 32) == 3
    assert (view.camera.width, view.camera.height) == view.target.image.shape[::-1] == (32, 32)
    # A reduced image compared through a camera that forgot the half pixel would be off by a pixel of the original.
    assert given.scores(TRUTH).item() > 0.999
    wrong = retract(TRUTH, torch.tensor([[0, 0, 0, 2.5 * 0.7, 2.5 * 0.7, 0]], dtype=DOUBLE), PIVOT)
    assert given.scores(wrong) < given.scores(TRUTH) - 1e-4


@pytest.mark.parametrize(
    ("size", "image_px", "factor"), [(256, 64, 4), (200, 64, 3), (30, 64, 1), (64, 64, 1), (1436, 128, 11)]
)
def test_the_reduction_is_the_whole_factor_nearest_to_what_is_asked(size, image_px, factor):
    assert reduction(Camera.from_sid(1000, 1, size, size // 2), image_px) == factor


def test_unusable_pixels_of_the_xray_do_not_count():
    camera = camera_at(24)
    clean = xray(camera, TRUTH)
    valid = clean.valid.copy()
    valid[:, :6] = False
    spoilt = clean.attenuation.copy()
    spoilt[~valid] = np.nan
    kept, lost = (
        built((Radiograph(image, image, valid, camera),), TERMS["patches and gradients"]).agreement(POSES)
        for image in (clean.attenuation, spoilt)
    )
    assert torch.equal(kept.score, lost.score) and torch.equal(kept.normal, lost.normal)


def test_focus_keeps_what_lies_near_the_rendered_structure():
    given = problem((camera_at(48), lateral(48)), image_px=48)
    focused = given.focused(POSES, margin_px=4)
    for view, image in zip(focused.views, given.images(POSES), strict=True):
        assert view.support is not None and view.support.shape == image.shape
        shadow = image > 0.02 * image.amax((-2, -1), keepdim=True)
        assert (view.support[shadow] == 1).all()
        grown = torch.nn.functional.max_pool2d(shadow.double()[:, None], 9, 1, 4)[:, 0]
        assert torch.equal(view.support.double(), grown)
    changed = torch.where(focused.views[0].support[0] > 0, given.views[0].target.image, -50.0)
    elsewhere = replace(focused.views[0], target=Target(changed, given.views[0].target.mask))
    moved = replace(focused, views=(elsewhere, focused.views[1]))
    torch.testing.assert_close(moved.scores(POSES)[0], focused.scores(POSES)[0])


def test_a_picked_problem_keeps_each_poses_own_support():
    focused = problem((camera_at(24),)).focused(POSES, margin_px=1)
    assert not torch.equal(focused.views[0].support[0], focused.views[0].support[1])
    for n in (0, 1):
        alone = focused.picked(torch.tensor([n])).scores(POSES[n : n + 1])
        torch.testing.assert_close(alone[0], focused.scores(POSES)[n])
    shared = problem((camera_at(24),)).focused(POSES[:1], margin_px=1)
    assert shared.picked(torch.tensor([1])).views[0].support.shape[0] == 1


def test_a_prior_adds_half_the_squared_deviation_and_its_exact_derivatives():
    deviation = torch.tensor([0.1, 0.2, 0.3, 10.0, 20.0, 60.0], dtype=DOUBLE)
    prior = Prior(expected=TRUTH[0], deviation=deviation, weight=0.3)
    poses = retract(
        TRUTH.expand(3, 4, 4),
        torch.tensor([[0.0] * 6, [0.2, -0.1, 0.3, 5, 0, -30], [1.5, 0.5, -1, 0, 9, 9]]).double(),
        PIVOT,
    )
    given = replace(problem((camera_at(8),), image_px=8), prior=prior)
    plain = replace(given, prior=None)
    penalty = given.scores(poses) - plain.scores(poses)
    twist = pose_difference(poses, TRUTH, PIVOT) / deviation
    torch.testing.assert_close(penalty, -0.15 * (twist**2).sum(-1), rtol=1e-9, atol=1e-9)
    found, without = given.agreement(poses), plain.agreement(poses)
    torch.testing.assert_close(found.score - without.score, penalty, rtol=1e-9, atol=1e-9)

    def cost(move: Tensor) -> Tensor:
        return -prior.agreement(retract(poses, move, PIVOT), PIVOT).score.sum()

    move = torch.zeros(3, 6, dtype=DOUBLE)
    slope = torch.autograd.functional.jacobian(cost, move)
    torch.testing.assert_close(found.gradient - without.gradient, slope, rtol=1e-7, atol=1e-9)
    # At the expected pose the residual vanishes, so there the normal matrix is the whole Hessian.
    hessian = torch.autograd.functional.hessian(lambda t: cost(torch.cat([t[None], move[1:]])), move[0])
    torch.testing.assert_close((found.normal - without.normal)[0], hessian, rtol=1e-5, atol=1e-7)


MANY = torch.cat([frontal((0.1 + 0.01 * n, -0.15, 0.05), (6.0, -8.0 + n, 20.0)) for n in range(7)])


@pytest.mark.parametrize("pixels", [1, 24 * 27 * 3, 10**9])
@pytest.mark.parametrize("terms", TERMS.values(), ids=TERMS)
def test_poses_in_batches_score_as_they_do_together(pixels, terms, monkeypatch):
    given = problem((camera_at(24), lateral()), terms).focused(MANY, margin_px=2)
    scores, agreement = given.scores(MANY), given.agreement(MANY)
    monkeypatch.setattr(xrayreg.registration.problem, "_BATCH_PIXELS", pixels)
    # Double precision throughout; only sums may come in another order.
    torch.testing.assert_close(given.scores(MANY), scores, rtol=1e-10, atol=1e-12)
    found = given.agreement(MANY)
    torch.testing.assert_close(found.score, agreement.score, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found.gradient, agreement.gradient, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(found.normal, agreement.normal, rtol=1e-8, atol=1e-10)
    for view, before in zip(given.focused(MANY, 2).views, given.views, strict=True):
        assert view.support is not None and before.support is not None and torch.equal(view.support, before.support)


def test_the_xray_is_made_ready_once_for_all_batches_unless_supports_differ(monkeypatch):
    made = []
    original = Similarity.against
    monkeypatch.setattr(Similarity, "against", lambda *given: made.append(given) or original(*given))
    monkeypatch.setattr(xrayreg.registration.problem, "_BATCH_PIXELS", 1)
    given = problem((camera_at(24), lateral()))
    for some, times in ((given, 1), (given.focused(MANY[:1], 2), 1), (given.focused(MANY, 2), len(MANY))):
        made.clear()
        some.scores(MANY)
        assert len(made) == 2 * times


def test_no_more_pixels_are_rendered_at_once_than_a_batch_has(monkeypatch):
    given = problem((camera_at(24), lateral()))
    batch = 24 * 27 * 2
    monkeypatch.setattr(xrayreg.registration.problem, "_BATCH_PIXELS", batch)
    rendered = []
    for name in ("render", "render_with_jacobian"):
        original = getattr(xrayreg.registration.problem, name)

        def noted(projector, camera, poses, *more, original=original):
            rendered.append(len(poses) * camera.width * camera.height)
            return original(projector, camera, poses, *more)

        monkeypatch.setattr(xrayreg.registration.problem, name, noted)
    # With derivatives an image takes twice as long.
    for work, batches in (given.agreement, 1), (given.scores, 2), (lambda poses: given.focused(poses, 2), 2):
        rendered.clear()
        work(MANY)
        assert sum(rendered) == len(MANY) * sum(view.camera.width * view.camera.height for view in given.views)
        assert max(rendered) <= batches * batch


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_scores_and_agreements_come_back_to_where_the_poses_are():
    views = (xray(camera_at(24), TRUTH), xray(lateral(), TRUTH))
    prior = Prior(expected=TRUTH[0], deviation=torch.ones(6, dtype=DOUBLE), weight=0.3)
    here, there = (
        replace(
            build_problem(
                prepare(phantom_map(), "torch", place), views, Similarity((Term(),)), image_px=24, pivot=PIVOT
            ),
            prior=prior,
        ).focused(POSES, margin_px=3)
        for place in ("cpu", "cuda")
    )
    expected, found = here.agreement(POSES), there.agreement(POSES)
    assert found.score.device == there.scores(POSES).device == POSES.device
    # float32 sums in another order.
    torch.testing.assert_close(found.score, expected.score, rtol=0, atol=1e-5)
    torch.testing.assert_close(found.normal, expected.normal, rtol=1e-3, atol=1e-3)
