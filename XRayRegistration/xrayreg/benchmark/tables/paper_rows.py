"""A reproduced table of a paper: each row's results in both metrics beside the published ones."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...io import write_json
from ...io.delivery import delivered
from ...settings.plain import from_plain
from ..statistics import FAR_LEVER, StudyRow, Summary, summary
from ..study.reading import PAPER, Evaluation, read_evaluation, read_json
from .literature import Published
from .papers import PaperRow, PaperTable, paper_table
from .table_networks import TrainedNetwork, under_trained

PAPER_CSV, PAPER_TABLE = "paper_table.csv", "paper_table.json"
SHARES = (95.0, 75.0, 50.0)
METRICS = {
    "camera_frame": "mean target registration error in the camera frame [mm]",
    "far_lever": f"the same at points far from the anatomy ({FAR_LEVER}) [mm]",
}
_FIELDS = {"camera_frame": "mtre_mm", "far_lever": "mtre_far_mm"}


@dataclass(frozen=True)
class TableRecord:
    """Content of paper.json: the table and arm of a study, and the networks used for its results.

    longer: of each network, the command line arguments that continue its training. untrained: reasons why networks
    could not be trained, by name.
    """

    table: str
    arm: str
    networks: tuple[TrainedNetwork, ...] = ()
    longer: tuple[tuple[str, ...], ...] = ()
    untrained: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class MeasuredRow:
    """A row of a paper's table with our results.

    n: cases. figures: in each of METRICS. seconds, renders: medians per case. network: the one used, None for none.
    under_trained: a sentence, empty if it was not. longer: command line arguments that continue its training.
    """

    row: PaperRow
    n: int
    figures: Mapping[str, Summary]
    seconds: float
    renders: float
    network: TrainedNetwork | None = None
    under_trained: str = ""
    longer: tuple[str, ...] = ()


@dataclass(frozen=True)
class MissingRow:
    """A row without results. untrained: why its network could not be trained, empty if the row was not run yet."""

    row: PaperRow
    untrained: str = ""

    @property
    def reason(self) -> str:
        """Why there are no results, as text."""
        return f"its network could not be trained: {self.untrained}" if self.untrained else "no results yet"


@dataclass(frozen=True)
class MeasuredTable:
    """A paper's table on one arm. cases: expected number. missing: rows without results."""

    paper: PaperTable
    arm: str
    same: str
    different: str
    cases: int
    seed: int
    rows: tuple[MeasuredRow, ...]
    missing: tuple[MissingRow, ...] = ()


def read_record(folder: Path) -> TableRecord | None:
    """The record of the paper's table to which a study's folder belongs; None if it belongs to none.

    Raises InputError for a damaged record.
    """
    content = read_json(folder / PAPER)
    return from_plain(TableRecord, content, PAPER) if content else None


def measured_table(evaluation: Evaluation) -> MeasuredTable | None:
    """The paper's table of an evaluation; None if it is not part of one. Raises InputError for a damaged record."""
    record = read_record(evaluation.folder)
    if record is None:
        return None
    paper = paper_table(record.table)
    arm = paper.arm(record.arm)
    if arm is None:
        return None
    results = {method.name: method.rows for method in evaluation.methods}
    rows = tuple(_measured(row, results[row.method], paper, record) for row in arm.rows if row.method in results)
    missing = tuple(
        MissingRow(row, record.untrained.get(row.network, "")) for row in arm.rows if row.method not in results
    )
    cases = int(evaluation.arm.get("cases", max(row.n for row in rows)))
    seed = int(evaluation.arm.get("seed", 0))
    return MeasuredTable(paper, arm.arm, arm.same, arm.different, cases, seed, rows, missing)


def write_paper_table(folder: Path) -> MeasuredTable | None:
    """Write paper_table.csv and paper_table.json to a study's folder; returns their content.

    None, with nothing written, if the study is not part of a paper's table. Raises InputError as `read_evaluation`.
    """
    table = measured_table(read_evaluation(folder))
    if table is None:
        return None
    with delivered(folder, lambda _: (PAPER_CSV, PAPER_TABLE)) as (scratch, names):
        lines = [flat_row(table, row) for row in table.rows] + [_flat_missing(table, row) for row in table.missing]
        _write_csv(scratch / PAPER_CSV, lines)
        write_json(scratch / PAPER_TABLE, as_content(table))
        names += [PAPER_CSV, PAPER_TABLE]
    return table


