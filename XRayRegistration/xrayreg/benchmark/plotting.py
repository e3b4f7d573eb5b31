"""Style of an evaluation's figures: panels of exact size, markers of methods, labels at the lines' ends."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator
from numpy.typing import NDArray

INK, QUIET, FAINT = "#1c2430", "#5b6675", "#c9d0d9"
DPI = 170
# Distance from a panel to the names at its side, and from these to the figure's edge [inch], see `label_ends`.
END_IN = 0.35

# Colours that can be distinguished with any common colour blindness (Okabe and Ito 2008), without the yellow, which
# is hardly visible on white. The first method, with which the others are compared, has the first colour.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#8c564b")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p")
_DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))

_LOOK: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.labelsize": 9,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e9ee",
    "grid.linewidth": 0.7,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "butt",
    "text.color": INK,
    "savefig.facecolor": "white",
    "pdf.fonttype": 42,
}


@dataclass(frozen=True)
class Look:
    """Colour, line style and marker of a method in every figure."""

    colour: str
    dashes: Any
    marker: str


def looks(names: Sequence[str]) -> dict[str, Look]:
    """The look of each method, by order; a method that only keeps the start is grey."""
    found, place = {}, 0
    for name in names:
        if name == "initial":
            found[name] = Look(QUIET, (0, (3, 2)), "o")
            continue
        turn, colour = divmod(place, len(_COLOURS))
        # Consecutive lines differ in more than colour.
        dashes = _DASHES[(place % 2 + turn) % len(_DASHES)]
        found[name] = Look(_COLOURS[colour], dashes, _MARKERS[colour])
        place += 1
    return found


@dataclass(frozen=True, eq=False)
class Drawn:
    """A figure, the stem of its file name, its heading and its caption of one or two sentences."""

    stem: str
    heading: str
    caption: str
    figure: Figure

    @property
    def width_in(self) -> float:
        """The figure's width [inch]."""
        return float(self.figure.get_size_inches()[0])


