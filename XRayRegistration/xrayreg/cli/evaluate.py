"""`evaluate`: methods on the cases of a protocol arm or a dataset, with tables and a report."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..settings import MOST_SEED, DeviceName, RegistrationSettings
from .evaluate_table import DEFAULT_BUDGET, run_table_command
from .landscape import add_landscape, run_landscape
from .options import PROGRAM, add_command, add_settings, add_structures, number, place, whole
from .terminal import printable_json

if TYPE_CHECKING:
    from ..benchmark.study.runner import StudyOrder
    from .study_display import StudyDisplay

FINISHED, INTERRUPTED = 0, 130
DEFAULT_METHODS = ("initial", "ours")


def add_to(commands: Any) -> None:
    """Add the command to the parser's commands."""
    parser = add_command(
        commands,
        "evaluate",
        run,
        "run registration methods on simulated X-rays of a CT, or on a dataset, and compare them",
        (
            "--list",
            "--volume ct.nii.gz --arm C-A --methods initial,ours,xvr --limit 50 --out study",
            "--volume ct.nii.gz --labels labels.nii.gz --structures 1,2,3 --arm V-A --methods ours-lm,xvr --out study2",
            "--volume ct.nii.gz --arm C-A --methods prost,prost+cmaes,cmaes-chen --similarity prost.pt --out study4",
            "--volume ct.nii.gz --table isbi2024 --limit 50 --budget 120 --out table",
            "--landscape --volume ct.nii.gz --arm V-A --limit 5 --similarity prost.pt sopi.pt --out landscape",
            "--dataset deepfluoro.h5 --methods initial,ours --out study3",
            "--report-only study",
        ),
    )
    parser.add_argument("--list", action="store_true", help="show the arms and the methods, each in a line")
    parser.add_argument(
        "--methods",
        metavar=("A,B,..", "C"),
        action="extend",
        nargs="+",
        type=_names,
        default=[],
        help="see --list (default: initial,ours)",
    )
    parser.add_argument(
        "--table",
        metavar="isbi2024|prost|xvr",
        help="run a paper's table again: train the networks that are missing, then every row, beside what is published",
    )
    parser.add_argument(
        "--budget",
        type=number(0.0, 1e6),
        metavar="MINUTES",
        help=f"of training for a table, shared by the networks that are missing (default: {DEFAULT_BUDGET:g})",
    )
    parser.add_argument(
        "--out", type=place, metavar="DIR", help="folder of the study; what it holds already is not done again"
    )
    parser.add_argument("--arm", metavar="NAME", help="of the protocol (default: C-A), see --list")
    parser.add_argument("--volume", type=place, metavar="CT", help="for an arm: NIfTI, NRRD, MHA, or a DICOM folder")
    add_structures(parser)
    parser.add_argument(
        "--dataset", type=place, metavar="PATH", help="a dataset's file or folder, instead of --arm and --volume"
    )
    parser.add_argument("--limit", type=whole(1), metavar="N", help="only the first N cases")
    parser.add_argument(
        "--seed", type=whole(0, MOST_SEED), metavar="N", help="of poses, noise and methods (default: the arm's)"
    )
    parser.add_argument(
        "--workers", type=whole(1, 4096), metavar="N", help="processes (default: one for each core; 1 on a GPU)"
    )
    parser.add_argument("--network", type=place, metavar="MODEL", help="trained network for the methods that need one")
    parser.add_argument(
        "--similarity",
        type=place,
        metavar=("SIM", "SIM"),
        action="extend",
        nargs="+",
        default=[],
        help="learned similarities; each serves the methods named after its architecture",
    )
    parser.add_argument(
        "--set", metavar="METHOD.NAME=VALUE", action="append", default=[], help="one setting of a method; repeatable"
    )
    add_settings(parser, RegistrationSettings, ("engine", "device"))
    add_landscape(parser)
    parser.add_argument(
        "--report-only", type=place, metavar="DIR", help="tables and report of a study again, without a run"
    )
    parser.add_argument("--no-report", action="store_true", help="tables without report.html and figures")
    parser.add_argument("--json", action="store_true", help="print the content of table.json instead of a table")
    parser.add_argument("--quiet", action="store_true", help="no progress and no table")
    parser.epilog = (
        f"{parser.epilog}\nStopped by Ctrl-C or for another reason, the same command goes on where it was.\n"
        "\nexit codes: 0 done, 2 bad input, 130 interrupted (the results so far are kept and in the tables)\n"
    )


