"""Registrations that start from a network: quick where it is right, and none the worse where it is not."""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from constant_networks import card_for, saying, written
from pelvis_scenes import camera, error, followed, frontal, moved, pelvis, radiograph, read, registered, scene, truth

from xrayreg.checks import InputError
from xrayreg.registration.pipeline import estimate, register
from xrayreg.registration.results import Registration, Step
from xrayreg.registration.starts import AROUND_NETWORK
from xrayreg.scene import Scene
from xrayreg.settings import registration_settings

pytestmark = pytest.mark.usefixtures("unrotated_augmentations")

GOAL_MM = 1.0
# As far off as a network that was trained for five minutes: 2 degrees, 2 mm in the image, 8 mm in depth.
GOOD = moved(truth(), (2, -2, 1), (2, -1, 8))
FAIR = moved(truth(), (-5, 4, 6), (6, 5, -20))
WRONG = moved(truth(), (0, 100, 0), (10, 0, 0))
UPSIDE_DOWN = moved(truth(), (0, 0, 180))
# Too far for a refinement, near enough for a search around it.
ASTRAY = moved(truth(), (0, 0, 30), (15, 0, 30))


@pytest.fixture
def network(tmp_path):
    """Writes a network that answers with these poses to every X-ray; returns the start that names it."""

    def write(*poses: np.ndarray, beliefs: list[float] | None = None) -> str:
        return written(tmp_path / "model.pt", saying(card_for(pelvis(), len(poses)), np.stack(poses), beliefs))

    return write


@functools.lru_cache(maxsize=1)
def searched() -> Registration:
    return registered(scene(initial=frontal()), init="search")


def messages(steps: list[Step]) -> list[str]:
    return list(dict.fromkeys(step.message for step in steps))


def test_a_good_network_leads_to_the_pose_with_a_tenth_of_the_renders(network):
    given = scene()
    result = registered(given, init=network(GOOD))
    assert result.verdict.accepted and result.start == "the network's hypothesis 1 of 1"
    assert error(given, result).mtre_mm < GOAL_MM
    assert result.renders < searched().renders / 10
    np.testing.assert_allclose(result.started_from, GOOD, atol=2e-3)
    assert result.notes == ()
    # The same optimum as a search finds, to a fraction of what separates it from the truth.
    assert error(replace(given, reference=searched().world_from_volume), result).mtre_mm < 0.1


def test_the_hypothesis_that_won_is_named_though_another_is_believed_more(network):
    given = scene()
    result = registered(given, init=network(WRONG, UPSIDE_DOWN, GOOD))
    assert result.start == "the network's hypothesis 3 of 3" and result.verdict.accepted
    np.testing.assert_allclose(result.started_from, GOOD, atol=2e-3)
    assert error(given, result).mtre_mm < GOAL_MM
    # The others ended in optima of their own, far below.
    assert result.evidence.gap is not None and result.evidence.gap > 0.2


def test_hypotheses_that_are_nearly_one_pose_are_refined_once(network):
    alone = registered(scene(), init=network(GOOD))
    thrice = registered(scene(), init=network(GOOD, moved(GOOD, (0.5, 0, 0)), moved(GOOD, (0, 0.5, 0), (1, 0, 0))))
    # Two more images rank them; nothing else is rendered twice.
    assert thrice.renders <= alone.renders + 8 and thrice.evidence.gap is None


def test_the_cases_initial_pose_does_not_matter_where_the_network_is_right(network):
    init = network(GOOD)
    alone, beside = registered(scene(), init=init), registered(scene(initial=frontal()), init=init)
    assert beside.start == alone.start
    # Only the weak prior about the initial pose differs.
    assert error(scene(reference=alone.world_from_volume), beside).mtre_mm < 0.05


