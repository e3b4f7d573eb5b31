"""What the worker reads for an import stays there: it is not sent back before somebody changes it in the scene."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from case_files import POSE, same, write
from inline_worker import new_inputs, scene_of
from nodes import RAS_FROM_INDEX, new_parameters, run, transform

from xrayreg.io import read_case


@pytest.fixture
def importing(app: Any) -> Any:
    from XRayRegistrationLib.mrml import importing

    app.scene.Clear(0)
    return importing


def spied(inputs: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kinds of what is asked of the worker from now on."""
    kinds, ask = [], inputs.worker.askSteps

    def asking(kind: str, **content: Any) -> Any:
        kinds.append(kind)
        return ask(kind, **content)

    monkeypatch.setattr(inputs.worker, "askSteps", asking)
    return kinds


def test_what_the_worker_has_read_for_a_case_is_not_sent_back_to_it(importing, tmp_path, monkeypatch):
    path, parameters, inputs = write(tmp_path), new_parameters(), new_inputs()
    run(importing.importCaseSteps(inputs, parameters, path))
    kinds = spied(inputs, monkeypatch)
    scene = scene_of(inputs, parameters)
    assert kinds == ["labels", "camera", "camera"]
    same(scene, read_case(path))
    # And it gives what the pixels of the nodes would.
    sent = scene_of(new_inputs(), parameters)
    same(scene, sent)
    assert [view.origins for view in scene.views] == [view.origins for view in sent.views]
    assert scene.assumed == sent.assumed and scene.volume.notes == sent.volume.notes


def test_what_was_changed_in_the_scene_after_the_import_is_sent(importing, tmp_path, monkeypatch):
    import slicer

    from XRayRegistrationLib.mrml import rig

    parameters, inputs = new_parameters(), new_inputs()
    run(importing.importCaseSteps(inputs, parameters, write(tmp_path)))
    first, second = rig.rigOf(parameters.pose).views
    kinds = spied(inputs, monkeypatch)
    for node in (parameters.volume, first.source):
        slicer.util.arrayFromVolume(node)[0, 20, 20] = 777
        slicer.util.arrayFromVolumeModified(node)
    rig.setProjection(second, second.projection.oriented(0, False, "test"))
    scene = scene_of(inputs, parameters)
    assert kinds == ["volume", "labels", "radiograph", "radiograph"]
    assert scene.volume.values[0, 20, 20] == 777 and scene.views[0].recorded[20, 20] == 777
    assert not scene.views[1].reflected


def test_a_ct_that_was_moved_after_the_import_lies_where_it_is_now(importing, tmp_path):
    parameters, inputs = new_parameters(), new_inputs()
    run(importing.importCaseSteps(inputs, parameters, write(tmp_path)))
    transform(POSE, parameters.volume, parameters.segmentation)
    scene = scene_of(inputs, parameters)
    np.testing.assert_allclose(scene.volume.grid.volume_from_index, POSE @ RAS_FROM_INDEX, atol=1e-9)


def test_a_worker_that_was_lost_after_the_import_gets_everything_again(importing, tmp_path):
    path, parameters, inputs = write(tmp_path), new_parameters(), new_inputs()
    run(importing.importCaseSteps(inputs, parameters, path))
    inputs.worker.close()
    same(scene_of(inputs, parameters), read_case(path))


def test_the_worker_lets_go_of_an_import_that_is_given_up(importing, tmp_path):
    parameters, inputs = new_parameters(), new_inputs()
    steps = importing.importCaseSteps(inputs, parameters, write(tmp_path))
    while next(steps) != "Loading the CT into the scene":
        pass
    kept = inputs.worker._connection.room.kept
    assert len(kept._values) == 3
    steps.close()
    assert not kept._values
