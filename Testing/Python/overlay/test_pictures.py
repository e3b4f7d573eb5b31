"""Pictures show what they are given: grey stays grey, tones match, colours mean what the key says."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import ndimage

from xrayreg.geometry import Camera
from xrayreg.overlay import (
    Caption,
    Lines,
    SheetPanel,
    Silhouette,
    checkerboard,
    compared_region,
    compose_sheet,
    dense_is_dark,
    difference,
    draw_overlay,
    label_colour,
    matched_tones,
    shown_grey,
)
from xrayreg.overlay.drawing import EDGE
from xrayreg.overlay.sheet import ACCEPTED, REJECTED
from xrayreg.scene import Radiograph

SHAPE = (90, 120)


def bumps(seed: int = 0) -> np.ndarray:
    """A smooth positive image: a sum of Gaussian hills."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(SHAPE)
    hills = (
        a * np.exp(-((rows - r) ** 2 + (columns - c) ** 2) / (2 * s**2))
        for a, r, c, s in zip(
            rng.uniform(0.5, 2, 12), rng.uniform(0, 90, 12), rng.uniform(0, 120, 12), rng.uniform(3, 9, 12), strict=True
        )
    )
    return 0.05 + np.sum(list(hills), axis=0)


def radiograph(recorded: np.ndarray, attenuation: np.ndarray, valid: np.ndarray | None = None) -> Radiograph:
    camera = Camera.from_sid(1000.0, 1.0, SHAPE[1], SHAPE[0])
    valid = np.ones(SHAPE, dtype=bool) if valid is None else valid
    return Radiograph(recorded.astype(np.float32), attenuation.astype(np.float32), valid, camera)


def is_grey(picture: np.ndarray) -> np.ndarray:
    return (picture[..., 0] == picture[..., 1]) & (picture[..., 1] == picture[..., 2])


def test_the_shown_x_ray_keeps_the_recorded_polarity():
    dense = bumps()
    dark, bright = radiograph(1000 * np.exp(-dense), dense), radiograph(dense, dense)
    assert dense_is_dark(dark) and not dense_is_dark(bright)
    assert np.allclose(shown_grey(dark), 1 - shown_grey(bright), atol=1e-6)  # float32


def test_the_shown_x_ray_rises_with_attenuation_and_uses_the_whole_range():
    dense = bumps()
    grey = shown_grey(radiograph(dense, dense))
    assert grey.shape == SHAPE and grey.dtype == np.float32
    assert (np.diff(grey.ravel()[np.argsort(dense.ravel())]) >= -1e-6).all()
    assert grey.min() == pytest.approx(0, abs=1e-6) and grey.max() == pytest.approx(1, abs=1e-6)


def test_bright_trash_outside_the_field_does_not_change_the_window():
    dense, valid = bumps(), np.zeros(SHAPE, dtype=bool)
    valid[10:80, 10:110] = True
    trash = np.where(valid, dense, 1e4)
    assert np.array_equal(
        shown_grey(radiograph(trash, trash, valid))[valid], shown_grey(radiograph(dense, dense, valid))[valid]
    )
    assert shown_grey(radiograph(trash, trash, valid))[~valid].max() < 0.5


@pytest.mark.parametrize("value", [0.0, 7.5])
@pytest.mark.parametrize("all_valid", [True, False])
def test_constant_images_become_pictures_without_contrast(value, all_valid):
    flat = np.full(SHAPE, value)
    grey = shown_grey(radiograph(flat, flat, np.full(SHAPE, all_valid)))
    assert np.isfinite(grey).all() and np.ptp(grey) == 0
    region = compared_region(flat, np.full(SHAPE, all_valid))
    matched = matched_tones(flat, grey, region, True)
    assert np.isfinite(matched).all()
    picture = draw_overlay(grey, None, {1: Silhouette(flat, 1.0)})
    assert picture.shape == (*SHAPE, 3)
    assert is_grey(difference(grey, matched, region, True)).all()


def test_grey_stays_grey_where_nothing_is_drawn():
    grey = np.linspace(0, 1, SHAPE[0] * SHAPE[1]).reshape(SHAPE).astype(np.float32)
    path = np.zeros(SHAPE)
    path[30:50, 20:40] = 10
    lines = Lines(np.array([[100.0, 70.0]]), np.array([[1.0, 0.0]]))
    picture = draw_overlay(grey, lines, {3: Silhouette(path, 1.0)})
    drawn = np.zeros(SHAPE, dtype=bool)
    drawn[24:56, 14:46] = True  # the square and its smoothed outline
    drawn[66:75, 96:105] = True  # the line and its casing
    assert picture.dtype == np.uint8 and picture.shape == (*SHAPE, 3)
    assert np.array_equal(picture[~drawn], np.repeat(np.rint(grey * 255)[~drawn][:, None], 3, -1))
    assert not is_grey(picture)[31:49, 21:39].any()
    assert not is_grey(picture)[70, 100]


def test_a_silhouette_has_its_outline_in_the_label_s_colour():
    path = np.zeros(SHAPE)
    path[30:60, 20:70] = 10
    picture = draw_overlay(np.full(SHAPE, 0.5), None, {2: Silhouette(path, 1.0)}).astype(int)
    rim = np.concatenate([picture[45, 18:22], picture[45, 68:72]])
    # Half a pixel beside the border the line covers at least half of the pixel.
    assert np.abs(rim - label_colour(2)).sum(-1).min() < np.abs(np.array([128, 128, 128]) - label_colour(2)).sum() * 0.6
    assert np.abs(picture[45, 45] - label_colour(2)).sum() > 100  # the fill lets the X-ray through


