"""Options of `register` that replace a case.json: a CT, X-rays, and information missing in their files."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from .options import MOST_MM, add_volume, number, one_of, place, whole

if TYPE_CHECKING:
    from ..io import CaseFile

# Options that are only valid without a case, by the name of the attribute.
_NAMES = ("xray", "volume", "labels", "structures", "series", "sid", "pixel_mm", "frame", "mirrored", "intensity")
_YES_NO = ("yes", "no")
_KINDS = ("auto", "transmission", "attenuation")


def add_files(parser: argparse.ArgumentParser) -> None:
    """Add the options that name the files of a registration without a case.json."""
    group = parser.add_argument_group("files instead of a CASE; what is said of X-rays holds for each")
    group.add_argument(
        "--xray",
        type=place,
        metavar="IMAGE",
        action="append",
        help="X-ray: DICOM, TIFF, PNG, NIfTI, NRRD; several times only where DICOM gives the C-arm's angles for each",
    )
    add_volume(group, required=False)
    group.add_argument("--series", metavar="NAME", help="which CT of a DICOM folder (info lists them)")
    length = number(0.0, MOST_MM)
    group.add_argument("--sid", type=length, metavar="MM", help="source to detector [mm], in place of DICOM's")
    group.add_argument(
        "--pixel-mm", type=length, metavar="MM", help="pixel pitch at the detector [mm], in place of DICOM's"
    )
    group.add_argument("--frame", type=whole(0), metavar="N", help="image of a run, from 0")
    group.add_argument(
        "--mirrored",
        type=one_of(_YES_NO),
        metavar="|".join(_YES_NO),
        help="whether the stored image shows left and right exchanged (default: as DICOM tells, else no)",
    )
    group.add_argument(
        "--intensity",
        type=one_of(_KINDS),
        metavar="|".join(_KINDS),
        help="transmission: air is bright; attenuation: bone is bright (default: auto)",
    )


def case_of(arguments: argparse.Namespace) -> Path | CaseFile:
    """The case specified by the options: the path of a case.json, or the case made of the files.

    Raises InputError for both, for neither, and for files that make none (see `io.case_of_files`).
    """
    from ..checks import InputError
    from ..io import case_of_files

    given = [name for name in _NAMES if getattr(arguments, name) not in (None, ())]
    options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
    if arguments.case is not None and given:
        raise InputError(
            "register",
            expected="a CASE, or --volume and --xray",
            found=f"CASE {arguments.case} and {options}",
            remedy="leave out the one or the other; what a case says is changed in its file",
        )
    if arguments.case is not None:
        return Path(arguments.case)
    absent = [f"--{name}" for name in ("volume", "xray") if name not in given]
    if absent:
        raise InputError(
            "register",
            expected="a CASE, or --volume and --xray",
            found=f"{options} without {absent[0]}" if given else "neither",
            remedy="name a case.json, or a CT with --volume and an X-ray with --xray",
        )
    mirrored = None if arguments.mirrored is None else arguments.mirrored == "yes"
    return case_of_files(
        arguments.volume,
        arguments.xray,
        labels=arguments.labels,
        structures=arguments.structures,
        series=arguments.series,
        sid_mm=arguments.sid,
        pixel_mm=arguments.pixel_mm,
        frame=arguments.frame,
        mirrored=mirrored,
        intensity=arguments.intensity or "auto",
    )
