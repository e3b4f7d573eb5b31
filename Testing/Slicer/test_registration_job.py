"""A registration as Slicer runs it: what it tells, where the C-arm goes, and that it can end at any moment."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
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
    from XRayRegistrationLib.scene import importing

    made = new_parameters()
    run(importing.importCaseSteps(made, case))
    return made


@pytest.fixture
def inputs(registration: Any) -> Any:
    from XRayRegistrationLib.scene.backend import Inputs

    return Inputs()


def rig_of(parameters: Any) -> Any:
    from XRayRegistrationLib.scene import rig

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
    from XRayRegistrationLib.scene import outcome, posing

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
    radiograph = run(inputs.radiographSteps(rig_of(parameters).views[0]))
    last(registration.registrationSteps(inputs, parameters))
    assert run(inputs.volumeSteps(parameters.volume)) is volume
    assert run(inputs.radiographSteps(rig_of(parameters).views[0])) is radiograph


def test_assumed_numbers_are_never_accepted(registration, parameters, inputs):
    from XRayRegistrationLib.scene import rig

    (view,) = rig_of(parameters).views
    rig.setProjection(view, view.projection.changed("assumed: nobody knows", sid_mm=view.projection.sid_mm))
    end = last(registration.registrationSteps(inputs, parameters))
    assert end.outcome.content["accepted"], "the images alone speak for it"
    assert not end.accepted and "nobody measured the SID of xray" in end.verdict


def test_without_a_chosen_pose_it_looks_all_around(registration, parameters, inputs):
    from XRayRegistrationLib.scene import posing

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
    from XRayRegistrationLib.parameters import Start
    from XRayRegistrationLib.scene import posing

    parameters.start = Start.case
    posing.markPosed(rig_of(parameters), False)
    told = list(registration.registrationSteps(inputs, parameters))
    assert "search" not in [progress.stage for progress in told] and told[-1].accepted


def test_notes_on_the_way_in_reach_the_result(registration, parameters, inputs):
    import slicer
    from nodes import add_segmentation

    shape = slicer.util.arrayFromVolume(parameters.volume).shape
    from XRayRegistrationLib.scene.world import worldFromIndex

    matrix = worldFromIndex(parameters.volume, "CT")
    mask = np.ones(shape, bool)
    parameters.segmentation = add_segmentation(mask, mask, matrix=matrix)
    parameters.structures = ["bone_2"]
    end = last(registration.registrationSteps(inputs, parameters))
    content = end.outcome.content
    assert any("bone 1 and bone 2 overlap" in note for note in content["notes"])
    assert "segmentation" in content["note_codes"] and len(content["note_codes"]) == len(content["notes"])


def test_cancelled_it_keeps_the_best_pose_without_a_verdict_and_the_way_back(registration, parameters, inputs):
    from XRayRegistrationLib.scene import outcome

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
    from XRayRegistrationLib.scene import outcome

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
    from XRayRegistrationLib.scene.rig import NodesRemoved

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
    from XRayRegistrationLib.scene.rig import NodesRemoved

    steps = registration.registrationSteps(inputs, parameters)
    while next(steps).stage != "compile":
        pass
    app.scene.Clear(0)
    with pytest.raises(NodesRemoved):
        next(steps)


@pytest.mark.parametrize("closed", [False, True], ids=["advanced", "closed"])
def test_nothing_is_written_into_a_closed_scene(registration, parameters, inputs, app, closed):
    from XRayRegistrationLib.scene.rig import NodesRemoved

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
    from XRayRegistrationLib.scene import outcome, rig

    shown = rig_of(parameters)
    away = rig.worldFromVolume(shown)
    away[0, 3] += 5000.0
    rig.setWorldFromVolume(shown, away)
    with pytest.raises(InputError, match=r"pose shown: expected a pose that puts the volume.*choose a preset"):
        last(registration.registrationSteps(inputs, parameters))
    np.testing.assert_allclose(world_from_volume(parameters), away, atol=1e-9)
    assert outcome.outcomeOf(shown) is None


def test_an_error_on_the_way_puts_the_c_arm_back(registration, parameters, inputs, monkeypatch):
    import xrayreg.pipeline

    original = xrayreg.pipeline.register

    def failing(*arguments: Any) -> Any:
        for number, step in enumerate(original(*arguments)):
            if number == 20:
                raise InputError("test", expected="luck", found="none", remedy="try again")
            yield step

    monkeypatch.setattr(xrayreg.pipeline, "register", failing)
    before = world_from_volume(parameters)
    with pytest.raises(InputError, match="luck"):
        last(registration.registrationSteps(inputs, parameters))
    np.testing.assert_allclose(world_from_volume(parameters), before, atol=1e-9)


def test_without_inputs_it_says_what_is_missing(registration, inputs):
    with pytest.raises(InputError, match="X-rays: expected at least one"):
        last(registration.registrationSteps(inputs, new_parameters()))


# Compiling in a process of its own


@pytest.fixture
def compiling(registration: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The compiling as on a computer where nothing is compiled yet; a test says what the process does instead."""
    import xrayreg.render
    from XRayRegistrationLib.jobs import compiling

    monkeypatch.setattr(xrayreg.render, "kernels_are_cached", lambda **asked: False)
    return compiling


