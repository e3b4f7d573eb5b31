"""Fingerprints of CTs: is this CT one that the network was trained on?"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from ...checks import InputError
from ...scene import Volume
from .card import ModelCard

# Blocks along each axis whose mean values are compared, and the steps they are rounded to [HU].
BLOCKS, STEP_HU = 8, 10.0


def fingerprint(volume: Volume) -> str:
    """Sixteen hexadecimal digits that identify a CT.

    The same for every copy of a CT with the same values, independent of axis order and origin, as a network's poses
    are relative to the volume's centre. Differs when the CT is resampled, cropped or rotated.
    """
    values, spacing_mm, rotation = _along_patient_axes(volume)
    edges = [np.linspace(0, size, min(BLOCKS, size) + 1).astype(int) for size in values.shape]
    means = np.empty([len(edge) - 1 for edge in edges])
    for k, (low, high) in enumerate(zip(edges[0], edges[0][1:], strict=False)):
        # Sums of integers are exact in float64, in whichever order they are added.
        slab = values[low:high].sum(axis=0, dtype=np.float64)
        columns = np.add.reduceat(np.add.reduceat(slab, edges[1][:-1], axis=0), edges[2][:-1], axis=1)
        means[k] = columns / ((high - low) * np.multiply.outer(np.diff(edges[1]), np.diff(edges[2])))
    parts = (
        np.array(values.shape),
        np.rint(spacing_mm * 100),
        np.rint(rotation * 1000),
        np.rint(means / STEP_HU),
    )
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.astype("<i8").tobytes())
    return digest.hexdigest()[:16]


def is_trained_on(card: ModelCard, volume: Volume) -> bool:
    """Whether the network was trained on this CT."""
    mark = fingerprint(volume)
    return any(subject.fingerprint == mark for subject in card.subjects)


def require_fit(card: ModelCard, volume: Volume, structures: tuple[int, ...] = (), may_reframe: bool = True) -> str:
    """A sentence on how the network fits this CT and its structures, empty when it was trained on exactly these.

    may_reframe: whether the caller can align the CT with the network's template.
    Raises InputError for another patient's CT where it cannot.
    """
    notes = []
    if not is_trained_on(card, volume):
        known = ", ".join(subject.name for subject in card.subjects[:3])
        if not may_reframe:
            raise InputError(
                "network",
                expected=f"the CT it was trained on ({known})",
                found="another CT",
                remedy="train or finetune a network on this CT, or use --init search",
            )
        notes.append(f"the network was trained on another CT ({known}): its poses are carried over to this one")
    if tuple(sorted(card.structures)) != tuple(sorted(structures)):
        shown, rendered = structures_named(card.structures), structures_named(structures)
        notes.append(f"the network was shown {shown}, this case renders {rendered}")
    return "; ".join(notes)


def structures_named(structures: tuple[int, ...]) -> str:
    """Structures in words; none are the whole volume."""
    if not structures:
        return "the whole volume"
    return f"structure{'s' if len(structures) > 1 else ''} {', '.join(map(str, structures))}"


def _along_patient_axes(volume: Volume) -> tuple[NDArray, NDArray[np.float64], NDArray[np.float64]]:
    """Values [k, j, i] with i, j, k towards right, anterior and superior as nearly as may be, and their grid.

    Returns values, spacing (3,) [mm] and rotation (3, 3) of the axes i, j, k in RAS.
    """
    spacing = volume.grid.spacing_mm
    axes = volume.grid.volume_from_index[:3, :3] / spacing
    order = _assigned(axes)
    signs = np.sign([axes[row, column] for row, column in enumerate(order)])
    # Array axes run k, j, i: the reverse of the grid's.
    values = volume.values.transpose([2 - order[2], 2 - order[1], 2 - order[0]])
    values = values[tuple(slice(None, None, int(sign)) for sign in signs[::-1])]
    # Removes negative zeros, which would give one rotation two representations.
    return values, spacing[order], axes[:, order] * signs + 0.0


def _assigned(axes: NDArray[np.float64]) -> list[int]:
    """For each patient axis the index axis closest to it, each used once, assigned in order of alignment."""
    left = np.abs(axes).copy()
    order = [0, 0, 0]
    for _ in range(3):
        row, column = np.unravel_index(int(left.argmax()), left.shape)
        order[int(row)] = int(column)
        left[row, :] = left[:, column] = -1.0
    return order
