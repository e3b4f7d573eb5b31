"""The frame of a NIfTI image: of the two frames that its header can hold, the one that ITK and Slicer use.

A header holds a rotation with an offset (qform) and a whole affine (sform), each with a code; 0 is "not set". nibabel
prefers the sform. ITK 5.4, and with it Slicer 5.12 and SimpleITK 2.5, takes the sform where its code is 1 (scanner) or
where no qform is set, and only when its axes are at right angles; otherwise the qform. The size of a voxel comes from
pixdim. Found by experiment over all pairs of codes; `test_nifti_frames.py` compares it with SimpleITK.

ITK also takes an sform of another code where it considers the two frames similar, and there it compares the left
singular vectors only: of frames that differ in the signs of their axes it takes one or the other depending on rounding.
Such files are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks import InputError

_KINDS = {1: "scanner", 2: "aligned", 3: "Talairach", 4: "MNI", 5: "template"}
_SCANNER = 1
_TO_MM = {1: 1e3, 3: 1e-3}
# ITK's limit for axes at right angles: the largest entry of |R R^T - 1|.
_SKEW = 1e-4
# Wider than ITK's limits for similar frames (1e-4 mm and 1e-4), to allow for rounding.
_ONE_ORIGIN_MM, _PARALLEL = 1e-3, 1e-3
# Frames that differ by less than this fraction of a voxel everywhere in the volume count as the same.
_SAME = 0.5

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class NiftiFrame:
    """ras_from_index (4, 4) [mm] of an image and one sentence per decision about it."""

    ras_from_index: Floats
    notes: tuple[str, ...] = ()


def frame_of(header: Any, what: str) -> NiftiFrame:
    """The frame of a NIfTI-1 or NIfTI-2 header of nibabel, whose size and pixdim have been checked.

    A sheared sform, where it is the only frame, is kept as it is: ITK refuses such files. Raises InputError naming
    `what` for a frame that is not finite, impossible, or contradicts the other one in size or shape.
    """
    qcode, scode = int(header["qform_code"]), int(header["sform_code"])
    if min(qcode, scode) < 0:
        raise _impossible(what, f"frames of code {qcode} (qform) and {scode} (sform)", "codes of 0 or above")
    shape, spacing = _three(header["dim"]), _three(header["pixdim"])
    to_mm = np.diag([*[_TO_MM.get(int(header["xyzt_units"]) & 7, 1.0)] * 3, 1.0])
    if qcode == scode == 0:
        # Axes along L, P and S, the first voxel at the origin.
        matrix = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
        note = f"The {what} holds no frame: its axes were taken to point left, posterior and superior, as Slicer does."
        return NiftiFrame(to_mm @ matrix, (note,))
    qform = _qform(header, spacing, what) if qcode else None
    sform = _sform(header, what) if scode else None
    skewed = sform is not None and _skew(sform) > _SKEW
    if qform is not None and sform is not None and scode != _SCANNER and _flipped(qform, sform):
        raise InputError(
            f"{what} geometry",
            expected="axes that point one way",
            found=f"a qform ({_KINDS.get(qcode, 'other')}) and an sform ({_KINDS.get(scode, 'other')}) with one origin"
            " whose axes lie along the same lines but point other ways; ITK and Slicer take either, as rounding has it",
            remedy="set the code of the wrong frame to 0",
        )
    if sform is None or (qform is not None and (skewed or scode != _SCANNER)):
        assert qform is not None
        taken, other, names = qform, sform, ("qform", "sform")
    else:
        taken, other, names = _with_spacing(sform, spacing, shape, skewed, what), qform, ("sform", "qform")
    notes: tuple[str, ...] = ()
    if other is None and skewed:
        notes = (f"The {what}'s axes are not at right angles: kept as stored; ITK and Slicer cannot open the file.",)
    elif other is not None and (apart := _apart(taken, other, shape)) > _SAME * min(spacing):
        first, second = (f"{name} ({_KINDS.get(int(header[f'{name}_code']), 'other')})" for name in names)
        far = f"{apart * to_mm[0, 0]:.1f} mm"
        if skewed and scode == _SCANNER:
            raise InputError(
                f"{what} geometry",
                expected="one shape of the voxels",
                found=f"a scanner sform whose axes are not at right angles and, up to {far} off, a {first} whose are",
                remedy="resample the volume to axes at right angles, or set the code of the wrong frame to 0",
            )
        notes = (
            f"The {what} holds two frames: its {first} was taken, as ITK and Slicer do;"
            f" its {second} puts voxels up to {far} elsewhere.",
        )
    return NiftiFrame(to_mm @ taken, notes)


def require_positive_spacing(header: Any) -> None:
    """Raise InputError unless the pixdim of the used axes of a header is finite and above 0."""
    spacing = header["pixdim"][1 : 1 + min(3, int(header["dim"][0]))]
    if not (np.isfinite(spacing).all() and (spacing > 0).all()):
        raise InputError(
            "voxel spacing",
            expected="millimetres above 0 along each axis",
            found=_text(spacing),
            remedy="correct pixdim in the file's header",
        )


def _three(field: Any) -> Floats:
    """The first three of a header's dim or pixdim; 1 for axes that the image does not have."""
    values = np.array([float(x) for x in field[1:4]])
    return np.where(np.isfinite(values) & (values > 0), values, 1.0)


