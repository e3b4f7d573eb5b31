"""What a closed scene, a removed node, a closed dialog and an unloaded module leave behind: nothing."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import panel_driver as user
import pytest

MODULE = user.MODULE


class Witness:
    """Sees whether objects are still there; keeps none of them alive."""

    def __init__(self) -> None:
        self._held: dict[str, Callable[[], Any]] = {}

    def watch(self, name: str, thing: Any) -> None:
        """Watch a Python object, such as the Python side of a VTK object: it lives as long as Python uses it."""
        self._held[name] = weakref.ref(thing)

    def watch_node(self, name: str, node: Any) -> None:
        """Watch a node on its Python side and in C++."""
        self.watch(name, node)
        there = [name]
        node.AddObserver("DeleteEvent", lambda *_: there.clear())
        self._held[f"{name} in C++"] = lambda: there or None

    @property
    def alive(self) -> list[str]:
        gc.collect()
        return [name for name, held in self._held.items() if held() is not None]


@pytest.fixture(scope="module", autouse=True)
def _only_what_is_new_is_collected(case: Path) -> None:
    """Looking for garbage among all that the backend's imports have made takes half a second, every time."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def witness() -> Witness:
    return Witness()


@pytest.fixture
def loaded(app: Any, widget: Any, case: Path, witness: Witness) -> Iterator[Any]:
    """The phantom, shown in the X-ray layout with its overlay drawn; its nodes are watched."""
    user.import_case(app, widget, case)
    app.wait_until(lambda: widget.panel.live.settled)
    parameters = widget.logic.getParameterNode()
    witness.watch_node("CT", parameters.volume)
    witness.watch("sent CT", widget.logic.inputs._volume.value)
    for view in widget.logic.rig().views:
        witness.watch_node("X-ray", view.source)
        witness.watch_node("picture", view.picture)
    witness.watch_node("C-arm", parameters.pose)
    del parameters, view
    yield widget


def close_scene(app: Any) -> None:
    app.scene.Clear(0)
    user.settle(app)


def test_nothing_of_a_scene_outlives_its_closing(app, loaded, witness):
    assert len(witness.alive) == 9
    close_scene(app)
    assert witness.alive == []


def test_nothing_of_a_scene_outlives_its_closing_after_a_registration(app, loaded, witness):
    import slicer

    segmentation = user.add_segmentation(2)
    loaded.ui.segmentationSelector.setCurrentNode(segmentation)
    landmarks = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "landmarks")
    landmarks.AddControlPoint(0.0, 0.0, 0.0)
    loaded.ui.landmarksSelector.setCurrentNode(landmarks)
    witness.watch_node("segmentation", segmentation)
    witness.watch_node("landmarks", landmarks)
    del segmentation, landmarks
    loaded.ui.segmentationSelector.setCurrentNode(None)
    loaded.logic.getParameterNode().effort = type(loaded.logic.getParameterNode().effort).fast
    user.register(app, loaded)
    assert loaded.panel.register.curve.points
    app.wait_until(lambda: loaded.panel.live.settled)
    close_scene(app)
    assert witness.alive == []


def test_nothing_of_a_scene_outlives_its_closing_while_something_runs(app, loaded, witness):
    user.until_refining(app, loaded)
    assert loaded.panel.running
    close_scene(app)
    assert witness.alive == []
    assert not loaded.panel.running


def test_a_ct_that_is_removed_is_freed_while_the_scene_stays(app, loaded, witness):
    app.scene.RemoveNode(loaded.logic.getParameterNode().volume)
    user.settle(app)
    app.wait_until(lambda: loaded.panel.live.settled)
    assert not [name for name in witness.alive if name.startswith(("CT", "sent"))]


def test_an_xray_that_is_taken_away_and_removed_is_freed(app, loaded, witness):
    loaded.logic.removeXray(loaded.logic.rig().views[0])
    node = next(n for n in _volumes(app) if n.GetName() == "xray")
    app.scene.RemoveNode(node)
    del node
    user.settle(app)
    app.wait_until(lambda: loaded.panel.live.settled)
    assert not [name for name in witness.alive if name.startswith(("X-ray", "picture"))]


def test_observers_keep_nothing_that_they_do_not_observe_any_more(app):
    import slicer
    import vtk

    from XRayRegistrationLib.observing import Observers

    told: list[str] = []
    observers = Observers()
    first, second = (slicer.vtkMRMLScalarVolumeNode() for _ in range(2))
    modified = vtk.vtkCommand.ModifiedEvent

    def hear(caller: Any, event: str) -> None:
        told.append(caller.GetName())

    observers.follow({(first, modified): hear, (second, modified): hear})
    first.SetName("first")
    second.SetName("second")
    assert told == ["first", "second"]
    # Those that stay are not heard twice.
    observers.follow({(second, modified): hear})
    gone = weakref.ref(first)
    first.SetName("unheard")
    second.SetName("again")
    assert told == ["first", "second", "again"]
    del first
    gc.collect()
    assert gone() is None
    observers.drop(second, modified)
    observers.drop(second, modified)
    second.SetName("unheard")
    assert len(told) == 3


