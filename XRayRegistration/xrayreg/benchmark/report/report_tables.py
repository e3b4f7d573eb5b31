"""The tables of a report as plain text in rows and columns, for any page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..statistics import FAR_LEVER, GROSS_MM, LEGACY, Summary, Trust, compare, success_rate
from ..statistics.comparison import best_share, quantile
from ..study.reading import Evaluation, MethodResults
from ..tables.literature import ELSEWHERE, Published, published_for
from . import wording

# Components of the error: field, heading. Medians over all cases are shown.
_PARTS = (
    ("mtre_in_plane_mm", "along the detector [mm]"),
    ("mtre_depth_mm", "depth [mm]"),
    ("rotation_deg", "rotation [°]"),
    ("rotation_in_plane_deg", "in plane [°]"),
    ("rotation_out_of_plane_deg", "out of plane [°]"),
    ("mtre_surface_mm", "on the bones [mm]"),
    ("mpd_mm", "mPD [mm]"),
    ("mrpd_mm", "mRPD [mm]"),
)
_LEGACY = (("mtre_xvr_mm", "mTRE as xvr [mm]"), ("mtre_diffpose_mm", "mTRE as DiffPose [mm]"), ("dgeo_mm", "dGeo [mm]"))
_BEST = (100.0, 95.0, 75.0, 50.0)
# Number of failure reasons listed per method.
_REASONS = 5


@dataclass(frozen=True)
class Cell:
    """An entry; small: text beneath it, such as an interval; best: whether no other method is better."""

    text: str
    small: str = ""
    best: bool = False


@dataclass(frozen=True)
class ReportRow:
    """A row of a table; quiet: not our own result. A row without cells is a heading for the following rows."""

    head: str
    cells: tuple[Cell, ...]
    quiet: bool = False


@dataclass(frozen=True)
class Table:
    """A table with its heading and a note on how to read it. groups: (title, number of columns) above the columns."""

    heading: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[ReportRow, ...]
    groups: tuple[tuple[str, int], ...] = field(default=())


@dataclass(frozen=True)
class _Column:
    """A column of numbers: how they are formatted, and which is best (-1: the least, 1: the greatest, 0: none)."""

    title: str
    tell: Callable[[Summary], tuple[str, str]]
    value: Callable[[Summary], float]
    better: int = -1


def report_tables(evaluation: Evaluation, summaries: Sequence[Summary]) -> list[Table]:
    """Every table for which the results have the numbers; `summaries`: of the methods, in their order."""
    made = [
        _main(evaluation, summaries),
        _trust(evaluation, summaries),
        _paired(evaluation),
        _parts(evaluation, summaries),
        _variants(evaluation),
        _best(evaluation),
        _legacy(evaluation),
        _failures(evaluation),
    ]
    return [table for table in made if table is not None]


def _main(evaluation: Evaluation, summaries: Sequence[Summary]) -> Table:
    """Success and error of each method, and published numbers if they are measured in the same way."""
    far = evaluation.metric == "mtre_far_mm"
    name = "far-lever mTRE" if far else "mTRE"
    columns = [
        _Column("n", lambda s: (wording.count(s.n), f"{s.failed} failed" if s.failed else ""), lambda s: s.n, 0),
        _Column(
            f"median {name} [mm]",
            lambda s: (wording.length(s.median), f"75 %: {wording.length(s.p75)}, 95 %: {wording.length(s.p95)}"),
            lambda s: s.median,
        ),
        *(_rate_column(f"< {at} mm [%]", f"sr{at}") for at in (1, 2, 5, 10)),
        _rate_column("< 1° [%]", "sr_1deg"),
        replace(_rate_column(f"> {GROSS_MM:g} mm [%]", "gfr"), better=-1),
        _Column("time [s]", lambda s: (wording.length(s.seconds), ""), lambda s: s.seconds),
    ]
    rows = _rows(evaluation.methods, summaries, columns)
    rows += _with_source([line for line in published_for(evaluation.arm_name) if not line.best], _published_row)
    where = f"at points far from the anatomy ({FAR_LEVER})" if far else "in the camera frame (mTRE)"
    note = (
        f"Error: mean target registration error {where}. Shares with 95 % Wilson intervals. A run that gave no pose "
        "counts as an infinite error (∞). Below 1, 2, 5 and 10 mm: SR1 to SR10; above 10 mm: GFR, gross failures. "
        "Time: median of one case. Bold: the best of a column."
    )
    return Table("Success and error", note, tuple(column.title for column in columns), tuple(rows))


def _parts(evaluation: Evaluation, summaries: Sequence[Summary]) -> Table:
    """Medians of the components of the error, and measures of robustness and cost."""
    methods = evaluation.methods
    known = [part for part in _PARTS if any(np.isfinite(method.errors(part[0])).any() for method in methods)]
    medians = {m.name: [quantile(m.errors(name), 0.5) for name, _ in known] for m in methods}
    rest = [
        _rate_column("mPD < 1 mm [%]", "sr_pd1"),
        _Column("AUC to 20 mm", lambda s: (f"{s.auc_20mm:.3f}", ""), lambda s: s.auc_20mm, 1),
        _Column(
            "capture range [mm]", lambda s: (wording.length(s.capture_range_mm), ""), lambda s: s.capture_range_mm, 1
        ),
        _Column("renders", lambda s: (wording.count(s.renders), ""), lambda s: s.renders),
    ]
    rows = []
    contest = [method for method in methods if method.moves]
    for method, row in zip(methods, _rows(methods, summaries, rest), strict=True):
        cells = []
        for place, value in enumerate(medians[method.name]):
            least = min((medians[other.name][place] for other in contest), default=np.inf)
            best = method.moves and len(contest) > 1 and np.isfinite(value) and value <= least
            cells.append(Cell(wording.length(value), best=bool(best)))
        rows.append(ReportRow(row.head, (*cells, *row.cells)))
    titles = (*(title for _, title in known), *(column.title for column in rest))
    note = (
        "Medians over all cases. mPD: mean distance of the projected targets on the detector; mRPD: mean distance of "
        "the targets from their true rays. AUC: area under the survival curve from 0 to 20 mm, 1 at best. Capture "
        "range: starting error up to which 95 % of each group of 2 mm end below 2 mm (van de Kraats et al., "
        "TMI 2005)."
    )
    return Table("Parts of the error, reach and cost", note, titles, tuple(rows))


def _trust(evaluation: Evaluation, summaries: Sequence[Summary]) -> Table | None:
    """How far the methods' own verdicts and similarities can be trusted; None where no method gives any."""
    rows = []
    for method, figures in zip(evaluation.methods, summaries, strict=True):
        if figures.accepted is None and all(some.auroc is None for some in figures.trust):
            continue
        judged = sum(row.accepted is not None for row in method.rows)
        for some in figures.trust:
            verdicts = _verdicts(some, figures, judged) if judged else (Cell(wording.UNKNOWN),) * 6
            area = wording.UNKNOWN if some.auroc is None else f"{some.auroc:.3f}"
            rows.append(ReportRow(method.title, (Cell(f"{some.wrong_mm:g}"), *verdicts, Cell(area))))
    columns = (
        "wrong above [mm]",
        "accepted [%]",
        "accepted, right",
        "accepted, wrong",
        "rejected, right",
        "rejected, wrong",
        "wrong of the accepted [%]",
        "AUROC of the similarity",
    )
    note = (
        "What a method says of its own results, against what is true: cases by its verdict, and by whether the error "
        "is above 10, 5 or 2 mm or there is no pose. Shares with 95 % Wilson intervals. AUROC: the chance that the "
        "similarity of a right pose is above that of a wrong one, over all runs with a pose; 0.5 is what chance gives."
    )
    return Table("Can its verdict be trusted?", note, columns, tuple(rows)) if rows else None