def as_content(table: MeasuredTable) -> dict[str, Any]:
    """The table for JSON."""
    return {
        "table": table.paper.name,
        "title": table.paper.title,
        "arm": table.arm,
        "cases": table.cases,
        "seed": table.seed,
        "complete": not table.missing and all(row.n == table.cases for row in table.rows),
        "metrics": METRICS,
        "comparable": {"same": table.same, "different": table.different},
        "rows": [
            {
                "title": row.row.title,
                "method": row.row.method,
                "n": row.n,
                "seed": table.seed,
                **{metric: _figures(found) for metric, found in row.figures.items()},
                "seconds": row.seconds,
                "renders": row.renders,
                "published": None if row.row.published is None else asdict(row.row.published),
                "published_in_words": row.row.told,
                "training": None if row.network is None else asdict(row.network),
                "under_trained": row.under_trained,
                "train_longer": list(row.longer),
                "comparable": {"same": row.row.same, "different": row.row.different},
            }
            for row in table.rows
        ],
        "missing": [
            {"title": missing.row.title, "method": missing.row.method, "reason": missing.reason}
            for missing in table.missing
        ],
    }


def flat_row(table: MeasuredTable, row: MeasuredRow) -> dict[str, Any]:
    """A row in columns; unknown values are empty."""
    network = row.network
    columns = _flat_names(table, row.row, row.n)
    for metric, figures in row.figures.items():
        rate = figures.sr10
        columns |= {f"{metric}_sr10": rate.percent, f"{metric}_sr10_low": rate.low, f"{metric}_sr10_high": rate.high}
        columns[f"{metric}_median_mm"] = figures.median
        for best in figures.best:
            columns[f"{metric}_best{best.percent:.0f}_mean_mm"] = best.mean
            columns[f"{metric}_best{best.percent:.0f}_sd_mm"] = best.sd
    columns |= _flat_published(row.row.published)
    columns |= {
        "published_in_words": row.row.told,
        "seconds": row.seconds,
        "renders": row.renders,
        "network": "" if network is None else network.name,
        "training_minutes": "" if network is None else network.minutes,
        "training_iterations": "" if network is None else network.iterations,
        "training_images": "" if network is None else network.images,
        "training_hardware": "" if network is None else "; ".join(network.hardware),
        "under_trained": row.under_trained,
        "train_longer": " ".join(row.longer),
        "comparable": f"{table.same} {row.row.same}",
        "not_comparable": f"{table.different} {row.row.different}",
        "problem": "",
    }
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in columns.items()}


def _flat_missing(table: MeasuredTable, missing: MissingRow) -> dict[str, Any]:
    """A row without results, in the columns for which it has values."""
    return {**_flat_names(table, missing.row, 0), "problem": missing.reason}


def _flat_names(table: MeasuredTable, row: PaperRow, n: int) -> dict[str, Any]:
    return {
        "table": table.paper.name,
        "arm": table.arm,
        "row": row.title,
        "method": row.method,
        "n": n,
        "cases": table.cases,
        "seed": table.seed,
    }


def _figures(found: Summary) -> dict[str, Any]:
    """Share below 10 mm with its interval, median, and mean and standard deviation of the best 95, 75 and 50 %."""
    return {"sr10": asdict(found.sr10), "median_mm": found.median, "best": [asdict(best) for best in found.best]}


def _flat_published(line: Published | None) -> dict[str, Any]:
    columns: dict[str, Any] = {
        "published_source": "" if line is None else line.source,
        "published_camera_frame_sr10": None if line is None else line.sr10,
        "published_camera_frame_median_mm": None if line is None else line.median_mm,
        "published_far_lever_sr10": None if line is None else line.far_sr10,
    }
    best = () if line is None else line.best
    for number, percent in enumerate(SHARES):
        mean, deviation = best[number] if number < len(best) else (None, None)
        columns[f"published_far_lever_best{percent:.0f}_mean_mm"] = mean
        columns[f"published_far_lever_best{percent:.0f}_sd_mm"] = deviation
    return {name: "" if value is None else value for name, value in columns.items()}


def _measured(row: PaperRow, results: Sequence[StudyRow], paper: PaperTable, record: TableRecord) -> MeasuredRow:
    found = {metric: summary(results, name) for metric, name in _FIELDS.items()}
    names = [network.name for network in record.networks]
    network = record.networks[names.index(row.network)] if row.network in names else None
    return MeasuredRow(
        row,
        len(results),
        found,
        found["camera_frame"].seconds,
        found["camera_frame"].renders,
        network,
        "" if network is None else under_trained(network, paper.network(network.name).elsewhere),
        () if network is None else record.longer[names.index(row.network)],
    )


def _write_csv(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    path.write_text(text.getvalue(), encoding="utf-8")
