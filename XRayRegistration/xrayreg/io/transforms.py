"""Rigid poses in files: ITK transforms, which Slicer opens, and JSON.

A pose `parent_from_child` maps points of the child (the volume, say) to its parent (the world), both in RAS. ITK
files hold the opposite direction in LPS: the resampling transform child_from_parent, which maps each point of the
parent to the point of the child to sample. Slicer reads such a file into a linear transform node's "from parent" side,
so that the node's matrix "to parent" is again `parent_from_child`; `SimpleITK.Resample(child, parent_grid, transform)`
takes it unchanged. (Slicer developer guide, Transforms, "Transform files".)
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike, NDArray

from ..checks import InputError, require_regular, require_rigid
from .images import quiet_itk
from .json_text import read_json
from .results import replace_file, write_checked, write_json

_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])
_ITK_SUFFIXES = (".tfm", ".txt", ".h5", ".hdf5")
_KEY = "world_from_volume"
# Largest scaling and shear of an affine transform that counts as nearly rigid.
_MOST_STRETCH = 0.1
# Upper limit for the size of a file with one transform [bytes].
_LARGEST_TRANSFORM = 1 << 16


def write_pose(path: str | Path, matrix_ras: ArrayLike) -> None:
    """Write the rigid pose parent_from_child (4, 4) [mm, RAS] as ITK transform (.tfm, .txt, .h5) or .json, in one step.

    The JSON has the key "world_from_volume" and the matrix as it is, in RAS. Raises InputError for a matrix that is
    not rigid or another suffix.
    """
    path = Path(path)
    parent_from_child = require_rigid(matrix_ras, "pose")
    if path.suffix.lower() == ".json":
        write_json(path, {_KEY: parent_from_child})
        return
    if path.suffix.lower() not in _ITK_SUFFIXES:
        raise _bad(path, f"a name that ends in .json, {', '.join(_ITK_SUFFIXES)}", path.suffix or "no suffix")
    child_from_parent = _FLIP @ np.linalg.inv(parent_from_child) @ _FLIP
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(child_from_parent[:3, :3].ravel().tolist())
    transform.SetTranslation(child_from_parent[:3, 3].tolist())
    replace_file(path, lambda temporary: _write_transform(transform, temporary))


def _write_transform(transform: sitk.Transform, path: Path) -> None:
    """Write a transform and verify that it is complete: on a full disk SimpleITK (2.5.7) fails silently."""
    with write_checked(path, _LARGEST_TRANSFORM), quiet_itk():
        sitk.WriteTransform(transform, str(path))
        whole = sitk.ReadTransform(str(path)).GetParameters() == transform.GetParameters()
        if path.suffix.lower() in (".tfm", ".txt"):
            # SimpleITK also reads a text file that lacks its last line.
            text = path.read_bytes()
            whole = whole and b"\nFixedParameters:" in text and text.endswith(b"\n")
        if not whole:
            raise RuntimeError("it is not whole")


def read_pose(path: str | Path) -> NDArray[np.float64]:
    """The rigid pose parent_from_child (4, 4) [mm, RAS] in a file written by `write_pose` or Slicer.

    Any linear ITK transform is accepted, also a composite; in a JSON file (`result.json` too) the "world_from_volume".
    Raises InputError for a file that is missing, damaged, deformable or not rigid.
    """
    path = Path(path)
    require_regular(path, "pose")
    return require_rigid(_from_json(path) if path.suffix.lower() == ".json" else _from_itk(path), f"pose {path}")


def read_nearly_rigid(path: str | Path, pivot_ras: ArrayLike) -> NDArray[np.float64]:
    """The rigid pose parent_from_child (4, 4) [mm, RAS] nearest to an affine ITK transform, as ANTs writes them.

    pivot_ras: point (3,) of the child that is mapped exactly as by the affine transform. Raises InputError for a file
    that is missing or damaged, and for axes that deviate from a rotation by more than a tenth.
    """
    path = Path(path)
    require_regular(path, "transform")
    affine, pivot = _from_itk(path), np.asarray(pivot_ras, dtype=np.float64)
    left, stretch, right = np.linalg.svd(affine[:3, :3])
    if np.linalg.det(affine[:3, :3]) < 0 or np.abs(stretch - 1).max() > _MOST_STRETCH:
        found = "a reflection" if np.linalg.det(affine[:3, :3]) < 0 else f"axes stretched by {_told(stretch)}"
        raise _bad(path, "a rotation and a translation, or nearly", found)
    rigid = np.eye(4)
    rigid[:3, :3] = left @ right
    rigid[:3, 3] = affine[:3, :3] @ pivot + affine[:3, 3] - rigid[:3, :3] @ pivot
    return rigid


def _told(factors: NDArray) -> str:
    return ", ".join(f"{factor:.3g}" for factor in factors)


def _from_json(path: Path) -> ArrayLike:
    content = read_json(path, "pose")
    if not isinstance(content, dict) or _KEY not in content:
        raise _bad(path, f'JSON with "{_KEY}"', "no such key")
    matrix: ArrayLike = content[_KEY]
    return matrix


def _from_itk(path: Path) -> NDArray[np.float64]:
    try:
        with quiet_itk():
            transform = sitk.ReadTransform(str(path))
    except RuntimeError as error:
        raise _bad(path, "an ITK transform", str(error).strip().splitlines()[-1]) from error
    if transform.GetDimension() != 3 or not transform.IsLinear():
        raise _bad(path, "a rigid transform of space", f"a {transform.GetName()}")
    # The images of the origin and of the unit points give the matrix for any transform class and centre.
    origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    child_from_parent = np.eye(4)
    for axis, unit in enumerate(np.eye(3)):
        child_from_parent[:3, axis] = np.array(transform.TransformPoint(unit.tolist())) - origin
    child_from_parent[:3, 3] = origin
    if abs(np.linalg.det(child_from_parent)) < 1e-6:
        raise _bad(path, "a rigid transform", "a singular one")
    return _FLIP @ np.linalg.inv(child_from_parent) @ _FLIP


def _bad(path: Path, expected: str, found: str) -> InputError:
    return InputError(f"pose {path}", expected=expected, found=found, remedy="check the file")