def _verdicts(some: Trust, figures: Summary, judged: int) -> tuple[Cell, ...]:
    counts = (some.accepted_right, some.accepted_wrong, some.rejected_right, some.rejected_wrong)
    return (
        Cell(*wording.rate(figures.accepted, judged)),
        *(Cell(wording.count(number)) for number in counts),
        Cell(*wording.rate(some.wrong_of_accepted, some.accepted)),
    )


def _best(evaluation: Evaluation) -> Table:
    """Mean and standard deviation over all cases and over the best of them, as in Chen et al. (ISBI 2024)."""
    metrics = ["mtre_mm"]
    if any(np.isfinite(method.errors("mtre_far_mm")).any() for method in evaluation.methods):
        metrics.append("mtre_far_mm")
    rows = []
    for method in evaluation.methods:
        cells = []
        for metric in metrics:
            errors = method.errors(metric)
            cells += [Cell(wording.best(best_share(errors, share))) for share in _BEST]
            cells.append(Cell(*wording.rate(success_rate(errors, GROSS_MM), len(errors))))
        rows.append(ReportRow(method.title, tuple(cells)))
    titles = ("all [mm]", *(f"best {share:g} % [mm]" for share in _BEST[1:]), f"< {GROSS_MM:g} mm [%]")
    note = "Mean ± standard deviation over all cases, and over the best 95, 75 and 50 % of them."
    if len(metrics) > 1:
        note += f" Columns on the right: {FAR_LEVER}."
        rows += _with_source([line for line in published_for(evaluation.arm_name) if line.best], _published_best)
    groups = (("mTRE at the anatomy", len(titles)), (f"mTRE, {FAR_LEVER}", len(titles)))[: len(metrics)]
    return Table("Mean, and best part of the cases", note, titles * len(metrics), tuple(rows), groups)


