"""The module's self-test: the whole flow on the phantom, for Slicer's self-test button and for ctest.

Each function gets the running unittest.TestCase and a fresh module logic (logic.Logic) over an empty scene.
"""

from __future__ import annotations

import logging
import time
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from . import dependencies, sampleData

if TYPE_CHECKING:
    from .mrml.rig import View

# The phantom's voxels are 5 mm, its pixels 3 mm at the patient.
_ALLOWED_MM = 2.0
_LONGEST_WAIT_S = 120.0


def run(case: Any) -> None:
    """Run all parts of a test case as Slicer's self-test button does, and say which could not be tried here, and why.

    Slicer's own way takes a part that skips itself for one that failed. Raises what a part that fails raises.
    """
    reasons: dict[str, list[str]] = {}
    tried = 0
    case.setUpClass()
    try:
        for name in case.moduleTestNames:
            logging.info("Running %s", name)
            case.setUp()
            try:
                getattr(case, name)()
                tried += 1
            except (unittest.SkipTest, dependencies.MissingPackages) as reason:
                reasons.setdefault(str(reason), []).append(name)
            finally:
                case.tearDown()
                case.doCleanups()
    finally:
        case.tearDownClass()
    told = [
        _("{count} parts of the self-test were skipped: {reason}.").format(count=len(names), reason=reason.rstrip("."))
        for reason, names in reasons.items()
    ]
    if told:
        passed = _("The others passed.") if tried else _("Nothing was tried.")
        slicer.util.infoDisplay(" ".join([*told, passed]), _("X-ray Registration: self-test"))


def phantomComesWithItsGeometry(case: Any, logic: Any) -> None:
    """Volume, X-ray and pose are those of the case, and the user's X-ray lies where it was loaded."""
    content = _load(case, logic)
    parameters, view = logic.getParameterNode(), logic.rig().views[0]
    case.assertIsNotNone(parameters.volume)
    case.assertEqual(view.projection.assumptions, ())
    np.testing.assert_allclose(view.camera.matrix, content["views"][0]["camera"]["matrix"])
    np.testing.assert_allclose(_pose(logic), content["initial"]["world_from_volume"], atol=1e-6)
    case.assertIsNone(view.source.GetParentTransformNode())


def placementIsTwoWay(case: Any, logic: Any) -> None:
    """Numbers move the C-arm to where DICOM's definition of them says, and the C-arm's transform moves the numbers."""
    _load(case, logic)
    logic.setPlacement(primary_deg=30.0, secondary_deg=-20.0, roll_deg=5.0, right_mm=7.0, up_mm=-3.0, sod_mm=710.0)
    a, b = np.radians([30.0, -20.0])
    # From source to detector in RAS, by DICOM PS3.3 C.8.7.5.1.2.
    beam = [-np.sin(a) * np.cos(b), np.cos(a) * np.cos(b), np.sin(b)]
    pose = _pose(logic)
    np.testing.assert_allclose(pose[2, :3], beam, atol=1e-9)
    np.testing.assert_allclose(pose[:3, :3] @ _middle(logic) + pose[:3, 3], [7.0, 3.0, 710.0], atol=1e-6)
    # The C-arm goes 10 mm along the image's columns, so the patient moves the other way in the image.
    node = logic.getParameterNode().pose
    matrix = slicer.util.arrayFromTransformMatrix(node)
    matrix[:3, 3] += 10.0 * matrix[:3, 0]
    slicer.util.updateTransformMatrixFromArray(node, matrix)
    placed = logic.placement()
    np.testing.assert_allclose(
        [placed.primary_deg, placed.secondary_deg, placed.roll_deg, placed.right_mm, placed.up_mm, placed.sod_mm],
        [30.0, -20.0, 5.0, -3.0, -3.0, 710.0],
        atol=1e-6,
    )


def liveDrrMatchesTheXray(case: Any, logic: Any) -> None:
    """At the true pose the DRR looks like the X-ray, and 30 mm beside it less so."""
    from .display.live import LiveOverlay
    from .mrml import rig

    content = _load(case, logic)
    # The DRR is only drawn where it is seen.
    logic.getParameterNode().drrOpacity = 1.0
    true = np.array(content["reference"]["world_from_volume"])
    beside = true.copy()
    beside[0, 3] += 30.0
    overlay = LiveOverlay(logic.inputs)
    alike = []
    try:
        overlay.follow(logic.getParameterNode())
        _waitUntil(case, lambda: overlay.settled)
        case.assertEqual(overlay.obstacle, "")
        case.assertTrue(overlay.ready)
        for pose in (true, beside):
            rig.setWorldFromVolume(logic.rig(), pose)
            _waitUntil(case, lambda: overlay.settled)
            alike.append(_likeness(logic.rig().views[0]))
    finally:
        overlay.close()
    # The DRR shows bone more strongly than soft tissue, so the two are never the same.
    case.assertGreater(alike[0], 0.7, alike)
    case.assertGreater(alike[0], alike[1] + 0.2, alike)