def test_poses_a_little_astray_are_searched_around(network):
    given, init = scene(), network(ASTRAY)
    steps, result = followed(given, registration_settings(init=init))
    assert result.start == AROUND_NETWORK and result.verdict.accepted
    assert error(given, result).mtre_mm < GOAL_MM
    assert "the network's hypothesis 1 of 1: given up, not similar enough" in messages(steps)
    assert result.renders < searched().renders / 2


@pytest.mark.parametrize("initial", [None, frontal()], ids=["nothing known", "around a frontal pose"])
def test_a_rubbish_network_does_no_harm(network, initial):
    given = scene(initial=initial)
    steps, result = followed(given, registration_settings("fast", init=network(UPSIDE_DOWN, WRONG)))
    assert result.start == "a search" and result.verdict.accepted
    assert error(given, result).mtre_mm < GOAL_MM
    assert f"{AROUND_NETWORK}: given up, not similar enough" in messages(steps)
    # What was hopeless was not judged.
    assert [message for message in messages(steps) if message.startswith("judging")] == ["judging a search"]


def test_a_network_without_a_pose_is_followed_by_a_search(tmp_path):
    checkpoint = saying(card_for(pelvis(), 1), GOOD[None])
    with torch.no_grad():
        checkpoint.network.head.last.bias.fill_(torch.nan)
    result = registered(scene(initial=frontal()), init=written(tmp_path / "model.pt", checkpoint), effort="fast")
    assert result.start == "a search" and result.verdict.accepted
    assert any("no numbers" in note for note in result.notes)


@pytest.mark.parametrize("hypotheses", [(truth(),), (truth(), UPSIDE_DOWN, WRONG)], ids=["one", "three"])
def test_a_wrong_image_is_rejected_however_sure_the_network_is(network, hypotheses):
    noise = np.random.default_rng(0).uniform(1000, 60000, radiograph().recorded.shape)
    given = replace(scene(initial=frontal(), reference=None), views=(read(noise, camera()),))
    result = registered(given, init=network(*hypotheses), effort="fast")
    assert not result.verdict.accepted and "too weak" in result.verdict.reason


def test_a_mirrored_image_is_rejected_as_such(network):
    given = replace(scene(initial=frontal()), views=(read(radiograph().recorded[:, ::-1], camera()),))
    result = registered(given, init=network(GOOD), effort="fast")
    assert not result.verdict.accepted and "flipped" in result.verdict.reason


