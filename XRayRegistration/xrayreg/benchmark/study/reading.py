"""Reading an evaluation from its folder: the arm, and the rows of each method."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...checks import InputError
from ..statistics import StudyRow, errors_of

ARM, RESULTS, TABLE, CASES = "arm.json", "results.jsonl", "table.json", "cases"
# For a study that reproduces a paper's table: the table and the networks used.
PAPER = "paper.json"


@dataclass(frozen=True, eq=False)
class MethodResults:
    """The rows of one method, in the order of the cases.

    title: its display name. source: the publication it follows, if stated. metric: the error that is evaluated.
    """

    name: str
    title: str
    rows: tuple[StudyRow, ...]
    source: str = ""
    metric: str = "mtre_mm"

    def errors(self, metric: str | None = None) -> NDArray[np.float64]:
        """A field of the rows (N,), infinite where a run failed or the number is missing."""
        return errors_of(self.rows, metric or self.metric)

    @property
    def failures(self) -> list[tuple[int, str]]:
        """Reasons why runs gave no pose, with the number of cases, the most frequent first."""
        reasons = Counter(row.error or "an error that is not a number" for row in self.rows if row.failed)
        return sorted(((times, reason) for reason, times in reasons.items()), key=lambda entry: (-entry[0], entry[1]))

    @property
    def starts(self) -> NDArray[np.float64]:
        """Errors [mm] of the initial poses (N,), NaN where there was none."""
        return np.array([row.initial_mtre_mm for row in self.rows], dtype=np.float64)

    @property
    def moves(self) -> bool:
        """Whether the method changes the pose; "initial" keeps the start."""
        return self.name != "initial"


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A folder's content: the arm, the table, and each method's rows. notes: what was ignored."""

    folder: Path
    arm: Mapping[str, Any]
    table: Mapping[str, Any]
    methods: tuple[MethodResults, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def arm_name(self) -> str:
        """The name of the arm, or of the data set."""
        return str(self.arm.get("name") or "")

    @property
    def metric(self) -> str:
        """The error that is evaluated."""
        return self.methods[0].metric


@dataclass(frozen=True, eq=False)
class Rows:
    """The lines of a file of results.

    rows: by method and case; the last line for each is used. damaged: number of lines without a valid row. torn: bytes
    of an incomplete last line. unended: whether the last row is complete except for the end of its line.
    """

    rows: dict[tuple[str, str], StudyRow]
    damaged: int = 0
    torn: int = 0
    unended: bool = False


def read_rows(file: Path) -> Rows:
    """The results in `file`, one row per line; none if there is no such file.

    Only a line feed ends a line: texts may contain other characters that Unicode treats as line ends.
    Raises OSError if the file cannot be read.
    """
    try:
        *lines, last = file.read_bytes().split(b"\n")
    except FileNotFoundError:
        return Rows({})
    found = [_row(line) for line in lines if line.strip()]
    rest = _row(last)
    rows = {(row.method, row.case): row for row in (*found, rest) if row is not None}
    torn = len(last) if rest is None else 0
    return Rows(rows, found.count(None), torn, unended=rest is not None)


def _row(line: bytes) -> StudyRow | None:
    """The row in a line; None if it is damaged."""
    try:
        return StudyRow.from_dict(json.loads(line.decode("utf-8")))
    except (ValueError, AttributeError, TypeError, RecursionError):
        return None


def read_evaluation(folder: Path) -> Evaluation:
    """The evaluation in `folder`; the last line for a method and case is used, damaged lines are skipped and noted.

    Raises InputError if there is no result at all.
    """
    try:
        read = read_rows(folder / RESULTS)
    except OSError:
        read = Rows({})
    rows, damaged = read.rows, read.damaged + bool(read.torn)
    if not rows:
        raise InputError(
            "evaluation", expected=f"a folder with results in {RESULTS}", found=str(folder), remedy="run evaluate first"
        )
    arm, table = read_json(folder / ARM), read_json(folder / TABLE)
    notes = (f"{damaged} damaged lines of {RESULTS} were passed over.",) if damaged else ()
    metric = "mtre_far_mm" if arm.get("metric") == "mtre_far_mm" else "mtre_mm"
    return Evaluation(folder, arm, table, _by_method(rows, table, metric), notes)


def _by_method(
    rows: Mapping[tuple[str, str], StudyRow], table: Mapping[str, Any], metric: str
) -> tuple[MethodResults, ...]:
    """Rows by method, in the table's order, then in the order of their first result."""
    told = table.get("methods")
    entries: Mapping[str, Any] = told if isinstance(told, Mapping) else {}
    listed = list(told) if isinstance(told, Mapping | list) else []
    found = dict.fromkeys(method for method, _ in rows)
    names = [name for name in dict.fromkeys(map(str, listed)) if name in found]
    made = []
    for name in dict.fromkeys([*names, *found]):
        entry = entries.get(name)
        entry = entry if isinstance(entry, Mapping) else {}
        own = sorted((row for row in rows.values() if row.method == name), key=lambda row: row.case)
        title, source = str(entry.get("title") or name), str(entry.get("source") or "")
        made.append(MethodResults(name, title, tuple(own), source, metric))
    return tuple(made)


def read_json(path: Path) -> Mapping[str, Any]:
    """The object in a JSON file; empty if there is no file, or it holds something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, Mapping) else {}
