"""The learning curve of a run: as a table, as a picture, and for TensorBoard where that is installed."""

from __future__ import annotations

import csv
import importlib.util
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ...io.results import replace_file
from .lesson import Figures
from .status import TrainStep

# One row of the table for this many seconds of training, and one for each validation.
EVERY_S = 1.0
_ERRORS = ("rotation_deg", "x_mm", "y_mm", "depth_mm", "mtre_mm", "nearest_mtre_mm")
_KINDS = ("clean", "physics")
_ANGLES = ("whole_deg", "rotation_deg", "translation_deg")
_GRADIENTS = ("network", "zncc", "gradient_correlation")
_ALWAYS = ("iteration", "seconds", "images", "loss", "learning_rate", "images_per_second")
COLUMNS = (*_ALWAYS, *(f"{kind}_{error}" for kind in _KINDS for error in _ERRORS))
SIMILARITY_COLUMNS = (*_ALWAYS, *(f"{kind}_{angle}" for kind in _GRADIENTS for angle in _ANGLES))

_NAMES = {
    "clean": "DRRs",
    "physics": "simulated X-rays",
    "network": "network",
    "zncc": "ZNCC",
    "gradient_correlation": "gradient correlation",
}
_COLOURS = {
    "loss": "#5b6770",
    "clean": "#0072b2",
    "physics": "#d55e00",
    "network": "#d55e00",
    "zncc": "#0072b2",
    "gradient_correlation": "#009e73",
}
# Title of a panel, and the figure that it plots for each kind.
_ERROR_PANELS = (("Rotation error [degrees]", "rotation_deg"), ("Distance error, mTRE [mm]", "mtre_mm"))
_ANGLE_PANELS = (
    ("Angle to the geodesic gradient [degrees]", "whole_deg"),
    ("Of its rotation [degrees]", "rotation_deg"),
)


class Curves:
    """Gathers a run's figures in a folder: curve.csv, curve.png and TensorBoard's event files.

    note: a sentence when TensorBoard's files are not written, else empty.
    """

    def __init__(self, folder: Path, resumed_at: int = 0, columns: tuple[str, ...] = COLUMNS) -> None:
        """resumed_at: iteration from which a resumed run continues; later rows of the table are dropped.

        columns: of the table, those of pose regression or of similarities.
        """
        self._folder, self._columns = folder, columns
        self._rows = [row for row in _read(folder / "curve.csv", columns) if row["iteration"] <= resumed_at]
        self._sum, self._count, self._since = 0.0, 0, -math.inf
        # Number of rows in the files; -1 before they are written.
        self._shown = -1
        self._board: Any = None
        self.note = ""
        if importlib.util.find_spec("tensorboardX") is None:
            self.note = "no TensorBoard files: the package tensorboardX is not installed"
        else:
            from tensorboardX import SummaryWriter

            self._board = SummaryWriter(str(folder), flush_secs=10)

    def add(self, step: TrainStep) -> None:
        """Record a step; writes the files after validations."""
        if step.state == "training" and step.loss is not None and math.isfinite(step.loss):
            self._sum, self._count = self._sum + step.loss, self._count + 1
        if not step.validated and (not self._count or step.seconds - self._since < EVERY_S):
            return
        self._since = step.seconds
        row: dict[str, float] = {
            "iteration": step.iteration,
            "seconds": step.seconds,
            "images": step.images,
            "loss": self._sum / self._count if self._count else math.nan,
            "learning_rate": math.nan if step.learning_rate is None else step.learning_rate,
            "images_per_second": math.nan if step.images_per_second is None else step.images_per_second,
        }
        self._sum, self._count = 0.0, 0
        if step.validated and step.validation is not None:
            row |= _flat(step.validation)
        self._rows.append(row)
        self._to_board(row, step.parts)
        if step.validated:
            self.write()

    def write(self) -> None:
        """Update table and picture if there are new rows; write errors are ignored, as they must not stop the
        training."""
        if self._shown == len(self._rows):
            return
        try:
            replace_file(self._folder / "curve.csv", self._write_table)
            # Slicer's Python may lack matplotlib; its panel plots the table.
            if importlib.util.find_spec("matplotlib") is not None:
                replace_file(self._folder / "curve.png", lambda path: draw_curve(self._rows, path))
            if self._board is not None:
                self._board.flush()
            self._shown = len(self._rows)
        except OSError:
            return

    def close(self) -> None:
        """Write everything for the last time."""
        self.write()
        if self._board is not None:
            self._board.close()

    def _write_table(self, path: Path) -> None:
        with path.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, self._columns, restval="")
            table.writeheader()
            for row in self._rows:
                table.writerow({name: f"{value:.7g}" for name, value in row.items() if math.isfinite(value)})

    def _to_board(self, row: Mapping[str, float], parts: Mapping[str, float]) -> None:
        if self._board is None:
            return
        iteration = int(row["iteration"])
        named = {f"loss/{name}": value for name, value in parts.items()}
        for name, value in row.items():
            kind = next((kind for kind in _NAMES if name.startswith(f"{kind}_")), "")
            named[f"validation_{kind}/{name[len(kind) + 1 :]}" if kind else f"training/{name}"] = value
        for name, value in named.items():
            if math.isfinite(value):
                self._board.add_scalar(name, value, iteration)


