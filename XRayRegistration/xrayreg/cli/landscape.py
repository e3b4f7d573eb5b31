"""`evaluate --landscape`: similarities around the true pose, and their capture range."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .options import number, whole
from .terminal import printable_json

if TYPE_CHECKING:
    from ..benchmark.landscape.survey import Surveyed
    from ..benchmark.study.runner import StudyOrder
    from .study_display import StudyDisplay


def add_landscape(parser: argparse.ArgumentParser) -> None:
    """The options of a landscape."""
    group = parser.add_argument_group(
        "landscape", "learned similarities beside ZNCC and gradient correlation on the first cases of an arm"
    )
    group.add_argument(
        "--landscape",
        action="store_true",
        help="instead of --methods: cost and slope along each pose axis and random lines, and the capture range",
    )
    group.add_argument(
        "--most-mm",
        type=number(0.0, 400.0),
        default=60.0,
        metavar="MM",
        help="farthest starts of the capture range, 0 for none (default: 60)",
    )
    group.add_argument(
        "--success-mm",
        type=number(0.01, 100.0),
        default=2.0,
        metavar="MM",
        help="error of a success; more for a CT of coarse voxels (default: 2)",
    )
    group.add_argument(
        "--starts", type=whole(1, 1000), default=1, metavar="N", help="of each case in every 2 mm (default: 1)"
    )


def run_landscape(
    arguments: argparse.Namespace, study: StudyOrder, similarities: dict[str, str], display: StudyDisplay
) -> None:
    """Compute the landscape and print its results; raises InputError."""
    from ..checks import InputError

    try:
        from ..benchmark.landscape.survey import SurveyOrder, survey
    except ImportError as error:
        raise InputError(
            "--landscape", expected="matplotlib, which draws it", found=str(error), remedy="install the package"
        ) from error
    if study.arm is None:
        raise InputError(
            "--landscape", expected="an arm, whose poses are known exactly", found="--dataset", remedy="use --arm"
        )
    files = {name: Path(file) for name, file in similarities.items()}
    capture = {"most_mm": arguments.most_mm, "starts": arguments.starts, "success_mm": arguments.success_mm}
    order = SurveyOrder(study, files, **capture)
    found = survey(order, display.step)
    display.end()
    if arguments.json:
        print(printable_json(found.summary.read_text(encoding="utf-8")), end="")
    elif not arguments.quiet:
        _show(found)


def _show(found: Surveyed) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Similarities around the truth")
    for column in ("similarity", "angle to the geodesic gradient", "capture range with our refinement"):
        table.add_column(column, justify="left" if column == "similarity" else "right")
    ranges = {one.method.removesuffix("+ours"): _range(one) for one in found.capture}
    for name in dict.fromkeys([*found.angles, *ranges]):
        angle, count = found.angles.get(name, (float("nan"), 0))
        table.add_row(name, f"{angle:.0f}° of {count}" if count else "", ranges.get(name, ""))
    console = Console()
    console.print(table)
    console.print(f"written: {found.files[0].parent}", markup=False, soft_wrap=True)


def _range(one: Any) -> str:
    more = "at least " if one.beyond else ""
    return f"{more}{one.range_mm:g} mm ({one.interval.low:g} to {one.interval.high:g}; {one.runs} runs)"