@pytest.fixture
def processes(compiling: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The processes that were started."""
    import slicer

    started = []
    original = slicer.util.launchConsoleProcess

    def launch(*arguments: Any, **named: Any) -> Any:
        started.append(original(*arguments, **named))
        return started[-1]

    monkeypatch.setattr(slicer.util, "launchConsoleProcess", launch)
    return started


def test_a_process_compiles_while_the_window_lives(compiling, processes, monkeypatch):
    monkeypatch.setattr(compiling, "_COMPILE", "import time, xrayreg; time.sleep(0.5)")
    told = list(compiling.compileSteps())
    assert len(processes) == 1 and processes[0].returncode == 0
    waiting = [fraction for fraction, message in told if "Compiling for this computer, once" in message]
    assert len(waiting) > 5 and waiting == sorted(waiting) and 0 < waiting[-1] < 1
    assert told[-1][0] == 1.0


def test_the_process_compiles_what_a_similarity_with_a_3d_network_needs_too(compiling, processes, monkeypatch):
    monkeypatch.setattr(compiling, "_COMPILE", "raise SystemExit(0 if {learnedMaps} else 'nobody asked')")
    list(compiling.compileSteps(learnedMaps=True))
    assert processes[0].returncode == 0


def test_cancelling_ends_the_process(compiling, processes, monkeypatch):
    monkeypatch.setattr(compiling, "_COMPILE", "import time; time.sleep(600)")
    steps = compiling.compileSteps()
    for _ in range(4):
        next(steps)
    assert processes[0].poll() is None
    steps.close()
    assert processes[0].poll() is not None


def test_a_process_that_fails_is_no_reason_to_stop(compiling, processes, monkeypatch, caplog):
    monkeypatch.setattr(compiling, "_COMPILE", "raise SystemExit('no compiler here')")
    told = list(compiling.compileSteps())
    assert "no compiler here" in caplog.text
    assert any("does not answer" in message for _, message in told) and told[-1][0] == 1.0


def test_where_nothing_can_be_kept_no_process_is_started(compiling, processes, monkeypatch, caplog):
    import xrayreg.render

    def refuse() -> None:
        raise InputError("compiled code", expected="a folder", found="none", remedy="set NUMBA_CACHE_DIR")

    monkeypatch.setattr(xrayreg.render, "require_kernel_cache", refuse)
    told = list(compiling.compileSteps())
    assert processes == [] and "NUMBA_CACHE_DIR" in caplog.text and told[-1][0] == 1.0


def test_what_is_compiled_already_starts_no_process(registration, processes, monkeypatch):
    import xrayreg.render
    from XRayRegistrationLib.jobs import compiling

    monkeypatch.setattr(xrayreg.render, "kernels_are_cached", lambda **asked: True)
    list(compiling.compileSteps())
    assert processes == []
