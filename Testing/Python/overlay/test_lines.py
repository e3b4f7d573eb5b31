"""Lines lie where closed-form shapes have their borders, and are drawn where they lie."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import erf

from xrayreg.overlay import Lines, drr_edges, outline, stroke


def radii(points: np.ndarray, centre: tuple[float, float]) -> np.ndarray:
    return np.hypot(points[:, 0] - centre[0], points[:, 1] - centre[1])


def distance_from(centre: tuple[float, float], shape: tuple[int, int]) -> np.ndarray:
    rows, columns = np.indices(shape)
    return np.hypot(columns - centre[0], rows - centre[1])


def angles_covered(points: np.ndarray, centre: tuple[float, float]) -> float:
    angle = np.degrees(np.arctan2(points[:, 1] - centre[1], points[:, 0] - centre[0])).astype(int) % 360
    return len(np.unique(angle // 5)) / 72


@pytest.mark.parametrize("blur", [0.7, 1.5, 3.0])
@pytest.mark.parametrize(("centre", "radius"), [((70.0, 55.0), 40.0), ((70.37, 55.81), 33.3)])
def test_edges_lie_on_the_border_of_a_blurred_disc(blur, centre, radius):
    image = 3 * (1 - erf((distance_from(centre, (120, 141)) - radius) / (np.sqrt(2) * blur))) / 2
    lines = drr_edges(image, scale_px=1.5)
    error = radii(lines.points, centre) - radius
    # Smoothing moves a curved border inwards by (blur^2 + scale^2) / (2 radius), 0.17 px at most here.
    assert np.abs(error).max() < 0.35
    assert abs(error.mean()) < 0.2
    assert angles_covered(lines.points, centre) == 1


def test_normals_point_across_the_edge():
    centre = (60.0, 60.0)
    lines = drr_edges(np.clip(40 - distance_from(centre, (121, 121)), 0, 3), scale_px=1.0)
    outward = (lines.points - centre) / radii(lines.points, centre)[:, None]
    # A degree on a circle of 40 pixels is less than a pixel of arc.
    assert np.abs((outward * lines.normals).sum(-1)).min() > 0.999


def test_faint_edges_count_only_where_they_continue_strong_ones():
    rows, columns = np.indices((120, 200))
    fading = np.where(rows < 60, np.interp(columns, [0, 199], [1.0, 0.2]), 0)
    apart = 0.2 * ((columns > 100) & (rows > 90))
    lines = drr_edges(fading + apart, scale_px=1.0)
    upper = lines.points[lines.points[:, 1] < 75]
    assert upper[:, 0].max() > 190
    assert not (lines.points[:, 1] > 80).any()


@pytest.mark.parametrize("value", [0.0, 1.0, 1e6, -3.0])
def test_constant_images_have_no_lines(value):
    image = np.full((40, 50), value, dtype=np.float32)
    assert not len(drr_edges(image, 1.0).points)
    assert not len(outline(image, 1.0).points)
    assert not stroke(drr_edges(image, 1.0), image.shape, 2.0).any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (2, 3)])
def test_tiny_images_do_not_crash(shape):
    drr_edges(np.arange(np.prod(shape), dtype=float).reshape(shape), 1.0)


@pytest.mark.parametrize("smoothing", [0.8, 2.0])
def test_an_outline_lies_where_the_path_length_passes_its_threshold(smoothing):
    centre, radius, threshold = (70.4, 64.7), 50.0, 3.0
    path = 2 * np.sqrt(np.maximum(radius**2 - distance_from(centre, (130, 141)) ** 2, 0))
    lines = outline(path, threshold, smoothing)
    # Chords are longer than the threshold up to this radius, 0.02 px less than the ball's.
    border = np.sqrt(radius**2 - (threshold / 2) ** 2)
    error = radii(lines.points, centre) - border
    # The chord goes from nothing to twice the threshold within 0.1 px, so pixels see a step: half a pixel.
    assert np.abs(error).max() < 0.7
    assert abs(error.mean()) < 0.1
    assert angles_covered(lines.points, centre) == 1


def test_an_outline_does_not_follow_the_border_of_the_image():
    path = np.zeros((60, 80))
    path[:, :40] = 10
    lines = outline(path, 1.0)
    assert np.abs(lines.points[:, 0] - 39.5).max() < 0.5
    assert len(lines.points) >= 60


@pytest.mark.parametrize("width", [1.0, 1.7, 3.0])
@pytest.mark.parametrize("degrees", [0.0, 30.0, 45.0, 77.0])
def test_a_stroke_covers_the_area_of_its_line(width, degrees):
    direction = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
    normal = np.array([-direction[1], direction[0]])
    points = [50.3, 49.8] + np.arange(-30, 30.5, 0.5)[:, None] * direction
    covered = stroke(Lines(points, np.broadcast_to(normal, points.shape)), (100, 100), width)
    assert covered.min() >= 0 and covered.max() <= 1
    # 60 pixels long with ends half a pixel beyond; a pixel's share is taken from its distance alone, which is 9 % off
    # at worst, along diagonals.
    assert covered.sum() == pytest.approx(61 * width, rel=0.1)
    rows, columns = np.nonzero(covered)
    across = np.abs((np.stack([columns, rows], -1) - [50.3, 49.8]) @ normal)
    assert across.max() < width / 2 + 0.5 + 1e-6  # a pixel at that distance is touched no more


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
@pytest.mark.parametrize("degrees", [0.0, 30.0, 77.0])
def test_enlarged_lines_lie_at_the_same_place_of_the_picture_and_have_no_gaps(factor, degrees):
    direction = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
    normal = np.array([-direction[1], direction[0]])
    middle = np.array([25.3, 24.8])
    # One piece for each pixel that the line runs through, or for a little more of it.
    points = middle + np.arange(-14, 15)[:, None] * direction
    lines = Lines(points, np.broadcast_to(normal, points.shape)).enlarged(factor)
    covered = stroke(lines, (50 * factor, 50 * factor), 2.0)
    rows, columns = np.nonzero(covered > 0.5)
    away = (np.stack([columns, rows], -1) + 0.5) / factor - 0.5 - middle
    assert np.abs(away @ normal).max() * factor <= 1.5
    along = np.sort(away @ direction) * factor
    # No pixel of the finer image is left out on the way.
    assert np.diff(along).max() < 1.5
    assert along[-1] - along[0] > 28 * factor


def test_a_stroke_beyond_the_image_is_cut_off():
    points = np.array([[-1.0, 5.0], [0.0, 5.0], [9.6, 5.0], [400.0, 5.0]])
    covered = stroke(Lines(points, np.tile([0.0, 1.0], (4, 1))), (10, 10), 1.0)
    assert covered.shape == (10, 10)
    assert covered[5, 0] == 1
