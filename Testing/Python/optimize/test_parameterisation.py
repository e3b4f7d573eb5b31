"""Charts: numbers to poses and back, and twists against finite differences, the singular points among them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from xrayreg.geometry import pose_difference, retract, rotation_from_eulers, skew
from xrayreg.optimize import AP_AXES, EulerZXY, MultiObject, Parameterisation, PartlyFixed, RotVec, SE3Log, span
from xrayreg.settings import PoseSpan

DOUBLE = torch.float64
PIVOT = torch.tensor([10.0, -20.0, 30.0], dtype=DOUBLE)
OTHER = torch.tensor([-60.0, 5.0, 80.0], dtype=DOUBLE)
START = retract(torch.eye(4, dtype=DOUBLE), torch.tensor([0.3, -0.2, 0.5, 12.0, -7.0, 640.0], dtype=DOUBLE), PIVOT)
SCALE = torch.tensor([0.1, 0.02, 0.03, 2.0, 3.0, 10.0], dtype=DOUBLE)
UNIT = torch.tensor([1.0, 1.0, 1.0, 50.0, 50.0, 50.0], dtype=DOUBLE)


def twist() -> RotVec:
    return RotVec(START, PIVOT)


def scaled() -> RotVec:
    return RotVec(START, PIVOT, SCALE)


def screw() -> SE3Log:
    return SE3Log(START, PIVOT, SCALE)


def plain_screw() -> SE3Log:
    return SE3Log(START, PIVOT)


def euler() -> EulerZXY:
    return EulerZXY(PIVOT)


def turned() -> EulerZXY:
    axes = rotation_from_eulers(torch.tensor([0.4, -1.1, 2.0], dtype=DOUBLE), "xyz")
    return EulerZXY(PIVOT, axes)


def held() -> PartlyFixed:
    return PartlyFixed(euler(), torch.tensor([0.1, -0.2, 0.3, 20.0, 700.0, -10.0], dtype=DOUBLE), (0, 2, 4))


def several() -> MultiObject:
    return MultiObject((scaled(), RotVec(START, OTHER, SCALE), euler()))


def mixed() -> MultiObject:
    """A body and a joint that only turns."""
    return MultiObject((scaled(), PartlyFixed(RotVec(START, OTHER), torch.zeros(6, dtype=DOUBLE), (0, 1, 2))))


CHARTS = {parameters.__name__: parameters for parameters in (twist, scaled, screw, euler, turned, held, several, mixed)}


def drawn(parameters: Parameterisation, count: int = 20) -> Tensor:
    """Points whose rotations reach to about half a turn, translations to some hundred millimetres."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, parameters.dimensions, generator=generator, dtype=DOUBLE)


def differences(parameters: Parameterisation, points: Tensor, step: float = 1e-5) -> Tensor:
    """Twists (N, 6 K, P) by central differences."""
    pivots = [PIVOT, OTHER if parameters.dimensions != 6 else PIVOT, PIVOT]
    columns = []
    for n in range(parameters.dimensions):
        moved = torch.zeros_like(points)
        moved[:, n] = step
        after, before, here = (parameters.poses(x) for x in (points + moved, points - moved, points))
        if here.dim() == 3:
            after, before, here = after[:, None], before[:, None], here[:, None]
        parts = [
            pose_difference(after[:, k], here[:, k], pivots[k]) - pose_difference(before[:, k], here[:, k], pivots[k])
            for k in range(here.shape[1])
        ]
        columns.append(torch.cat(parts, dim=-1) / (2 * step))
    return torch.stack(columns, dim=-1)


@pytest.mark.parametrize("parameters", CHARTS.values(), ids=CHARTS)
def test_a_pose_comes_back_from_its_numbers(parameters):
    parameters = parameters()
    poses = parameters.poses(drawn(parameters))
    again = parameters.poses(torch.stack([parameters.point(pose) for pose in poses]))
    torch.testing.assert_close(again, poses, rtol=0, atol=1e-9)
    rotation = poses[..., :3, :3]
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3, dtype=DOUBLE).expand_as(rotation))
    assert (torch.linalg.det(rotation) > 0).all()


