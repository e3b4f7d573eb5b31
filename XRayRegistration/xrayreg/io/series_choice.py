"""Choice of the DICOM series of a folder that is the CT."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.uid import UID

from ..checks import InputError
from .series_frames import frame_count
from .series_headers import ImageFile, open_header, shortened

# Images of X-ray attenuation in Hounsfield units: candidates for the CT.
_CT = {
    "1.2.840.10008.5.1.4.1.1.2": "CT",
    "1.2.840.10008.5.1.4.1.1.2.1": "Enhanced CT",
    "1.2.840.10008.5.1.4.1.1.2.2": "Legacy Converted Enhanced CT",
}
# Volumes that may be used in place of a CT; chosen only on request.
_OTHER_VOLUMES = {
    "1.2.840.10008.5.1.4.1.1.4": "MR",
    "1.2.840.10008.5.1.4.1.1.4.1": "Enhanced MR",
    "1.2.840.10008.5.1.4.1.1.4.4": "Legacy Converted Enhanced MR",
    "1.2.840.10008.5.1.4.1.1.13.1.1": "X-Ray 3D Angiographic",
    "1.2.840.10008.5.1.4.1.1.13.1.2": "X-Ray 3D Craniofacial",
}
_REMEDY = '"series" in the case chooses by description, number or SeriesInstanceUID'
_RELATIVE = "The volume is no CT but {}: its values are no Hounsfield units."
# Number of entries shown of a long list.
_SHOWN = 6


@dataclass(frozen=True)
class Series:
    """The images of one kind in a DICOM series: its identifier, number and description, its files and their frames.

    kind: type of the images, "CT" or "RTDOSE". is_ct: they are CT images. is_volume: they can be used as a CT.
    """

    uid: str
    description: str
    files: tuple[Path, ...]
    slices: int
    number: str = ""
    kind: str = "CT"
    is_ct: bool = True
    is_volume: bool = True

    @property
    def text(self) -> str:
        """The series as a list entry, for display: 'CT "thin", 120 images, series 3'."""
        parts = [
            f'{self.kind} "{self.description}"' if self.description else self.kind,
            f"{self.slices} image{'s' * (self.slices != 1)}",
            *([f"series {self.number}"] if self.number else []),
        ]
        return ", ".join(parts)


@dataclass(frozen=True, eq=False)
class Folder:
    """The DICOM series of a folder (or file), candidates for the CT first, and unreadable files.

    headers: of all files of all series, by path. damaged: one sentence for each DICOM file that cannot be read.
    """

    path: Path
    series: tuple[Series, ...]
    headers: dict[Path, ImageFile] = field(default_factory=dict)
    damaged: tuple[str, ...] = ()


def scanned(path: Path) -> Folder:
    """The DICOM series directly in the folder `path`, or in the file; other files are ignored.

    Raises InputError when there is none.
    """
    headers, damaged = {}, []
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        # Hidden files are not slices; macOS leaves "._s001.dcm" beside "s001.dcm".
        if not file.is_file() or (file.name.startswith(".") and file is not path):
            continue
        try:
            header = open_header(file)
        except InputError as error:
            if file is path:
                raise
            damaged.append(f"{error.found} could not be read as DICOM and was left out.")
            continue
        if header is not None:
            headers[file] = header
    if not headers:
        raise InputError(
            "volume",
            expected="a folder with a DICOM series",
            found=f"no DICOM file in {shortened(str(path), 300)}" + (f" ({damaged[0]})" if damaged else _inside(path)),
            remedy="name the folder that holds the slices themselves, or a NIfTI, NRRD or MHA file",
        )
    groups: dict[tuple[str, str], list[ImageFile]] = defaultdict(list)
    for header in headers.values():
        groups[header.series_uid, _kind(header)].append(header)
    series = [_series(kind, files) for (_, kind), files in groups.items()]
    series.sort(key=lambda one: (not one.is_ct, not one.is_volume, -one.slices, one.uid, one.kind))
    return Folder(path, tuple(series), headers, tuple(damaged))


def chosen(folder: Folder, asked: str | None) -> tuple[Series, tuple[str, ...]]:
    """The series that is the CT, and a note where there were others to choose from.

    asked: its SeriesInstanceUID, description or number. Without it the CT with most images is chosen, of equally long
    ones that with the first SeriesInstanceUID. Raises InputError, listing the series found, where there is no CT, or
    `asked` matches none, several, or something that is not a volume.
    """
    if asked is not None:
        one = _asked(folder, asked)
        return one, () if one.is_ct else (_RELATIVE.format(one.kind),)
    cts = [series for series in folder.series if series.is_ct]
    if not cts:
        named = folder.path.is_file()
        if named and folder.series[0].is_volume:
            return folder.series[0], (_RELATIVE.format(folder.series[0].kind),)
        others = any(series.is_volume for series in folder.series)
        raise InputError(
            "volume",
            expected="a CT image" if named else f"a CT series in {shortened(str(folder.path), 300)}",
            found=f"no CT but {listed(folder.series)}",
            remedy=f"name the CT's folder; {_REMEDY}" if others and not named else "name the CT's folder or file",
        )
    if len(cts) == 1:
        return cts[0], ()
    note = (
        f"The folder holds {len(cts)} CT series; reading {cts[0].description or cts[0].uid} ({cts[0].slices} slices), "
        f"{'the longest' if cts[0].slices > cts[1].slices else 'the first of the longest'}. "
        f"Others: {listed(cts[1:])}. {_REMEDY}."
    )
    return cts[0], (note,)


def listed(series: Sequence[Series]) -> str:
    """A list of series, for display."""
    text = "; ".join(one.text for one in series[:_SHOWN])
    return text if len(series) <= _SHOWN else f"{text}; and {len(series) - _SHOWN} more"


def _asked(folder: Folder, asked: str) -> Series:
    wanted = asked.strip()
    fitting = [one for one in folder.series if one.uid == wanted]
    fitting = fitting or [
        one for one in folder.series if wanted.casefold() == one.description.casefold() or wanted == one.number
    ]
    # A series may also contain its dose report or a screenshot.
    volumes = [one for one in fitting if one.is_volume]
    if len(volumes) == 1:
        return volumes[0]
    if len(volumes) > 1:
        found = "; ".join(f"{one.text}, {one.uid}" for one in volumes[:_SHOWN])
        raise InputError(
            f'series "{shortened(wanted)}"',
            expected="one series of that name",
            found=found,
            remedy="give its SeriesInstanceUID",
        )
    raise InputError(
        f'series "{shortened(wanted)}"',
        expected="a CT of that description, number or SeriesInstanceUID",
        found=f"{fitting[0].text}, which is no CT" if fitting else listed(folder.series),
        remedy="name one of the CT series" if fitting else "name one of these",
    )


def _series(kind: str, files: list[ImageFile]) -> Series:
    return Series(
        files[0].series_uid,
        _text(files[0], "SeriesDescription"),
        tuple(file.path for file in files),
        sum(_frames(file) for file in files),
        _text(files[0], "SeriesNumber"),
        kind,
        is_ct=kind in _CT.values(),
        is_volume=kind in {*_CT.values(), *_OTHER_VOLUMES.values()},
    )


def _kind(file: ImageFile) -> str:
    """The kind of the file's object, by its storage class, since screenshots also have the modality CT."""
    known = _CT | _OTHER_VOLUMES
    if file.sop_class in known:
        return known[file.sop_class]
    modality = _text(file, "Modality").upper()
    if not file.sop_class:
        return modality
    name = UID(file.sop_class).name if UID(file.sop_class).is_valid else "unknown object"
    return " ".join(part for part in (modality, f"({name.removesuffix(' Storage')})") if part)


def _text(file: ImageFile, keyword: str) -> str:
    """An attribute for a list of series, "" where it is damaged: only attributes used for reading must be intact."""
    try:
        return file.tags().text(keyword)
    except InputError:
        return ""


def _frames(file: ImageFile) -> int:
    try:
        return frame_count(file)
    except InputError:
        return 1


def _inside(path: Path) -> str:
    """The subfolders of a folder, for an error where the parent of the series folder was given."""
    names = [shortened(entry.name, 40) for entry in sorted(path.iterdir()) if entry.is_dir()] if path.is_dir() else []
    if not names:
        return ""
    return f" itself (in it are the folders {', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
