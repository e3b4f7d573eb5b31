"""The module's own test, as Slicer's self-test button and ctest run it."""

from __future__ import annotations

import unittest
from pathlib import Path

import pytest

MODULE = Path(__file__).resolve().parents[2] / "XRayRegistration" / "XRayRegistration.py"


@pytest.fixture
def cases(app):
    """The tests of the class that Slicer looks for, by name."""
    app.modules.load(MODULE)
    import XRayRegistration

    suite = unittest.defaultTestLoader.loadTestsFromTestCase(XRayRegistration.XRayRegistrationTest)
    return {test.id().rsplit(".", 1)[1]: test for test in suite}


def test_all_parts_of_the_self_test_pass(app, cases):
    from XRayRegistrationLib import selfTest

    result = unittest.TestResult()
    for test in cases.values():
        test.run(result)
    assert not result.skipped
    assert result.wasSuccessful(), "\n".join(text for _, text in result.failures + result.errors)
    # One for each public function of selfTest but the one that runs them: none was forgotten.
    public = [name for name, value in vars(selfTest).items() if callable(value) and "_" not in name[:1]]
    own = [name for name in public if getattr(getattr(selfTest, name), "__module__", "") == selfTest.__name__]
    assert result.testsRun == len(own) - 1 >= 7 and "run" in own


def test_the_button_runs_every_part_and_nothing_else(app, cases):
    # Slicer's base class runs each method with "test" in its name, whatever stands before it.
    any_case = next(iter(cases.values()))
    inherited = set(dir(unittest.TestCase)) | {"runTest"}
    named = {name for name in dir(any_case) if "test" in name and callable(getattr(any_case, name))}
    assert {name for name in named - inherited if name != "moduleTestNames"} == set(cases)


def test_without_packages_the_self_test_says_which_are_missing(app, cases, monkeypatch):
    from XRayRegistrationLib import dependencies

    monkeypatch.setattr(dependencies, "missing", lambda: ["torch"])
    result = unittest.TestResult()
    for test in cases.values():
        test.run(result)
    assert {reason for _, reason in result.skipped} == {"not installed: torch"}
    assert result.wasSuccessful()


@pytest.fixture
def told(monkeypatch):
    """What the self-test shows in a message box."""
    import slicer

    messages: list[str] = []
    monkeypatch.setattr(slicer.util, "infoDisplay", lambda text, *_more, **_named: messages.append(text))
    return messages


def test_the_button_tells_of_missing_packages_instead_of_failing(app, cases, monkeypatch, told):
    import slicer

    from XRayRegistrationLib import dependencies

    monkeypatch.setattr(dependencies, "missing", lambda: ["torch", "numba"])
    # As ScriptedLoadableModuleWidget.onTest does, which shows "Test failed" for whatever is raised.
    slicer.selfTests["XRayRegistration"](msec=0)
    assert told == [
        f"{len(cases)} parts of the self-test were skipped: not installed: torch, numba. Nothing was tried."
    ]


def test_the_button_goes_on_after_a_part_that_is_skipped_and_stops_at_one_that_fails(app, cases, told):
    from XRayRegistrationLib import dependencies, selfTest

    ran: list[str] = []

    class Parts(unittest.TestCase):
        moduleTestNames = ("test_skipped", "test_missing", "test_passed")

        def setUp(self) -> None:
            ran.append("setUp")

        def tearDown(self) -> None:
            ran.append("tearDown")

        def test_skipped(self) -> None:
            self.skipTest("no screen")

        def test_missing(self) -> None:
            raise dependencies.MissingPackages("PyTorch does not load.")

        def test_passed(self) -> None:
            ran.append("passed")

        def test_failed(self) -> None:
            self.fail("on purpose")

    selfTest.run(Parts("test_passed"))
    assert ran == ["setUp", "tearDown", "setUp", "tearDown", "setUp", "passed", "tearDown"]
    (said,) = told
    assert "no screen" in said and "PyTorch does not load." in said and said.endswith("The others passed.")
    failing = Parts("test_failed")
    failing.moduleTestNames = ("test_failed", "test_passed")
    ran.clear()
    with pytest.raises(AssertionError, match="on purpose"):
        selfTest.run(failing)
    assert ran == ["setUp", "tearDown"]
