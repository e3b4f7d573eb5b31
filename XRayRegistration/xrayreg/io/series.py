"""A CT in DICOM format: a folder with one file per slice, or one multi-frame file."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from ..checks import InputError
from .series_choice import Folder, Series, chosen, scanned
from .series_frames import Frame, described
from .series_headers import quiet_pydicom, shortened
from .series_stack import stacked
from .series_values import values_of

__all__ = ["DicomVolume", "Series", "affine_of", "holds_volume", "list_series", "read_series"]

_LOG = logging.getLogger(__name__)
# Number of file names listed in messages.
_SHOWN = 3


@dataclass(frozen=True, eq=False)
class DicomVolume:
    """A volume from DICOM files.

    values [k, j, i]: Hounsfield units of a CT, int16 where that holds them, else float32. lps_from_index: (4, 4) [mm].
    notes: observations and decisions. assumed: numbers that no file states. One sentence each.
    """

    values: NDArray
    lps_from_index: NDArray[np.float64]
    notes: tuple[str, ...]
    assumed: tuple[str, ...]


def list_series(folder: Path) -> tuple[Series, ...]:
    """The DICOM series directly in `folder`, CTs first, the one with most slices leading.

    Raises InputError when there is none.
    """
    with quiet_pydicom():
        return scanned(folder).series


def holds_volume(path: Path) -> bool:
    """Whether the DICOM file at `path` is a volume or a slice of one, not an X-ray."""
    try:
        with quiet_pydicom():
            return scanned(path).series[0].is_volume
    except InputError:
        # A defect is reported when the file is read.
        return False


def read_series(path: Path, series: str | None = None) -> DicomVolume:
    """The CT in the folder `path`, or in the multi-frame file `path`.

    Frames are ordered along their normal; see `stacked`. series: which one to use of several, see `chosen`; the choice
    is noted and logged. Raises InputError for a folder without a CT, for damaged headers or pixels, and for frames that
    do not form an evenly spaced stack.
    """
    with quiet_pydicom():
        folder = scanned(path)
        one, notes = chosen(folder, series)
        for note in notes:
            _LOG.info("%s: %s", path, note)
        notes += _strangers(folder, one)
        frames: list[Frame] = []
        localisers: list[str] = []
        assumed: tuple[str, ...] = ()
        for file in one.files:
            found = described(folder.headers[file])
            frames += found.frames
            localisers += found.localisers
            assumed += found.assumed
        if localisers:
            notes += (f"{_named(localisers)} left out as localiser{'s' * (len(localisers) != 1)} (ImageType).",)
        stack = stacked(frames, "".join(f"; {sentence.removesuffix('.')}" for sentence in folder.damaged[:_SHOWN]))
        rescaled = values_of(stack.frames, one.is_ct)
        notes += (*folder.damaged, *stack.notes, *rescaled.notes)
        return DicomVolume(rescaled.values, stack.lps_from_index, notes, assumed)


def affine_of(image: sitk.Image) -> NDArray[np.float64]:
    """lps_from_index (4, 4) [mm] of a 3D image."""
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * np.asarray(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return affine


def _strangers(folder: Folder, one: Series) -> tuple[str, ...]:
    """A note on each other kind of object with the same series identifier."""
    others = [other for other in folder.series if other.uid == one.uid and other is not one]
    names = [_named([shortened(file.name) for file in other.files]) for other in others]
    return tuple(f"{some} left out: in the same series but no {one.kind} image." for some in names)


def _named(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} was" if len(names) == 1 else f"{shown}{', ...' if len(names) > _SHOWN else ''} were"
