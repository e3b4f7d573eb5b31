"""Opening image files: SimpleITK's readers with warnings silenced and errors reported in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from ..checks import InputError, require_file
from .turned_tiffs import require_unturned

_DOUBLE_SUFFIXES = (".nii.gz", ".seg.nrrd", ".seg.nhdr")


def stem_of(path: Path) -> str:
    """The file's name without its suffix, also where that has two parts (`ct.nii.gz` is `ct`)."""
    for suffix in _DOUBLE_SUFFIXES:
        if path.name.lower().endswith(suffix) and len(path.name) > len(suffix):
            return path.name[: -len(suffix)]
    return path.stem


@contextmanager
def quiet_itk() -> Iterator[None]:
    """Suppress ITK's warnings within this context: the terminal shows only this project's own line."""
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def open_image(path: Path, what: str) -> sitk.ImageFileReader:
    """A reader that has read the image's header but not its voxels; raises InputError naming `what`."""
    require_file(path, what)
    if path.is_dir():
        raise InputError(what, expected="a file", found=f"the folder {path}", remedy="name the image file in it")
    require_unturned(path, what)
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        with quiet_itk():
            reader.ReadImageInformation()
    except RuntimeError as error:
        raise unreadable(path, what, error) from error
    return reader


def load(reader: sitk.ImageFileReader, what: str) -> sitk.Image:
    """The voxels of an opened image; raises InputError naming `what` for a truncated or damaged file."""
    try:
        with quiet_itk():
            return reader.Execute()
    except RuntimeError as error:
        raise unreadable(Path(reader.GetFileName()), what, error) from error


def array_of(image: sitk.Image) -> NDArray:
    """A copy of the image's values [.., k, j, i]; float64, which no scanner needs, becomes float32."""
    view = sitk.GetArrayViewFromImage(image)
    return view.astype(np.float32) if view.dtype == np.float64 else view.copy()


def unreadable(path: Path, what: str, error: Exception) -> InputError:
    """The InputError for a file that no reader accepts, with the reader's last message as the reason."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[-1].removeprefix("sitk::ERROR: ").removeprefix("ITK ERROR: ") if lines else type(error).__name__
    return InputError(
        what,
        expected="an image that can be read",
        found=f"{path} ({reason[:200]})",
        remedy="check the file's format and that it is complete",
    )
