"""`evaluate --table`: reproduces a paper's table; missing networks are trained."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from .options import PROGRAM
from .terminal import printable_json

if TYPE_CHECKING:
    from ..benchmark.study.runner import StudyStep
    from ..benchmark.tables.paper_rows import MeasuredTable
    from ..benchmark.tables.table_order import TableOrder
    from ..networks.training.status import TrainStep
    from .study_display import StudyDisplay

FINISHED, INCOMPLETE, INTERRUPTED = 0, 3, 130
# Minutes.
DEFAULT_BUDGET = 60.0
# Options that a table determines, by name.
_NOT_WITH = ("arm", "methods", "dataset", "network", "similarity", "set", "landscape")
# Options of the command that continues a table.
_REPEATED = ("table", "volume", "labels", "structures", "out", "limit", "seed", "budget", "workers", "engine", "device")


def run_table_command(arguments: argparse.Namespace, workers: int) -> int:
    """Train, run and write the table; returns the exit code."""
    from ..benchmark.tables.table_study import Listener, TableOutcome, run_table
    from .session import ctrl_c_noted
    from .study_display import StudyDisplay

    order = table_order_of(arguments, workers)
    with StudyDisplay(shown=not arguments.quiet) as display:

        def studied(arm: str, step: StudyStep) -> None:
            display.step(step)

        def trained(name: str, step: TrainStep) -> None:
            display.training(name, step)

        try:
            with ctrl_c_noted() as asked_to_stop:
                outcome = run_table(order, Listener(studied, trained, asked_to_stop))
            tables = _written(order, arguments, display)
        except KeyboardInterrupt:
            outcome, tables = TableOutcome(stopped=True), []
        if outcome.stopped:
            display.say(f"interrupted, everything so far is kept; to go on: {command_of(arguments)}")
        display.end()
    _shown(order, tables, arguments)
    if outcome.untrained and not outcome.stopped:
        display.say(_incomplete(outcome.untrained, command_of(arguments)))
    return INTERRUPTED if outcome.stopped else FINISHED if outcome.is_complete else INCOMPLETE


def _incomplete(untrained: Mapping[str, str], command: str) -> str:
    """The final message on a table with missing rows."""
    each = "; ".join(f"{name} could not be trained ({why})" for name, why in untrained.items())
    return f"incomplete: {each}; to try again: {command}"


def table_order_of(arguments: argparse.Namespace, workers: int) -> TableOrder:
    """The table specified by the options; raises InputError for options that a table determines."""
    from ..benchmark.tables.papers import paper_table
    from ..benchmark.tables.table_order import TableOrder
    from ..checks import InputError, require_file

    table = paper_table(arguments.table)
    for name in _NOT_WITH:
        if getattr(arguments, name):
            raise InputError(
                "evaluate",
                expected=f"--table or --{name}",
                found="both",
                remedy=f"a paper's table brings its own; leave out --{name}",
            )
    for name in ("out", "volume"):
        if getattr(arguments, name) is None:
            raise InputError(
                "evaluate", expected=f"--{name} with --table", found="none", remedy=f"add --{name} and its path"
            )
    return TableOrder(
        Path(arguments.out),
        table.name,
        require_file(Path(arguments.volume), "volume"),
        None if arguments.labels is None else Path(arguments.labels),
        arguments.structures,
        arguments.limit,
        arguments.seed,
        DEFAULT_BUDGET if arguments.budget is None else arguments.budget,
        workers,
        arguments.engine,
        arguments.device,
    )


def command_of(arguments: argparse.Namespace) -> str:
    """The command line that continues a table."""
    parts = ["evaluate"]
    for name in _REPEATED:
        value = getattr(arguments, name)
        if value is None or value == () or (name in ("engine", "device") and value == "auto"):
            continue
        text = ",".join(map(str, value)) if isinstance(value, tuple) else f"{value:g}" if name == "budget" else value
        parts += [f"--{name}", str(text)]
    return f"{PROGRAM} {shlex.join(parts)}"


def _written(order: TableOrder, arguments: argparse.Namespace, display: StudyDisplay) -> list[MeasuredTable]:
    """Write tables and report of every arm that has results; returns the paper's tables."""
    from ..benchmark.study.study_folder import StudyFolder, room_for_results
    from ..benchmark.study.summaries import write_tables
    from ..benchmark.tables.paper_rows import write_paper_table

    made = []
    for arm in order.paper.arms:
        folder = order.folder(arm.arm)
        if not StudyFolder(folder).rows():
            continue
        display.stage(f"writing the tables of {arm.arm}")
        with room_for_results(folder):
            write_tables(folder, {"engine": order.engine, "device": order.device, "workers": order.workers})
            table = write_paper_table(folder)
            if table is not None and not arguments.no_report:
                display.stage(f"writing the report of {arm.arm}")
                _report(folder, display)
        made += [] if table is None else [table]
    return made


def _report(folder: Path, display: StudyDisplay) -> None:
    """Write the report; print a message where a package for it is not installed."""
    try:
        from ..benchmark.report.study_report import write_report
    except ImportError as error:
        display.say(f"no report: {error}; install the package, then: {PROGRAM} evaluate --report-only {folder}")
        return
    write_report(folder)


def _shown(order: TableOrder, tables: list[MeasuredTable], arguments: argparse.Namespace) -> None:
    """Print the tables in the requested form."""
    import json

    from ..benchmark.tables.paper_rows import PAPER_TABLE
    from .paper_display import show_paper_table

    if arguments.json:
        content = [json.loads((order.folder(table.arm) / PAPER_TABLE).read_text(encoding="utf-8")) for table in tables]
        print(printable_json(json.dumps(content, indent=1, ensure_ascii=False)))
        return
    if arguments.quiet:
        return
    for table in tables:
        show_paper_table(table, order.folder(table.arm))
        sys.stdout.flush()
