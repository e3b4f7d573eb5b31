"""Orientation of stored DICOM pixels relative to the pinhole camera: quarter turns, one reflection, the central ray.

DICOM's native detector image is viewed towards the source (PS3.3 C.8.19.6.13.1.2), the pinhole camera looks the
opposite way: an image from a C-arm is therefore mirrored unless it was flipped again before it was stored. Where
PatientOrientation and the beam's direction are known, they decide; otherwise the field-of-view attributes and the
modality's convention do, and a sentence states this.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..geometry.carm import beam_axes
from .dicom_readout import readout
from .dicom_tags import TagReader

_RAS = {
    "R": (1.0, 0.0, 0.0),
    "L": (-1.0, 0.0, 0.0),
    "A": (0.0, 1.0, 0.0),
    "P": (0.0, -1.0, 0.0),
    "H": (0.0, 0.0, 1.0),
    "F": (0.0, 0.0, -1.0),
}
# The C-arm angle with the detector where the view position places it (LL: the left side faces the detector).
_VIEW_ANGLES = {"PA": 0.0, "AP": 180.0, "LL": 90.0, "RL": -90.0}


@dataclass(frozen=True)
class Orientation:
    """The transform of stored pixels into the pinhole image: counter-clockwise quarter turns, then maybe a reflection.

    mirrored: whether the stored image is a mirror image of the scene, so that its columns have to be reversed.
    reasons: one sentence on each decision.
    """

    quarter_turns: int
    mirrored: bool
    reasons: tuple[str, ...] = ()


def orientation_of(tags: TagReader, angles: tuple[float, float] | None, modality: str) -> Orientation:
    """The orientation of the stored pixels; `angles` are the C-arm's (primary, secondary) in degrees, where known."""
    by_readout, flags_told = _from_readout(tags, modality)
    patient = tags.texts("PatientOrientation")
    axes = _beam(tags, angles)
    if patient is None or len(patient.value) != 2 or axes is None:
        return by_readout
    by_patient = _from_patient(patient.value, axes)
    label = "\\".join(patient.value)
    if by_patient is None:
        reason = f"PatientOrientation {label} does not fit the beam's direction and was not used."
        return Orientation(by_readout.quarter_turns, by_readout.mirrored, (*by_readout.reasons, reason))
    turned, mirrored = by_patient
    reasons = [
        f"The stored image is {'mirrored' if mirrored else 'not mirrored'} with respect to the pinhole camera "
        f"(PatientOrientation {label} and the beam's direction)."
    ]
    if flags_told and by_patient != (by_readout.quarter_turns, by_readout.mirrored):
        reasons.append("Field-of-view rotation and flip say otherwise; PatientOrientation was followed.")
    return Orientation(turned, mirrored, tuple(reasons))


def _from_readout(tags: TagReader, modality: str) -> tuple[Orientation, bool]:
    """The orientation by detector readout and convention, and whether the file states its rotation or flip."""
    turns, flipped, told = readout(tags)
    if modality in ("CR", "DX"):
        view = tags.text("ViewPosition")
        mirrored = view is not None and view.value == "PA"
        reason = (
            f"ViewPosition {view.value}: radiographs are stored with the patient's left on the right, so this one is "
            f"{'mirrored' if mirrored else 'not mirrored'}."
            if view is not None and view.value in ("AP", "PA")
            else "Nothing tells whether the image is mirrored; it was taken as it is. "
            'Check a side marker; "mirrored" overrides it.'
        )
        return Orientation(0, mirrored, (reason,)), False
    reason = (
        f"The image was flipped when it was stored, so it is {'not ' if flipped else ''}mirrored."
        if flipped
        else "The stored image is taken as seen looking towards the source, as DICOM has it, so it is mirrored; "
        'check a side marker, "mirrored" overrides it.'
    )
    # Undoing a flip and then viewing from the other side are two reflections, which leave the opposite rotation.
    return Orientation(-turns % 4 if flipped else turns, not flipped, (reason,)), told


def _beam(tags: TagReader, angles: tuple[float, float] | None) -> NDArray[np.float64] | None:
    """Camera axes (rows, RAS) by the C-arm's angles or else by the view position."""
    if angles is not None:
        return beam_axes(*angles)
    view = tags.text("ViewPosition")
    if view is None or view.value not in _VIEW_ANGLES:
        return None
    return beam_axes(_VIEW_ANGLES[view.value], 0.0)


def _from_patient(words: tuple[str, ...], axes: NDArray[np.float64]) -> tuple[int, bool] | None:
    """Turns and reflection that map the stored directions to the camera's x and y; None when none of eight fits."""
    along_row, along_column = _direction(words[0]), _direction(words[1])
    if along_row is None or along_column is None:
        return None
    fits = []
    for turns in range(4):
        for sign in (1.0, -1.0):
            fit = float(sign * along_row @ axes[0] + along_column @ axes[1])
            fits.append((fit, turns, sign < 0))
        along_row, along_column = along_column, -along_row
    best, turns, mirrored = max(fits)
    # Two matching directions score 2, an error of 90 degrees 1; oblique beams named by one letter lie in between.
    return (turns, mirrored) if best > 1.2 else None


def _direction(word: str) -> NDArray[np.float64] | None:
    """The unit vector (RAS) of letters such as "LF": the first names the main direction."""
    if not word or any(letter not in _RAS for letter in word):
        return None
    vector = sum((np.array(_RAS[letter]) * 0.5**n for n, letter in enumerate(word)), np.zeros(3))
    return vector / np.linalg.norm(vector)
