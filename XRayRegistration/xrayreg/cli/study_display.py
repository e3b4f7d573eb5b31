"""Terminal output of a study: its progress, its table, and the available choices."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..printing import printable
from .progress import Bar

if TYPE_CHECKING:
    from ..benchmark.study.runner import StudyStep
    from ..benchmark.study.summaries import StudyTable, TableRow
    from ..networks.training.status import TrainStep

# Window [s] for estimating the time left: long, as run times vary.
_PERIOD_S = 900.0
# Columns of a terminal for all figures.
_WIDE = 130
_METRICS = {"mtre_mm": "mTRE", "mtre_far_mm": "far-lever mTRE, for comparison with ISBI 2024 Table 1 only"}


class StudyDisplay(Bar):
    """The bar of a study: number of runs done, and results of the methods."""

    def __init__(self, shown: bool = True) -> None:
        from rich.progress import TimeRemainingColumn

        super().__init__(shown, ("count", "figures"), TimeRemainingColumn(), speed_estimate_period=_PERIOD_S)
        self._stage = ""
        self._errors: dict[str, list[float]] = {}

    def stage(self, message: str) -> None:
        """Show a stage of unknown duration."""
        self._begin(message, message, None)

    def step(self, step: StudyStep) -> None:
        """Show a step of a study."""
        if step.note:
            print(f"xrayreg: {step.note}", file=sys.stderr)
        if step.total == 0:
            self.stage(step.message)
            return
        if self._stage != step.stage:
            self._begin(step.stage, step.message, step.total)
        self._progress.update(
            self._task,
            description=printable(step.message),
            completed=step.done,
            figures=self._figures(step),
            count=f"{step.done}/{step.total}",
        )

    def training(self, name: str, step: TrainStep) -> None:
        """Show a step of a network's training."""
        stage = f"training {name}"
        if step.state == "preparing":
            self.stage(f"{stage}: {step.message}")
            return
        if self._stage != stage:
            self._begin(stage, stage, 100)
        left = "" if step.seconds_left is None else f"{step.seconds_left / 60:.0f} min left"
        loss = "" if step.loss is None else f"loss {step.loss:.3g}"
        self._progress.update(
            self._task, description=stage, completed=round(100 * step.fraction), figures=loss, count=left
        )

    def end(self) -> None:
        """Remove the bar, so that it does not interfere with standard output."""
        self._progress.stop()

    def say(self, text: str) -> None:
        """Print a permanent line."""
        self.end()
        print(f"xrayreg: {printable(text)}", file=sys.stderr)

    def _begin(self, stage: str, message: str, total: int | None) -> None:
        self._stage = stage
        self._progress.remove_task(self._task)
        self._task = self._progress.add_task(printable(message), total=total, figures="", count="")

    def _figures(self, step: StudyStep) -> str:
        """Success rate so far of the method of the latest result."""
        if step.row is None:
            return ""
        errors = self._errors.setdefault(step.row.method, [])
        errors.append(float("inf") if step.row.failed else step.row.mtre_mm)
        return f"{sum(error < 10 for error in errors)} of {len(errors)} below 10 mm"


def show_table(table: StudyTable, file: Path) -> None:
    """Print the figures of each method, and the file with all of them."""
    from rich.console import Console
    from rich.text import Text

    from ..benchmark.report.wording import verdicts

    console = Console(highlight=False)
    wide = not console.is_terminal or console.width >= _WIDE
    if not console.is_terminal:
        # In a file a line may be as long as it needs to be.
        console = Console(highlight=False, width=max(console.width, _WIDE))
    console.print(Text(printable(f"{table.name}: {table.title}"), style="bold"))
    first = table.rows[0].figures
    before = f", {first.initial_mtre_mm:.0f} mm on average at the start" if first.initial_mtre_mm > 0 else ""
    console.print(Text(f"{_METRICS.get(table.metric, table.metric)} [mm]{before}; intervals of 95 %", style="dim"))
    console.print(_grid(table.rows, "method", [row.method for row in table.rows], wide))
    if table.variants:
        console.print()
        names = [f"{row.method}: {row.variant}" for row in table.variants]
        console.print(_grid(table.variants, "variant", names, wide))
    for row in table.rows:
        if row.figures.n < table.cases:
            console.print(
                Text(printable(f"{row.method}: {row.figures.n} of {table.cases} cases so far"), style="yellow")
            )
        if row.figures.accepted is not None:
            console.print(Text(printable(f"{row.method} {verdicts(row.figures.trust[0])}")))
        if row.figures.failed:
            cases = "1 case" if row.figures.failed == 1 else f"{row.figures.failed} cases"
            console.print(Text(printable(f"{row.method}: {cases} without a pose, counted as failures, such as by")))
            console.print(Text(printable(f"  {table.failures[row.method][0][1]}")), soft_wrap=True)
    console.print(Text(printable(file)), soft_wrap=True)


def show_choices() -> None:
    """Print the arms and the methods, each in a line."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ..benchmark.methods import METHODS
    from ..benchmark.study.protocol import arm_named, arm_names

    console = Console(highlight=False)
    for heading, choices in (
        ("Arms", [(name, arm_named(name).title, f"{arm_named(name).cases} cases") for name in arm_names()]),
        ("Methods", [(name, method.title, _needs(method.needs)) for name, method in METHODS.items()]),
    ):
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        # Titles are shortened to fit, but never the names used in commands.
        names, notes = (max(len(choice[column]) for choice in choices) for column in (0, 2))
        room = max(10, console.width - names - notes - 6)
        table.add_column(no_wrap=True, style="bold", min_width=names)
        table.add_column(overflow="ellipsis", no_wrap=True, max_width=room)
        table.add_column(style="dim", no_wrap=True, min_width=notes)
        for name, title, note in choices:
            table.add_row(name, Text(title), note)
        console.print(Text(heading, style="bold underline"))
        console.print(table)


def _needs(needs: tuple[str, ...]) -> str:
    """Requirements of a method that not every case meets."""
    special = [need for need in needs if need != "initial"]
    return f"needs {', '.join(special)}" if special else ""


def _grid(rows: tuple[TableRow, ...], heading: str, names: list[str], wide: bool) -> Any:
    """The figures as a table; unless `wide`, only those that fit into 80 columns."""
    from rich.table import Table
    from rich.text import Text

    from ..benchmark.report.wording import best, count, length, percent, rate

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(heading, no_wrap=True)
    columns = [
        ("n", lambda figures: str(figures.n)),
        ("median", lambda figures: length(figures.median)),
        ("SR2", lambda figures: percent(figures.sr2.percent, figures.n)),
        ("SR10", lambda figures: percent(figures.sr10.percent, figures.n)),
        ("", lambda figures: rate(figures.sr10, figures.n)[1]),
        ("GFR", lambda figures: percent(figures.gfr.percent, figures.n)),
        ("s", lambda figures: length(figures.seconds)),
        ("renders", lambda figures: count(figures.renders)),
    ]
    if wide:
        columns[2:2] = [
            ("mean of best 95 %", lambda figures: best(figures.best[0])),
            ("SR1", lambda figures: percent(figures.sr1.percent, figures.n)),
        ]
        columns[5:5] = [("SR5", lambda figures: percent(figures.sr5.percent, figures.n))]
        columns[9:9] = [("capture", lambda figures: f"{figures.capture_range_mm:.0f}")]
    for column, _ in columns:
        table.add_column(column, justify="right", no_wrap=True, style="" if column else "dim")
    for name, row in zip(names, rows, strict=True):
        table.add_row(Text(printable(name)), *(told(row.figures) for _, told in columns))
    return table
