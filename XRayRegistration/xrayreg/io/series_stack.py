"""Stacking frames into one volume: sorted along their normal, complete, evenly spaced, no duplicates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ..checks import InputError
from .series_frames import Frame, names_of

# Slice positions may be rounded to a tenth of a millimetre; a tenth of the slice distance is not a missing slice.
_UNEVEN = 0.1
# Direction cosines and pixel spacings that differ less are equal but for rounding [1, mm].
_SAME = 1e-3
# Slices nearer than this count as being at the same position [mm].
_SAME_PLACE_MM = 1e-3
# Scouts are acquired across the slices; an image of nearly the same orientation is a damaged slice.
_ACROSS_DEG = 30.0
_MOST_SCOUTS = 2
# Gantries tilt by 30 degrees at most; beyond twice that, positions and directions are inconsistent.
_TILT_NOTED_DEG, _STEEPEST_DEG = 0.1, 60.0


@dataclass(frozen=True, eq=False)
class Stack:
    """Frames in order along their normal, their lps_from_index (4, 4) [mm], and notes."""

    frames: tuple[Frame, ...]
    lps_from_index: NDArray[np.float64]
    notes: tuple[str, ...]


def stacked(frames: Sequence[Frame], left_out: str = "") -> Stack:
    """The frames as one volume.

    A tilted gantry gives a sheared grid: the third column is the recorded step from slice to slice, which is exact and
    which no image format preserves. One or two images across the others, such as scouts, are left out with a note.
    left_out: which files could not be used, for errors that this may explain.
    Raises InputError for fewer than two slices, several orientations, sizes or spacings, and missing, duplicate or
    unevenly spaced slices.
    """
    members, notes = _of_one_orientation(list(frames))
    if len(members) < 2:
        raise InputError(
            "volume",
            expected="at least two slices",
            found=(f"one, {members[0].name}" if members else "none") + left_out,
            remedy="name the whole CT (for DICOM the folder of the series), not one image of it",
        )
    _require_alike(members, [frame.size for frame in members], _pixels)
    _require_alike(members, [frame.spacing_mm for frame in members], _spacing)
    row, column, normal = members[0].row, members[0].column, members[0].normal
    positions = np.array([frame.position for frame in members])
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    members, positions = [members[n] for n in order], positions[order]
    _require_even(members, positions, along[order], left_out)
    step = (positions[-1] - positions[0]) / (len(members) - 1)
    notes += _require_upright(step, normal)
    notes += _require_one_time(members)
    affine = np.eye(4)
    affine[:3, 0] = row * members[0].spacing_mm[1]
    affine[:3, 1] = column * members[0].spacing_mm[0]
    affine[:3, 2] = step
    affine[:3, 3] = positions[0]
    return Stack(tuple(members), affine, notes)


def _of_one_orientation(frames: list[Frame]) -> tuple[list[Frame], tuple[str, ...]]:
    """The frames of the most frequent orientation, where the others can only be scouts, and a note on those."""
    if not frames:
        return [], ()
    axes = np.array([[*frame.row, *frame.column] for frame in frames])
    group = np.full(len(frames), -1)
    for number in range(len(frames)):
        if group[number] < 0:
            group[(group < 0) & (np.abs(axes - axes[number]).max(axis=1) <= _SAME)] = number
    largest, count = Counter(group.tolist()).most_common(1)[0]
    members = [frame for frame, of in zip(frames, group, strict=True) if of == largest]
    others = [frame for frame, of in zip(frames, group, strict=True) if of != largest]
    if not others:
        return members, ()
    slanted = np.cos(np.deg2rad(_ACROSS_DEG))
    alone = len(others) == len(set(group.tolist())) - 1 <= _MOST_SCOUTS < count
    if alone and all(abs(one.normal @ members[0].normal) < slanted for one in others):
        notes = [f"{one.name} lies across the other slices, as a localiser does, and was left out." for one in others]
        return members, tuple(notes)
    raise InputError(
        "CT series",
        expected="slices of one orientation and pixel spacing",
        found=f"{len(others)} of {len(frames)} that lie otherwise ({_listed(others)}; a localiser among them?)",
        remedy="keep only the slices of one reconstruction in the folder",
    )


def _require_alike(frames: list[Frame], values: list[tuple], text: object) -> None:
    """Raise InputError, naming the deviating frames, unless all values equal the most frequent one up to rounding."""
    usual = Counter(values).most_common(1)[0][0]
    odd = [n for n, value in enumerate(values) if any(abs(a - b) > _SAME for a, b in zip(value, usual, strict=True))]
    if not odd:
        return
    assert callable(text)
    others = f" (and {len(odd) - 1} more)" if len(odd) > 1 else ""
    raise InputError(
        "CT series",
        expected="slices of one size and pixel spacing",
        found=f"{frames[odd[0]].name} has {text(values[odd[0]])}{others}, the others {text(usual)}",
        remedy="keep only the slices of one reconstruction in the folder",
    )


def _pixels(size: tuple[int, int]) -> str:
    return f"{size[1]} x {size[0]} pixels"


def _spacing(spacing: tuple[float, float]) -> str:
    return f"{spacing[0]:g} x {spacing[1]:g} mm between pixels"


def _require_even(frames: list[Frame], positions: NDArray, along: NDArray, left_out: str) -> None:
    """Raise InputError unless the sorted positions (N, 3) [mm] are evenly spaced on a line."""
    gaps = np.diff(along)
    step = float(np.median(gaps))
    widest, narrowest = int(gaps.argmax()), int(gaps.argmin())
    if gaps[narrowest] < _SAME_PLACE_MM:
        one, other = frames[narrowest], frames[narrowest + 1]
        copies = bool(one.instance) and not one.of_many and one.instance == other.instance
        raise InputError(
            "CT series",
            expected="one slice at each place",
            found=f"{names_of(one, other)} at the same" + (" (copies of one image)" if copies else ""),
            remedy="remove the copies" if copies else "keep one phase or reconstruction in the folder",
        )
    if gaps[widest] > 1.5 * step:
        between = names_of(frames[widest], frames[widest + 1])
        raise InputError(
            "CT series",
            expected=f"slices {step:g} mm apart",
            found=f"a gap of {gaps[widest]:g} mm between {between} (slices missing){left_out}",
            remedy="add the missing slices or export the series again",
        )
    even = positions[0] + np.linspace(0, 1, len(along))[:, None] * (positions[-1] - positions[0])
    if np.abs(positions - even).max() > _UNEVEN * step:
        sideways = np.ptp(gaps) <= _UNEVEN * step
        raise InputError(
            "CT series",
            expected="evenly spaced slices",
            found="slices shifted sideways against each other"
            if sideways
            else f"distances from {gaps.min():g} to {gaps.max():g} mm{left_out}",
            remedy="resample the CT to even slices",
        )


def _require_upright(step: NDArray, normal: NDArray) -> tuple[str, ...]:
    """A note where the stack is sheared as by a tilted gantry; raises InputError where no gantry tilts that far."""
    tilt = float(np.degrees(np.arccos(np.clip(step @ normal / np.linalg.norm(step), -1, 1))))
    if tilt > _STEEPEST_DEG:
        raise InputError(
            "CT series",
            expected="slices stacked along their normal",
            found=f"positions that run {tilt:.0f} degrees off it",
            remedy="export the series again: positions or orientations are wrong",
        )
    if tilt < _TILT_NOTED_DEG:
        return ()
    return (f"The slices are tilted by {tilt:.1f} degrees against their row (gantry tilt); the grid is sheared so.",)


def _require_one_time(frames: list[Frame]) -> tuple[str, ...]:
    """A note where scanner runs are interleaved; raises InputError for more than one time point."""
    phases = {frame.phase for frame in frames}
    if len(phases) > 1:
        changed = next(n for n in range(1, len(frames)) if frames[n].phase != frames[n - 1].phase)
        raise InputError(
            "CT series",
            expected="slices of one point in time",
            found=f"{len(phases)} temporal positions, {names_of(frames[changed - 1], frames[changed])} among them",
            remedy="keep one phase in the folder",
        )
    runs = [frame.acquisition for frame in frames]
    switches = sum(one != other for one, other in pairwise(runs))
    if switches > len(set(runs)) - 1:
        return (f"Slices of {len(set(runs))} acquisitions alternate: check that they are one scan.",)
    return ()


def _listed(frames: list[Frame], longest: int = 3) -> str:
    names = ", ".join(frame.name for frame in frames[:longest])
    return names if len(frames) <= longest else f"{names}, ..."
