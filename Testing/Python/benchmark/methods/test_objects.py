"""Several objects in one X-ray: their sum, its derivatives, the joints between them, and femurs that have turned."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from femur_scenes import FEMUR_LEFT, FEMUR_RIGHT, PELVIS, head, true_poses, turned_scene
from numpy.typing import NDArray
from pelvis_scenes import moved, pelvis, truth
from phantoms import PIVOT, camera_at, frontal, phantom_map, xray
from torch import Tensor

from xrayreg.benchmark.methods import METHODS, MethodContext, run_method
from xrayreg.benchmark.methods.composite import CompositeProblem
from xrayreg.benchmark.methods.joints import joint_centre
from xrayreg.benchmark.methods.objects import RigidObject, objects_of
from xrayreg.checks import InputError
from xrayreg.geometry import retract
from xrayreg.io import read_labels, read_volume
from xrayreg.registration.problem import build_problem
from xrayreg.render import prepare
from xrayreg.scene import Attenuation, Scene, Volume, rendered_grid
from xrayreg.settings import Term
from xrayreg.similarity import Similarity
from xrayreg.simulation.pelvis import HIP_CENTRE

DOUBLE = torch.float64
TRUTH = frontal((0.1, -0.15, 0.05), (6.0, -8.0, 20.0))[0]
PIVOTS = torch.stack([PIVOT, PIVOT + torch.tensor([20.0, -10.0, 15.0])])


def two_parts(terms: tuple[Term, ...] = (Term(),)) -> CompositeProblem:
    """The blobs cut in two halves, under an X-ray of the whole in closed form."""
    whole = phantom_map(DOUBLE)
    half = torch.arange(whole.mu.shape[2]) < 33
    projectors = tuple(
        prepare(Attenuation(torch.where(part, whole.mu, 0), whole.grid), "torch", "cpu") for part in (half, ~half)
    )
    base = build_problem(
        projectors[0], (xray(camera_at(20), TRUTH[None]),), Similarity(terms), image_px=20, pivot=PIVOT
    )
    return CompositeProblem(projectors, base.views, base.similarity, PIVOTS)


def apart(count: int) -> Tensor:
    """Poses (count, 2, 4, 4) of the halves, each turned and moved a little in its own way."""
    twists = torch.from_numpy(np.random.default_rng(3).uniform(-1, 1, (count, 2, 6))) * torch.tensor(
        [0.05] * 3 + [4.0] * 3, dtype=DOUBLE
    )
    return torch.stack([retract(TRUTH.expand(count, 4, 4), twists[:, k], PIVOTS[k]) for k in range(2)], dim=1)


def test_two_halves_in_place_are_the_whole():
    problem = two_parts()
    whole = prepare(phantom_map(DOUBLE), "torch", "cpu")
    together = build_problem(
        whole, (xray(camera_at(20), TRUTH[None]),), Similarity((Term(),)), image_px=20, pivot=PIVOT
    )
    torch.testing.assert_close(problem.images(TRUTH.expand(1, 2, 4, 4))[0], together.images(TRUTH[None])[0])
    torch.testing.assert_close(problem.scores(TRUTH.expand(1, 2, 4, 4)), together.scores(TRUTH[None]))
    # Moved as one, the twists of the halves about one pivot add up to that of the whole.
    same = CompositeProblem(problem.projectors, problem.views, problem.similarity, PIVOT.expand(2, 3))
    pose = frontal((0.15, -0.1, 0.1), (9.0, -5.0, 35.0))
    found, expected = same.agreement(pose.expand(1, 2, 4, 4)), together.agreement(pose)
    torch.testing.assert_close(found.gradient[:, :6] + found.gradient[:, 6:], expected.gradient)
    summed = found.normal.reshape(1, 2, 6, 2, 6).sum((1, 3))
    torch.testing.assert_close(summed, expected.normal)


@pytest.mark.parametrize("terms", [(Term(),), (Term("gradient"),)], ids=["global", "gradient"])
def test_the_gradient_of_twelve_numbers_is_the_derivative_of_the_score(terms):
    problem, poses = two_parts(terms), apart(2)
    found = problem.agreement(poses)
    torch.testing.assert_close(found.score, problem.scores(poses))
    step, columns = 1e-6, []
    for k in range(2):
        for direction in torch.eye(6, dtype=DOUBLE) * step:
            sides = []
            for sign in (1, -1):
                nudged = poses.clone()
                nudged[:, k] = retract(poses[:, k], sign * direction.expand(2, 6), PIVOTS[k])
                sides.append(problem.scores(nudged))
            columns.append((sides[1] - sides[0]) / (2 * step))
    expected = torch.stack(columns, dim=1)
    # Double precision; steps of 1e-6 may cross a kink of the interpolation on a few rays.
    scale = found.normal.diagonal(dim1=-2, dim2=-1).sqrt()
    assert ((found.gradient - expected).abs() / scale).max() < 2e-3
    assert (expected.abs() / scale).max() > 0.05


def test_objects_that_stand_still_are_rendered_once():
    problem, poses = two_parts(), apart(5)
    poses[:, 0] = poses[:1, 0]
    each = torch.cat([problem.scores(pose[None]) for pose in poses])
    before = problem.renders
    torch.testing.assert_close(problem.scores(poses), each)
    assert problem.renders - before == 6


def test_the_focus_is_on_the_objects_named():
    problem, poses = two_parts(), apart(1)[0]
    first, both = (problem.focused(poses, 1, shown).views[0].support for shown in ((0,), (0, 1)))
    assert first is not None and both is not None
    assert first.sum() < both.sum() and bool((both >= first).all())
    assert problem.focused(poses, 1, (0,)).projectors == problem.projectors


def test_a_femur_turns_about_the_middle_of_its_head():
    # Within a voxel of 4 mm.
    assert np.linalg.norm(head(FEMUR_RIGHT) - HIP_CENTRE) < 4.0
    with pytest.raises(InputError, match="joint"):
        joint_centre(pelvis(), (6,), FEMUR_LEFT)


def shift_mm(pose: NDArray, other: NDArray, labels: tuple[int, ...]) -> float:
    """Mean distance [mm] between where two poses put the corners of a bone's box."""
    between = np.asarray(pose) - other
    return float(
        np.linalg.norm(rendered_grid(pelvis(), labels).corners() @ between[:3, :3].T + between[:3, 3], axis=1).mean()
    )


