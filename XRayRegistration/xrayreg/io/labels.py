"""Label maps: which structure each voxel of the CT belongs to, and what the structures are called."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..checks import InputError
from ..geometry import VoxelGrid
from ..scene import Volume
from ..slabs import slabs
from .images import open_image, stem_of
from .nifti import is_nifti
from .volumes import open_grid, read_volume

# A label map that extends beyond the CT's border is common; one with less than half of its voxels inside is not.
_ALL, _MOST = 0.98, 0.5


@dataclass(frozen=True, eq=False)
class _Placed:
    """A label map on the CT's grid, notes, and the labels whose voxels all lie outside the CT."""

    labels: NDArray
    notes: tuple[str, ...] = ()
    outside: tuple[int, ...] = ()


def read_labelled_volume(path: str | Path, labels: str | Path | None, series: str | None = None) -> Volume:
    """The CT at `path` with the label map at `labels`, where there is one; series: as in `read_volume`.

    Raises InputError as `read_volume` and `read_labels` do.
    """
    volume = read_volume(path, series)
    return volume if labels is None else with_labels(volume, labels)


def with_labels(volume: Volume, path: str | Path) -> Volume:
    """The volume with the label map at `path`, its names, and notes on how the map fits the CT.

    Raises InputError as `read_labels` does.
    """
    stored = open_grid(Path(path), "label map")
    placed = _placed(stored.values, stored.grid, volume.grid)
    return replace(
        volume,
        labels=placed.labels,
        label_names=read_label_names(path),
        labels_outside=placed.outside,
        notes=(*volume.notes, *stored.notes, *placed.notes),
        assumed=(*volume.assumed, *stored.assumed),
    )


def read_labels(path: str | Path, volume: Volume) -> NDArray:
    """The label map at `path` on the grid of `volume`: unsigned integers [k, j, i], 0 = background.

    A map of the same frame on another grid is sampled at the volume's voxel centres, nearest neighbour.
    Raises InputError for a map that is not a 3D image, holds fractions or negative values, is empty, does not overlap
    the volume, or has the volume's size but another frame in which most of its labels lie outside.
    """
    stored = open_grid(Path(path), "label map")
    return labels_on(stored.values, stored.grid, volume.grid)


def labels_on(values: NDArray, grid: VoxelGrid, target: VoxelGrid) -> NDArray:
    """A label map of `values` [k, j, i] on `grid` as unsigned integers on the grid `target`; see `read_labels`."""
    return _placed(values, grid, target).labels


def _placed(values: NDArray, grid: VoxelGrid, target: VoxelGrid) -> _Placed:
    labels = _as_integers(values)
    if not labels.any():
        raise InputError("label map", expected="labelled voxels", found="only background", remedy="check the file")
    if grid.same_as(target):
        return _Placed(labels)
    present, inside, share = _inside(labels, grid, target)
    resampled = _on_grid(labels, grid, target)
    same_size = grid.shape == target.shape and not grid.same_as(target, float(target.spacing_mm.min()) / 2)
    lost = "; it has the CT's size but another frame: was its affine lost?" if same_size else ""
    if not resampled.any():
        raise InputError(
            "label map",
            expected="labels inside the CT",
            found=f"none there: its centre lies {_text(grid.centre)} mm (RAS), the CT's {_text(target.centre)} mm",
            remedy="use the label map made on this CT, or save both in the same frame"
            + (f";{lost}" if same_size else ""),
        )
    counted = (
        f"only {len(inside)} of the map's {len(present)} labels ({share:.0%} of its labelled voxels) lie inside the CT"
    )
    if same_size and share < _MOST:
        raise InputError(
            "label map",
            expected="labels inside the CT",
            found=f"{counted}{lost}",
            remedy="use the label map made on this CT, or give it the CT's frame",
        )
    notes: tuple[str, ...] = ()
    if same_size and share >= _ALL:
        notes = (f"The label map has the CT's size but another frame, up to {_apart_mm(grid, target):.1f} mm off.",)
    elif same_size or share < _ALL:
        notes = (f"Label map: {counted}{lost or '.'}",)
    return _Placed(resampled, notes, tuple(sorted(present - inside)))