@contextmanager
def styled() -> Iterator[None]:
    """Context in which figures have our style, independent of the user's matplotlib settings."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_LOOK)
        yield


@dataclass(frozen=True)
class FigurePage:
    """Sizes [inch] of a figure of equal panels: the panel (width, height), the margins around all, the gaps between."""

    panel: tuple[float, float]
    left: float = 0.65
    right: float = 0.25
    top: float = 0.4
    bottom: float = 0.55
    gap: tuple[float, float] = (0.3, 0.55)


def panels(count: int, columns: int, sheet: FigurePage) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels in rows of `columns`."""
    columns = min(count, columns)
    rows = -(-count // columns)
    (wide, high), (gap_x, gap_y) = sheet.panel, sheet.gap
    width = sheet.left + columns * wide + (columns - 1) * gap_x + sheet.right
    height = sheet.top + rows * high + (rows - 1) * gap_y + sheet.bottom
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    made = []
    for number in range(count):
        row, column = divmod(number, columns)
        left = sheet.left + column * (wide + gap_x)
        bottom = sheet.bottom + (rows - 1 - row) * (high + gap_y)
        made.append(figure.add_axes((left / width, bottom / height, wide / width, high / height)))
    return figure, made


def on_the_edge(number: int, count: int, columns: int) -> tuple[bool, bool]:
    """Whether panel `number` is the first of its row, and whether no panel is below it."""
    return number % columns == 0, number + columns >= count


def label_ends(axes: Axes, ends: Sequence[tuple[float, str, str]], size: float = 8.5) -> None:
    """Names at the right-hand side of a panel, each beside its line's end: (y in the panel's data, text, colour).

    Names that would overlap are moved apart as little as possible, with a thin leader line to their position.
    """
    if not ends:
        return
    gap = 1.25 * size / 72 / _height_in(axes)
    places = axes.transAxes.inverted().transform(
        axes.transData.transform([(axes.get_xlim()[1], y) for y, _, _ in ends])
    )[:, 1]
    for (_, text, colour), true, shown in zip(ends, places, spread(places, gap), strict=True):
        axes.plot(
            [1.0, 1.03, 1.045], [true, shown, shown], color=colour, lw=0.8, transform=axes.transAxes, clip_on=False
        )
        axes.text(
            1.055,
            shown,
            text,
            color=colour,
            size=size,
            va="center",
            transform=axes.transAxes,
            parse_math=False,
        )


def spread(wanted: Sequence[float] | NDArray[np.float64], gap: float) -> NDArray[np.float64]:
    """Positions closest to `wanted` (least squares) in the same order, at least `gap` apart and between 0 and 1.

    The gap is reduced if there are too many. Isotonic regression by pooling adjacent violators.
    """
    wanted = np.clip(np.asarray(wanted, dtype=np.float64), 0, 1)
    order = np.argsort(wanted, kind="stable")
    count = len(wanted)
    gap = min(gap, 1 / max(count - 1, 1))
    pools: list[list[float]] = []
    for place, index in enumerate(order):
        pools.append([wanted[index] - place * gap, 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (mean, number), (before, earlier) = pools.pop(), pools.pop()
            pools.append([(mean * number + before * earlier) / (number + earlier), number + earlier])
    flat = np.concatenate([np.full(int(number), mean) for mean, number in pools]) if pools else np.zeros(0)
    placed = np.empty(count)
    placed[order] = np.clip(flat, 0, max(0.0, 1 - (count - 1) * gap)) + gap * np.arange(count)
    return placed


def plain_log(axis: Any) -> None:
    """Ticks of a logarithmic axis as plain numbers, also between the powers of ten if the axis spans few of them."""
    low, high = axis.get_view_interval()
    few = np.log10(high / low) < 2
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(LogLocator(subs=(2, 5) if few else tuple(range(2, 10))))
    axis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}" if few else ""))
    axis.set_tick_params(which="minor", labelsize=8, labelcolor=QUIET)


def error_name(metric: str) -> str:
    """The display name of an error metric."""
    return "far-lever mTRE" if metric == "mtre_far_mm" else "mTRE"


def text_in(names: Iterable[str], size: float = 9) -> float:
    """Approximate width [inch] of the longest of some names at a font size [points]."""
    return max((len(name) for name in names), default=0) * 0.6 * size / 72


def folded(name: str, longest: int = 27) -> str:
    """A name, on two lines if it is too long for one."""
    if len(name) <= longest:
        return name
    first, *rest = textwrap.wrap(name, longest)
    return f"{shortened(first, longest)}\n{shortened(' '.join(rest), longest)}" if rest else shortened(first, longest)


def shortened(name: str, longest: int = 42) -> str:
    """A name, shortened in the middle if it is too long."""
    if len(name) <= longest:
        return name
    head = (longest - 1) * 2 // 3
    return f"{name[:head]}…{name[len(name) - (longest - 1 - head) :]}"


def limits(values: Iterable[float], least: float, most: float) -> tuple[float, float]:
    """Limits of a logarithmic axis that shows all finite `values` above 0, within [least, most]; a decade at least."""
    kept = [value for value in values if np.isfinite(value) and value > 0]
    if not kept:
        return least, most
    low, high = max(min(kept), least), min(max(kept), most)
    low, high = min(low, most), max(high, least)
    short = max(0.0, 1 - np.log10(high / low)) / 2
    return float(low / 10 ** (short + 0.05)), float(high * 10 ** (short + 0.05))


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write a figure as PNG, and as PDF for papers; the same figure gives the same bytes."""
    written = []
    for suffix, metadata in ((".png", {"Software": None}), (".pdf", {"CreationDate": None, "Producer": None})):
        path = stem.with_name(stem.name + suffix)
        with styled():
            figure.savefig(path, dpi=DPI, metadata=metadata)
        written.append(path)
    return written


def _height_in(axes: Axes) -> float:
    """Height [inch] of a panel of `panels`."""
    return axes.get_position().height * float(axes.figure.bbox.height / axes.figure.dpi)
