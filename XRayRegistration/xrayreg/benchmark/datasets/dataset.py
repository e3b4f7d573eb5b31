"""Interface of the public datasets: cases, a scene for each, and additional ground truth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...checks import InputError
from ...scene import Scene
from .hdf5 import told

# The ground truth of these frames of DeepFluoro, by specimen and by xvr's number for it, is in doubt
# (github.com/rg2/DeepFluoroLabeling-IPCAI2020/issues/8).
QUESTIONABLE = frozenset(
    (
        *(("17-1882", "003"), ("17-1882", "050"), ("18-2799", "002"), ("18-2799", "004")),
        *(("subject01", "003"), ("subject01", "050"), ("subject04", "002"), ("subject04", "004")),
    )
)


@dataclass(frozen=True, eq=False)
class CaseExtras:
    """Data of a case that are not part of its scene.

    landmarks: names. points: (N, 3) in the volume frame [mm]. pixels: (V, N, 2) their positions in each view, as
        (column, row) of the scene's images; NaN if not visible. Points are NaN if only the 2D positions are known.
    others: world_from_volume (4, 4) [mm] of bones that moved independently, by name.
    template_from_volume: rigid (4, 4) [mm, RAS] into the frame of the dataset's template, if there is one.
    """

    landmarks: tuple[str, ...] = ()
    points: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 3)))
    pixels: NDArray[np.float64] = field(default_factory=lambda: np.empty((1, 0, 2)))
    others: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    template_from_volume: NDArray[np.float64] | None = None


class Dataset(Protocol):
    """A dataset on disk; only the list of cases is held in memory.

    name: for tables. cases: names, in the order of the subjects. left_out: cases not listed because their ground
    truth is in doubt.
    """

    @property
    def name(self) -> str: ...

    @property
    def cases(self) -> tuple[str, ...]: ...

    @property
    def left_out(self) -> tuple[str, ...]: ...

    def scene(self, case: str) -> Scene:
        """The scene of a case with its reference, and targets if the dataset has landmarks; raises InputError."""

    def extras(self, case: str) -> CaseExtras:
        """The additional data of a case; raises InputError."""


def require_case(case: str, cases: tuple[str, ...], name: str, unlisted: tuple[str, ...] = ()) -> str:
    """Return `case` if it is one of `cases` or of those that are not listed; raise InputError otherwise."""
    if case not in (*cases, *unlisted):
        raise InputError(
            f"case of {name}",
            expected=f"one of its {len(cases)} cases",
            found=repr(case),
            remedy=f"name one of {told(cases)}",
        )
    return case


def moved(matrix: NDArray, points: NDArray) -> NDArray[np.float64]:
    """Points (..., 3) transformed by a matrix (4, 4)."""
    mapped: NDArray[np.float64] = points @ matrix[:3, :3].T + matrix[:3, 3]
    return mapped


def shown_in(pixels: NDArray, width: int, height: int) -> NDArray[np.float64]:
    """Pixels (..., 2) with NaN for those outside an image of `width` x `height`."""
    inside = ((pixels >= -0.5) & (pixels < np.array([width, height]) - 0.5)).all(axis=-1, keepdims=True)
    return np.where(inside, pixels, np.nan)


def present_labels(labels: NDArray) -> tuple[int, ...]:
    """The labels above 0 that occur in a label map [k, j, i], sorted."""
    found: set[int] = set()
    for plane in labels:
        found.update(np.flatnonzero(np.bincount(plane.ravel())).tolist())
    return tuple(sorted(found - {0}))
