"""The CTs of a training: files and folders given by the user, and the label map of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...checks import InputError, require_file
from ...io import read_labelled_volume
from ...scene import Volume

_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
_MARKS = ("_labels", "-labels", "_label", "-label", "_seg", "-seg", ".seg")


@dataclass(frozen=True)
class Source:
    """A CT (file or folder with a DICOM series) and, where there is one, its label map."""

    path: Path
    labels: Path | None = None

    @property
    def name(self) -> str:
        """The file's name, for display."""
        return self.path.name

    def read(self) -> Volume:
        """The CT with its labels; raises InputError."""
        return read_labelled_volume(self.path, self.labels)


def sources_of(paths: Sequence[str | Path], labels: str | Path | None = None) -> tuple[Source, ...]:
    """The CTs at `paths`, in order of their names within a folder, each once.

    A folder stands for the CT files in it and for those of its folders that hold a DICOM series; a folder with nothing
    but a DICOM series is one CT.
    labels: a label map (for a single CT), or a folder with label maps that have their CT's name, with or without
    `_labels` or `-labels` at its end. Without it, a file beside the CT named so (`ct.nii.gz`, `ct_labels.nii.gz`) is
    its label map.
    Raises InputError where there is no CT, or a label map is given for several.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        found += _volumes_in(require_file(path, "volume"))
    given = None if labels is None else require_file(Path(labels), "labels")
    unique = list(dict.fromkeys(found))
    if given is not None and not given.is_dir():
        if len(unique) > 1:
            raise InputError(
                "labels",
                expected=f"a folder with a label map for each of {len(unique)} CTs",
                found=f"the file {given.name}",
                remedy="put the label maps into one folder, each with its CT's name",
            )
        return (Source(unique[0], given),)
    return tuple(Source(path, _labels_of(path, given)) for path in unique)


def _volumes_in(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    entries = sorted(path.iterdir())
    images = [entry for entry in entries if entry.is_file() and entry.name.lower().endswith(_SUFFIXES)]
    images = [image for image in images if not _is_label_map(image, images)]
    series = [entry for entry in entries if entry.is_dir() and any(child.is_file() for child in entry.iterdir())]
    if images or series:
        return sorted([*images, *series])
    if any(entry.is_file() for entry in entries):
        # Files without a known suffix: a DICOM series.
        return [path]
    raise InputError(
        "volume", expected=f"CTs in {path}", found="none", remedy="name files, or a folder that holds NIfTI or DICOM"
    )


def _is_label_map(image: Path, images: Sequence[Path]) -> bool:
    """Whether the file has the name of another one with a suffix such as `_labels`."""
    stem = _plain_stem(image)
    return stem != _whole_stem(image) and any(_whole_stem(other) == stem for other in images)


def _labels_of(volume: Path, folder: Path | None) -> Path | None:
    stem = _whole_stem(volume)
    where = volume.parent if folder is None else folder
    candidates = [
        entry
        for entry in sorted(where.iterdir())
        if entry.is_file() and entry.name.lower().endswith(_SUFFIXES) and entry != volume and _plain_stem(entry) == stem
    ]
    # Beside its CT a label map needs such a suffix: the same name with another extension may be anything.
    marked = [entry for entry in candidates if _whole_stem(entry) != stem]
    return next(iter([*marked, *(candidates if folder is not None else [])]), None)


def _whole_stem(path: Path) -> str:
    return path.name if path.is_dir() else _without_image_suffix(path)


def _plain_stem(path: Path) -> str:
    stem = _whole_stem(path)
    for mark in _MARKS:
        if stem.endswith(mark) and len(stem) > len(mark):
            return stem[: -len(mark)]
    return stem


def _without_image_suffix(path: Path) -> str:
    for suffix in sorted(_SUFFIXES, key=len, reverse=True):
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)]
    return path.stem
