"""`register`: the pose of the C-arm for a case."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..settings import RegistrationSettings
from .direct import add_files, case_of
from .options import add_command, add_settings, place, registration_settings_from
from .terminal import printable_json


def add_to(commands: Any) -> None:
    """Add the command to the parser's commands."""
    parser = add_command(
        commands,
        "register",
        run,
        "find the pose of the C-arm for a case, or for a CT and X-rays, and judge it",
        (
            "case.json --out result",
            "--volume ct.nii.gz --xray image.dcm --out result",
            "--volume ct.nii.gz --xray image.png --sid 1000 --pixel-mm 0.3 --out result",
            "case.json --out result --init search --effort thorough",
            "case.json --out result --init model.pt",
            "case.json --out result --similarity sim.pt",
            "case.json --out result --quiet --json > result.json",
        ),
    )
    parser.add_argument(
        "case", type=place, metavar="CASE", nargs="?", help="case.json with the CT, the X-rays and their cameras"
    )
    parser.add_argument(
        "--out", type=place, metavar="DIR", required=True, help="folder for the results, made when needed"
    )
    add_files(parser)
    add_settings(parser, RegistrationSettings)
    parser.add_argument(
        "--init-only", action="store_true", help="with a network: write its pose as it is, neither refined nor judged"
    )
    parser.add_argument("--no-pictures", action="store_true", help="leave out pictures and report")
    parser.add_argument("--json", action="store_true", help="print the content of result.json instead of a table")
    parser.add_argument("--quiet", action="store_true", help="no progress and no table")
    parser.epilog = (
        f"{parser.epilog}\nexit codes: 0 accepted, 3 finished but not trusted (written and flagged), 2 bad input,\n"
        "130 interrupted (the best pose so far is written and flagged)\n"
    )


def run(arguments: argparse.Namespace) -> int:
    """Register the case and write its results."""
    from .progress import Display
    from .session import estimate_case, register_case
    from .table import show_result

    handle = estimate_case if arguments.init_only else register_case
    with Display(shown=not arguments.quiet) as display:
        _require_registration(arguments)
        settings = registration_settings_from(arguments)
        outcome = handle(case_of(arguments), Path(arguments.out), settings, display, pictures=not arguments.no_pictures)
    if arguments.json:
        print(printable_json((outcome.folder / "result.json").read_text(encoding="utf-8")), end="")
    elif not arguments.quiet:
        show_result(outcome.content, outcome.folder)
    return outcome.code


def _require_registration(arguments: argparse.Namespace) -> None:
    """Raise InputError where a similarity is given that would not be used."""
    from ..checks import InputError

    if arguments.init_only and arguments.similarity is not None:
        raise InputError(
            "--similarity",
            expected="a registration that compares images with it",
            found="--init-only, which writes the network's pose as it is",
            remedy="leave out one of the two",
        )
