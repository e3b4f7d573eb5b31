"""Stored pixels become the radiograph of a pinhole camera: turned, reflected, the right way round, or refused."""

from __future__ import annotations

import numpy as np
import pytest

from xrayreg.checks import InputError
from xrayreg.geometry import Camera
from xrayreg.scene import radiograph_from_array

ROWS, COLUMNS = np.mgrid[:80, :120].astype(np.float32)
# Asymmetric, with air all around it.
BODY = 2 * np.exp(-(((COLUMNS - 40) / 18) ** 2) - ((ROWS - 30) / 12) ** 2)
STORED = (4000 * np.exp(-BODY)).astype(np.uint16)


def camera(turns: int = 0) -> Camera:
    width, height = (80, 120) if turns % 2 else (120, 80)
    return Camera(np.array([[2000.0, 0, 31.5], [0, 2000, 44.0], [0, 0, 1]]), width, height, np.eye(4), 0.5)


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_turned_counter_clockwise_then_reflected(turns: int, mirrored: bool) -> None:
    view = radiograph_from_array(STORED, camera(turns), quarter_turns=turns, mirrored=mirrored)
    expected = np.rot90(STORED, turns)
    np.testing.assert_array_equal(view.recorded, expected[:, ::-1] if mirrored else expected)
    np.testing.assert_array_equal(view.camera.matrix, camera(turns).matrix)
    assert view.reflected == mirrored


@pytest.mark.parametrize("negated", [False, True])
@pytest.mark.parametrize("kind", ["transmission", "attenuation"])
def test_bright_becomes_dense_whichever_way_the_grey_scale_runs(kind: str, negated: bool) -> None:
    air_is_bright = kind == "transmission"
    stored = STORED if air_is_bright != negated else STORED.max() - STORED
    view = radiograph_from_array(stored, camera(), intensity=kind, negated=negated)
    assert np.corrcoef(view.attenuation.ravel(), BODY.ravel())[0, 1] > 0.95
    np.testing.assert_array_equal(view.recorded, stored)


def test_what_blades_hide_is_turned_with_the_image() -> None:
    area = np.ones(STORED.shape, bool)
    area[:, :25] = False
    view = radiograph_from_array(STORED, camera(1), quarter_turns=1, mirrored=True, open_area=area)
    # The left side goes down, and the reflection leaves it there.
    assert not view.valid[-25:].any() and view.valid[:-25].all()


def test_equal_channels_are_grey_and_others_are_refused() -> None:
    view = radiograph_from_array(np.stack([STORED] * 4, -1), camera())
    np.testing.assert_array_equal(view.recorded, STORED)
    assert "read as grey" in view.notes[0]
    with pytest.raises(InputError, match=r"X-ray view: expected a grey image, found 3 channels"):
        radiograph_from_array(np.stack([STORED, STORED, STORED // 2], -1), camera())


@pytest.mark.parametrize(
    ("stored", "found"),
    [
        (np.full((80, 120), 7), "constant value 7"),
        (np.where(BODY > 1, 0, 255), "black or white"),
        (np.where(BODY > 1, np.nan, 1.0 + BODY), "NaN"),
        (STORED[:40], "120 x 40 pixels"),
    ],
    ids=["constant", "mask", "not a number", "size"],
)
def test_what_shows_nothing_is_refused(stored: np.ndarray, found: str) -> None:
    with pytest.raises(InputError, match=found):
        radiograph_from_array(stored, camera())


def test_an_unknown_meaning_of_grey_is_refused() -> None:
    with pytest.raises(InputError, match="expected auto, transmission, attenuation, found 'dark'"):
        radiograph_from_array(STORED, camera(), intensity="dark")
