"""The geometry table: what it shows can be typed again, and typing changes what it says and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from xrayreg.checks import InputError
from xrayreg.geometry import Camera, Projection

SIZE = (1024, 768)
FULL = Projection.assumed(*SIZE).changed(
    "DICOM", sid_mm=1183.25, pixel_mm=(0.3081, 0.4), primary_deg=-31.5, secondary_deg=12.25, sod_mm=765.0,
    principal_px=(500.25, 380.125),
)  # fmt: skip


@pytest.fixture
def table(app: Any) -> Any:
    from XRayRegistrationLib.mrml import geometryTable

    return geometryTable


def row(table: Any, projection: Projection, key: str) -> Any:
    return next(each for each in table.rows(projection) if each.key == key)


@pytest.mark.parametrize("projection", [FULL, Projection.assumed(*SIZE)], ids=["all known", "nothing known"])
def test_what_is_shown_can_be_typed_again(table, projection):
    for each in table.rows(projection):
        assert each.name and each.hint
        if each.editable:
            again = table.setRow(projection, each.key, f"{each.text} {each.unit}" if each.text else "")
            assert row(table, again, each.key).text == each.text
            np.testing.assert_allclose(again.camera().matrix, projection.camera().matrix, rtol=1e-5)


@pytest.mark.parametrize(
    ("key", "text", "field", "value"),
    [
        ("sid", "1100.5 mm", "sid_mm", 1100.5),
        ("sid", "1100,5", "sid_mm", 1100.5),
        ("pitch", "0.25", "pixel_mm", (0.25, 0.25)),
        ("pitch", ".25 x 0,3 mm", "pixel_mm", (0.25, 0.3)),
        ("field", "512, 384", "pixel_mm", (0.5, 0.5)),
        ("principal", "511.5,383.5 px", "principal_px", (511.5, 383.5)),
        ("primary", "RAO 30°", "primary_deg", -30.0),
        ("primary", "30 lao", "primary_deg", 30.0),
        ("primary", "-30", "primary_deg", -30.0),
        ("secondary", "Caud 7.5", "secondary_deg", -7.5),
        ("secondary", "", "secondary_deg", None),
        ("sod", "700", "sod_mm", 700.0),
        ("sod", "", "sod_mm", None),
        ("intensity", "bone is bright", "intensity", "attenuation"),
    ],
)
def test_a_typed_number_is_taken_with_its_origin(table, key, text, field, value):
    changed = table.setRow(FULL, key, text)
    assert getattr(changed, field) == pytest.approx(value) if value is not None else getattr(changed, field) is None
    assert row(table, changed, key).origin == "entered by hand"
    kept = {name: item for name, item in vars(FULL).items() if name not in (field, "origins")}
    assert {name: vars(changed)[name] for name in kept} == kept


@pytest.mark.parametrize(
    ("key", "text", "sid"),
    [("sid", "1500", 1500.0), ("pitch", "0.5", 1250.0), ("field", "614.4 x 307.2", 1500.0), ("sid", "900", 900.0)],
)
def test_of_a_calibrated_ratio_one_number_follows_the_other(table, key, text, sid):
    matrix = np.array([[2500.0, 0.0, 500.0], [0.0, 2500.0, 400.0], [0.0, 0.0, 1.0]])
    if key == "field":
        matrix[1, 1] = 3750.0
    given = Projection.of_camera(Camera(matrix, *SIZE, np.eye(4)), "case.json")
    changed = table.setRow(given, key, text)
    # Typed again, and as often as it takes, the X-ray still fits.
    again = table.setRow(table.setRow(changed, "sid", "1234"), key, text)
    for each in (changed, again):
        assert each.sid_mm == pytest.approx(sid, rel=1e-12)
        np.testing.assert_allclose(each.camera().matrix, matrix, rtol=1e-12)
        assert {row(table, each, name).origin for name in ("sid", "pitch", "field")} == {"entered by hand"}


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("sid", "far"), ("sid", ""), ("sid", "-1000"), ("sid", "0"), ("sid", "nan"), ("sid", "1e999"), ("sid", "700"),
        ("sid", "1 2"), ("pitch", "300"), ("pitch", "0.3 x"), ("pitch", "0.3 x 0.3 x 0.3"), ("field", "400"),
        ("principal", "12"), ("principal", "1e9 x 2"), ("primary", "LAO"), ("primary", "400"), ("secondary", "95"),
        ("sod", "1200"), ("sod", "-5"), ("mirrored", "perhaps"), ("turned", "45"), ("intensity", "dark"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_in_a_sentence(table, key, text):
    with pytest.raises(InputError, match=r"expected .*, found "):
        table.setRow(FULL, key, text)


def test_the_number_of_pixels_cannot_be_typed_and_says_why(table):
    shown = row(table, FULL, "size")
    assert not shown.editable and shown.text == "1024 x 768" and "load another" in shown.hint
    with pytest.raises(KeyError):
        table.setRow(FULL, "size", "10 x 10")


def test_an_assumed_number_is_marked_until_it_is_confirmed(table):
    assumed = Projection.assumed(*SIZE)
    assert [each.key for each in table.rows(assumed) if each.assumed] == ["sid", "pitch", "field"]
    confirmed = table.setRow(assumed, "sid", row(table, assumed, "sid").text)
    confirmed = table.setRow(confirmed, "field", row(table, confirmed, "field").text)
    assert not any(each.assumed for each in table.rows(confirmed))


def test_turning_and_mirroring_move_the_central_ray_with_the_pixels(table):
    stored = np.zeros(SIZE[::-1])
    stored[380, 500] = 1.0
    start = replace(FULL, principal_px=(500.0, 380.0))
    for turns, text in enumerate(("0°", "90°", "180°", "270°")):
        for mirrored in ("no", "yes"):
            changed = table.setRow(table.setRow(start, "turned", text), "mirrored", mirrored)
            upright = np.rot90(stored, turns)
            upright = upright[:, ::-1] if mirrored == "yes" else upright
            assert changed.size == upright.shape[::-1]
            (at_row,), (at_column,) = np.nonzero(upright)
            assert changed.principal_px == (at_column, at_row)
            back = table.setRow(table.setRow(changed, "mirrored", "no"), "turned", "0°")
            assert (back.principal_px, back.size, back.pixel_mm) == (start.principal_px, start.size, start.pixel_mm)


def test_a_calibration_with_skew_cannot_be_turned_but_mirrored(table):
    skewed = replace(FULL, skew_px=3.0)
    assert not row(table, skewed, "turned").editable
    with pytest.raises(InputError, match="skew"):
        table.setRow(skewed, "turned", "90°")
    assert table.setRow(skewed, "mirrored", "yes").skew_px == -3.0


def test_doubts_about_the_file_are_told(table):
    told = replace(FULL, origins={**FULL.origins, "doubts": "First.", "orientation": "Second."})
    assert table.remarks(told) == ("First.", "Second.")
    assert table.remarks(FULL) == ()
