"""The soft tissue around the bones: skin, fat, muscle, organs and gas, deliberately asymmetric."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from scipy.ndimage import affine_transform, gaussian_filter1d

from ..slabs import slabs
from .bones import AT_ONCE, Lattice
from .shapes import Ellipsoid, Floats, Shape, Tube

FAT, VISCERAL_FAT, MUSCLE, SKIN, BOWEL, GAS, OUTSIDE = -105.0, -95.0, 55.0, 20.0, 35.0, -960.0, -1000.0

# Outline of the trunk at heights z: half width, half depth, middle in y [mm].
_TRUNK = (
    (-140, 168, 96, -8),
    (-90, 178, 108, -12),
    (-30, 183, 116, -14),
    (40, 180, 118, -10),
    (110, 168, 116, -4),
    (190, 160, 114, 0),
    (290, 164, 116, 2),
)

# The cavity of belly and pelvis at heights z: half width, half depth, middle in y [mm].
_CAVITY = (
    (-50, 20, 16, 0),
    (-20, 46, 36, -8),
    (30, 56, 50, -12),
    (80, 88, 56, 14),
    (130, 118, 54, 32),
    (200, 128, 60, 34),
    (290, 134, 66, 32),
)


def soft_tissue(lattice: Lattice, generator: Generator) -> Floats:
    """Hounsfield units of the body without its bones on the lattice."""
    mottle = smooth_noise(lattice, 9.0, generator)
    values, depth, cavity = (np.empty(lattice.shape, np.float32) for _ in range(3))
    for rows in slabs(lattice.shape, AT_ONCE):
        part = lattice.part((rows, slice(None), slice(None)))
        depth[rows] = _depth_in(_TRUNK, 2.5, part)
        _part_thighs(depth[rows], part)
        cavity[rows] = _depth_in(_CAVITY, 2.2, part)
        values[rows] = _layers(part, depth[rows], cavity[rows], mottle[rows])
    for shape, hu in _organs(generator):
        _paint(values, lattice, shape, hu, inside=cavity if hu in (GAS, BOWEL) else None)
    for rows in slabs(lattice.shape, AT_ONCE):
        values[rows] += 6 * mottle[rows]
        values[rows][depth[rows] > -2.5] = SKIN
        values[rows][depth[rows] > 0] = OUTSIDE
    return values


def _layers(lattice: Lattice, depth: Floats, cavity: Floats, mottle: Floats) -> Floats:
    """Muscle streaked with fat, the fat under the skin and that around the organs [HU]."""
    values = np.where(mottle > 1.35, np.float32(-60), np.float32(MUSCLE))
    x, y, z = lattice.mesh()
    # Subcutaneous fat: thicker behind and at the hips, thinner on the left flank.
    thickness = 15 + 9 * np.clip(-y / 100, -0.5, 1) + 7 * np.exp(-(((z - 10) / 70) ** 2)) + 0.018 * x
    values[depth > -thickness.astype(np.float32) - 2.5 * mottle] = FAT
    values[cavity < 0] = VISCERAL_FAT
    return values


def smooth_noise(lattice: Lattice, scale_mm: float, generator: Generator) -> Floats:
    """Smooth noise of zero mean and unit size whose blobs measure about `scale_mm`, drawn coarsely and interpolated."""
    shape = lattice.shape
    coarse = tuple(max(4, int(np.ceil(2 * n * lattice.spacing_mm / scale_mm)) + 1) for n in shape)
    draw = np.empty(coarse, np.float32)
    for rows in slabs(coarse, AT_ONCE):
        generator.standard_normal(out=draw[rows], dtype=np.float32)
    for rows in slabs(coarse[::-1], AT_ONCE):
        draw[..., rows] = gaussian_filter1d(draw[..., rows], 1.0, axis=0)
    for rows in slabs(coarse, AT_ONCE):
        draw[rows] = gaussian_filter1d(gaussian_filter1d(draw[rows], 1.0, axis=1), 1.0, axis=2)
    size = _deviation(draw)
    fine = np.empty(shape, np.float32)
    step = [(c - 1) / (n - 1) for n, c in zip(shape, coarse, strict=True)]
    for rows in slabs(shape, AT_ONCE):
        part = fine[rows]
        affine_transform(draw, step, (rows.start * step[0], 0.0, 0.0), part.shape, part, order=1, mode="nearest")
        part /= size
    return fine


def _deviation(draw: Floats) -> np.float32:
    """Standard deviation."""
    sums = np.zeros(2)
    for rows in slabs(draw.shape, AT_ONCE):
        sums += draw[rows].sum(dtype=np.float64), np.square(draw[rows]).sum(dtype=np.float64)
    mean, mean_square = sums / draw.size
    return np.float32(np.sqrt(mean_square - mean**2))


def _depth_in(outline: tuple[tuple[float, ...], ...], power: float, lattice: Lattice) -> Floats:
    """Approximate distance [mm] to a barrel of superelliptic slices; negative inside."""
    table = np.asarray(outline, np.float32)
    width, depth, middle = (np.interp(lattice.z, table[:, 0], table[:, n]).astype(np.float32) for n in (1, 2, 3))
    across = (np.abs(lattice.x)[None, :] / width[:, None]) ** np.float32(power)
    deep = (np.abs(lattice.y[None, :] - middle[:, None]) / depth[:, None]) ** np.float32(power)
    level = (across[:, None, :] + deep[:, :, None]) ** np.float32(1 / power)
    return (level - 1) * np.minimum(width, depth)[:, None, None]


def _part_thighs(depth: Floats, lattice: Lattice) -> None:
    """Narrow the trunk to two thighs below the perineum, in place."""
    x, y, z = lattice.mesh()
    below = np.flatnonzero(lattice.z < -85)
    if len(below):
        rows = slice(0, below[-1] + 1)
        # The groin deepens over two centimetres.
        spread = np.clip((-85 - z[rows]) / 25, 0, 1)
        leg = (np.sqrt(((np.abs(x) - 90) / 93) ** 2 + ((y + 8) / 100) ** 2) - 1) * 90
        depth[rows] = np.maximum(depth[rows], leg - 45 * (1 - spread))


def _paint(values: Floats, lattice: Lattice, shape: Shape, hu: float, inside: Floats | None) -> None:
    window = lattice.window(*shape.box(), 1.0)
    part = lattice.part(window)
    if 0 in part.shape:
        return
    weight = np.clip(0.5 - shape.distance(*part.mesh()) / np.float32(lattice.spacing_mm), 0, 1)
    if inside is not None:
        weight = weight * (inside[window] < -3)
    values[window] += weight * (np.float32(hu) - values[window])


def _organs(generator: Generator) -> list[tuple[Shape, float]]:
    """Organs in painting order, each with its HU; x > 0 is the patient's right."""
    organs: list[tuple[Shape, float]] = []
    for side in (1.0, -1.0):
        organs += [
            (
                Tube.of((34 * side, -26, 285, 12), (46 * side, -14, 190, 19), (64 * side, 2, 115, 22)),
                62.0,
            ),
            (Tube.of((64 * side, 2, 115, 22), (80 * side, 26, 45, 16), (108 * side, -10, -50, 9)), 62.0),
            (Ellipsoid.of((40 * side, -72, 210), (34, 26, 90)), 58.0),
            (Tube.of((70 * side, -118, -40, 5), (112 * side, -92, 40, 4)), FAT),
        ]
    organs += [
        (Ellipsoid.of((78, 22, 285), (88, 84, 66)), 62.0),
        (Ellipsoid.of((-106, -22, 285), (34, 48, 46)), 52.0),
        (Ellipsoid.of((62, -40, 222), (26, 24, 52)), 36.0),
        (Ellipsoid.of((-60, -38, 240), (26, 24, 52)), 36.0),
        (Tube.of((5, 6, 290, 9), (8, 8, 170, 8), (36, 0, 115, 6)), 45.0),
        (Tube.of((-12, 8, 290, 10), (-6, 14, 170, 9), (-38, 2, 110, 6)), 48.0),
        (Ellipsoid.of((4, 14, 8), (40, 32, 27)), 6.0),
        (Tube.of((-8, -58, 60, 15), (2, -62, 20, 17), (0, -50, -20, 14)), BOWEL),
    ]
    # Phleboliths, two on the left and one on the right.
    for centre in ((-56, -34, -8), (-62, -28, 6), (58, -30, -14)):
        organs.append((Ellipsoid.of(centre, (2.6, 2.6, 2.2)), 700.0))
    organs += _bowel(generator)
    return organs


