"""The patient's CT: Hounsfield units on a voxel grid, with an optional label map on the same grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..checks import InputError
from ..geometry import VoxelGrid
from ..slabs import slabs
from .ct_values import AIR_HU, Scale, scale_of

__all__ = ["AIR_HU", "Volume"]


@dataclass(frozen=True, eq=False)
class Volume:
    """A CT volume.

    values: array [k, j, i] of Hounsfield units (any real dtype).
    grid: voxel positions (RAS mm).
    labels: optional integer array [k, j, i] on the same grid, 0 = background.
    label_names: names of the labels, where known.
    notes: findings and decisions on reading, one sentence each.
    assumed: numbers that no file states and the pose depends on, one sentence each; a pose found with them is not
        accepted (see `verdict.unless_assumed`).
    labels_outside: labels of the map whose voxels all lie outside the CT.

    Raises InputError for a volume that is not three-dimensional, has one slice, is not finite or holds only air.
    """

    values: NDArray
    grid: VoxelGrid
    labels: NDArray | None = None
    label_names: Mapping[int, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()
    labels_outside: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        expected = self.grid.shape[::-1]
        if self.values.shape != expected:
            raise InputError(
                "volume",
                expected=f"an array [k, j, i] of shape {expected}",
                found=str(self.values.shape),
                remedy="give a single 3D volume",
            )
        if min(expected) < 2:
            raise InputError(
                "volume",
                expected="at least two slices along each axis",
                found=" x ".join(map(str, self.grid.shape)),
                remedy="load the whole CT series, not one image of it",
            )
        low, high = float(self.values.min()), float(self.values.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise InputError(
                "volume", expected="finite values", found="NaN or infinity", remedy="replace them with -1000 (air)"
            )
        if high <= AIR_HU or low == high:
            raise InputError(
                "volume",
                expected="tissue in Hounsfield units",
                found=f"values from {low:g} to {high:g} (only air or a constant)",
                remedy="check the rescale slope and intercept of the file",
            )
        if self.labels is not None and self.labels.shape != expected:
            raise InputError(
                "label map",
                expected=f"the volume's shape {expected}",
                found=str(self.labels.shape),
                remedy="resample it to the volume's grid",
            )

    @cached_property
    def is_hounsfield(self) -> bool:
        """False for a volume without negative values: segmented or raw scanner data whose air is stored as 0.

        Padding and single voxels are ignored; see `ct_values`. Raises InputError for values that no CT has.
        """
        return scale_of(self.values) is Scale.HOUNSFIELD

    def structure_mask(self, structures: tuple[int, ...]) -> NDArray[np.bool_]:
        """Mask of the voxels labelled as one of `structures`; raises InputError when there is none."""
        labels = self._label_map()
        mask = np.empty(labels.shape, dtype=bool)
        missing = set(structures)
        for some in slabs(labels.shape):
            mask[some] = np.isin(labels[some], structures)
            if missing:
                missing -= set(np.unique(labels[some][mask[some]]).tolist())
        if missing:
            if missing <= set(self.labels_outside):
                raise InputError(
                    "structures",
                    expected="labels that lie inside the CT",
                    found=f"{', '.join(map(str, sorted(missing)))}, all of whose voxels in the map lie outside it",
                    remedy=" ".join(["check that CT and label map have the same frame", *self._label_notes()]),
                )
            present = sorted(set().union(*(np.unique(labels[some]).tolist() for some in slabs(labels.shape))))
            raise InputError(
                "structures",
                expected=f"labels of the map ({', '.join(str(v) for v in present if v)})",
                found=f"{', '.join(map(str, sorted(missing)))}, which no voxel has",
                remedy="correct the list",
            )
        return mask

    def _label_notes(self) -> list[str]:
        return [f"({note.removesuffix('.')})" for note in self.notes if note.startswith("Label map: ")]

    def present_labels(self) -> tuple[int, ...]:
        """The labels above 0 that occur in the map, in order; raises InputError when there is none."""
        labels = self._label_map()
        present: set[int] = set()
        for some in slabs(labels.shape):
            present |= set(np.unique(labels[some]).tolist())
        if not (structures := tuple(sorted(value for value in present if value > 0))):
            raise InputError(
                "label map",
                expected="a structure, a label above 0",
                found="background alone",
                remedy="check that it belongs to this CT",
            )
        return structures

    def _label_map(self) -> NDArray:
        if self.labels is None:
            raise InputError(
                "structures",
                expected="a label map to take them from",
                found="none",
                remedy='name one under "labels" or leave out "structures"',
            )
        return self.labels
