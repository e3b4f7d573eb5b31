"""Public datasets of X-rays with ground truth, read in place: each case becomes a scene with a reference pose.

dataset = open_dataset("ipcai_2020_full_res_data.h5")
for case in dataset.cases:
    scene = dataset.scene(case)
"""

from __future__ import annotations

from pathlib import Path

from ...checks import InputError, require_file
from .dataset import CaseExtras, Dataset
from .deepfluoro import DeepFluoro
from .deepfluoro_small import DeepFluoroSmall
from .hdf5 import opened, told
from .ljubljana import Ljubljana
from .xvr_data import XvrData

__all__ = ["CaseExtras", "Dataset", "DeepFluoro", "DeepFluoroSmall", "Ljubljana", "XvrData", "open_dataset"]

_SUFFIXES = (".h5", ".hdf5")
_KNOWN = (
    "ipcai_2020_full_res_data.h5 (DeepFluoro), a preprocessed DeepFluoro file, ljubljana.h5, or a folder with one of "
    "them or with xvr-data"
)
_REMEDY = "Documentation/datasets.md says how each is laid out"


def open_dataset(path: str | Path, questionable: bool = False) -> Dataset:
    """The dataset at `path`, a file or a folder, recognised by its content; no image or volume is read yet.

    questionable: list the DeepFluoro frames of doubtful ground truth too. Raises InputError naming what was expected
    and what was found.
    """
    path = require_file(Path(path), "dataset")
    if path.is_file():
        return _from_file(path, questionable)
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in _SUFFIXES and file.is_file())
    layouts = {file: _layout(file) for file in files}
    known = {file: layout for file, layout in layouts.items() if layout}
    # A preprocessed file can only be used with the full one, which is a dataset by itself.
    whole = [file for file, layout in known.items() if layout != "small"] or list(known)
    if len(whole) > 1:
        raise InputError(
            f"dataset {path}",
            expected="one dataset",
            found=told(tuple(file.name for file in whole)),
            remedy="name one of these files",
        )
    if whole:
        return _from_file(whole[0], questionable)
    if files:
        return _from_file(files[0], questionable)
    if not any(folder.is_dir() for depth in ("", "*/", "*/*/") for folder in path.glob(f"{depth}xrays")):
        entries = tuple(sorted(entry.name for entry in path.iterdir()))
        raise InputError(f"dataset {path}", expected=_KNOWN, found=told(entries), remedy=_REMEDY)
    return XvrData(path, questionable)


def _from_file(path: Path, questionable: bool) -> Dataset:
    layout = _layout(path)
    if layout == "full":
        return DeepFluoro(path, questionable)
    if layout == "ljubljana":
        return Ljubljana(path)
    if layout == "small":
        beside = (file for file in sorted(path.parent.iterdir()) if file.suffix.lower() in _SUFFIXES and file != path)
        full = next((file for file in beside if _layout(file) == "full"), None)
        return DeepFluoroSmall(path, None if full is None else DeepFluoro(full, True), questionable)
    with opened(path) as root:
        names = root.names()
    raise InputError(f"dataset {path}", expected=_KNOWN, found=f"a file with {told(names)}", remedy=_REMEDY)


def _layout(path: Path) -> str:
    """The layout of a file: full, small, ljubljana, or unknown; raises InputError if it is not HDF5."""
    with opened(path) as root:
        names = root.names()
    if "proj-params" in names:
        return "full"
    if "land-names" in names:
        return "small"
    return "ljubljana" if any(name.startswith("subject") for name in names) else ""
