"""An evaluation as its folder tells it: the arm, and the rows of each method."""

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
# Of a study that runs a paper's table again: which one, and of what networks its results are.
PAPER = "paper.json"


@dataclass(frozen=True, eq=False)
class MethodResults:
    """The rows of one method, in the order of the cases.

    title: its name for people. source: what it follows, if told. metric: the error that the evaluation is about.
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
        """Why runs gave no pose: number of cases and reason, the most frequent first."""
        reasons = Counter(row.error or "an error that is not a number" for row in self.rows if row.failed)
        return sorted(((times, reason) for reason, times in reasons.items()), key=lambda entry: (-entry[0], entry[1]))

    @property
    def starts(self) -> NDArray[np.float64]:
        """Errors [mm] of the poses that the method was given (N,), NaN where there was none."""
        return np.array([row.initial_mtre_mm for row in self.rows], dtype=np.float64)

    @property
    def moves(self) -> bool:
        """Whether the method does anything; "initial" keeps the start."""
        return self.name != "initial"


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A folder's content: what the arm and the table say, and each method's rows. notes: what was passed over."""

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
        """The error that the evaluation is about."""
        return self.methods[0].metric


@dataclass(frozen=True, eq=False)
class Rows:
    """The lines of a file of results.

    rows: by method and case, the last line for each counts. damaged: number of lines that hold no row. torn: bytes of a
    last line that was not written to its end. unended: whether the last row is whole but for the end of its line.
    """

    rows: dict[tuple[str, str], StudyRow]
    damaged: int = 0
    torn: int = 0
    unended: bool = False


def read_rows(file: Path) -> Rows:
    """The results in `file`, a row in a line; none where there is no such file.

    Lines end at a line feed alone: the texts in them may hold whatever else Unicode takes for the end of a line.
    Raises OSError where the file cannot be read.
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
    """The row in a line; None where it is damaged."""
    try:
        return StudyRow.from_dict(json.loads(line.decode("utf-8")))
    except (ValueError, AttributeError, TypeError, RecursionError):
        return None


def read_evaluation(folder: Path) -> Evaluation:
    """The evaluation in `folder`; the last line for a method and case counts, damaged lines are passed over and noted.

    Raises InputError where there is no result at all.
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
    """Rows by method, in the table's order and then that of their first result."""
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
    """The table in a JSON file; empty where there is none, or something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, Mapping) else {}