def run(arguments: argparse.Namespace) -> int:
    """List, report, draw a landscape, or do the study."""
    from .study_display import StudyDisplay, show_choices

    if arguments.list:
        show_choices()
        return FINISHED
    if arguments.report_only is not None:
        with StudyDisplay(shown=not arguments.quiet) as display:
            return _finished(Path(arguments.report_only), arguments, display, settings=None)
    if arguments.table is not None:
        return run_table_command(arguments, arguments.workers or _workers(arguments.device, arguments.limit))
    order = order_of(arguments)
    if arguments.landscape:
        with StudyDisplay(shown=not arguments.quiet) as display:
            run_landscape(arguments, order, similarities_of(arguments.similarity), display)
        return FINISHED
    with StudyDisplay(shown=not arguments.quiet) as display:
        interrupted = _followed(order, display)
        if interrupted and not _has_results(order.out):
            display.say(f"interrupted before there was a result; what was made is kept in {order.out}")
            return INTERRUPTED
        code = _finished(order.out, arguments, display, _settings_told(order))
        if interrupted:
            display.say("interrupted: the same command goes on from here")
    return INTERRUPTED if interrupted else code


def order_of(arguments: argparse.Namespace) -> StudyOrder:
    """The study specified by the options; raises InputError."""
    from ..benchmark.study.runner import StudyOrder
    from ..checks import InputError

    # A landscape needs only the cases.
    asked = [("initial",)] if arguments.landscape else arguments.methods or [DEFAULT_METHODS]
    methods = tuple(dict.fromkeys(name for names in asked for name in names))
    if arguments.budget is not None:
        raise InputError("--budget", expected="--table with it", found="none", remedy="name a table, or leave it out")
    if arguments.out is None:
        raise InputError("evaluate", expected="--out DIR", found="none", remedy="name a folder for the results")
    for name in ("arm", "volume", "labels"):
        if arguments.dataset is not None and getattr(arguments, name) is not None:
            raise InputError(
                "evaluate", expected=f"--dataset or --{name}", found="both", remedy="a dataset brings its own"
            )
    order = StudyOrder(
        out=Path(arguments.out),
        methods=methods,
        arm=None if arguments.dataset is not None else arguments.arm or "C-A",
        volume=_path(arguments.volume),
        labels=_path(arguments.labels),
        structures=arguments.structures,
        dataset=_path(arguments.dataset),
        limit=arguments.limit,
        seed=arguments.seed,
        engine=arguments.engine,
        device=arguments.device,
        options=_options(arguments, methods),
    )
    runs = None if order.limit is None else order.limit * len(methods)
    return replace(order, workers=arguments.workers or _workers(arguments.device, runs))


def _followed(order: StudyOrder, display: StudyDisplay) -> bool:
    """Do the study; returns whether Ctrl-C ended it."""
    from ..benchmark.study.runner import conduct
    from .session import ctrl_c_noted

    with ctrl_c_noted() as asked_to_stop:

        def pause() -> None:
            if asked_to_stop():
                raise KeyboardInterrupt

        try:
            conduct(order, on_step=display.step, pause=pause)
        except KeyboardInterrupt:
            if not asked_to_stop():
                raise
        return asked_to_stop()


