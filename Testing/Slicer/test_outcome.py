"""The outcome of a registration in the scene: told in words, stale as soon as it no longer holds, and taken back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from nodes import add_ct, add_xray, reopen, some_pose

from xrayreg.geometry import Camera, Projection

KNOWN = Projection.of_camera(Camera.from_sid(1000.0, 0.3, 120, 90), "test")
CONTENT = {
    "accepted": True,
    "reason": "The match stands 9.0 standard deviations above displaced poses.",
    "uncertainty": {
        "rotation_deg": [0.1, 0.2, 0.05], "translation_mm": [0.1, 0.1, 0.4],
        "target_mm": 0.51, "target_in_plane_mm": 0.2, "target_depth_mm": 0.47,
    },
    # What a scene file has to keep: quotes, separators of its own attributes, other alphabets.
    "notes": ['A "quoted" <note>; with: separators & %20, and ümläute 图'],
}  # fmt: skip


@pytest.fixture
def outcome(app: Any) -> Any:
    from XRayRegistrationLib.mrml import outcome

    app.scene.Clear(0)
    return outcome


@pytest.fixture
def shown(outcome: Any) -> Any:
    from XRayRegistrationLib.mrml import rig

    made = rig.addView(rig.createRig(), add_xray(name="front"), KNOWN)
    rig.setWorldFromVolume(made, some_pose())
    return made


def registered(outcome: Any, shown: Any, volume: Any, shift: float, posed: bool = True, **changes: Any) -> Any:
    """As a registration does it: move the C-arm, then keep what was found."""
    from XRayRegistrationLib.mrml import posing, rig

    before = rig.worldFromVolume(shown)
    found = before.copy()
    found[0, 3] += shift
    rig.setWorldFromVolume(shown, found)
    posing.markPosed(shown)
    made = outcome.Outcome({**CONTENT, "world_from_volume": found.tolist(), **changes}, before)
    outcome.store(shown, made, volume, posed)
    return made


def test_there_is_no_outcome_before_a_registration(outcome, shown):
    assert outcome.outcomeOf(shown) is None
    assert outcome.staleness(shown) == "" and not outcome.isStale(shown)
    assert not outcome.undo(shown)


def test_the_outcome_comes_back_from_the_scene(outcome, shown):
    made = registered(outcome, shown, add_ct(), 3.0)
    found = outcome.outcomeOf(shown)
    assert found.content == made.content and found.errorMm is None
    np.testing.assert_allclose(found.before, some_pose(), atol=1e-12)
    np.testing.assert_array_equal(found.worldFromVolume, made.worldFromVolume)


def test_a_saved_scene_keeps_the_outcome_and_the_way_back(outcome, shown, app, tmp_path):
    import slicer

    from XRayRegistrationLib.mrml import rig

    registered(outcome, shown, add_ct(), 3.0)
    made = registered(outcome, shown, slicer.util.getNode("CT"), 2.0)
    reopen(app, tmp_path)
    again = rig.rigOf(slicer.util.getNode("C-arm pose"))
    assert outcome.outcomeOf(again).content == made.content
    assert outcome.staleness(again, slicer.util.getNode("CT")) == ""
    assert outcome.undo(again) and outcome.undo(again) and not outcome.undo(again)
    np.testing.assert_allclose(rig.worldFromVolume(again), some_pose(), atol=1e-6)


def test_an_accepted_pose_says_so_with_its_uncertainty_in_millimetres(outcome, shown):
    found = registered(outcome, shown, add_ct(), 3.0)
    assert found.accepted
    assert found.verdict == "Accepted: the match stands 9.0 standard deviations above displaced poses."
    assert "0.51 mm expected at the anatomy (0.20 mm along the detector, 0.47 mm in depth)" in found.uncertainty
    assert "0.20°" in found.uncertainty


def test_a_pose_that_is_not_trusted_says_why(outcome, shown):
    found = registered(outcome, shown, add_ct(), 3.0, accepted=False, reason="The match is too weak.")
    assert not found.accepted and found.verdict == "Not trusted: the match is too weak."


def test_assumed_numbers_are_never_trusted_and_are_named(outcome, shown):
    assumed = ("the SID of front", "the pixel pitch of front")
    found = replace(registered(outcome, shown, add_ct(), 3.0), assumed=assumed)
    assert not found.accepted
    assert found.verdict.startswith(
        "Not trusted, because nobody measured the SID of front and the pixel pitch of front"
    )
    assert "9.0 standard deviations" in found.verdict


def test_a_reference_adds_the_true_error(outcome, shown):
    found = replace(registered(outcome, shown, add_ct(), 3.0), errorMm=0.314)
    assert found.verdict.endswith("Against the case's reference the error is 0.31 mm (mTRE).")


@pytest.mark.parametrize("number", [np.nan, np.inf, 1e5])
def test_an_open_pose_is_told_in_words_and_not_in_kilometres(outcome, shown, number):
    told = {**CONTENT["uncertainty"], "target_mm": number}
    registered(outcome, shown, add_ct(), 3.0, uncertainty=told)
    assert outcome.outcomeOf(shown).uncertainty == "Uncertainty: the images leave the pose open."


def test_moving_the_c_arm_makes_it_stale_and_moving_it_back_does_not(outcome, shown):
    from XRayRegistrationLib.mrml import rig

    volume = add_ct()
    found = registered(outcome, shown, volume, 3.0)
    assert outcome.staleness(shown, volume) == ""
    rig.setWorldFromVolume(shown, some_pose())
    assert outcome.staleness(shown, volume) == "The C-arm has been moved since the registration."
    rig.setWorldFromVolume(shown, found.worldFromVolume)
    assert not outcome.isStale(shown, volume)


def test_another_geometry_another_ct_and_another_xray_make_it_stale(outcome, shown):
    from XRayRegistrationLib.mrml import rig

    volume = add_ct()
    registered(outcome, shown, volume, 3.0)
    assert "Another CT" in outcome.staleness(shown, add_ct(name="other"))
    rig.setProjection(shown.views[0], KNOWN.changed("test", sid_mm=1001.0))
    assert "geometry" in outcome.staleness(shown, volume)
    rig.setProjection(shown.views[0], KNOWN.changed("typed again", sid_mm=KNOWN.sid_mm))
    assert outcome.staleness(shown, volume) == "", "another origin is no other geometry"
    grown = rig.addView(shown, add_xray(), KNOWN)
    assert "geometry" in outcome.staleness(grown, volume)


def test_undo_goes_back_one_registration_at_a_time(outcome, shown):
    from XRayRegistrationLib.mrml import posing, rig

    volume = add_ct()
    first = registered(outcome, shown, volume, 3.0, posed=False)
    registered(outcome, shown, volume, 2.0)
    assert outcome.undo(shown)
    np.testing.assert_allclose(rig.worldFromVolume(shown), first.worldFromVolume, atol=1e-12)
    assert outcome.outcomeOf(shown).content == first.content and outcome.staleness(shown, volume) == ""
    assert posing.isPosed(shown)
    assert outcome.undo(shown)
    np.testing.assert_allclose(rig.worldFromVolume(shown), some_pose(), atol=1e-12)
    assert outcome.outcomeOf(shown) is None and not posing.isPosed(shown)


def test_the_memory_of_earlier_registrations_is_bounded(outcome, shown):
    volume = add_ct()
    sizes = []
    for _ in range(14):
        registered(outcome, shown, volume, 1.0)
        sizes.append(len(shown.pose.GetAttribute("XRayRegistration.outcome")))
    assert sizes[-1] < 1.05 * sizes[-2] and sizes[1] > 1.5 * sizes[0]
    undone = 0
    while outcome.undo(shown):
        undone += 1
    assert undone == 10


def test_forgetting_drops_all_of_them(outcome, shown):
    registered(outcome, shown, add_ct(), 1.0)
    outcome.forget(shown)
    assert outcome.outcomeOf(shown) is None and not outcome.undo(shown)
