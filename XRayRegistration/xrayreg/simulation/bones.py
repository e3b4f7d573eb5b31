"""Bone model: joined shapes, cut hollows, a cortex around marrow; and its voxelisation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..slabs import slabs
from .shapes import REACH_MM, Floats, Matrix, Shape, moved, smooth_max, smooth_min

# Voxels processed at once, so that intermediate arrays fit into the caches.
AT_ONCE = 1 << 20

Profile = tuple[tuple[float, float], ...]


@dataclass(frozen=True, eq=False)
class Lattice:
    """Voxel-centre coordinates [mm] along x, y and z of an axis-aligned grid; arrays on it are [k, j, i]."""

    x: Floats
    y: Floats
    z: Floats
    spacing_mm: float

    @classmethod
    def over(cls, low: tuple[float, float, float], high: tuple[float, float, float], spacing_mm: float) -> Lattice:
        """The voxels of edge `spacing_mm` whose outer corners start at `low` and reach `high` [mm]."""
        counts = [max(2, int(np.ceil((b - a) / spacing_mm - 1e-9))) for a, b in zip(low, high, strict=True)]
        x, y, z = ((a + (np.arange(n) + 0.5) * spacing_mm).astype(np.float32) for a, n in zip(low, counts, strict=True))
        return cls(x, y, z, spacing_mm)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Array shape (nk, nj, ni)."""
        return len(self.z), len(self.y), len(self.x)

    def mesh(self) -> tuple[Floats, Floats, Floats]:
        """x, y, z as broadcastable arrays (1, 1, ni), (1, nj, 1), (nk, 1, 1)."""
        return self.x[None, None, :], self.y[None, :, None], self.z[:, None, None]

    def window(self, low: Matrix, high: Matrix, margin_mm: float) -> tuple[slice, slice, slice]:
        """The [k, j, i] slices that hold the box from `low` to `high` [mm] and `margin_mm` around it."""
        spans = []
        for axis, a, b in zip((self.x, self.y, self.z), low, high, strict=True):
            first = int(np.searchsorted(axis, a - margin_mm))
            spans.append(slice(first, max(first, int(np.searchsorted(axis, b + margin_mm)))))
        return spans[2], spans[1], spans[0]

    def part(self, window: tuple[slice, slice, slice]) -> Lattice:
        """The lattice of the voxels in `window`."""
        return replace(self, x=self.x[window[2]], y=self.y[window[1]], z=self.z[window[0]])


@dataclass(frozen=True, eq=False)
class Bone:
    """One bone in RAS millimetres.

    solids: its shapes, joined smoothly over `blend_mm`.
    hollows: shapes cut out of it.
    dense: regions of thicker spongiosa and the HU they add inside the bone.
    cortex_mm, cortex_hu, marrow_hu: profiles over z: pairs (z [mm], value), interpolated, constant beyond the ends.
    """

    name: str
    solids: tuple[Shape, ...]
    hollows: tuple[Shape, ...] = ()
    dense: tuple[tuple[Shape, float], ...] = ()
    blend_mm: float = 6.0
    cortex_mm: Profile = ((0.0, 1.6),)
    cortex_hu: Profile = ((0.0, 900.0),)
    marrow_hu: Profile = ((0.0, 170.0),)

    def moved(self, linear: Matrix, shift: Matrix) -> Bone:
        """The bone transformed by p -> linear p + shift; profiles are unchanged."""
        return replace(
            self,
            solids=moved(self.solids, linear, shift),
            hollows=moved(self.hollows, linear, shift),
            dense=tuple((shape.moved(linear, shift), hu) for shape, hu in self.dense),
        )

    def box(self) -> tuple[Matrix, Matrix]:
        """Lower and upper corner (3,) [mm] of the box around all solids."""
        boxes = [solid.box() for solid in self.solids]
        return np.min([low for low, _ in boxes], axis=0), np.max([high for _, high in boxes], axis=0)


def bone_distance(bone: Bone, lattice: Lattice) -> Floats:
    """Signed distance [mm] to the bone on the lattice, clipped at REACH_MM outside."""
    distance = np.full(lattice.shape, REACH_MM, np.float32)
    for solid in bone.solids:
        for window in _parts(lattice.window(*solid.box(), bone.blend_mm)):
            mesh = lattice.part(window).mesh()
            distance[window] = smooth_min(distance[window], solid.distance(*mesh), bone.blend_mm)
    for hollow in bone.hollows:
        for window in _parts(lattice.window(*hollow.box(), 3.0)):
            mesh = lattice.part(window).mesh()
            distance[window] = smooth_max(distance[window], -hollow.distance(*mesh), 1.5)
    return distance


def _parts(window: tuple[slice, slice, slice]) -> Iterator[tuple[slice, slice, slice]]:
    """A window in parts of a few slices, as some shapes take long per voxel."""
    shape = tuple(span.stop - span.start for span in window)
    for rows in slabs(shape, AT_ONCE // 32):
        yield slice(window[0].start + rows.start, window[0].start + rows.stop), *window[1:]


def bone_hu(bone: Bone, distance: Floats, lattice: Lattice, texture: Floats) -> Floats:
    """Hounsfield units of the bone's own tissue on the lattice (meaningful inside the bone).

    texture: noise of unit variance on the lattice, which models the trabeculae.
    """
    z = lattice.z
    cortex, hard, soft = (
        np.interp(z, *np.transpose(profile)).astype(np.float32)[:, None, None]
        for profile in (bone.cortex_mm, bone.cortex_hu, bone.marrow_hu)
    )
    marrow = soft + (30 + 0.2 * np.abs(soft)) * texture
    for shape, extra in bone.dense:
        window = lattice.window(*shape.box(), REACH_MM)
        local = shape.distance(*lattice.part(window).mesh())
        marrow[window] += np.float32(extra) * np.clip(0.5 - local / 8, 0, 1)
    # The step from cortex to marrow is spread over a millimetre: trabeculae thicken towards the shell.
    depth = np.clip(0.5 + (distance + cortex) / 1.2, 0, 1)
    return marrow + (hard - marrow) * depth


def occupancy(distance: Floats, spacing_mm: float) -> Floats:
    """The part of each voxel that lies inside, from the distance at its centre."""
    return np.clip(0.5 - distance / np.float32(spacing_mm), 0, 1)
