"""Options that several commands share, generated from where the settings are declared."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, fields
from typing import TYPE_CHECKING, Any

from ..settings import RegistrationSettings, registration_settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..geometry import Camera

PROGRAM = "python -m xrayreg"


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


def add_settings(parser: argparse.ArgumentParser, kind: Any, names: Sequence[str] = ()) -> None:
    """An option for each field of the settings `kind` that carries a help text, or for those named."""
    for field in fields(kind):
        if "help" in field.metadata and (not names or field.name in names):
            parser.add_argument(f"--{field.name.replace('_', '-')}", **_option_of(field))


def registration_settings_from(arguments: argparse.Namespace) -> RegistrationSettings:
    """The settings that the options ask for."""
    names = [field.name for field in fields(RegistrationSettings) if hasattr(arguments, field.name)]
    return registration_settings(**{name: getattr(arguments, name) for name in names})


def one_of(choices: Sequence[str]) -> Callable[[str], str]:
    """A type for argparse that takes one of `choices` and tells all of them otherwise."""

    def chosen(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(f"expected one of {', '.join(choices)}, found {text!r}")
        return text

    return chosen


def label_list(text: str) -> tuple[int, ...]:
    """The labels of a list such as 1,2,3."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(f"expected labels above 0 such as 1,2,3, found {text!r}")
    return tuple(dict.fromkeys(int(part) for part in parts))


def add_volume(parser: argparse.ArgumentParser, required: bool) -> None:
    """The options that name a CT and what of it is meant."""
    parser.add_argument("--volume", metavar="CT", required=required, help="NIfTI, NRRD, MHA, or a DICOM folder")
    add_structures(parser)


def add_structures(parser: argparse.ArgumentParser, besides: str = "") -> None:
    """The options that name a label map and what of it is meant; `besides` goes on with the help on maps."""
    parser.add_argument("--labels", metavar="MAP", help=f"label map in the frame of the CT{besides}")
    parser.add_argument("--structures", metavar="1,2,..", type=label_list, default=(), help="only these labels")


def add_carm(parser: argparse.ArgumentParser) -> None:
    """The options that say how the C-arm stands, as a clinician would."""
    carm = parser.add_argument_group("C-arm (patient head first supine)")
    numbers: tuple[tuple[str, float, str], ...] = (
        ("--primary", 0.0, "angle [degrees], positive towards LAO"),
        ("--secondary", 0.0, "angle [degrees], positive towards CRAN"),
        ("--sod", 700.0, "distance from the source to the isocentre [mm]"),
        ("--sid", 1000.0, "distance from the source to the detector [mm]"),
        ("--pixel", 0.8, "pixel pitch at the detector [mm]"),
    )
    for name, default, text in numbers:
        carm.add_argument(name, type=float, default=default, metavar="N", help=f"{text} (default: {default:g})")
    carm.add_argument(
        "--size", type=int, nargs=2, default=(400, 400), metavar=("W", "H"), help="image [pixels] (default: 400 400)"
    )
    carm.add_argument(
        "--isocentre", type=float, nargs=3, metavar=("R", "A", "S"), help="point turned about [mm] (default: CT centre)"
    )


def carm_of(
    arguments: argparse.Namespace, centre: NDArray[np.float64]
) -> tuple[Camera, NDArray[np.float64], NDArray[np.float64]]:
    """Camera, pose camera_from_volume (4, 4) and isocentre (3,) [RAS mm] of `add_carm`'s options.

    centre: the isocentre where none is given. Raises InputError for numbers that are no geometry.
    """
    from ..checks import require_array
    from ..geometry import Camera, camera_from_carm

    isocentre = require_array(centre if arguments.isocentre is None else arguments.isocentre, "isocentre", (3,))
    camera = Camera.from_sid(arguments.sid, arguments.pixel, *arguments.size)
    return camera, camera_from_carm(arguments.primary, arguments.secondary, arguments.sod, isocentre), isocentre


def _option_of(field: Field[Any]) -> dict[str, Any]:
    default = None if field.default is MISSING else field.default
    choices = field.metadata.get("choices")
    option: dict[str, Any] = {
        "default": default,
        "help": f"{field.metadata['help']} (default: {default})",
        "type": one_of(choices) if choices else type(default),
    }
    shown = {str: field.name.upper(), int: "N", float: "N"}
    option["metavar"] = "|".join(choices) if choices else shown[type(default)]
    return option
