"""What renders predict: exact where they were made, far better than a straight line elsewhere, honest at the rim."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from phantoms import PIVOT, camera_at, frontal, phantom_map, xray

from xrayreg.geometry import retract, rigid, rotation_from_vector, twist_tangents
from xrayreg.optimize import Rendered, rendered
from xrayreg.registration.problem import Problem, build_problem
from xrayreg.render import prepare, render, render_with_jacobian
from xrayreg.settings import LevelSettings, Term
from xrayreg.similarity import Similarity

START = frontal((0.1, -0.15, 0.05), (6.0, -8.0, 20.0))
SIZE = 64
LEVEL = LevelSettings(SIZE, 5, (Term(),))
# Rotation vectors [rad] and shifts [mm]: pixels are 2.6 mm at the patient.
TWISTS = {
    "nothing": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    "across": (0.0, 0.0, 0.0, 9.0, -12.0, 0.0),
    "nearer": (0.0, 0.0, 0.0, 0.0, 0.0, -50.0),
    "in the image": (0.0, 0.0, 0.15, 0.0, 0.0, 0.0),
    "all of it": (0.04, -0.03, 0.1, 6.0, -8.0, -30.0),
}


def problem(views: int = 1) -> Problem:
    sideways = rigid(
        rotation_from_vector(torch.tensor([0.0, 1.2, 0.0]).double()), torch.tensor([-650.0, 0, 440]).double()
    )
    cameras = (camera_at(SIZE), camera_at(SIZE, sideways.numpy()))[:views]
    seen = tuple(xray(camera, START) for camera in cameras)
    return build_problem(
        prepare(phantom_map(), "numba", "cpu"), seen, Similarity((Term(),)), image_px=SIZE, pivot=PIVOT
    )


def images(views: int = 1) -> Rendered:
    return rendered(problem(views), START)


def moved(twist: tuple[float, ...]) -> torch.Tensor:
    return retract(START, torch.tensor([twist]).double(), PIVOT)


@pytest.mark.parametrize("number", [0, 1])
def test_where_it_was_rendered_it_is_exact(number):
    made = images(2)
    parallax = made.parallax()
    view = parallax.views[number]
    image, jacobian, known = parallax.predicted(view, parallax.layers[number], START)
    tangents = view.view_from_first @ twist_tangents(START, PIVOT)
    right, slopes = render_with_jacobian(parallax.projector, view.camera, view.view_from_first @ START, tangents)
    # Resampling at the pixels themselves rounds in float32.
    torch.testing.assert_close(image, right, rtol=0, atol=1e-3 * float(right.max()))
    # The rim has a slope on one side only.
    inner = (..., slice(2, -2), slice(2, -2))
    scale = slopes.abs().amax((-2, -1), keepdim=True)
    torch.testing.assert_close((jacobian / scale)[inner], (slopes / scale)[inner], rtol=0, atol=5e-3)
    assert known[inner].all()
    alone, predicted = made.agreement(), parallax.agreement(START)
    torch.testing.assert_close(alone.score, predicted.score, rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", [name for name in TWISTS if name != "nothing"])
def test_away_from_there_it_is_far_better_than_a_straight_line(name):
    made = images()
    parallax, view, pose = made.parallax(), made.problem.views[0], moved(TWISTS[name])
    truth = render(parallax.projector, view.camera, pose)
    image, _, known = parallax.predicted(view, parallax.layers[0], pose)
    slopes = made.images[0][:, 1:7]
    straight = made.images[0][:, 0] + (torch.tensor(TWISTS[name])[:, None, None] * slopes).sum(1)
    error, straight_error = (float(((found - truth) * known).norm()) for found in (image, straight))
    # Lumps lie up to 40 mm before and behind the plane and show there what it cannot tell.
    assert error < 0.5 * straight_error


@pytest.mark.parametrize("name", TWISTS)
def test_its_gradient_is_that_of_its_score(name):
    parallax, pose = images().parallax(), moved(TWISTS[name])
    # Without the rim, where pixels come and go.
    mask = torch.zeros(SIZE, SIZE)
    mask[14:-14, 14:-14] = 1
    view = parallax.views[0]
    parallax = replace(parallax, views=(replace(view, target=replace(view.target, mask=mask)),))
    gradient = parallax.agreement(pose).gradient[0]
    steps = torch.tensor([4e-3] * 3 + [1.0, 1.0, 5.0]).double()
    for number, step in enumerate(steps):
        twist = torch.zeros(1, 6).double()
        twist[0, number] = step
        ahead, behind = (parallax.agreement(retract(pose, sign * twist, PIVOT)).score for sign in (1, -1))
        change = float(behind - ahead) / 2
        # Bilinear resampling flattens by a share of what differs between pixels.
        assert float(gradient[number] * step) == pytest.approx(change, rel=0.05, abs=5e-4)


def test_what_was_outside_of_the_image_is_not_known():
    parallax = images().parallax()
    # 10 pixels to the right: the left strip was never rendered.
    pose = moved((0.0, 0.0, 0.0, 10 * 240 / SIZE * 0.72, 0.0, 0.0))
    _, _, known = parallax.predicted(parallax.views[0], parallax.layers[0], pose)
    assert not known[:, :, :9].any() and known[:, 2:-2, 12:-2].all()


def test_a_coarser_level_compares_means_of_the_same_images():
    made = images()
    small = made.on_level(LevelSettings(SIZE // 4, 5, (Term("gradient"),)))
    assert small.problem.views[0].camera.width == SIZE // 4
    blocks = made.images[0].unflatten(-1, (-1, 4)).unflatten(-3, (-1, 4)).mean((-3, -1))
    torch.testing.assert_close(small.images[0], blocks)
    target = made.problem.views[0].target.image.unflatten(-1, (-1, 4)).unflatten(-3, (-1, 4)).mean((-3, -1))
    torch.testing.assert_close(small.problem.views[0].target.image, target)
    assert made.problem.projector.renders == 1


def test_a_margin_keeps_to_what_is_rendered():
    near = rendered(problem(), START, margin_px=2).on_level(LEVEL)
    far = rendered(problem(), START).on_level(LEVEL)
    compared = near.images[0][:, 7]
    assert 0.05 < float(compared.mean()) < 0.95 and far.images[0][:, 7].all()
    assert bool((compared[near.images[0][:, 0] > 0.5 * near.images[0][:, 0].max()] == 1).all())


def test_each_pose_of_a_batch_has_its_own_forecast():
    poses = torch.cat([START, moved(TWISTS["across"])])
    both = rendered(problem(), poses).parallax()
    asked = retract(poses, torch.tensor([[0.01, 0.0, 0.02, 2.0, 1.0, 5.0]]).double().expand(2, 6), PIVOT)
    found = both.agreement(asked)
    for number in range(2):
        alone = rendered(problem(), poses[number : number + 1]).parallax().agreement(asked[number : number + 1])
        torch.testing.assert_close(found.score[number : number + 1], alone.score)
        torch.testing.assert_close(
            both.picked(torch.tensor([number])).agreement(asked[number : number + 1]).score, alone.score
        )