def draw_curve(rows: Iterable[Mapping[str, float]], path: Path) -> None:
    """Write a picture (PNG) of loss and validation errors, or angles, over time; rows as in curve.csv."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = list(rows)
    last = max((row["seconds"] for row in rows), default=1.0)
    unit, name = (60.0, "minutes") if last > 180 else (1.0, "seconds")
    figure = Figure(figsize=(9.6, 3.4))
    FigureCanvasAgg(figure)
    # Fixed margins: automatic layout takes as long as drawing.
    panels = figure.subplots(1, 3, gridspec_kw={"left": 0.05, "right": 0.99, "bottom": 0.14, "top": 0.91})
    times, losses = _points(rows, "loss", unit)
    panels[0].plot(times, losses, color=_COLOURS["loss"], alpha=0.35, lw=1)
    panels[0].plot(times, _smoothed(losses), color=_COLOURS["loss"], lw=1.8)
    of_similarity = any("network_whole_deg" in row for row in rows)
    figures = _ANGLE_PANELS if of_similarity else _ERROR_PANELS
    for axes, (_, error) in zip(panels[1:], figures, strict=True):
        for kind in _GRADIENTS if of_similarity else _KINDS:
            times, errors = _points(rows, f"{kind}_{error}", unit)
            if times:
                marker = "o" if len(times) < 40 else ""
                axes.plot(times, errors, color=_COLOURS[kind], marker=marker, ms=3.5, lw=1.8, label=_NAMES[kind])
        if axes.has_data():
            axes.legend(frameon=False, fontsize=9, loc="best")
    titles = ("Loss" if of_similarity else "Loss [mm]", *(title for title, _ in figures))
    for axes, title in zip(panels, titles, strict=True):
        axes.set_title(title, fontsize=10.5, loc="left")
        axes.set_xlabel(name)
        axes.set_xlim(0, last / unit * 1.03 or 1.0)
        axes.set_ylim(0, axes.get_ylim()[1] * 1.05)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120, format="png")


def _points(rows: Iterable[Mapping[str, float]], column: str, unit: float) -> tuple[list[float], list[float]]:
    found = [(row["seconds"] / unit, row[column]) for row in rows if math.isfinite(row.get(column, math.nan))]
    return [time for time, _ in found], [value for _, value in found]


def _smoothed(values: list[float]) -> list[float]:
    """Running means over the last tenth of the values so far."""
    return [sum(some) / len(some) for n in range(len(values)) if (some := values[n - n // 10 : n + 1])]


def _flat(figures: Figures) -> dict[str, float]:
    return {
        f"{kind}_{name}": value
        for kind, found in figures.items()
        for name, value in vars(found).items()
        if kind in _NAMES and name in (*_ERRORS, *_ANGLES)
    }


def _read(path: Path, columns: tuple[str, ...]) -> list[dict[str, float]]:
    """The rows of an earlier part of the run; none where there is no table, or one of another kind."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            if tuple(table.fieldnames or ()) != columns:
                return []
            return [{name: float(value) for name, value in row.items() if value} for row in table]
    except (OSError, ValueError):
        return []