def registrationFindsThePose(case: Any, logic: Any) -> None:
    """Registering ends within two millimetres of the truth with a positive verdict, and Undo takes it back."""
    from .mrml import outcome
    from .parameters import Effort

    content = _load(case, logic)
    logic.getParameterNode().effort = Effort.fast
    before = _pose(logic)
    found = logic.register()
    case.assertTrue(found.accepted, found.verdict)
    case.assertLess(found.errorMm, _ALLOWED_MM)
    true = np.array(content["reference"]["world_from_volume"])
    # Not only by the module's own measure: the CT's middle lies where it should.
    off = (_pose(logic) - true) @ (*_middle(logic), 1.0)
    case.assertLess(np.linalg.norm(off[:3]), _ALLOWED_MM)
    case.assertEqual(outcome.staleness(logic.rig()), "")
    case.assertTrue(logic.undo())
    np.testing.assert_allclose(_pose(logic), before, atol=1e-9)
    case.assertIsNone(outcome.outcomeOf(logic.rig()))
    case.assertFalse(logic.undo())


def searchFindsThePose(case: Any, logic: Any) -> None:
    """From a textbook view, some way off, a search ends within two millimetres of the truth."""
    from .mrml import posing

    _load(case, logic)
    posing.toNominal(logic.rig(), logic.rig().views[0], logic.getParameterNode().volume, "pa")
    found = logic.search()
    case.assertTrue(found.accepted, found.verdict)
    case.assertLess(found.errorMm, _ALLOWED_MM)


def savedSceneComesBack(case: Any, logic: Any) -> None:
    """Saved, closed and loaded again, the scene holds pose, X-rays, geometry and verdict as they were."""
    from .mrml import outcome
    from .parameters import Effort

    _load(case, logic)
    logic.getParameterNode().effort = Effort.fast
    verdict = logic.register().verdict
    pose, projection = _pose(logic), logic.rig().views[0].projection
    path = Path(slicer.util.tempDirectory()) / "scene.mrb"
    case.assertTrue(slicer.util.saveScene(str(path)))
    slicer.mrmlScene.Clear()
    case.assertIsNone(logic.rig())
    slicer.util.loadScene(str(path))
    np.testing.assert_allclose(_pose(logic), pose, atol=1e-4)
    (view,) = logic.rig().views
    case.assertEqual(view.projection, projection)
    case.assertEqual(view.source.GetName(), "xray")
    kept = outcome.outcomeOf(logic.rig())
    case.assertEqual(kept.verdict if kept else "", verdict)
    case.assertEqual(outcome.staleness(logic.rig(), logic.getParameterNode().volume), "")


def badInputGetsASentence(case: Any, logic: Any) -> None:
    """What cannot be used is refused in one line that says so, and leaves the scene as it was."""
    from xrayreg.checks import InputError

    _requirePackages(case)
    refused = {
        "registering nothing": logic.register,
        "a case that is not there": lambda: logic.importCase(Path("nowhere") / "case.json"),
        "a volume as X-ray": lambda: logic.addXray(logic.getParameterNode().volume),
    }
    for what, use in refused.items():
        with case.subTest(what):
            if what == "a volume as X-ray":
                _load(case, logic)
            logic.getParameterNode()
            nodes = slicer.mrmlScene.GetNumberOfNodes()
            with case.assertRaises(InputError) as raised:
                use()
            case.assertEqual(len(str(raised.exception).splitlines()), 1)
            case.assertEqual(slicer.mrmlScene.GetNumberOfNodes(), nodes)


def _load(case: Any, logic: Any) -> dict[str, Any]:
    """Load a coarse phantom; returns the content of its case.json."""
    import json

    _requirePackages(case)
    folder = Path(slicer.util.tempDirectory())
    for _message in sampleData.writeSteps(logic.inputs.worker, folder):
        pass
    path = folder / sampleData.CASE
    logic.importCase(path)
    return json.loads(path.read_text(encoding="utf-8"))


def _requirePackages(case: Any) -> None:
    missing = dependencies.missing()
    if missing:
        case.skipTest("not installed: " + ", ".join(missing))


def _pose(logic: Any) -> np.ndarray:
    from .mrml import rig

    return rig.worldFromVolume(logic.rig())


def _middle(logic: Any) -> np.ndarray:
    """The middle of the CT in RAS, by the corners of its bounds."""
    bounds = np.zeros(6)
    logic.getParameterNode().volume.GetRASBounds(bounds)
    return (bounds[::2] + bounds[1::2]) / 2


def _waitUntil(case: Any, happened: Callable[..., Any]) -> None:
    end = time.monotonic() + _LONGEST_WAIT_S
    while not happened():
        case.assertLess(time.monotonic(), end, "it took too long")
        slicer.app.processEvents()


def _likeness(view: View) -> float:
    """Correlation of DRR and X-ray where there is a DRR."""
    drr = slicer.util.arrayFromVolume(view.drr)[0].astype(float)
    picture = slicer.util.arrayFromVolume(view.picture)[0].astype(float)
    rows, columns = (
        np.minimum((np.arange(size) + 0.5) * full / size, full - 1).astype(int)
        for size, full in zip(drr.shape, picture.shape, strict=True)
    )
    shown = drr > 0
    return float(np.corrcoef(drr[shown], picture[np.ix_(rows, columns)][shown])[0, 1])