def _legacy(evaluation: Evaluation) -> Table | None:
    """Errors by other systems' formulas; None where the results do not have them."""
    methods = evaluation.methods
    known = [part for part in _LEGACY if any(np.isfinite(method.errors(part[0])).any() for method in methods)]
    rows = tuple(
        ReportRow(m.title, tuple(Cell(wording.length(quantile(m.errors(name), 0.5))) for name, _ in known))
        for m in methods
    )
    note = (
        f"Medians. {LEGACY.capitalize()}: xvr measures how far the camera seems to have moved, DiffPose multiplies by "
        "the pixel pitch, and dGeo adds a turn and a shift. None is a distance in the patient."
    )
    titles = tuple(title for _, title in known)
    return Table(f"Other systems' formulas ({LEGACY})", note, titles, rows) if known else None


def _paired(evaluation: Evaluation) -> Table | None:
    """The first method against each of the others on the same cases; None without others."""
    moved = [method for method in evaluation.methods if method.moves]
    rows = []
    for other in moved[1:]:
        if not {row.case for row in moved[0].rows} & {row.case for row in other.rows}:
            continue
        found = compare(moved[0].rows, other.rows, evaluation.metric)
        cells = (
            Cell(wording.count(found.n)),
            Cell(wording.signed(found.sr10), wording.interval(found.sr10_interval)),
            Cell(wording.signed(found.median), wording.interval(found.median_interval)),
            Cell(wording.count(found.only_a)),
            Cell(wording.count(found.only_b)),
            Cell(wording.probability(found.p_value)),
        )
        rows.append(ReportRow(other.title, cells))
    if not rows:
        return None
    first = moved[0].title
    columns = (
        "cases",
        f"< {GROSS_MM:g} mm, difference [points]",
        "median, difference [mm]",
        "only the first succeeds",
        "only the other succeeds",
        "p (McNemar)",
    )
    note = (
        f"“{first}” minus the method of the line, case by case: more points and a more negative median are better for "
        f"“{first}”. 95 % intervals of a paired bootstrap (2000 draws); p: of McNemar's exact test on successes."
    )
    return Table(f"Compared with “{first}” on the same cases", note, columns, tuple(rows))


