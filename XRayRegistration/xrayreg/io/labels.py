"""Label maps: which structure each voxel of the CT belongs to, and what the structures are called."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..checks import InputError
from ..geometry import VoxelGrid
from ..scene import Volume
from .images import open_image, stem_of
from .nifti import is_nifti
from .volumes import open_grid


def read_labels(path: str | Path, volume: Volume) -> NDArray:
    """The label map at `path` on the grid of `volume`: unsigned integers [k, j, i], 0 = background.

    A map of the same frame on another grid is sampled at the volume's voxel centres, nearest neighbour.
    Raises InputError for a map that is no 3D image, holds fractions or negative values, is empty, or does not overlap
    the volume.
    """
    values, grid = open_grid(Path(path), "label map")
    return labels_on(values, grid, volume.grid)


def labels_on(values: NDArray, grid: VoxelGrid, target: VoxelGrid) -> NDArray:
    """A label map of `values` [k, j, i] on `grid` as unsigned integers on the grid `target`; see `read_labels`."""
    labels = _as_integers(values)
    if not labels.any():
        raise InputError("label map", expected="labelled voxels", found="only background", remedy="check the file")
    if grid.same_as(target):
        return labels
    resampled = _on_grid(labels, grid, target)
    if not resampled.any():
        raise InputError(
            "label map",
            expected="labels inside the CT",
            found=f"none there: its centre lies {_text(grid.centre)} mm (RAS), the CT's {_text(target.centre)} mm",
            remedy="use the label map made on this CT, or save both in the same frame",
        )
    return resampled


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
    """Them in the smallest unsigned type that holds the values."""
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
        # Arrays are [k, j, i], matrices speak of (i, j, k).
        index_from_target[:3, :3][::-1, ::-1],
        index_from_target[:3, 3][::-1],
        output_shape=target.shape[::-1],
        order=0,
        mode="grid-constant",
    )


def _text(point: NDArray) -> str:
    return f"({', '.join(f'{x:.0f}' for x in point)})"