@pytest.mark.long
@pytest.mark.parametrize("views", [("frontal",), ("frontal", "lateral")], ids=["one view", "two views"])
def test_femurs_that_have_turned_since_the_ct_are_found_with_the_pelvis(views):
    given = turned_scene(views, initial=moved(truth(), (3, 2, -3), (5, -6, 12)))
    found = run_method(METHODS["objects"], given, MethodContext(seed=1))
    assert shift_mm(found.camera_from_volume, truth(), PELVIS) < 2.0
    assert [name for name, _ in found.others] == ["femur_left", "femur_right"]
    for (_, pose), labels in zip(found.others, (FEMUR_LEFT, FEMUR_RIGHT), strict=True):
        riding = shift_mm(found.camera_from_volume, true_poses()[labels], labels)
        # Long bones reach 130 mm from the joint: 4 mm there are 2 degrees.
        assert shift_mm(pose, true_poses()[labels], labels) < 4.5 < 0.35 * riding
    assert found.renders > found.trace[0].renders and found.trace[-1].level > 3


def test_objects_are_named_or_known_by_their_labels():
    given = Scene(pelvis(), turned_scene().views)
    named = objects_of(given, MethodContext())
    assert named == (RigidObject("pelvis", PELVIS), RigidObject("femur_left", (4,)), RigidObject("femur_right", (5,)))
    chosen = objects_of(given, MethodContext(options={"objects": {"hip": [1, 2], "femur": [5]}}))
    assert chosen == (RigidObject("hip", (1, 2)), RigidObject("femur", (5,)))
    nameless = Scene(Volume(pelvis().values, pelvis().grid, pelvis().labels), given.views)
    with pytest.raises(InputError, match="objects"):
        objects_of(nameless, MethodContext())


def test_the_joints_of_a_real_pelvis_lie_where_hips_do(shared_data):
    volume = read_volume(shared_data("pelvis", "ct.nii.gz"))
    labels = read_labels(shared_data("pelvis", "labels.nii.gz"), volume)
    names = {name: int(label) for label, name in json.loads(shared_data("pelvis", "labels.json").read_text()).items()}
    real = Volume(volume.values, volume.grid, labels)
    sides = ("left", "right")
    left, right = (joint_centre(real, (names[f"femur_{side}"],), (names[f"hip_{side}"],)) for side in sides)
    # Hip centres of adults are 150 to 200 mm apart, level to a centimetre or two; to the patient's right x grows not.
    assert 140 < np.linalg.norm(left - right) < 210
    assert (abs(left[2] - right[2]) < 20 and left[0] < right[0]) or left[0] > right[0]
    for centre, side in zip((left, right), sides, strict=True):
        index = np.argwhere(labels == names[f"femur_{side}"])[:, ::-1]
        points = index @ volume.grid.volume_from_index[:3, :3].T + volume.grid.volume_from_index[:3, 3]
        distance = np.linalg.norm(points - centre, axis=1)
        # The centre lies inside the bone, and the head all around it.
        assert distance.min() < 4.0 and (distance < 20).mean() > 0.1
