"""Options that several commands share, generated from where the settings are declared."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, fields
from typing import TYPE_CHECKING, Any

from ..settings import RegistrationSettings, registration_settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..geometry import Camera

PROGRAM = "xrayreg"
_WHOLE = re.compile("[+-]?[0-9]+")
_MOST_DIGITS = 18
# Lengths and angles of a C-arm beyond these must be in other units.
MOST_MM, MOST_DEG = 10_000.0, 360.0


def add_command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], summary: str, examples: Sequence[str]
) -> argparse.ArgumentParser:
    """A command's parser with its examples below the options."""
    lines = "\n".join(f"  {PROGRAM} {name} {example}" for example in examples)
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[:1].upper()}{summary[1:]}.",
        epilog=f"examples:\n{lines}\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    return parser


def add_settings(
    parser: argparse.ArgumentParser | argparse._ArgumentGroup, kind: Any, names: Sequence[str] = ()
) -> None:
    """An option for each field of the settings `kind` that carries a help text, or for those named."""
    for field in fields(kind):
        if "help" in field.metadata and (not names or field.name in names):
            parser.add_argument(f"--{field.name.replace('_', '-')}", **_option_of(field))


def registration_settings_from(arguments: argparse.Namespace) -> RegistrationSettings:
    """The settings specified by the options."""
    names = [field.name for field in fields(RegistrationSettings) if hasattr(arguments, field.name)]
    return registration_settings(**{name: getattr(arguments, name) for name in names})


def one_of(choices: Sequence[str]) -> Callable[[str], str]:
    """A type for argparse that accepts one of `choices` and lists them in its error message."""

    def chosen(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(f"expected one of {', '.join(choices)}, found {text!r}")
        return text

    return chosen


def place(text: str) -> str:
    """A type for argparse: the path of a file or folder, which need not exist."""
    if not text.strip() or "\0" in text:
        # An empty path would denote the current folder.
        raise argparse.ArgumentTypeError(f"expected the name of a file or folder, found {text!r}")
    return text


def whole(least: int, most: int = 2**31 - 1) -> Callable[[str], int]:
    """A type for argparse: a whole number from `least` to `most`."""

    def read(text: str) -> int:
        # Longer numbers exceed every range, and Python refuses to convert thousands of digits.
        number = int(text) if _WHOLE.fullmatch(text) and len(text) <= _MOST_DIGITS else None
        if number is None or not least <= number <= most:
            raise argparse.ArgumentTypeError(
                f"expected a whole number (int) from {least} to {most}, found {text!r:.40}"
            )
        return number

    return read


def number(least: float, most: float) -> Callable[[str], float]:
    """A type for argparse: a number from `least` to `most`; NaN is rejected."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"expected a number from {least:g} to {most:g}, found {text!r:.40}")
        return value

    return read


def label_list(text: str) -> tuple[int, ...]:
    """The labels of a list such as 1,2,3."""
    parts = [part.strip() for part in text.split(",")]
    if not all(_WHOLE.fullmatch(part) and len(part) <= 9 and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(f"expected labels above 0 such as 1,2,3, found {text!r}")
    return tuple(dict.fromkeys(int(part) for part in parts))


def add_volume(parser: argparse.ArgumentParser | argparse._ArgumentGroup, required: bool) -> None:
    """The options for a CT and its structures."""
    parser.add_argument(
        "--volume", type=place, metavar="CT", required=required, help="NIfTI, NRRD, MHA, or a DICOM folder"
    )
    add_structures(parser)


def add_structures(parser: argparse.ArgumentParser | argparse._ArgumentGroup, besides: str = "") -> None:
    """The options for a label map and its structures; `besides` is appended to the help on maps."""
    parser.add_argument("--labels", type=place, metavar="MAP", help=f"label map in the frame of the CT{besides}")
    parser.add_argument("--structures", metavar="1,2,..", type=label_list, default=(), help="only these labels")


def add_carm(parser: argparse.ArgumentParser) -> None:
    """The options for the C-arm's pose in clinical terms."""
    carm = parser.add_argument_group("C-arm (patient head first supine)")
    angle, length = number(-MOST_DEG, MOST_DEG), number(0.0, MOST_MM)
    numbers: tuple[tuple[str, Callable[[str], float], float, str], ...] = (
        ("--primary", angle, 0.0, "angle [degrees], positive towards LAO"),
        ("--secondary", angle, 0.0, "angle [degrees], positive towards CRAN"),
        ("--sod", length, 700.0, "distance from the source to the isocentre [mm]"),
        ("--sid", length, 1000.0, "distance from the source to the detector [mm]"),
        ("--pixel", length, 0.8, "pixel pitch at the detector [mm]"),
    )
    for name, kind, default, text in numbers:
        carm.add_argument(name, type=kind, default=default, metavar="N", help=f"{text} (default: {default:g})")
    carm.add_argument(
        "--size",
        type=whole(1, 65535),
        nargs=2,
        default=(400, 400),
        metavar=("W", "H"),
        help="image [pixels] (default: 400 400)",
    )
    carm.add_argument(
        "--isocentre",
        type=number(-1e6, 1e6),
        nargs=3,
        metavar=("R", "A", "S"),
        help="point turned about [mm] (default: CT centre)",
    )


def carm_of(
    arguments: argparse.Namespace, centre: NDArray[np.float64]
) -> tuple[Camera, NDArray[np.float64], NDArray[np.float64]]:
    """Camera, pose camera_from_volume (4, 4) and isocentre (3,) [RAS mm] of `add_carm`'s options.

    centre: the isocentre where none is given. Raises InputError for numbers that do not form a valid geometry.
    """
    from ..checks import InputError, require_array
    from ..geometry import Camera, camera_from_carm, require_xray_camera

    isocentre = require_array(centre if arguments.isocentre is None else arguments.isocentre, "isocentre", (3,))
    camera = require_xray_camera(Camera.from_sid(arguments.sid, arguments.pixel, *arguments.size), "C-arm")
    if not 0 < arguments.sod < arguments.sid:
        raise InputError(
            "--sod",
            expected=f"an isocentre between source and detector (above 0 and below the SID of {arguments.sid:g} mm)",
            found=f"{arguments.sod:g} mm",
            remedy="correct --sod or --sid",
        )
    return camera, camera_from_carm(arguments.primary, arguments.secondary, arguments.sod, isocentre), isocentre


def _type_of(field: Field[Any]) -> Callable[[str], Any]:
    """The argparse type of a settings field, with its bounds if it has any."""
    low, high = field.metadata.get("least"), field.metadata.get("most")
    if low is None or high is None:
        return place if field.default is None or isinstance(field.default, str) else type(field.default)
    return whole(low, high) if isinstance(field.default, int) else number(low, high)


def _option_of(field: Field[Any]) -> dict[str, Any]:
    default = None if field.default is MISSING else field.default
    choices = field.metadata.get("choices")
    option: dict[str, Any] = {
        "default": default,
        "help": f"{field.metadata['help']} (default: {'none' if default is None else default})",
        "type": one_of(choices) if choices else _type_of(field),
    }
    option["metavar"] = "|".join(choices) if choices else "N" if type(default) in (int, float) else field.name.upper()
    return option
