"""Centre of rotation of a ball joint between two bones: the centre of a sphere fitted to the joint surface."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ...checks import InputError
from ...scene import Volume

# Surface within this distance [mm] of the other bone belongs to the joint: cartilage on both sides, and a voxel.
_REACH_MM = 7.0
_LEAST_POINTS = 12
# Range of radii of human joint surfaces [mm].
_RADII_MM = (4.0, 60.0)


def joint_centre(volume: Volume, moving: tuple[int, ...], socket: tuple[int, ...]) -> NDArray[np.float64]:
    """The centre (3,) [volume frame, mm] about which the labels `moving` rotate in the labels `socket`.

    It is the centre of a sphere fitted by algebraic least squares to the surface of `moving` that faces `socket`;
    accurate to about a voxel for a femoral head. Raises InputError if the two are not adjacent or the joint is not a
    ball joint.
    """
    bone = volume.structure_mask(moving)
    other = volume.structure_mask(socket)
    # Indices are (k, j, i) here, spacing (i, j, k).
    spacing = volume.grid.spacing_mm[::-1]
    box = _box(bone, np.ceil(_REACH_MM / spacing).astype(int) + 1)
    bone, other = bone[box], other[box]
    points = np.empty((0, 3))
    if other.any():
        near = ndimage.distance_transform_edt(~other, sampling=spacing) < _REACH_MM
        surface = bone & ~ndimage.binary_erosion(bone) & near
        first = np.array([part.start for part in box])
        index = (np.argwhere(surface) + first)[:, ::-1]
        points = index @ volume.grid.volume_from_index[:3, :3].T + volume.grid.volume_from_index[:3, 3]
    if len(points) < _LEAST_POINTS:
        raise _no_joint(f"{len(points)} voxels of its surface near the other")
    centre, radius = _sphere(points)
    if not _RADII_MM[0] < radius < _RADII_MM[1]:
        raise _no_joint(f"a surface of radius {radius:.0f} mm")
    return centre


def _sphere(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Centre c and radius r of a sphere: least squares solution of |p|^2 = 2 c p + r^2 - |c|^2."""
    middle = points.mean(axis=0)
    at = points - middle
    solution, *_ = np.linalg.lstsq(np.c_[2 * at, np.ones(len(at))], (at**2).sum(axis=1), rcond=None)
    centre = solution[:3]
    return centre + middle, float(np.sqrt(max(solution[3] + centre @ centre, 0.0)))


def _box(mask: NDArray[np.bool_], margin: NDArray[np.int64]) -> tuple[slice, ...]:
    (found,) = ndimage.find_objects(mask.astype(np.uint8))
    return tuple(
        slice(max(0, part.start - int(more)), part.stop + int(more)) for part, more in zip(found, margin, strict=True)
    )


def _no_joint(found: str) -> InputError:
    return InputError(
        "joint", expected="a ball in a socket", found=found, remedy="give the point about which the object turns"
    )