def _inside(labels: NDArray, grid: VoxelGrid, target: VoxelGrid) -> tuple[set[int], set[int], float]:
    """The labels of the map, those with a voxel inside the target's box, and the fraction of voxels inside."""
    index_from_map = target.index_from_volume @ grid.volume_from_index
    present: set[int] = set()
    inside: set[int] = set()
    total = within = 0
    for some in slabs(labels.shape):
        places = np.argwhere(labels[some])
        found = labels[some][tuple(places.T)]
        places[:, 0] += some.start
        index = places[:, ::-1] @ index_from_map[:3, :3].T + index_from_map[:3, 3]
        kept = ((index >= -0.5) & (index <= np.asarray(target.shape) - 0.5)).all(axis=1)
        present |= set(np.unique(found).tolist())
        inside |= set(np.unique(found[kept]).tolist())
        total, within = total + len(found), within + int(kept.sum())
    return present, inside, within / total


def _apart_mm(grid: VoxelGrid, target: VoxelGrid) -> float:
    return float(np.linalg.norm(grid.corners() - target.corners(), axis=1).max())


def read_label_names(path: str | Path) -> dict[int, str]:
    """Names of the labels of the map at `path`, empty where none are stored.

    They come from a JSON file beside the map with the same stem, of the form {"1": "hip_left"}, or else from the
    segment names in the header of an NRRD segmentation as Slicer writes it. Raises InputError for a damaged JSON.
    """
    path = Path(path)
    beside = path.with_name(f"{stem_of(path)}.json")
    return _names_from_json(beside) if beside.is_file() else _names_from_header(path)


def _names_from_json(path: Path) -> dict[int, str]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(
            f"label names {path}", expected='JSON such as {"1": "hip_left"}', found=str(error), remedy="correct it"
        ) from error
    if not isinstance(entries, dict):
        raise InputError(
            f"label names {path}",
            expected='an object such as {"1": "hip_left"}',
            found=f"a {type(entries).__name__}",
            remedy="correct it",
        )
    return {int(key): str(name) for key, name in entries.items() if key.isdecimal()}


def _names_from_header(path: Path) -> dict[int, str]:
    if is_nifti(path):
        return {}
    reader = open_image(path, "label map")
    names = {}
    for key in reader.GetMetaDataKeys():
        match = re.fullmatch(r"(Segment\d+_)LabelValue", key)
        if match and reader.HasMetaDataKey(match.group(1) + "Name"):
            value = reader.GetMetaData(key).strip()
            if value.isdecimal():
                names[int(value)] = reader.GetMetaData(match.group(1) + "Name").strip()
    return names


def _as_integers(values: NDArray) -> NDArray:
    """The values in the smallest unsigned type that holds them."""
    low, high = values.min(), values.max()
    fractional = values.dtype.kind == "f" and not all(np.array_equal(part, np.rint(part)) for part in values)
    if fractional or not (low >= 0 and high <= np.iinfo(np.uint32).max):
        raise InputError(
            "label map",
            expected="whole numbers, 0 for background",
            found="fractions" if fractional else f"values from {low:g} to {high:g}",
            remedy="threshold it or export it as a label map",
        )
    return values.astype(np.min_scalar_type(int(high)), copy=False)


def _on_grid(labels: NDArray, grid: VoxelGrid, target: VoxelGrid) -> NDArray:
    """Nearest-neighbour samples of `labels` at the voxel centres of `target`, 0 outside."""
    index_from_target = grid.index_from_volume @ target.volume_from_index
    return ndimage.affine_transform(
        labels,
        # Arrays are [k, j, i], matrices use (i, j, k).
        index_from_target[:3, :3][::-1, ::-1],
        index_from_target[:3, 3][::-1],
        output_shape=target.shape[::-1],
        order=0,
        mode="grid-constant",
    )


def _text(point: NDArray) -> str:
    return f"({', '.join(f'{x:.0f}' for x in point)})"
