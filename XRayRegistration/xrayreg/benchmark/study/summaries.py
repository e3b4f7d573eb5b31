"""The tables of a study, computed from its folder alone: table.csv for spreadsheets, table.json for programs."""

from __future__ import annotations

import csv
import io
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from importlib import metadata
from pathlib import Path
from typing import Any

from ... import __version__
from ...io import write_json
from ...io.delivery import delivered
from ..methods import METHODS
from ..statistics import FAR_LEVER, LEGACY, Rate, StudyRow, Summary, Trust, compare, errors_of, summary
from ..statistics.comparison import Interval, quantile
from .reading import TABLE, Evaluation, read_evaluation

TABLE_CSV = "table.csv"
_PACKAGES = ("torch", "numba", "numpy", "scipy", "SimpleITK")
# Columns that are only for comparison with the published tables that they reproduce.
_PUBLISHED = {"mtre_far_mm": FAR_LEVER, "mtre_xvr_mm": LEGACY, "mtre_diffpose_mm": LEGACY}


@dataclass(frozen=True, eq=False)
class TableRow:
    """A method's summary over all its cases or over those of one variant of the arm."""

    method: str
    variant: str
    figures: Summary


@dataclass(frozen=True, eq=False)
class StudyTable:
    """Summary of a study.

    name, title: of the arm or dataset; metric: the error that is summarised. cases: expected number.
    rows: each method over all cases. variants: each method over each variant's cases, if there are several.
    failures: of each method, reasons why runs gave no pose, see `MethodResults`.
    """

    folder: Path
    name: str
    title: str
    metric: str
    cases: int
    rows: tuple[TableRow, ...]
    variants: tuple[TableRow, ...]
    failures: Mapping[str, Sequence[tuple[int, str]]]


def tabulate(folder: Path) -> StudyTable:
    """Summarise the study in `folder`; raises InputError if it holds no results."""
    return _tabulated(read_evaluation(folder))


def write_tables(folder: Path, settings: Mapping[str, Any] | None = None) -> StudyTable:
    """Write table.csv and table.json to a study's folder; returns their content.

    settings: how the methods were run; by default those of the existing tables.
    Raises InputError if the folder holds no results.
    """
    evaluation = read_evaluation(folder)
    table = _tabulated(evaluation)
    told = dict(settings) if settings is not None else evaluation.table.get("settings", {})
    with delivered(folder, lambda _: (TABLE_CSV, TABLE)) as (scratch, names):
        _write_csv(scratch / TABLE_CSV, table)
        write_json(scratch / TABLE, _content(evaluation, table, told))
        names += [TABLE_CSV, TABLE]
    return table


def _tabulated(evaluation: Evaluation) -> StudyTable:
    arm = evaluation.arm
    metric = str(arm.get("metric") or "mtre_mm")
    rows, variants = [], []
    for method in evaluation.methods:
        rows.append(TableRow(method.name, "", summary(method.rows, metric)))
        names = dict.fromkeys(row.variant for row in method.rows)
        if len(names) > 1:
            for name in names:
                some = [row for row in method.rows if row.variant == name]
                variants.append(TableRow(method.name, name, summary(some, metric)))
    count = max(row.figures.n for row in rows)
    return StudyTable(
        evaluation.folder,
        str(arm.get("name", "")),
        str(arm.get("title", "")),
        metric,
        int(arm.get("cases", count)),
        tuple(rows),
        tuple(variants),
        {method.name: method.failures for method in evaluation.methods},
    )


def _content(evaluation: Evaluation, table: StudyTable, settings: Mapping[str, Any]) -> dict[str, Any]:
    first = evaluation.methods[0]
    methods = {}
    for method, row in zip(evaluation.methods, table.rows, strict=True):
        known = METHODS.get(method.name)
        methods[method.name] = {
            "title": method.name if known is None else known.title,
            "source": "" if known is None else known.source,
            "summary": row.figures.as_dict(),
            "variants": {
                other.variant: other.figures.as_dict() for other in table.variants if other.method == row.method
            },
            "failures": [{"cases": cases, "reason": reason} for cases, reason in table.failures[method.name]],
            "published_metrics": _published(method.rows),
            "against_first": None if method is first else _compared(method.rows, first.rows, table.metric),
        }
    return {
        "name": table.name,
        "title": table.title,
        "metric": table.metric,
        "cases": table.cases,
        "complete": all(row.figures.n == table.cases for row in table.rows),
        "methods": methods,
        "settings": dict(settings),
        "versions": {"xrayreg": __version__, "python": platform.python_version(), **_versions()},
        "machine": {"system": platform.platform(), "processor": processor(), "cores": os.cpu_count()},
    }


def _published(rows: Sequence[StudyRow]) -> dict[str, Any]:
    """Medians, and means of the best, of the columns that reproduce other systems' metrics, each with its warning."""
    told = {}
    for name, warning in _PUBLISHED.items():
        errors = errors_of(rows, name)
        best = summary(rows, name).best
        told[name] = {
            "warning": warning,
            "median": quantile(errors, 0.5),
            "sr10": float((errors < 10).mean() * 100),
            "best": [{"percent": b.percent, "mean": b.mean, "sd": b.sd} for b in best],
        }
    return told


def _compared(rows: Sequence[StudyRow], first: Sequence[StudyRow], metric: str) -> dict[str, Any] | None:
    common = {row.case for row in rows} & {row.case for row in first}
    return compare(rows, first, metric).as_dict() if common else None


def _write_csv(path: Path, table: StudyTable) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    flat = [
        {"method": row.method, "variant": row.variant, **_flat(row.figures)} for row in (*table.rows, *table.variants)
    ]
    writer.writerow(flat[0])
    for line in flat:
        writer.writerow(["" if value is None else value for value in line.values()])
    path.write_text(text.getvalue(), encoding="utf-8")


def _flat(figures: Summary) -> dict[str, Any]:
    """The summary in columns: rates as percent, low and high, means of the best as mean and sd, trust by threshold."""
    columns: dict[str, Any] = {}
    for entry in fields(Summary):
        name, value = entry.name, getattr(figures, entry.name)
        if name == "best":
            for best in value:
                columns |= {f"best{best.percent:.0f}_mean": best.mean, f"best{best.percent:.0f}_sd": best.sd}
        elif name == "trust":
            for trust in value:
                columns |= _flat_trust(trust, judged=figures.accepted is not None)
        elif isinstance(value, Interval):
            columns |= {f"{name}_low": value.low, f"{name}_high": value.high}
        elif isinstance(value, Rate) or name == "accepted":
            columns |= _flat_rate(name, value)
        else:
            columns[name] = value
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in columns.items()}


def _flat_trust(trust: Trust, judged: bool) -> dict[str, Any]:
    counts = ("accepted_right", "accepted_wrong", "rejected_right", "rejected_wrong")
    columns = {name: getattr(trust, name) if judged else None for name in counts}
    columns |= {**_flat_rate("wrong_of_accepted", trust.wrong_of_accepted), "auroc": trust.auroc}
    return {f"{name}_{trust.wrong_mm:g}mm": value for name, value in columns.items()}


def _flat_rate(name: str, rate: Rate | None) -> dict[str, Any]:
    values = (None,) * 3 if rate is None else (rate.percent, rate.low, rate.high)
    return dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def processor() -> str:
    """The processor's name, if the system provides it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor())