def turned_rig() -> Scene:
    """Two views in a world that is neither camera's."""
    world_from_old = np.eye(4)
    world_from_old[:3, :3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    world_from_old[:3, 3] = [100, -50, 30]
    given = scene(("lateral", "frontal"))
    back = np.linalg.inv(world_from_old)
    views = tuple(
        replace(view, camera=replace(view.camera, camera_from_world=view.camera.camera_from_world @ back))
        for view in given.views
    )
    return replace(given, views=views, reference=world_from_old @ truth())


def test_any_view_of_a_rig_can_lead_to_the_pose(network):
    # GOOD is near the truth for the frontal view alone; told of the lateral one it is a quarter turn off.
    given = turned_rig()
    result = registered(given, init=network(GOOD))
    assert result.start == "the network's hypothesis 1 of 1 for frontal" and result.verdict.accepted
    assert error(given, result).mtre_mm < GOAL_MM
    assert result.views[0].name == "lateral"
    assert any(note.startswith("lateral: the pose lies outside") for note in result.notes)


def test_structures_alone_are_found_from_a_network(network):
    given = scene(structures=(1, 2, 3))
    result = registered(given, init=network(FAIR, GOOD))
    assert result.verdict.accepted and result.start.startswith("the network's hypothesis")
    assert error(given, result).mtre_mm < GOAL_MM
    # Said, because the network was shown the whole volume.
    assert any("structures 1, 2, 3" in note for note in result.notes)


def test_progress_never_falls_and_every_step_after_the_preparation_shows_a_pose(network):
    steps, _ = followed(scene(), registration_settings(init=network(UPSIDE_DOWN, ASTRAY)))
    fractions = [step.fraction for step in steps]
    assert fractions[0] == 0.0 and fractions[-1] == 1.0
    assert all(after >= before for before, after in pairwise(fractions))
    prepared = next(n for n, step in enumerate(steps) if step.stage != "prepare")
    for step in steps[prepared:]:
        assert step.camera_from_volume is not None and step.similarity is not None and math.isfinite(step.similarity)
    assert steps[0].message and "running the network" in messages(steps)


@pytest.mark.parametrize("after", [1, 2, 3, 5, 8])
def test_a_registration_may_be_left_at_any_step(network, after):
    steps = []

    def on_step(step: Step) -> None:
        steps.append(step)
        if len(steps) == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        register(scene(), registration_settings(init=network(FAIR, GOOD)), on_step)
    assert len(steps) == after


def test_the_same_network_gives_the_same_bits(network):
    init = network(FAIR, GOOD)
    first, again = (registered(scene(), init=init) for _ in range(2))
    assert first.world_from_volume.tobytes() == again.world_from_volume.tobytes()
    assert first.evidence == again.evidence and first.renders == again.renders


def test_the_networks_share_of_the_time_is_told(network):
    seconds = registered(scene(), init=network(GOOD)).seconds
    assert seconds["network"] > 0
    assert seconds["total"] == pytest.approx(sum(spent for stage, spent in seconds.items() if stage != "total"))


def test_a_file_that_is_not_there_is_refused_before_anything_is_done(tmp_path):
    settings = registration_settings(init=str(tmp_path / "lost.pt"))
    with pytest.raises(InputError, match=r"init: expected the file of a trained network, found nothing at .*lost\.pt"):
        register(scene(), settings)


def test_a_file_that_is_no_network_is_refused(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(b"not a network")
    with pytest.raises(InputError, match=r"network model\.pt: expected a network of this program"):
        register(scene(), registration_settings(init=str(path)))


def test_a_network_of_another_patient_is_refused(tmp_path):
    other = replace(pelvis(), values=np.ascontiguousarray(pelvis().values[::-1]))
    init = written(tmp_path / "model.pt", saying(card_for(other, 1), GOOD[None]))
    with pytest.raises(InputError, match="network: expected the CT it was trained on"):
        register(scene(), registration_settings(init=init))


def test_the_estimate_alone_is_the_most_believed_pose_and_nothing_is_rendered(network):
    given = scene()
    found = estimate(given, registration_settings(init=network(WRONG, GOOD, beliefs=[0.2, 0.8])), 1.5)
    np.testing.assert_allclose(found.world_from_volume, GOOD, atol=2e-3)
    content = found.as_dict()
    assert content["accepted"] is False and content["unjudged"] is True and "estimate only" in content["reason"]
    assert content["start"] == "the network's hypothesis 1 of 2" and content["quality"]["belief"] == pytest.approx(0.8)
    assert content["seconds"]["load"] == 1.5 and content["seconds"]["network"] > 0 and content["renders"] == 0
    assert {"world_from_volume", "views", "uncertainty", "engine", "version"} <= set(content)


def test_an_estimate_is_told_for_every_view_of_a_rig(network):
    given = turned_rig()
    found = estimate(given, registration_settings(init=network(GOOD)))
    assert [name for name, _ in found.views] == ["lateral", "frontal"]
    for (_, pose), view in zip(found.views, given.views, strict=True):
        np.testing.assert_allclose(pose, view.camera.camera_from_world @ found.world_from_volume, atol=1e-9)
    # The pose is that of the first view's own answer, in the world.
    np.testing.assert_allclose(found.views[0][1], GOOD, atol=2e-3)


@pytest.mark.parametrize("init", ["auto", "case", "search"])
def test_an_estimate_needs_a_network(init):
    with pytest.raises(InputError, match="init: expected the file of a trained network"):
        estimate(scene(initial=frontal()), registration_settings(init=init))
