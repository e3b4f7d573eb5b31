"""A registration as Slicer runs it: what it tells, where the C-arm goes, and that it can end at any moment."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from inline_worker import new_inputs
from nodes import count, last, new_parameters, run

from xrayreg.checks import InputError


@pytest.fixture
def registration(app: Any) -> Any:
    from XRayRegistrationLib.jobs import registration

    app.scene.Clear(0)
    return registration


@pytest.fixture
def parameters(registration: Any, case: Path) -> Any:
    """The phantom in the scene, the C-arm some 15 mm and 5 degrees off."""
    from XRayRegistrationLib.mrml import importing

    made = new_parameters()
    run(importing.importCaseSteps(new_inputs(), made, case))
    return made


@pytest.fixture
def inputs(registration: Any) -> Any:
    from XRayRegistrationLib.mrml.backend import Inputs

    return Inputs()


def rig_of(parameters: Any) -> Any:
    from XRayRegistrationLib.mrml import rig

    return rig.rigOf(parameters.pose)


def world_from_volume(parameters: Any) -> np.ndarray:
    import slicer

    return np.linalg.inv(slicer.util.arrayFromTransformMatrix(parameters.pose))


def until_moved(steps: Any, parameters: Any) -> None:
    """Advance a registration until the C-arm has left where it stood."""
    before = world_from_volume(parameters)
    for _ in steps:
        if not np.allclose(world_from_volume(parameters), before, atol=1e-6):
            return
    raise AssertionError("the C-arm never moved")


def test_the_phantom_is_registered_judged_and_kept(registration, parameters, inputs):
    from XRayRegistrationLib.mrml import outcome, posing

    before = world_from_volume(parameters)
    told = list(registration.registrationSteps(inputs, parameters))
    fractions = [progress.fraction for progress in told]
    assert fractions == sorted(fractions) and fractions[0] == 0.0 and fractions[-1] == 1.0
    stages = [stage for stage, _ in itertools.groupby(progress.stage for progress in told)]
    assert stages == ["packages", "compile", "prepare", "refine", "judge", "done"]
    assert all(progress.message for progress in told)
    end = told[-1]
    assert end.accepted and end.verdict.startswith("Accepted: ") and end.message.startswith("Done in ")
    assert all(not progress.verdict and not progress.accepted for progress in told[:-1])
    # The phantom's voxels are 5 mm and its pixels 4 mm wide.
    assert end.errorMm < 1.0 and f"{end.errorMm:.2f} mm (mTRE)" in end.verdict
    shown = rig_of(parameters)
    kept = outcome.outcomeOf(shown)
    assert kept.verdict == end.verdict and kept.uncertainty == end.outcome.uncertainty
    assert kept.content["engine"] and kept.errorMm == end.errorMm
    np.testing.assert_allclose(world_from_volume(parameters), kept.worldFromVolume, atol=1e-9)
    np.testing.assert_allclose(kept.before, before, atol=1e-9)
    assert outcome.staleness(shown, parameters.volume) == "" and posing.isPosed(shown)
    assert outcome.undo(shown)
    np.testing.assert_allclose(world_from_volume(parameters), before, atol=1e-9)


def test_the_c_arm_moves_while_it_is_registered(registration, parameters, inputs):
    places = []
    similarities = []
    for progress in registration.registrationSteps(inputs, parameters):
        places.append(world_from_volume(parameters))
        if progress.stage == "refine" and progress.similarity is not None:
            similarities.append(progress.similarity)
    moves = sum(not np.allclose(one, other, atol=1e-9) for one, other in itertools.pairwise(places))
    assert moves > 5
    assert similarities[-1] > similarities[0]


def test_registering_again_converts_nothing_again(registration, parameters, inputs):
    last(registration.registrationSteps(inputs, parameters))
    volume = run(inputs.volumeSteps(parameters.volume))
    radiograph = run(inputs.xraySteps(rig_of(parameters).views[0]))
    last(registration.registrationSteps(inputs, parameters))
    assert run(inputs.volumeSteps(parameters.volume)) is volume
    assert run(inputs.xraySteps(rig_of(parameters).views[0])) is radiograph


def test_assumed_numbers_are_never_accepted(registration, parameters, inputs):
    from XRayRegistrationLib.mrml import rig

    (view,) = rig_of(parameters).views
    rig.setProjection(view, view.projection.changed("assumed: nobody knows", sid_mm=view.projection.sid_mm))
    end = last(registration.registrationSteps(inputs, parameters))
    assert end.outcome.content["accepted"], "the images alone speak for it"
    assert not end.accepted and "nobody measured the SID of xray" in end.verdict


def test_without_a_chosen_pose_it_looks_all_around(registration, parameters, inputs):
    from XRayRegistrationLib.mrml import posing

    shown = rig_of(parameters)
    # A place that tells nothing: the patient from the other side.
    posing.toNominal(shown, shown.views[0], parameters.volume, "ap")
    posing.markPosed(shown, False)
    told = list(registration.registrationSteps(inputs, parameters))
    assert "search" in [progress.stage for progress in told]
    assert told[-1].accepted and told[-1].errorMm < 1.0


def test_a_search_is_made_when_it_is_asked_for(registration, parameters, inputs):
    told = list(registration.searchSteps(inputs, parameters))
    assert "search" in [progress.stage for progress in told]
    assert told[-1].errorMm < 1.0


def test_the_pose_shown_can_be_made_to_count_alone(registration, parameters, inputs):
    from XRayRegistrationLib.mrml import posing
    from XRayRegistrationLib.parameters import Start

    parameters.start = Start.case
    posing.markPosed(rig_of(parameters), False)
    told = list(registration.registrationSteps(inputs, parameters))
    assert "search" not in [progress.stage for progress in told] and told[-1].accepted


def test_notes_on_the_way_in_reach_the_result(registration, parameters, inputs):
    import slicer
    from nodes import add_segmentation

    shape = slicer.util.arrayFromVolume(parameters.volume).shape
    from XRayRegistrationLib.mrml.world import worldFromIndex

    matrix = worldFromIndex(parameters.volume, "CT")
    mask = np.ones(shape, bool)
    parameters.segmentation = add_segmentation(mask, mask, matrix=matrix)
    parameters.structures = ["bone_2"]
    end = last(registration.registrationSteps(inputs, parameters))
    content = end.outcome.content
    assert any("bone 1 and bone 2 overlap" in note for note in content["notes"])
    assert "segmentation" in content["note_codes"] and len(content["note_codes"]) == len(content["notes"])


def test_cancelled_it_keeps_the_best_pose_without_a_verdict_and_the_way_back(registration, parameters, inputs):
    from XRayRegistrationLib.mrml import outcome

    before = world_from_volume(parameters)
    steps = registration.registrationSteps(inputs, parameters)
    until_moved(steps, parameters)
    reached = world_from_volume(parameters)
    steps.close()
    shown = rig_of(parameters)
    kept = outcome.outcomeOf(shown)
    assert not kept.accepted and kept.verdict.startswith("Not trusted: it was cancelled")
    assert kept.content["reason_code"] == "interrupted"
    assert kept.uncertainty == "" and outcome.staleness(shown, parameters.volume) == ""
    np.testing.assert_allclose(world_from_volume(parameters), reached, atol=1e-9)
    outcome.undo(shown)
    np.testing.assert_allclose(world_from_volume(parameters), before, atol=1e-9)


def test_cancelled_before_it_moved_anything_it_leaves_nothing(registration, parameters, inputs):
    from XRayRegistrationLib.mrml import outcome

    before = world_from_volume(parameters)
    for number in range(1, 8):
        steps = registration.registrationSteps(inputs, parameters)
        for _ in range(number):
            next(steps)
        steps.close()
    np.testing.assert_array_equal(world_from_volume(parameters), before)
    assert outcome.outcomeOf(rig_of(parameters)) is None


def removable(parameters: Any) -> dict[str, Any]:
    (view,) = rig_of(parameters).views
    return {
        "CT": parameters.volume, "X-ray": view.source, "pose": parameters.pose, "picture": view.picture,
        "edges": view.edges,
    }  # fmt: skip


@pytest.mark.parametrize("what", ["CT", "X-ray", "pose", "picture", "edges"])
@pytest.mark.parametrize("moved", [False, True])
def test_a_node_that_is_removed_ends_it_at_the_next_step(registration, parameters, inputs, app, what, moved):
    from XRayRegistrationLib.mrml.rig import NodesRemoved

    steps = registration.registrationSteps(inputs, parameters)
    if moved:
        until_moved(steps, parameters)
    else:
        while next(steps).stage != "prepare":
            pass
    app.scene.RemoveNode(removable(parameters)[what])
    before = count(app)
    with pytest.raises(NodesRemoved, match="removed from the scene"):
        next(steps)
    assert count(app) == before


def test_a_scene_that_is_closed_while_it_compiles_ends_it(registration, parameters, inputs, app):
    from XRayRegistrationLib.mrml.rig import NodesRemoved

    steps = registration.registrationSteps(inputs, parameters)
    while next(steps).stage != "compile":
        pass
    app.scene.Clear(0)
    with pytest.raises(NodesRemoved):
        next(steps)


@pytest.mark.parametrize("closed", [False, True], ids=["advanced", "closed"])
def test_nothing_is_written_into_a_closed_scene(registration, parameters, inputs, app, closed):
    from XRayRegistrationLib.mrml.rig import NodesRemoved

    steps = registration.registrationSteps(inputs, parameters)
    until_moved(steps, parameters)
    pose = parameters.pose
    attributes = [pose.GetAttribute(name) for name in pose.GetAttributeNames()]
    app.scene.Clear(0)
    before = count(app)
    if closed:
        steps.close()
    else:
        with pytest.raises(NodesRemoved):
            next(steps)
    assert count(app) == before
    assert [pose.GetAttribute(name) for name in pose.GetAttributeNames()] == attributes


def test_a_start_that_shows_nothing_of_the_patient_is_refused_and_the_c_arm_stays(registration, parameters, inputs):
    from XRayRegistrationLib.mrml import outcome, rig

    shown = rig_of(parameters)
    away = rig.worldFromVolume(shown)
    away[0, 3] += 5000.0
    rig.setWorldFromVolume(shown, away)
    with pytest.raises(InputError, match=r"pose shown: expected a pose that puts the volume.*choose a preset"):
        last(registration.registrationSteps(inputs, parameters))
    np.testing.assert_allclose(world_from_volume(parameters), away, atol=1e-9)
    assert outcome.outcomeOf(shown) is None


def test_an_error_on_the_way_puts_the_c_arm_back(registration, parameters, inputs, monkeypatch):
    from xrayreg.worker import registering

    original = registering.registered

    def failing(scene: Any, settings: Any, on_step: Callable[[Any], object], load_seconds: float) -> Any:
        numbers = itertools.count()

        def on_some(step: Any) -> None:
            if next(numbers) == 5:
                raise InputError("test", expected="luck", found="none", remedy="try again")
            on_step(step)

        return original(scene, settings, on_some, load_seconds)

    monkeypatch.setattr(registering, "registered", failing)
    before = world_from_volume(parameters)
    with pytest.raises(InputError, match="luck"):
        last(registration.registrationSteps(inputs, parameters))
    np.testing.assert_allclose(world_from_volume(parameters), before, atol=1e-9)


def test_without_inputs_it_says_what_is_missing(registration, inputs):
    with pytest.raises(InputError, match="X-rays: expected at least one"):
        last(registration.registrationSteps(inputs, new_parameters()))


# Compiling


def test_compiling_is_shown_as_a_bar_that_never_ends_before_it_does(registration, inputs, monkeypatch):
    from xrayreg.worker import pictures
    from XRayRegistrationLib.jobs import compiling

    def warm_up(learned_maps: bool, on_part: Callable[[str], object]) -> None:
        for _ in range(20):
            time.sleep(0.005)
            on_part("a kernel")

    monkeypatch.setattr(pictures, "kernels_are_cached", lambda learned_maps: False)
    monkeypatch.setattr(pictures, "warm_up", warm_up)
    told = list(compiling.compileSteps(inputs.worker))
    waiting = [fraction for fraction, message in told if "Compiling for this computer, once" in message]
    assert len(waiting) >= 5 and waiting == sorted(waiting) and 0 < waiting[-1] < 1
    assert told[-1][0] == 1.0


@pytest.mark.parametrize("similarity", [None, "plain.pt", "with a 3D network.pt"])
def test_what_a_similarity_with_a_3d_network_needs_is_compiled_too(registration, inputs, monkeypatch, similarity):
    from xrayreg.worker import pictures
    from XRayRegistrationLib.jobs import compiling

    asked = []
    monkeypatch.setattr(pictures, "needs_learned_maps", lambda file: "3D" in file)
    monkeypatch.setattr(pictures, "warm_up", lambda learned_maps, on_part: asked.append(learned_maps))
    list(compiling.compileSteps(inputs.worker, similarity))
    assert asked == [similarity == "with a 3D network.pt"]


def test_what_is_compiled_already_is_only_loaded(registration, inputs):
    from XRayRegistrationLib.jobs import compiling

    assert not any("Compiling" in message for _, message in compiling.compileSteps(inputs.worker))