def _finished(
    folder: Path, arguments: argparse.Namespace, display: StudyDisplay, settings: dict[str, Any] | None
) -> int:
    """Write the tables and the report, and print the requested output; returns the exit code."""
    from ..benchmark.study.reading import TABLE
    from ..benchmark.study.study_folder import room_for_results
    from ..benchmark.study.summaries import write_tables
    from ..benchmark.tables.paper_rows import write_paper_table
    from .paper_display import show_paper_table
    from .study_display import show_table

    try:
        with room_for_results(folder):
            display.stage("writing the tables")
            table = write_tables(folder, settings)
            paper = write_paper_table(folder)
            display.stage("writing the report")
            report = [] if arguments.no_report else _report(folder, display)
    except KeyboardInterrupt:
        display.say(f"interrupted; all results are kept, for their report: {PROGRAM} evaluate --report-only {folder}")
        return INTERRUPTED
    display.end()
    if arguments.json:
        print(printable_json((folder / TABLE).read_text(encoding="utf-8")), end="")
    elif paper is not None and not arguments.quiet:
        show_paper_table(paper, folder)
    elif not arguments.quiet:
        show_table(table, [*report, folder / TABLE][0])
    return FINISHED


def _report(folder: Path, display: StudyDisplay) -> list[Path]:
    """The report's files; none, with a message, where a package for it is not installed."""
    try:
        from ..benchmark.report.study_report import write_report
    except ImportError as error:
        display.say(f"no report: {error}; install the package, then: {PROGRAM} evaluate --report-only {folder}")
        return []
    return write_report(folder)


def _has_results(folder: Path) -> bool:
    from ..benchmark.study.study_folder import StudyFolder

    return bool(StudyFolder(folder).rows())


def _workers(device: DeviceName, runs: int | None) -> int:
    """Number of processes: one per core, at most the number of runs (None: many); one on a GPU."""
    from ..render import choose_device

    if choose_device(device) != "cpu":
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores if runs is None else min(cores, runs))


def _options(arguments: argparse.Namespace, methods: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Options by method from --network, --similarity and --set; raises InputError."""
    import json

    from ..benchmark.methods import method_named
    from ..checks import InputError

    options: dict[str, dict[str, Any]] = {name: {} for name in methods}
    similarities = similarities_of(arguments.similarity)
    for name in methods:
        needs, architecture = method_named(name).needs, name.partition("+")[0]
        if arguments.network is not None and "network" in needs:
            options[name]["network"] = arguments.network
        if architecture in similarities and "similarity" in needs:
            options[name]["similarity"] = similarities[architecture]
    for text in arguments.set:
        path, equals, value = text.partition("=")
        method, dot, name = path.partition(".")
        if not equals or not dot or method not in options:
            raise InputError(
                "--set",
                expected=f"METHOD.NAME=VALUE with one of {', '.join(options)}",
                found=text[:80],
                remedy="correct it",
            )
        try:
            options[method][name] = json.loads(value)
        except (ValueError, RecursionError):
            options[method][name] = value
    return options


def similarities_of(files: Sequence[str]) -> dict[str, str]:
    """The files of learned similarities by architecture; raises InputError for other files, and for two of one."""
    from ..checks import InputError
    from ..networks.model.checkpoint import read_card

    found: dict[str, str] = {}
    for file in files:
        similarity = read_card(file).settings.similarity
        if similarity is None:
            raise InputError(
                "--similarity",
                expected="learned similarities",
                found=f"{file}, which predicts poses",
                remedy="give it with --network",
            )
        if similarity.architecture in found:
            raise InputError(
                "--similarity",
                expected="one file of each architecture",
                found=f"{found[similarity.architecture]} and {file}, both {similarity.architecture}",
                remedy="evaluate them one after the other",
            )
        found[similarity.architecture] = file
    return found


def _settings_told(order: StudyOrder) -> dict[str, Any]:
    return {
        "engine": order.engine,
        "device": order.device,
        "workers": order.workers,
        "threads": "one in each process" if order.workers > 1 else "as many as the engine takes",
        "options": {name: dict(options) for name, options in order.options.items() if options},
    }


def _names(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not names:
        raise argparse.ArgumentTypeError("expected names such as initial,ours")
    return names


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
