"""Target points for error measurement without annotated landmarks: box corners and points on bone surfaces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from ...checks import InputError
from ...scene import Volume
from ...slabs import bounds, slabs

# CT number [HU] above which a voxel counts as bone if there is no label map.
BONE_HU = 250.0
# Without Hounsfield units the threshold for bone is this fraction of the volume's maximum.
_DENSE_SHARE = 0.5
# Smoothing [voxels] before surface normals are computed.
_SMOOTH = 1.0


def cube_corners(centre: NDArray[np.float64], edge_mm: float) -> NDArray[np.float64]:
    """The corners (8, 3) of a cube about `centre` (3,) with edges along the axes of its frame [mm]."""
    signs = np.array([[(n >> axis) & 1 for axis in range(3)] for n in range(8)]) - 0.5
    return np.asarray(centre, dtype=np.float64) + edge_mm * signs


def surface_points(
    volume: Volume, structures: tuple[int, ...] = (), count: int = 500, seed: int = 0
) -> NDArray[np.float64]:
    """Points (count, 3) in the volume frame [mm], spread evenly over the area of a structure's surface.

    structures: labels; if empty, all labels, and without a label map the bone of the CT (BONE_HU).
    Voxel faces overestimate the area of an oblique surface; each face is therefore weighted by the cosine between its
    normal and that of the slightly smoothed surface. Points lie at random positions on their faces.
    Raises InputError if there is no such structure.
    """
    mask = _mask(volume, structures)
    box = _box(mask)
    # One voxel of background around, so that a structure cut by the volume's border has a surface there too.
    inside = np.pad(mask[box], 1)
    smooth = gaussian_filter(inside.astype(np.float32), _SMOOTH)
    slopes = np.stack(np.gradient(smooth), axis=-1) / volume.grid.spacing_mm[::-1]
    faces, weights = _faces(inside, slopes, volume.grid.spacing_mm[::-1])
    generator = np.random.default_rng(seed)
    chosen = generator.choice(len(faces), count, p=weights / weights.sum())
    along = faces[chosen, 3].astype(int)
    spread = generator.uniform(-0.5, 0.5, (count, 3))
    spread[np.arange(count), along] = 0.0
    first = np.array([some.start for some in box]) - 1.0
    index = (faces[chosen, :3] + spread + first)[:, ::-1]
    return index @ volume.grid.volume_from_index[:3, :3].T + volume.grid.volume_from_index[:3, 3]


def _mask(volume: Volume, structures: tuple[int, ...]) -> NDArray[np.bool_]:
    if structures:
        return volume.structure_mask(structures)
    mask = np.empty(volume.values.shape, dtype=bool)
    above = BONE_HU if volume.is_hounsfield else _DENSE_SHARE * float(volume.values.max())
    for some in slabs(mask.shape):
        mask[some] = volume.values[some] > above if volume.labels is None else volume.labels[some] > 0
    return mask


def _box(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    try:
        box = bounds(mask.shape, lambda some: mask[some])
    except IndexError as error:
        raise InputError(
            "target structure", expected="bone or labelled voxels", found="none", remedy="name a label map"
        ) from error
    return tuple(slice(int(low), int(high) + 1) for low, high in box)


def _faces(
    inside: NDArray[np.bool_], slopes: NDArray[np.float64], spacing: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Faces between inside and outside: centre and axis (N, 4) as [k, j, i, axis], and the area weight of each."""
    found, weights = [], []
    length = np.maximum(np.linalg.norm(slopes, axis=-1), 1e-12)
    for axis in range(3):
        cosine = np.abs(slopes[..., axis]) / length
        places = np.argwhere(np.diff(inside, axis=axis))
        far = places + np.eye(3, dtype=int)[axis]
        both = (cosine[tuple(places.T)] + cosine[tuple(far.T)]) / 2
        middle = places + 0.5 * np.eye(3)[axis]
        found.append(np.concatenate([middle, np.full((len(places), 1), float(axis))], axis=1))
        weights.append(both * float(np.prod(np.delete(spacing, axis))))
    return np.concatenate(found), np.concatenate(weights)
