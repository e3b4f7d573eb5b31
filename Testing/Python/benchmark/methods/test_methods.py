"""Laws of all methods: nearer and never worse, told truly, the same again, and clear about what they lack."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from method_scenes import BUDGETS, error_mm, near, run, small_scene
from pelvis_scenes import SOD_MM, moved, nearby, pelvis, truth

from xrayreg.benchmark.methods import METHODS, MethodContext, method_named, run_method
from xrayreg.benchmark.methods.gradients import only, with_antipode
from xrayreg.benchmark.methods.meter import thinned
from xrayreg.benchmark.methods.method import TracePoint
from xrayreg.benchmark.methods.staged import PUBLISHED_PX, Level, as_fine, as_large, registered
from xrayreg.checks import InputError
from xrayreg.geometry import Camera, camera_from_carm
from xrayreg.optimize import Query, RotVec
from xrayreg.optimize.optimiser import best_seen
from xrayreg.registration.results import Step, unheeded
from xrayreg.scene import radiograph_from_array
from xrayreg.settings import Term

CHANCE = ("xreg", "cmaes-chen", "lra-cma", "grupp-global")


# From nearby, gradient correlation ends in another optimum; ProST's second stage is asked of less, below.
ASTRAY = ("prost-gradient", "gradncc")


@pytest.mark.parametrize("name", [name for name in BUDGETS if name not in (*CHANCE, *ASTRAY)])
def test_a_method_comes_nearer(name):
    given, found = small_scene(), near(name)
    before, after = error_mm(given, nearby()), error_mm(given, found.camera_from_volume)
    # X-rays of 6 mm pixels and the smallest budgets: arriving is asked of those that follow curvature, and nothing of
    # those that draw by chance.
    assert after < (2.0 if name in ("lm-xvr", "ours-lm", "ours-lm-quick") else 0.95 * before)
    rotation = found.camera_from_volume[:3, :3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
    assert found.reason.endswith(".") and found.accepted is None and found.renders > 5


@pytest.mark.parametrize(("turn", "shift"), [((5, 4, -6), (0, 0, 0)), ((0, 0, 0), (8, -10, 25))])
def test_prosts_slope_leads_home_from_a_turn_and_from_a_shift(turn, shift):
    given = small_scene(initial=moved(truth(), turn, shift))
    found = run("prost-gradient", given)
    assert error_mm(given, given.initial) > 25 and error_mm(given, found.camera_from_volume) < 2.0
    assert found.reason == "The similarity no longer changes." and found.renders < 300


@pytest.mark.parametrize("name", BUDGETS)
def test_the_trace_spends_more_and_more_and_rises_within_each_level(name):
    found = near(name)
    assert 2 <= len(found.trace) <= 60
    for before, after in pairwise(found.trace):
        assert after.seconds >= before.seconds and after.renders >= before.renders and after.level >= before.level
        assert after.level > before.level or after.similarity > before.similarity
    assert found.trace[-1].renders <= found.renders and found.trace[-1].seconds <= found.seconds
    # Nothing better came after the last point.
    np.testing.assert_allclose(found.trace[-1].camera_from_volume, found.camera_from_volume, atol=1e-9)
    assert found.trace[-1].similarity == pytest.approx(found.similarity, abs=1e-6)


@pytest.mark.parametrize("name", ["xvr", "lm-xvr", "ours-lm", "ours-lm-quick", "xreg", "prost-gradient"])
def test_from_the_truth_it_stays_there(name):
    given = small_scene(initial=truth())
    # Half a pixel of these images at the anatomy is 2 mm, and depth is seen five times worse than what is across.
    assert error_mm(given, run(name, given).camera_from_volume) < 4.0


@pytest.mark.parametrize("name", CHANCE)
def test_the_same_seed_gives_the_same_pose_and_another_seed_another(name):
    # So far off that even a few poses drawn at random hold a better one.
    given = small_scene(initial=moved(truth(), (30, -20, 10), (60, 40, 100)))
    found, again, other = (run(name, given, seed) for seed in (0, 0, 1))
    assert np.array_equal(found.camera_from_volume, again.camera_from_volume) and found.renders == again.renders
    assert not np.array_equal(found.camera_from_volume, other.camera_from_volume)


@best_seen
def looks_at(objective, points: torch.Tensor) -> str:
    """Looks at some points and ends."""
    objective(Query(points))
    return "Done."


def losing(start: torch.Tensor, pivot: torch.Tensor):
    """A level that looks at a single pose, far from the start."""
    parameters = RotVec(start, pivot, torch.tensor([0.05] * 3 + [3.0] * 3, dtype=torch.float64))
    return parameters, looks_at(torch.full((1, 6), 8.0, dtype=torch.float64))


def test_a_method_that_found_worse_gives_back_what_it_was_given():
    level = Level(as_large(24.0), (Term(),), losing, 1, "getting lost")
    found = registered(small_scene(), MethodContext(), [level], only, unheeded)
    np.testing.assert_allclose(found.camera_from_volume, nearby(), atol=1e-9)
    assert found.reason == "Nothing was found that fits better than the start." and found.renders == 2


def test_the_better_of_two_starts_is_kept():
    given = small_scene(initial=moved(truth(), (0, 0, 0), (3, 2, 0)))
    alone, both = run("lm-xvr", given), run("xvr", given, antipodal=True, steps=[4, 2])
    assert both.similarity >= run("xvr", given, steps=[4, 2]).similarity - 1e-9
    assert error_mm(given, both.camera_from_volume) < 10 and error_mm(given, alone.camera_from_volume) < 4


def test_the_antipode_looks_from_behind_and_shows_a_symmetric_patient_alike():
    pivot = torch.zeros(3, dtype=torch.float64)
    pose = torch.as_tensor(camera_from_carm(12.0, -8.0, 1e5, np.zeros(3)))
    given, behind = with_antipode(pose, pivot)
    assert torch.equal(given, pose)
    points = np.random.default_rng(0).uniform(-50, 50, (40, 3))
    both = np.vstack([points, points * (-1, 1, 1)])
    # From so far away rays are parallel: what is symmetric projects to the same set of points.
    camera = Camera.from_sid(1e5, 1.0, 200, 200)
    seen, mirrored = (camera.project(both @ p[:3, :3].numpy().T + p[:3, 3].numpy()) for p in (given, behind))
    apart = np.linalg.norm(seen[:, None] - mirrored[None], axis=2).min(axis=1)
    assert apart.max() < 0.1
    assert float((given[2, :3] * behind[2, :3]).sum()) < -0.8


@pytest.mark.parametrize("name", ["ours-lm", "ours-lm-quick"])
def test_two_views_count_together(name):
    two = small_scene(("frontal", "lateral"))
    found = run(name, two)
    # A quarter of a pixel at the anatomy; depth is no longer seen worse than the rest.
    assert error_mm(two, found.camera_from_volume) < 1.0
    assert found.renders > near(name).renders


@pytest.mark.parametrize("name", ["lm-xvr", "ours-lm", "ours-lm-quick"])
def test_structures_alone_are_rendered(name):
    given = small_scene(structures=(1, 2, 3), initial=moved(truth(), (2, -2, 2), (4, 4, 10)))
    whole_body = replace(given, structures=())
    found = run(name, given)
    assert error_mm(given, found.camera_from_volume) < 0.6 * error_mm(given, given.initial)
    assert found.similarity != run(name, whole_body).similarity


@pytest.mark.parametrize("name", ["xvr", "ours-lm"])
def test_the_grey_scale_may_run_either_way(name):
    given = small_scene()
    view = given.views[0]
    views = [
        radiograph_from_array(image, view.camera, intensity=kind)
        for image, kind in (
            (view.attenuation, "attenuation"),
            (view.attenuation.max() - view.attenuation, "attenuation"),
        )
    ]
    negative = radiograph_from_array(
        view.attenuation.max() - view.attenuation, view.camera, intensity="attenuation", negated=True
    )
    same, wrong, right = (run(name, replace(given, views=(v,))) for v in (*views, negative))
    np.testing.assert_allclose(same.camera_from_volume, right.camera_from_volume, atol=1e-2)
    assert wrong.similarity < same.similarity - 0.1


def test_engines_agree():
    given = small_scene()
    other = run_method(METHODS["lm-xvr"], given, MethodContext(engine="torch", options=BUDGETS["lm-xvr"]))
    between = replace(given, reference=near("lm-xvr").camera_from_volume)
    # float32 sums in another order, at the end of twenty steps.
    assert error_mm(between, other.camera_from_volume) < 0.1


class Left(Exception):
    """Whoever follows a method does not want it any more."""


def left_after(count: int, name: str, context: MethodContext) -> list[Step]:
    """The first steps of a method that is left then."""
    steps: list[Step] = []

    def on_step(step: Step) -> None:
        steps.append(step)
        if len(steps) == count:
            raise Left

    with pytest.raises(Left):
        METHODS[name].run(small_scene(), context, on_step)
    return steps


def test_a_method_tells_its_steps_and_may_be_left():
    steps = left_after(12, "xvr", MethodContext(options=BUDGETS["xvr"]))
    # What is to be done is told before anything is.
    assert [step.renders for step in steps] == list(range(12)) and steps[0].similarity is None
    assert all(a.fraction <= b.fraction <= 1 for a, b in pairwise(steps))
    assert all(a.similarity <= b.similarity for a, b in pairwise(steps[1:]))
    assert steps[-1].camera_from_volume.shape == (4, 4) and steps[-1].message == "Adam at 1/24"


@pytest.mark.parametrize("name", ["grupp-global-full", "grid-full"])
def test_a_search_for_the_patient_says_first_what_it_will_take_and_may_be_left(name):
    first, *later = left_after(3, name, MethodContext())
    assert first.renders == 0 and first.fraction == 0 and first.camera_from_volume is None
    poses = {"grupp-global-full": 400_000, "grid-full": 17 * 17 * 21**3}[name]
    assert int("".join(filter(str.isdigit, first.message.split(",")[1]))) == poses
    # The coarse search is nearly all of the work, though its images are a sixteenth as large as those after it.
    for step in later:
        done = step.renders / poses
        assert 0.1 * done < step.fraction <= done


def test_what_is_left_is_told_by_the_pixels_of_what_is_done():
    def waiting(poses):
        def solve(start, pivot):
            return RotVec(start, pivot), looks_at(torch.zeros(poses, 6, dtype=torch.float64))

        return solve

    levels = [
        Level(as_large(PUBLISHED_PX / image_px), (Term(),), waiting(poses), poses, str(image_px))
        for image_px, poses in ((16, 32), (64, 2))
    ]
    steps: list[Step] = []
    registered(small_scene(), MethodContext(), levels, only, steps.append)
    # 32 images of 16 x 16 pixels, then 2 of 64 x 64.
    assert [(step.message, step.fraction) for step in steps] == [("16", 0.0), ("16", 0.5), ("64", 0.5), ("64", 1.0)]


def test_images_are_as_large_or_as_fine_as_the_published_ones():
    # The published detector: 1436 pixels of 0.194 mm, 1020 mm away.
    published = Camera.from_sid(1020.0, 0.194, 1436, 1436)
    for downsampling in (4.0, 8.0, 32.0):
        for size in (as_large, as_fine):
            assert size(downsampling)(published) == pytest.approx(1436 / downsampling)
    # Half as wide with pixels twice as large: as fine it is half as large.
    smaller = Camera.from_sid(1020.0, 0.388, 359, 359)
    assert as_large(8.0)(smaller) == pytest.approx(179.5)
    assert as_fine(8.0)(smaller) == pytest.approx(179.5 / 2)
    # What counts is the angle: twice as far away, pixels may be twice as large.
    assert as_fine(8.0)(Camera.from_sid(2040.0, 0.776, 359, 359)) == as_fine(8.0)(smaller)


def test_long_traces_keep_their_ends_and_the_end_of_each_level():
    points = [TracePoint(float(n), n, float(n), np.eye(4), level=n // 100) for n in range(350)]
    kept = thinned(points)
    assert 20 < len(kept) <= 60
    assert {0, 99, 199, 299, 349} <= {point.renders for point in kept}
    assert [point.renders for point in kept] == sorted({point.renders for point in kept})


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.needs])
def test_what_is_missing_is_named(name):
    with pytest.raises(InputError, match=METHODS[name].needs[0]):
        run_method(METHODS[name], small_scene(initial=None))


def test_unknown_names_and_options_are_refused():
    with pytest.raises(InputError, match=r"initial, fixed, .*xvr.*'adam'"):
        method_named("adam")
    assert method_named("xreg") is METHODS["xreg"]
    for name, options in (
        ("xvr", {"rate": 3}),
        ("initial", {"rate": 3}),
        ("ours", {"effort": "great"}),
        ("objects", {"a": 1}),
    ):
        with pytest.raises(InputError, match="method options"):
            run(name, small_scene(), **options)
    # What there is instead is told.
    with pytest.raises(InputError, match=r"any of image_px, population, .*found popul\b"):
        run("cmaes-chen", small_scene(), popul=3)
    with pytest.raises(InputError, match=r"options.counts: expected a list, .*written \[1, 2\]"):
        run("grid", small_scene(), counts="1,1,1,3,3,3")
    for options in ({"steps": [3]}, {"scales": ["a"], "steps": [1]}, {"scales": [0.0], "steps": [1]}):
        with pytest.raises(InputError, match="scales"):
            run("xvr", small_scene(), **options)
    # What belongs to the case is no option of the method.
    assert run("initial", small_scene(), angles=(0, 0, 700), network="model.pt").renders == 0


def test_every_method_says_what_it_is():
    for name, method in METHODS.items():
        assert method.name == name and method.title and method.source.endswith(".")
    assert len({method.title for method in METHODS.values()}) == len(METHODS)


def test_a_search_needs_no_start():
    found = run("grid", small_scene(initial=None))
    centre = found.camera_from_volume @ np.append(pelvis().grid.centre, 1.0)
    assert abs(centre[2] - SOD_MM) < 200