@pytest.mark.parametrize("parameters", CHARTS.values(), ids=CHARTS)
def test_twists_are_what_the_numbers_do(parameters):
    parameters = parameters()
    points = drawn(parameters)
    found = parameters.twists(points)
    expected = differences(parameters, points)
    assert found.shape == expected.shape
    # Differences of poses some hundred millimetres away keep nine digits, divided by the step.
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=2e-6)


SINGULAR = {
    "no turn": [0.0] * 6,
    "hardly a turn": [1e-9, -1e-9, 1e-9, 0.0, 0.0, 0.0],
    "where the series end": [0.0999, 0.0, 0.0, 1.0, 2.0, 3.0],
    "where they begin": [0.1001, 0.0, 0.0, 1.0, 2.0, 3.0],
    "half a turn": [0.0, math.pi, 0.0, 1.0, 2.0, 3.0],
    "more than half": [0.0, 0.0, 4.0, 1.0, 2.0, 3.0],
    "a whole turn": [2 * math.pi, 0.0, 0.0, 1.0, 2.0, 3.0],
    "nose up, an Euler singularity": [0.3, math.pi / 2, -0.4, 20.0, 700.0, 5.0],
    "nose down": [0.3, -math.pi / 2, -0.4, 20.0, 700.0, 5.0],
}


@pytest.mark.parametrize("numbers", SINGULAR.values(), ids=SINGULAR)
@pytest.mark.parametrize("parameters", [twist, plain_screw, euler, turned])
def test_singular_points_have_poses_and_twists(parameters, numbers):
    parameters = parameters()
    point = torch.tensor([numbers], dtype=DOUBLE)
    torch.testing.assert_close(parameters.twists(point), differences(parameters, point), rtol=1e-6, atol=2e-6)
    pose = parameters.poses(point)
    torch.testing.assert_close(parameters.poses(parameters.point(pose[0])[None]), pose, rtol=0, atol=1e-9)


@pytest.mark.parametrize("middle", [math.pi / 2, -math.pi / 2])
@pytest.mark.parametrize("off", [0.0, 1e-12, 1e-8, 1e-4])
def test_euler_angles_near_the_lock_still_give_the_pose(middle, off):
    for outer in torch.linspace(-3, 3, 13, dtype=DOUBLE):
        point = torch.tensor([[outer, middle - math.copysign(off, middle), 0.7, 1.0, 700.0, 2.0]], dtype=DOUBLE)
        pose = euler().poses(point)
        torch.testing.assert_close(euler().poses(euler().point(pose[0])[None]), pose, rtol=0, atol=1e-9)


def test_at_the_lock_one_direction_is_lost_and_elsewhere_none():
    lost = torch.tensor([[0.3, math.pi / 2, -0.4, 0.0, 700.0, 0.0]], dtype=DOUBLE)
    assert torch.linalg.matrix_rank(euler().twists(lost), atol=1e-9).item() == 5
    assert (torch.linalg.matrix_rank(euler().twists(drawn(euler()))) == 6).all()


def test_a_rotation_vector_is_zero_at_its_start():
    torch.testing.assert_close(twist().poses(torch.zeros(1, 6, dtype=DOUBLE))[0], START, rtol=0, atol=1e-12)
    torch.testing.assert_close(twist().point(START), torch.zeros(6, dtype=DOUBLE), rtol=0, atol=1e-12)


def test_a_screw_is_the_exponential_of_its_matrix():
    points = drawn(screw())
    screws = points * SCALE
    matrix = torch.zeros(len(points), 4, 4, dtype=DOUBLE)
    matrix[:, :3, :3] = skew(screws[:, :3])
    matrix[:, :3, 3] = screws[:, 3:]
    # Seen from the pivot, in the camera's axes.
    to_pivot = torch.eye(4, dtype=DOUBLE)
    to_pivot[:3, 3] = -(START[:3, :3] @ PIVOT + START[:3, 3])
    expected = torch.linalg.inv(to_pivot) @ torch.matrix_exp(matrix) @ to_pivot @ START
    torch.testing.assert_close(screw().poses(points), expected, rtol=0, atol=1e-9)