def test_a_closed_timer_is_silent_and_lets_its_owner_go(app):
    from XRayRegistrationLib.timing import Timer

    told: list[str] = []

    class Owner:
        def __init__(self) -> None:
            self.timer = Timer(self.act)

        def act(self) -> None:
            told.append("called")

    owner = Owner()
    owner.timer.start()
    app.wait_until(lambda: bool(told), 5.0)
    owner.timer.start()
    owner.timer.close()
    owner.timer.start()
    owner.timer.close()
    assert not owner.timer.isActive()
    user.settle(app)
    assert told == ["called"]
    gone = weakref.ref(owner)
    del owner
    _delete_later()
    assert gone() is None


@pytest.mark.parametrize("end", ["done", "failed", "cancelled"])
def test_an_ended_job_is_freed(app, end):
    from XRayRegistrationLib.jobs.job import StepJob

    def steps() -> Iterator[int]:
        yield 1
        if end == "failed":
            raise ValueError("on purpose")
        yield 2

    class Caller:
        def __init__(self) -> None:
            self.ended: list[str] = []
            self.job = StepJob(steps(), self.on_step, self.on_done, self.on_failed)

        def on_step(self, step: int) -> None:
            if end == "cancelled":
                self.job.cancel()
                self.ended.append("cancelled")

        def on_done(self) -> None:
            self.ended.append("done")

        def on_failed(self, error: Exception) -> None:
            self.ended.append("failed")

    caller = Caller()
    caller.job.start()
    ended = caller.ended
    app.wait_until(lambda: bool(ended), 5.0)
    user.settle(app)
    assert ended == [end]
    gone = weakref.ref(caller)
    del caller
    _delete_later()
    assert gone() is None


OPENERS: dict[str, Callable[[Any], Any]] = {
    "case": lambda widget: widget.ui.importCaseButton,
    "calibration": lambda widget: widget.ui.importCalibrationButton,
    "transform": lambda widget: widget.panel.results.ui.saveTransformButton,
    "network": lambda widget: widget.panel.pose.network.ui.networkBrowseButton,
    "similarity": lambda widget: widget.panel.register.similarity.ui.similarityBrowseButton,
    "trained network": lambda widget: widget.panel.train.ui.modelBrowseButton,
}


def test_file_dialogs_do_not_pile_up(app, loaded):
    for open_button in OPENERS.values():
        before = len(_dialogs(app))
        for _ in range(3):
            open_button(loaded).click()
            user.settle(app)
            assert len(_dialogs(app)) == before + 1
        (dialog,) = [each for each in _dialogs(app) if each.isVisible()]
        dialog.reject()
        _delete_later()
        assert len(_dialogs(app)) == before
        assert not dialog


def test_closing_the_scene_closes_its_file_dialogs(app, loaded):
    for open_button in OPENERS.values():
        open_button(loaded).click()
    user.settle(app)
    # Case and calibration are opened in the same place.
    assert len(_dialogs(app)) == len(OPENERS) - 1
    close_scene(app)
    _delete_later()
    assert _dialogs(app) == []


def test_quitting_while_everything_is_about_to_happen_is_silent(app, case):
    # The fixture `widget` closes the module when all is quiet; Slicer quits whenever its user wants.
    from slicer_harness import pythonqt

    pythonqt.slot_errors.clear()
    app.scene.Clear(0)
    widget = app.openModule(MODULE)
    user.import_case(app, widget, case)
    widget.ui.importCaseButton.click()
    widget.ui.comparisonSelector.setCurrentIndex(int(widget.ui.comparisonSelector.count) - 1)
    user.until_refining(app, widget)
    widget.ui.xraySelector.setCurrentNode(user.add_xray("late"))
    user.set_pose(widget, user.pose_of(widget))
    panel = widget.panel
    app.closeModule(widget)
    user.settle(app)
    assert not pythonqt.slot_errors
    assert not widget.parent and not panel.running
    # What happens to the scene afterwards is nothing to the module any more.
    user.add_ct("afterwards")
    app.scene.Clear(0)
    user.settle(app)
    assert not pythonqt.slot_errors
    gone = weakref.ref(panel)
    del panel, widget
    _forget_module()
    _delete_later()
    assert gone() is None


def _forget_module() -> None:
    import slicer

    del slicer.modules.XRayRegistrationWidget


def _delete_later() -> None:
    """Let Qt delete what was to be deleted later, and Python collect what is left."""
    import qt

    qt.QCoreApplication.sendPostedEvents(None, qt.QEvent.DeferredDelete)
    gc.collect()


def _dialogs(app: Any) -> list[Any]:
    import qt

    return [each for each in app.main_window.findChildren(qt.QFileDialog) if each]


def _volumes(app: Any) -> list[Any]:
    import slicer

    return list(slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"))
