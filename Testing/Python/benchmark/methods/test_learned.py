"""Descents on learned similarities: alone and before what is exact, told truly, and refused with the reason."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from learned_scenes import Difference, NoNumber, Nothing, standing_in, written
from method_scenes import error_mm, run, small_scene
from pelvis_scenes import moved, truth

from xrayreg.benchmark.methods import METHODS
from xrayreg.benchmark.methods.learned import LEARNED
from xrayreg.checks import InputError
from xrayreg.settings import SIMILARITY_NAMES

AWAY = moved(truth(), (4, 3, -5), (10, -12, 10))


@pytest.fixture
def similarity(tmp_path) -> str:
    with standing_in():
        return written(tmp_path / "sim.pt")


@pytest.mark.parametrize(
    ("follower", "options"), [("", {}), ("+cmaes", {"image_px": 48, "population": 8, "generations": 8}), ("+ours", {})]
)
def test_a_descent_comes_nearer_and_what_follows_goes_on_from_there(similarity, follower, options):
    given = small_scene(initial=AWAY)
    with standing_in():
        found = run(f"prost{follower}", given, similarity=similarity, steps=40, **options)
        again = run(f"prost{follower}", given, similarity=similarity, steps=40, **options)
    before, after = error_mm(given, AWAY), error_mm(given, found.camera_from_volume)
    assert after < (2.0 if follower == "+ours" else 0.8 * before)
    # The similarity is felt at thirteen poses around the start, and at least ten values tell that it has settled.
    assert found.renders >= 13 + 10 and found.reason.endswith(".")
    assert np.array_equal(again.camera_from_volume, found.camera_from_volume) and again.renders == found.renders
    assert len(found.trace) <= 60 and found.trace[-1].renders <= found.renders
    for one, next_one in pairwise(found.trace):
        assert next_one.renders >= one.renders and next_one.level >= one.level
        assert next_one.level > one.level or next_one.similarity > one.similarity
    assert found.trace[-1].similarity == pytest.approx(found.similarity, abs=1e-6)


def test_the_unit_of_a_similarity_does_not_matter(tmp_path):
    class Hundredfold(Difference):
        def compare(self, fixed, moving):
            found = super().compare(fixed, moving)
            return type(found)(100 * found.similarity)

    given = small_scene(initial=AWAY)
    poses = []
    for kind in (Difference, Hundredfold):
        with standing_in(kind):
            found = run("prost", given, similarity=written(tmp_path / "sim.pt"), steps=10)
        poses.append(found.camera_from_volume)
    np.testing.assert_allclose(poses[1], poses[0], atol=1e-3)


@pytest.mark.parametrize(("kind", "why"), [(Nothing, "the same number"), (NoNumber, "none at 13 of 13")])
def test_a_similarity_that_tells_nothing_is_refused(tmp_path, kind, why):
    with standing_in(kind), pytest.raises(InputError, match=f"similarity sim.pt.*{why}"):
        run("prost", small_scene(), similarity=written(tmp_path / "sim.pt"))


@pytest.mark.parametrize("method", ["prost", "prost+search"])
def test_a_similarity_of_another_architecture_is_named(tmp_path, method):
    file = written(tmp_path / "sim.pt", name="sopi")
    with pytest.raises(InputError, match=r"architecture prost, found sim.pt, which is sopi.*run the method sopi"):
        run(method, small_scene(), similarity=file)


def test_our_search_asks_it_where_to_look(similarity):
    given = small_scene(initial=AWAY)
    with standing_in():
        found = run("prost+search", given, similarity=similarity)
    assert error_mm(given, found.camera_from_volume) < 2
    assert found.reason_code == run("ours", given).reason_code


def test_unknown_options_are_refused_by_the_method_that_lacks_them(similarity):
    with standing_in():
        for options in ({"stepps": 3}, {"population": "many"}):
            with pytest.raises(InputError, match="method options"):
                run("prost+cmaes", small_scene(initial=AWAY), similarity=similarity, steps=1, **options)


def test_each_architecture_is_a_method_alone_and_with_what_may_follow():
    names = {name for name, method in METHODS.items() if "similarity" in method.needs}
    first = SIMILARITY_NAMES
    assert names == {f"{name}{follower}" for name in first for follower in ("", "+cmaes", "+ours", "+search")}
    assert len(LEARNED) == len(names) + 6