def test_small_screws_are_twists():
    points = 1e-4 * drawn(twist())
    torch.testing.assert_close(plain_screw().poses(points), twist().poses(points), rtol=0, atol=1e-7)
    torch.testing.assert_close(plain_screw().twists(points), twist().twists(points), rtol=0, atol=1e-3)


def test_xvrs_numbers_at_zero_are_an_ap_view_from_the_front():
    pose = euler().poses(torch.tensor([[0.0, 0.0, 0.0, 0.0, 700.0, 0.0]], dtype=DOUBLE))[0]
    # The source stands 700 mm in front of the pivot and looks to the back; the patient's left is right in the image.
    source = torch.linalg.inv(pose)[:3, 3]
    torch.testing.assert_close(source, PIVOT + torch.tensor([0.0, 700.0, 0.0], dtype=DOUBLE))
    axes = pose[:3, :3]
    torch.testing.assert_close(axes[2], torch.tensor([0.0, -1.0, 0.0], dtype=DOUBLE))
    torch.testing.assert_close(axes[1], torch.tensor([0.0, 0.0, -1.0], dtype=DOUBLE))
    torch.testing.assert_close(axes[0], torch.tensor([-1.0, 0.0, 0.0], dtype=DOUBLE))
    assert torch.linalg.det(AP_AXES) > 0


def test_xvrs_numbers_turn_the_source_about_the_pivot():
    points = drawn(euler())
    points[:, 3:] = torch.tensor([15.0, 700.0, -8.0], dtype=DOUBLE)
    poses = euler().poses(points)
    sources = torch.linalg.inv(poses)[:, :3, 3]
    expected = PIVOT + (rotation_from_eulers(points[:, :3], "zxy") @ points[0, 3:])
    torch.testing.assert_close(sources, expected, rtol=0, atol=1e-9)


def test_held_numbers_stay():
    parameters = held()
    poses = parameters.poses(drawn(parameters) * 0.1)
    full = torch.stack([euler().point(pose) for pose in poses])
    torch.testing.assert_close(full[:, [1, 3, 5]], parameters.at[[1, 3, 5]].expand(len(full), 3), rtol=0, atol=1e-9)


@pytest.mark.parametrize("objects", [2, 3])
def test_objects_do_not_move_one_another(objects):
    parameters = MultiObject(tuple(RotVec(START, PIVOT + 10 * n) for n in range(objects)))
    assert parameters.dimensions == 6 * objects
    points = drawn(parameters)
    moved = points.clone()
    moved[:, 6:12] += 1.0
    before, after = parameters.poses(points), parameters.poses(moved)
    assert before.shape == (len(points), objects, 4, 4)
    same = [n for n in range(objects) if n != 1]
    assert torch.equal(before[:, same], after[:, same])
    assert (before[:, 1] - after[:, 1]).abs().amax((-1, -2)).min() > 0.1
    blocks = parameters.twists(points).unflatten(1, (objects, 6)).unflatten(-1, (objects, 6))
    for n in range(objects):
        for m in range(objects):
            assert (n == m) or blocks[:, n, :, m].abs().max() == 0


def test_a_span_is_told_in_degrees_and_used_in_radians():
    one = span(PoseSpan((180.0, 90.0, 45.0), (1.0, 2.0, 3.0)))
    torch.testing.assert_close(one, torch.tensor([math.pi, math.pi / 2, math.pi / 4, 1.0, 2.0, 3.0], dtype=DOUBLE))
    assert torch.equal(span(PoseSpan((180.0, 90.0, 45.0), (1.0, 2.0, 3.0)), 2), one.repeat(2))
