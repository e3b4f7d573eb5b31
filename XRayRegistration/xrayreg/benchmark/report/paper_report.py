"""A paper's table in an evaluation's report: results beside the published ones, training, and comparability."""

from __future__ import annotations

import shlex

from ..statistics import FAR_LEVER, GROSS_MM, Summary
from ..study.reading import Evaluation
from ..tables.literature import Published
from ..tables.paper_rows import SHARES, MeasuredRow, MeasuredTable, MissingRow, measured_table
from . import wording
from .report_tables import Cell, ReportRow, Table

_PROGRAM = "xrayreg"
_BELOW = f"< {GROSS_MM:g} mm [%]"
_BEST = tuple(f"best {share:g} % [mm]" for share in SHARES)
_NONE = "none"


def paper_tables(evaluation: Evaluation) -> list[Table]:
    """The paper's table of an evaluation, and how far it is comparable; empty if it is not part of one."""
    table = measured_table(evaluation)
    return [] if table is None else [_main(table), _comparable(table)]


def training_of(row: MeasuredRow) -> tuple[str, str]:
    """Training time [min] of the row's network, and the iterations, the hardware, and whether that was too little."""
    network = row.network
    if network is None:
        return _NONE, ""
    where = "; ".join(network.hardware) or "hardware not known"
    short = ", under-trained" if row.under_trained else ""
    return f"{network.minutes:.3g} min", f"{wording.count(network.iterations)} iterations, {where}{short}"


def longer_of(row: MeasuredRow) -> str:
    """The command that continues the training of a row's network; empty if it was trained long enough."""
    return f"{_PROGRAM} {shlex.join(row.longer)}" if row.under_trained else ""


def published_of(line: Published | None) -> tuple[str, str, str]:
    """Published success rate, means of the best and median, as short texts; empty if not published."""
    if line is None:
        return "", "", ""
    if line.far_sr10 is not None:
        share = f"{line.far_sr10:.1f} (far)"
    else:
        share = "" if line.sr10 is None else f"{line.sr10:.1f}"
    best = " / ".join(f"{mean:.1f}" + ("" if sd is None else f" ± {sd:.1f}") for mean, sd in line.best)
    return share, best, "" if line.median_mm is None else wording.length(line.median_mm)


def _main(table: MeasuredTable) -> Table:
    rows = [_row(row) for row in table.rows]
    rows += [_empty(missing) for missing in table.missing]
    columns = (
        "n",
        *(_BELOW, "median [mm]", *_BEST),
        *(_BELOW, *_BEST),
        *(_BELOW, "best 95 / 75 / 50 % [mm]", "median [mm]"),
        *("time [s]", "renders", "training"),
    )
    groups = (
        ("", 1),
        ("camera frame (mTRE)", 5),
        (FAR_LEVER, 4),
        ("published", 3),
        ("cost", 3),
    )
    short = [row for row in table.rows if row.under_trained]
    note = (
        f"Arm {table.arm}, seed {table.seed}; all rows have the same {table.cases} poses and X-rays. Shares with 95 % "
        "Wilson intervals; mean ± standard deviation over the best part of the cases; a run that gave no pose counts "
        "as an infinite error (∞). Published shares marked “far” are by the far lever, as are published best parts. "
        "Time and renders: median of one case."
    )
    if short:
        names = ", ".join(dict.fromkeys(row.network.name for row in short if row.network is not None))
        note += f" Under-trained, so that their rows say little of the method: {names}; see “What is comparable”."
    if any(missing.untrained for missing in table.missing):
        note += " A network could not be trained, for the reason below; the same command tries again."
    return Table(f"{table.paper.title}, run again", note, columns, tuple(rows), groups)


def _row(row: MeasuredRow) -> ReportRow:
    camera, far = row.figures["camera_frame"], row.figures["far_lever"]
    share, best, median = published_of(row.row.published)
    cells = (
        Cell(wording.count(row.n)),
        Cell(*wording.rate(camera.sr10, row.n)),
        Cell(wording.length(camera.median)),
        *_best(camera),
        Cell(*wording.rate(far.sr10, row.n)),
        *_best(far),
        Cell(share, row.row.told),
        Cell(best),
        Cell(median),
        Cell(wording.length(row.seconds)),
        Cell(wording.count(row.renders)),
        Cell(*training_of(row)),
    )
    return ReportRow(row.row.title, cells)


def _empty(missing: MissingRow) -> ReportRow:
    state = "not trained" if missing.untrained else "no results yet"
    return ReportRow(missing.row.title, (Cell(state), *[Cell("")] * 15), quiet=True)


def _best(figures: Summary) -> tuple[Cell, ...]:
    return tuple(Cell(wording.best(best)) for best in figures.best)


def _comparable(table: MeasuredTable) -> Table:
    rows = [ReportRow("All rows", (Cell(table.same), Cell(table.different), Cell("")))]
    for row in table.rows:
        longer = longer_of(row)
        training = f"{row.under_trained} To train on: {longer}, then run the table again." if longer else ""
        rows.append(ReportRow(row.row.title, (Cell(row.row.same), Cell(row.row.different), Cell(training))))
    rows += [
        ReportRow(
            missing.row.title, (Cell(missing.row.same), Cell(missing.row.different), Cell(_sentence(missing.reason)))
        )
        for missing in table.missing
    ]
    note = "What of a row may be set beside the published one, and what may not."
    return Table("What is comparable", note, ("comparable", "not comparable", "training"), tuple(rows))


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."