def _bowel(generator: Generator) -> list[tuple[Shape, float]]:
    """Small bowel loops in random bends, the colon around them with stool on the right and gas on the left."""
    loops: list[tuple[Shape, float]] = []
    for _ in range(12):
        start = generator.uniform((-70, 25, 70), (75, 70, 200))
        steps = generator.normal(0, 24, (5, 3)) * (1.2, 0.5, 0.6)
        points = np.clip(start + np.cumsum(steps, axis=0), (-85, 15, 55), (85, 78, 215))
        loops.append((Tube(points, generator.uniform(10, 13, len(points))), BOWEL))
    for centre in generator.uniform((-50, 55, 90), (60, 75, 200), (6, 3)):
        loops.append((Ellipsoid.of(centre, generator.uniform((6, 4, 4), (15, 7, 8))), GAS))

    descending = ((-104, 28, 232), (-110, 22, 190), (-110, 20, 150), (-98, 28, 108), (-70, 36, 78), (-30, 16, 62))
    ascending = ((92, 38, 84), (102, 30, 120), (104, 26, 160), (98, 30, 196))
    transverse = ((98, 40, 196), (60, 62, 186), (10, 70, 178), (-50, 66, 196), (-104, 40, 236))
    for path, radius in ((descending, 17.0), (ascending, 24.0), (transverse, 19.0)):
        loops.append((Tube(np.array(path, float), np.full(len(path), radius)), BOWEL))
    # Gas lies in front; haustra make it beads on a string.
    for path, first, last, radius in ((descending, 0.05, 0.5, 12.0), (transverse, 0.6, 0.95, 13.0)):
        for t in np.arange(first, last, 0.055):
            centre = _along(np.array(path, float), t) + np.array([0, 5, 0])
            loops.append((Ellipsoid.of(centre, radius * generator.uniform(0.75, 1.1, 3)), GAS))
    for _ in range(26):
        centre = _along(np.array(ascending, float), generator.uniform(0, 0.75)) + generator.normal(0, 8, 3)
        loops.append((Ellipsoid.of(centre, generator.uniform(2.5, 5.0, 3)), GAS))
    loops.append((Ellipsoid.of((-4, -56, 34), (9, 6, 13)), GAS))
    return loops


def _along(path: np.ndarray, fraction: float) -> np.ndarray:
    """The point at a fraction of the number of legs of a polyline."""
    place = fraction * (len(path) - 1)
    first = min(int(place), len(path) - 2)
    return path[first] + (place - first) * (path[first + 1] - path[first])
