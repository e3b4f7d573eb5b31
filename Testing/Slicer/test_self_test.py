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
    # One for each public function of selfTest: none was forgotten.
    public = [name for name, value in vars(selfTest).items() if callable(value) and "_" not in name[:1]]
    own = [name for name in public if getattr(getattr(selfTest, name), "__module__", "") == selfTest.__name__]
    assert result.testsRun == len(own) >= 7


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