@pytest.mark.parametrize("centre", [(60.0, 45.0), (2.0, 45.0), (60.3, 88.6)])
def test_a_silhouette_s_pixels_are_those_within_its_outline(centre):
    rows, columns = np.indices(SHAPE)
    away = np.hypot(columns - centre[0], rows - centre[1])
    inside = Silhouette(2 * np.sqrt(np.maximum(25.0**2 - away**2, 0)), 3.0).inside()
    # Chords are longer than the threshold up to this radius; smoothing moves a border so round by 0.01 pixels, and the
    # image's own border stays where it is.
    border = np.sqrt(25.0**2 - 1.5**2)
    assert inside[away < border - 0.8].all()
    assert not inside[away > border + 0.8].any()


def test_a_silhouette_out_of_view_has_no_pixels():
    assert not Silhouette(np.zeros(SHAPE), 1.0).inside().any()


def test_the_colours_of_eleven_labels_differ_from_each_other_and_from_edges():
    colours = [np.array(colour) for colour in (EDGE, *map(label_colour, range(1, 12)))]
    assert min(np.abs(a - b).sum() for a, b in itertools.combinations(colours, 2)) > 60
    assert label_colour(12) != label_colour(1)


@pytest.mark.parametrize("dark", [True, False])
def test_a_drr_of_the_same_anatomy_takes_the_x_ray_s_tones(dark):
    drr = bumps()
    rows, _ = np.indices(SHAPE)
    grey = 0.5 + (-0.12 if dark else 0.12) * drr + 0.002 * (rows - 45)
    region = np.ones(SHAPE, dtype=bool)
    matched = matched_tones(drr, grey, region, dark)
    # The broad background is estimated from the image itself, so some of the hills' foot goes into it.
    assert np.abs(matched - grey).mean() < 0.1 * grey.std()
    assert np.corrcoef(matched.ravel(), grey.ravel())[0, 1] > 0.99


def test_a_drr_that_does_not_fit_stays_visible():
    grey, region = (0.2 + 0.1 * bumps(2)).astype(np.float32), np.ones(SHAPE, dtype=bool)
    one, other = (matched_tones(bumps(seed), grey, region, False) for seed in (1, 3))
    detail = grey - ndimage.gaussian_filter(grey, 0.04 * max(SHAPE))
    # Either keeps half the X-ray's contrast, and unrelated images differ by root two times that.
    assert (one - other).std() > 0.5 * detail.std()


def test_the_difference_tells_by_colour_which_is_denser():
    region = np.ones(SHAPE, dtype=bool)
    region[:, 60:] = False
    base = np.full(SHAPE, 0.5)
    brighter = np.where(np.indices(SHAPE)[0] < 45, 0.7, 0.3)
    on_white = difference(brighter, base, region, dense_is_dark=False).astype(int)
    assert on_white[10, 10, 0] > on_white[10, 10, 2]  # X-ray denser: orange
    assert on_white[80, 10, 2] > on_white[80, 10, 0]  # DRR denser: blue
    on_dark = difference(brighter, base, region, dense_is_dark=True).astype(int)
    assert on_dark[10, 10, 2] > on_dark[10, 10, 0]
    assert is_grey(on_white)[:, 60:].all()
    assert difference(base, base, region, True)[:, :60].max() < 16  # black where they agree


def test_the_checkerboard_takes_turns_inside_the_region_only():
    region = np.zeros(SHAPE, dtype=bool)
    region[:, :60] = True
    picture = checkerboard(np.zeros(SHAPE), np.ones(SHAPE), region, tiles=8)
    assert picture[:, 60:].max() == 0
    bright = picture[:, :60].max(axis=-1) > 128
    assert bright.mean() == pytest.approx(0.5, abs=0.02)
    assert not bright[7, 7] and bright[7, 22] and bright[22, 7] and not bright[22, 22]


def test_the_compared_region_surrounds_the_drr_within_the_field():
    drr, valid = np.zeros(SHAPE), np.ones(SHAPE, dtype=bool)
    drr[40:50, 40:50] = 1
    valid[:, :42] = False
    region = compared_region(drr, valid)
    assert region[45, 52] and not region[45, 60] and not region[45, 41]


@pytest.mark.parametrize(("accepted", "colour"), [(True, ACCEPTED), (False, REJECTED), (None, None)])
def test_a_sheet_holds_its_panels_and_shows_the_verdict_by_colour(accepted, colour):
    rng = np.random.default_rng(0)
    panels = [SheetPanel(f"panel {n}", rng.integers(0, 256, (50 + n, 70, 3), dtype=np.uint8)) for n in range(3)]
    caption = Caption("a very long name of a view " * 9, (("mTRE", "0.4 mm"),), accepted, "because " * 60)
    sheet = compose_sheet(caption, panels, [((1, 2, 3), f"label {n}") for n in range(40)])
    assert sheet.dtype == np.uint8 and sheet.shape[2] == 3
    windows = np.lib.stride_tricks.sliding_window_view(sheet[..., 0], (4, 4))
    for panel in panels:
        corner = panel.picture[:4, :4, 0]
        assert (windows == corner).all(axis=(2, 3)).sum() == 1
    shown = {tuple(pixel) for pixel in sheet[:120].reshape(-1, 3).tolist()}
    assert [verdict for verdict in (ACCEPTED, REJECTED) if verdict in shown] == ([colour] if colour else [])


def test_a_sheet_without_panels_is_a_caption():
    assert compose_sheet(Caption(""), []).shape[1] > 500