def _variants(evaluation: Evaluation) -> Table | None:
    """Success and median of each method under each disturbance; None where there is only one kind of case."""
    names = list(dict.fromkeys(row.variant for method in evaluation.methods for row in method.rows))
    if len(names) < 2:
        return None
    cells = [[_variant_cell(method, name) for method in evaluation.methods] for name in names]
    rows, columns = [name or "undisturbed" for name in names], [method.title for method in evaluation.methods]
    # The longer list is placed along the rows.
    if len(columns) > len(rows):
        rows, columns, cells = columns, rows, [list(some) for some in zip(*cells, strict=True)]
    note = f"Share of cases below {GROSS_MM:g} mm with its 95 % interval, and the median error, by what was disturbed."
    told = tuple(ReportRow(head, tuple(some)) for head, some in zip(rows, cells, strict=True))
    return Table("By disturbance", note, tuple(columns), told)


def _variant_cell(method: MethodResults, variant: str) -> Cell:
    errors = replace(method, rows=tuple(row for row in method.rows if row.variant == variant)).errors()
    if not len(errors):
        return Cell(wording.UNKNOWN)
    share, span = wording.rate(success_rate(errors, GROSS_MM), len(errors))
    return Cell(f"{share} %", f"{span}; median {wording.length(quantile(errors, 0.5))} mm")


def _failures(evaluation: Evaluation) -> Table | None:
    """Reasons why runs gave no pose, with their numbers; None if all runs gave one."""
    rows = []
    for method in evaluation.methods:
        for times, reason in method.failures[:_REASONS]:
            rows.append(ReportRow(method.title, (Cell(wording.count(times)), Cell(reason[:300]))))
    note = f"At most {_REASONS} reasons for each method."
    return Table("Runs that gave no pose", note, ("runs", "reason"), tuple(rows)) if rows else None


def _rate_column(title: str, name: str) -> _Column:
    return _Column(title, lambda s: wording.rate(getattr(s, name), s.n), lambda s: getattr(s, name).percent, 1)


def _rows(
    methods: Sequence[MethodResults], summaries: Sequence[Summary], columns: Sequence[_Column]
) -> list[ReportRow]:
    """Rows of numbers; the best of each column is marked, among the methods that change the pose."""
    contest = [figures for method, figures in zip(methods, summaries, strict=True) if method.moves]
    rows = []
    for method, figures in zip(methods, summaries, strict=True):
        cells = []
        for column in columns:
            rivals = [column.better * column.value(other) for other in contest]
            most = max((rival for rival in rivals if not np.isnan(rival)), default=np.inf)
            own = column.better * column.value(figures)
            # If all are equally bad, none is best.
            best = column.better and method.moves and len(rivals) > 1 and np.isfinite(own) and own >= most
            best = best and not (column.better > 0 and own == 0)
            cells.append(Cell(*column.tell(figures), best=bool(best)))
        rows.append(ReportRow(method.title, tuple(cells)))
    return rows


def _with_source(lines: Sequence[Published], tell: Callable[[Published], ReportRow]) -> list[ReportRow]:
    """Published rows, each group beneath a heading with its source."""
    rows = []
    for source in dict.fromkeys(line.source for line in lines):
        rows.append(ReportRow(f"{ELSEWHERE.capitalize()}: {source}", (), quiet=True))
        rows += [tell(line) for line in lines if line.source == source]
    return rows


def _published_row(line: Published) -> ReportRow:
    """A published line in the columns of the main table."""
    told = (
        *("", wording.length(line.median_mm), "", "", ""),
        *(wording.percent(share, 200) for share in (line.sr10, line.sr_1deg, line.gfr)),
        wording.length(line.seconds),
    )
    cells = tuple(Cell("" if text == wording.UNKNOWN else text) for text in told)
    return ReportRow(line.method, cells, quiet=True)


def _published_best(line: Published) -> ReportRow:
    """A published line in the far-lever columns."""
    # The mean over all cases is not published.
    cells = [Cell("")] * (len(_BEST) + 2)
    for mean, deviation in line.best:
        spread = "" if deviation is None else f" ± {deviation:.1f}"
        cells.append(Cell(f"{mean:.1f}{spread}"))
    cells.append(Cell("" if line.far_sr10 is None else wording.percent(line.far_sr10, 500)))
    return ReportRow(line.method, tuple(cells), quiet=True)
