"""Presets against what was published of them: images, windows, numbers, and where a penalty holds."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from method_scenes import POINTS, error_mm, landmarks, run, small_scene
from numpy.lib.stride_tricks import sliding_window_view
from pelvis_scenes import nearby, pelvis, truth
from scipy.ndimage import convolve1d, gaussian_filter

from xrayreg.benchmark.methods import METHODS, MethodContext, Outcome, evolution, gradients
from xrayreg.benchmark.methods import given as given_poses
from xrayreg.benchmark.methods.similarities import patch_gradient_zncc
from xrayreg.benchmark.methods.staged import Level, as_large, held_near, registered
from xrayreg.geometry import Camera, retract, skew
from xrayreg.optimize import Answer, Query, RotVec, optimise
from xrayreg.optimize.optimiser import best_seen
from xrayreg.registration.results import unheeded
from xrayreg.settings import PoseSpan, Term
from xrayreg.similarity import Similarity, Target

DOUBLE = torch.float64
PIVOT = torch.tensor([10.0, -20.0, 30.0], dtype=DOUBLE)
START = retract(torch.eye(4, dtype=DOUBLE), torch.tensor([0.3, -0.2, 0.5, 12.0, -7.0, 640.0], dtype=DOUBLE), PIVOT)
# DeepFluoro's detector, 50 pixels cut off on each side.
PUBLISHED = Camera.from_sid(1020.0, 0.194, 1436, 1436)


@pytest.fixture
def levels_of(monkeypatch) -> Callable[..., list[Level]]:
    """The levels that a method would run."""
    seen: list[Level] = []

    def noted(scene, context, levels, starts_from, on_step):
        seen[:] = levels
        return Outcome(np.eye(4), 0.0, 0, 0.0, "Nothing was done.")

    for room in (evolution, gradients):
        monkeypatch.setattr(room, "registered", noted)

    def levels(name: str, **options: object) -> list[Level]:
        options = {"landmarks": landmarks("frontal"), **options}
        METHODS[name].run(small_scene(), MethodContext(options=options), unheeded)
        return list(seen)

    return levels


class Enough(Exception):
    """No more answers."""


def queries_of(optimiser, answers: list[Answer]) -> list[Query]:
    """What an optimiser asks that is given some answers, and what it asks after these."""
    queries: list[Query] = []

    def objective(query: Query) -> Answer:
        queries.append(query)
        if len(queries) > len(answers):
            raise Enough
        return answers[len(queries) - 1]

    with pytest.raises(Enough):
        optimise(optimiser, objective)
    return queries


# Longest side of the images on the published detector, and windows of each level.
XREG = [(1436 / 8, [11]), (1436 / 4, [21])]
IMAGES = {
    "xreg": XREG,
    "xreg-landmarks": XREG,
    "grupp-global": [(1436 / 32, [3])] * 2 + XREG,
    "grupp-global-full": [(1436 / 32, [3])] * 2 + XREG,
    "grid": [(1436 / 32, [3]), *XREG],
    "grid-full": [(1436 / 32, [3]), *XREG],
    "cmaes-chen": [(256, [None, 13])],
    "lra-cma": [(256, [None, 13])],
    "diffpose": [(256, [None, 13])],
    "prost-gradient": [(128, [None])],
    "xvr": [(1436 / scale, [None, 9, 11]) for scale in (24, 12, 6)],
}


@pytest.mark.parametrize("name", IMAGES)
def test_images_and_windows_are_the_published_ones(name, levels_of):
    found = [(level.size(PUBLISHED), [term.window for term in level.terms]) for level in levels_of(name)]
    assert [windows for _, windows in found] == [windows for _, windows in IMAGES[name]]
    assert [size for size, _ in found] == pytest.approx([size for size, _ in IMAGES[name]])


@pytest.mark.parametrize("name", ["xreg", "xreg-landmarks", "grupp-global", "grid"])
def test_grupps_numbers_are_those_of_se3_about_the_pivot(name, levels_of):
    point = torch.tensor([[0.5, -0.3, 0.8, 30.0, -20.0, 60.0]], dtype=DOUBLE)
    screw = torch.zeros(4, 4, dtype=DOUBLE)
    screw[:3, :3], screw[:3, 3] = skew(point[0, :3]), point[0, 3:]
    # Camera axes, with the pivot at zero.
    to_pivot = torch.eye(4, dtype=DOUBLE)
    to_pivot[:3, 3] = -(START[:3, :3] @ PIVOT + START[:3, 3])
    expected = torch.linalg.inv(to_pivot) @ torch.matrix_exp(screw) @ to_pivot @ START
    for level in levels_of(name):
        parameters, _ = level.solver(START, PIVOT)
        torch.testing.assert_close(parameters.poses(point)[0], expected, rtol=0, atol=1e-9)


def test_published_first_generations_are_as_wide_as_they_were(levels_of):
    level, _ = levels_of("xreg")
    _, optimiser = level.solver(START, PIVOT)
    first, second = queries_of(optimiser, [Answer(torch.zeros(1, dtype=DOUBLE))])
    assert not first.points.any()
    drawn = second.points
    wide = torch.tensor([math.radians(a) for a in (15, 15, 30)] + [50.0, 50.0, 100.0], dtype=DOUBLE)
    assert drawn.shape == (100, 6)
    # A standard deviation of 100 draws is known to seven per cent.
    torch.testing.assert_close(drawn.std(0), wide, rtol=0.25, atol=0)


def test_xreg_is_held_near_its_start_only_when_asked(levels_of):
    free, penalised = levels_of("xreg"), levels_of("xreg", penalised=True)
    assert [level.regulariser for level in free] == [None, None]
    assert penalised[0].regulariser is not None and penalised[1].regulariser is None
    for name in ("xreg-landmarks", "grupp-global", "grid"):
        assert [level.regulariser is None for level in levels_of(name)[-2:]] == [False, True]


def looking_at(place: float):
    """A solver that looks at one point, all of whose numbers are `place`."""

    def solve(start: torch.Tensor, pivot: torch.Tensor):
        point = torch.full((6,), place, dtype=DOUBLE)

        @best_seen
        def looks(objective) -> str:
            objective(Query(point[None]))
            return "Looked."

        return RotVec(start, pivot, torch.tensor([0.05] * 3 + [3.0] * 3, dtype=DOUBLE)), looks()

    return solve


@pytest.mark.parametrize(("place", "cost"), [(0.0, 0.0), (1.0, 0.5 * 6)])
def test_a_penalty_counts_from_where_its_level_starts(place, cost):
    step = PoseSpan((math.degrees(0.05),) * 3, (3.0,) * 3)
    levels = [
        Level(as_large(24.0), (Term(),), looking_at(4.0), 1, "going away"),
        Level(as_large(24.0), (Term(),), looking_at(place), 1, "held", held_near(step, (0.0, 1.0))),
        Level(as_large(24.0), (Term(),), looking_at(0.0), 1, "at last"),
    ]
    found = registered(small_scene(), MethodContext(), levels, gradients.only, unheeded)
    (held,) = [point.similarity for point in found.trace if point.level == 2]
    # Half for one standard deviation of each number; three angles of 3 degrees are a rotation vector's to a hundredth.
    assert held == pytest.approx(-cost, rel=0.02, abs=1e-9)


def landmark_cost(views: tuple[str, ...], given: dict, pose: np.ndarray) -> float:
    """What the penalty of `xreg-landmarks` on a scene of those views takes off at a pose of the first camera."""
    scene, context = small_scene(views), MethodContext(options={"landmarks": given})
    found = given_poses.landmark_pose(scene, context)
    regulariser = evolution._held_to_landmarks(scene, context, found)
    assert regulariser.weight == 0.9
    at = torch.from_numpy(pose)[None]
    return -sum(float(penalty.agreement(at).score) for penalty in regulariser.penalties(at[0], PIVOT))


@pytest.mark.parametrize("views", [("frontal",), ("frontal", "lateral")])
def test_landmarks_hold_a_pose_in_every_view_that_shows_them(views):
    given = landmarks(*views)
    given["pixels"][0][2] = np.nan
    squares = 0.0
    for view, clicks in zip(small_scene(views).views, given["pixels"], strict=True):
        pose = view.camera.camera_from_world @ nearby()
        off = view.camera.project(POINTS @ pose[:3, :3].T + pose[:3, 3]) - clicks
        # Pixels of 0.194 mm, 1020 mm from the source.
        squares += np.nansum((off * (1020 / 0.194) / view.camera.focal_px) ** 2)
    assert landmark_cost(views, given, nearby()) == pytest.approx(0.1 * squares / (2 * 100**2), rel=1e-9)


def test_a_landmark_that_fits_no_pose_with_the_others_holds_nothing():
    points = np.vstack([POINTS, [[60, -40, 30], [-70, 20, -60]]])
    camera = small_scene().views[0].camera
    clicks = camera.project(points @ truth()[:3, :3].T + truth()[:3, 3])
    clicks[7] += 25
    # The others are marked exactly.
    assert landmark_cost(("frontal",), {"points": points, "pixels": [clicks]}, truth()) < 1e-9


def test_xreg_with_landmarks_begins_where_they_put_the_patient():
    given = small_scene(("frontal", "lateral"), initial=None)
    option = landmarks("frontal", "lateral")
    start = run("landmarks", given, landmarks=option).camera_from_volume
    found = run("xreg-landmarks", given, landmarks=option)
    np.testing.assert_allclose(found.trace[0].camera_from_volume, start, atol=1e-9)
    # Clicks are 1.5 pixels of 6 mm off, which two views make good for.
    assert error_mm(given, found.camera_from_volume) < 10


def test_prosts_numbers_are_told_in_half_the_volumes_largest_edge(levels_of):
    (level,) = levels_of("prost-gradient")
    assert level.terms == (Term("sobel", floor=0.0, epsilon=1e-5, padded=True),)
    parameters, optimiser = level.solver(START, PIVOT)
    half_mm = np.ptp(pelvis().grid.corners(), axis=0).max() / 2
    shift = parameters.poses(torch.tensor([[0.0, 0, 0, 0, 0, 1]], dtype=DOUBLE))[0] - START
    assert float(shift[2, 3]) == pytest.approx(half_mm) and shift.abs().sum() == pytest.approx(half_mm)
    turned = parameters.poses(torch.tensor([[0.1, 0, 0, 0, 0, 0]], dtype=DOUBLE))[0, :3, :3] @ START[:3, :3].mT
    assert math.acos((float(turned.trace()) - 1) / 2) == pytest.approx(0.1)
    # Of a slope of one the first step is the lowest rate; the momentum of 0.9 stays in the second, a hundredth of the
    # way to the highest.
    slope = torch.ones(1, 6, dtype=DOUBLE)
    answers = [Answer(torch.tensor([float(score)], dtype=DOUBLE), slope) for score in range(2)]
    queries = queries_of(optimiser, answers)
    assert [query.derivatives for query in queries] == [1, 1, 1]
    places = [float(query.points[0, 0]) for query in queries[1:]]
    assert places == pytest.approx([1e-3, 1e-3 + 1.9 * 1.02e-3])


def test_the_patch_correlation_is_xregs():
    """OpenCV's Gaussian of 5 pixels, Sobel, all patches of radius 5 alike, the mean of both derivatives."""
    generator = np.random.default_rng(0)
    xray, other = (gaussian_filter(generator.normal(size=(40, 44)), 1.5) for _ in range(2))
    drr = 0.7 * xray + 0.5 * other
    # cv::getGaussianKernel of 5 pixels without a sigma.
    sigma = 0.3 * ((5 - 1) * 0.5 - 1) + 0.8
    kernel = np.exp(-0.5 * (np.arange(-2, 3) / sigma) ** 2)
    kernel /= kernel.sum()

    def patches(image: np.ndarray) -> list[np.ndarray]:
        for axis in (0, 1):
            image = convolve1d(image, kernel, axis=axis)
        slopes = [convolve1d(convolve1d(image, [1, 0, -1], axis=a), [1, 2, 1], axis=1 - a) for a in (0, 1)]
        # Border pixels take no part here, as ours do not read beyond the image.
        return [sliding_window_view(slope[4:-4, 4:-4], (11, 11)).reshape(-1, 121) for slope in slopes]

    scores = []
    for x, y in zip(patches(xray), patches(drr), strict=True):
        x, y = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
        scores.append(((x * y).sum(1) / np.sqrt((x**2).sum(1) * (y**2).sum(1))).mean())
    image = torch.from_numpy(xray)
    found = Similarity(patch_gradient_zncc(8.0)).score(
        Target(image, torch.ones_like(image)), torch.from_numpy(drr)[None]
    )
    # Our kernel has seven pixels, whose outermost weigh a hundredth, and windows half inside the border count too.
    assert float(found) == pytest.approx(np.mean(scores), abs=0.02)
    assert 0.3 < np.mean(scores) < 0.95