def _qform(header: Any, spacing: Floats, what: str) -> Floats:
    b, c, d = (float(header[f"quatern_{name}"]) for name in "bcd")
    offset = np.array([float(header[f"qoffset_{name}"]) for name in "xyz"])
    square = b * b + c * c + d * d
    # Single precision leaves 1e-7 of a unit quaternion.
    if not (np.isfinite(square) and np.isfinite(offset).all() and square < 1 + 1e-4):
        found = f"quaternion ({b:g}, {c:g}, {d:g}) and offset ({', '.join(f'{x:g}' for x in offset)})"
        raise _impossible(what, found, "a quaternion of length 1 and a finite offset")
    if 1 - square < 1e-7:
        a, (b, c, d) = 0.0, np.array([b, c, d]) / np.sqrt(square)
    else:
        a = np.sqrt(1 - square)
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    flip = -1.0 if float(header["pixdim"][0]) < 0 else 1.0
    matrix = np.eye(4)
    matrix[:3, :3] = rotation * spacing * [1.0, 1.0, flip]
    matrix[:3, 3] = offset
    return matrix


def _sform(header: Any, what: str) -> Floats:
    matrix = np.eye(4)
    matrix[:3] = [np.asarray(header[f"srow_{name}"], dtype=np.float64) for name in "xyz"]
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    if not np.isfinite(matrix).all() or lengths.min() < 1e-9:
        raise _impossible(what, f"an sform with columns of length {_text(lengths)}", "finite numbers and axes")
    return matrix


def _skew(matrix: Floats) -> float:
    """Deviation of the axes from right angles: the largest entry of |R R^T - 1| of the normalised columns."""
    axes = matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)
    return float(np.abs(axes @ axes.T - np.eye(3)).max())


def _flipped(one: Floats, other: Floats) -> bool:
    """Whether two frames share origin and axis lines, but with axes permuted or reversed."""
    if np.abs(one - other)[:3, 3].max() > _ONE_ORIGIN_MM:
        return False
    axes = [matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0) for matrix in (one, other)]
    cosines = axes[0].T @ axes[1]
    along = np.abs(np.abs(cosines) - np.round(np.abs(cosines))).max() < _PARALLEL
    return bool(along and np.abs(np.round(cosines) - np.eye(3)).max() > 0)


def _with_spacing(sform: Floats, spacing: Floats, shape: Floats, skewed: bool, what: str) -> Floats:
    """The sform with columns scaled to pixdim, as ITK reads it; InputError where that moves a voxel by half a voxel."""
    lengths = np.linalg.norm(sform[:3, :3], axis=0)
    stretch = np.abs(lengths / spacing - 1)
    if (stretch > 0.01).any() or (stretch * shape > _SAME).any():
        raise InputError(
            "voxel spacing",
            expected="one spacing in the header",
            found=f"pixdim {_text(spacing)} and an affine of {_text(lengths)}",
            remedy=f"save the {what} again from the program that shows it in the right size",
        )
    if skewed:
        return sform
    matrix = sform.copy()
    matrix[:3, :3] *= spacing / lengths
    return matrix


def _apart(one: Floats, other: Floats, shape: Floats) -> float:
    """The largest distance between the positions that two frames give to a voxel of the volume."""
    corners = np.array([[(n >> axis) & 1 for axis in range(3)] for n in range(8)]) * (shape - 1)
    offsets = corners @ (one - other)[:3, :3].T + (one - other)[:3, 3]
    return float(np.linalg.norm(offsets, axis=1).max())


def _impossible(what: str, found: str, expected: str) -> InputError:
    return InputError(
        f"{what} geometry", expected=expected, found=found, remedy="save the file again from the program that made it"
    )


def _text(spacing: NDArray) -> str:
    return " x ".join(f"{step:g}" for step in spacing)
