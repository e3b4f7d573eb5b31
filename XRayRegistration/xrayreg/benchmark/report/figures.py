"""The figures of an evaluation: success rate, accuracy, speed and capture range of each method."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from ..plotting import (
    END_IN,
    FAINT,
    INK,
    QUIET,
    Drawn,
    FigurePage,
    Look,
    error_name,
    folded,
    label_ends,
    limits,
    looks,
    on_the_edge,
    panels,
    plain_log,
    shortened,
    styled,
    text_in,
)
from ..statistics import GROSS_MM, wilson
from ..statistics.comparison import AUC_MM
from ..study.reading import Evaluation, MethodResults
from .figures_cost import draw_convergence, draw_cost, draw_trust
from .traces import ways_of

Floats = NDArray[np.float64]

# Errors [mm] below which success is counted.
LEVELS_MM = (1.0, 2.0, 5.0, 10.0)
# Limits [mm] of a logarithmic axis of errors.
_LEAST_MM, _MOST_MM = 1e-2, 2e3
_MOST_BINS = 10
_COLUMNS = 4
# With more cases than this, markers are small.
_FEW = 150


def draw_figures(evaluation: Evaluation) -> Iterator[Drawn]:
    """Every figure for which the results have the numbers, one after the other."""
    methods = evaluation.methods
    look = looks([method.name for method in methods])
    drawings: tuple[Callable[[], Drawn | None], ...] = (
        lambda: _survival(methods, look),
        lambda: _against_start(methods, look),
        lambda: _capture(methods, look),
        lambda: _by_axis(methods, look),
        lambda: draw_cost(methods, look),
        lambda: draw_convergence(methods, look, ways_of(evaluation)),
        lambda: draw_trust(methods),
    )
    for draw in drawings:
        with styled():
            drawn = draw()
        if drawn is not None:
            yield drawn


def _survival(methods: Sequence[MethodResults], look: dict[str, Look]) -> Drawn:
    names = {method.name: shortened(method.title) for method in methods}
    right = END_IN + text_in([f"100 %  {name}" for name in names.values()])
    figure, axes = panels(2, 2, FigurePage((3.4, 3.2), left=0.7, right=right, gap=(0.35, 0.5)))
    for panel, most in zip(axes, (2.0, AUC_MM), strict=True):
        for level in LEVELS_MM:
            if level < most:
                panel.axvline(level, color=FAINT, lw=0.8)
        ends = []
        for method in reversed(methods):
            errors = method.errors()
            share = share_below(errors, most)
            shown = np.sort(errors[errors < most])
            steps = 100 * np.arange(len(shown) + 1) / len(errors)
            style = look[method.name]
            panel.step([0, *shown, most], [0, *steps[1:], steps[-1]], where="post", color=style.colour, ls=style.dashes)
            ends.append((100 * share, f"{100 * share:.0f} %  {names[method.name]}", style.colour))
        panel.set(xlim=(0, most), ylim=(0, 101.5), xlabel=f"error ({error_name(methods[0].metric)}) below [mm]")
        panel.set_xticks(np.linspace(0, most, 5))
        panel.yaxis.set_major_formatter(lambda value, _: f"{value:g} %")
    axes[0].set_ylabel("share of all cases")
    axes[0].set_title("Close up: to 2 mm")
    axes[1].set_title(f"To {AUC_MM:g} mm")
    axes[1].tick_params(labelleft=False)
    label_ends(axes[1], ends)
    caption = (
        "Share of all cases whose error is below the value on the axis; runs that failed never count. "
        f"Beside each curve its share below {AUC_MM:g} mm. Further up and to the left is better."
    )
    return Drawn("survival", "How many cases come how close", caption, figure)


def share_below(errors: Floats, limit: float) -> float:
    """Fraction of errors below `limit`; unknown and infinite errors are not below it."""
    return float(np.mean(errors < limit)) if len(errors) else 0.0


def _against_start(methods: Sequence[MethodResults], look: dict[str, Look]) -> Drawn | None:
    moved = [method for method in methods if method.moves]
    starts = np.concatenate([method.starts for method in moved]) if moved else np.zeros(0)
    if not np.isfinite(starts).any():
        return None
    figure, axes = panels(len(moved), _COLUMNS, _small_panels(2.3, moved))
    ends = np.concatenate([method.errors() for method in moved])
    x_limits, y_limits = (limits(some, _LEAST_MM, _MOST_MM) for some in (starts, ends))
    y_limits = (min(y_limits[0], 0.9), max(y_limits[1], 30.0))
    failed_at = y_limits[1] * 1.6
    for number, (panel, method) in enumerate(zip(axes, moved, strict=True)):
        panel.set(xscale="log", yscale="log", xlim=x_limits, ylim=(y_limits[0], failed_at * 1.7))
        panel.axhspan(y_limits[0], GROSS_MM, color="#f1f6f2", zorder=0)
        panel.axhline(GROSS_MM, color=QUIET, lw=0.8)
        panel.axline((1, 1), (10, 10), color=QUIET, lw=0.8, ls=(0, (2, 2)))
        start, end = method.starts, np.maximum(method.errors(), y_limits[0] * 1.05)
        rejected = np.array([row.accepted is False for row in method.rows])
        failed = ~np.isfinite(end)
        style = look[method.name]
        size, alpha = (15, 0.85) if len(method.rows) <= _FEW else (7, 0.6)
        common: dict[str, Any] = {"s": size, "linewidths": 0.9, "edgecolors": style.colour, "alpha": alpha}
        for kept, face in ((rejected, "none"), (~rejected, style.colour)):
            panel.scatter(start[kept & ~failed], end[kept & ~failed], facecolors=face, **common)
        panel.scatter(
            start[failed], np.full(failed.sum(), failed_at), marker="x", s=16, color=style.colour, linewidths=0.9
        )
        _named(panel, method)
        first, last = on_the_edge(number, len(moved), _COLUMNS)
        _log_axes(panel, first, last)
        if first:
            panel.set_ylabel("error afterwards [mm]")
        if last:
            panel.set_xlabel("error of the start [mm]")
    caption = (
        "Each mark is a case: mean target registration error before and after, both on logarithmic axes. The shaded "
        f"part is a success (below {GROSS_MM:g} mm); on the dotted line the method has gained nothing. Open circles "
        "are results that the method itself rejected, crosses at the top runs that failed."
    )
    return Drawn("start", "Where each case began and where it ended", caption, figure)


def _capture(methods: Sequence[MethodResults], look: dict[str, Look]) -> Drawn | None:
    moved = [method for method in methods if method.moves]
    starts = np.concatenate([method.starts for method in moved]) if moved else np.zeros(0)
    edges = distance_bins(starts)
    if len(edges) < 2:
        return None
    binned = {method.name: _successes(method, edges) for method in moved}
    middles = (edges[1:] + edges[:-1]) / 2
    figure, axes = panels(len(moved), _COLUMNS, _small_panels(1.9, moved))
    for number, (panel, method) in enumerate(zip(axes, moved, strict=True)):
        for other in moved:
            share = binned[other.name][0]
            if other is not method:
                panel.plot(middles, share, color=FAINT, lw=1, zorder=1)
        share, low, high, cases = binned[method.name]
        style = look[method.name]
        panel.errorbar(
            middles,
            share,
            [share - low, high - share],
            color=style.colour,
            marker=style.marker,
            ms=4.5,
            elinewidth=1.1,
            capsize=2,
        )
        for middle, count in zip(middles, cases, strict=True):
            if count:
                panel.text(middle, 108, f"{count:g}", ha="center", size=6.5, color=QUIET)
        panel.set(xlim=(edges[0], edges[-1]), ylim=(0, 118), yticks=range(0, 101, 20))
        panel.yaxis.set_major_formatter(lambda value, _: f"{value:g} %")
        _named(panel, method)
        first, last = on_the_edge(number, len(moved), _COLUMNS)
        panel.tick_params(labelleft=first, labelbottom=last)
        if first:
            panel.set_ylabel(f"below {GROSS_MM:g} mm")
        if last:
            panel.set_xlabel("error of the start [mm]")
    caption = (
        f"Share of cases that end below {GROSS_MM:g} mm, by how far off the start was, with 95 % Wilson intervals. "
        "The small numbers at the top count the cases of each group; the other methods are drawn in grey."
    )
    return Drawn("capture", "From how far away it still succeeds", caption, figure)


def distance_bins(starts: Floats) -> Floats:
    """Edges [mm] of bins of initial errors, round numbers; fewer than two if no start is known.

    For N known starts there are about sqrt(N) bins, at most ten.
    """
    known = starts[np.isfinite(starts)]
    if not known.size:
        return np.zeros(0)
    low, high = float(known.min()), float(known.max())
    wanted = int(np.clip(np.sqrt(len(known)), 1, _MOST_BINS))
    wide = max(high - low, 1e-3 * max(high, 1.0))
    power = 10.0 ** np.floor(np.log10(wide / wanted))
    for step in power * np.array([1, 2, 5, 10, 20]):
        first, last = np.floor(low / step), np.floor(high / step) + 1
        # Values on both sides of a round number need two bins.
        if last - first <= max(wanted, 2):
            break
    edges = step * np.arange(first, last + 1)
    # Rounding of a product could leave the outermost case without a bin.
    edges[0], edges[-1] = min(edges[0], low), max(edges[-1], np.nextafter(high, np.inf))
    return edges


def _successes(method: MethodResults, edges: Floats) -> Floats:
    """Success rate of each bin of starts with its interval, in percent, and the number of cases: (4, N)."""
    good = method.errors() < GROSS_MM
    cases, hits = (np.histogram(some, edges)[0] for some in (method.starts, method.starts[good]))
    rates = [wilson(int(hit), int(count)) for hit, count in zip(hits, cases, strict=True)]
    return np.array([[rate.percent, rate.low, rate.high, count] for rate, count in zip(rates, cases, strict=True)]).T


def _by_axis(methods: Sequence[MethodResults], look: dict[str, Look]) -> Drawn | None:
    moved = [method for method in methods if method.moves]
    kinds = (
        ("mtre_in_plane_mm", "Along the detector [mm]"),
        ("mtre_depth_mm", "Depth [mm]"),
        ("rotation_in_plane_deg", "Rotation in plane [°]"),
        ("rotation_out_of_plane_deg", "Rotation out of plane [°]"),
    )
    shown = [kind for kind in kinds if any(np.isfinite(method.errors(kind[0])).any() for method in moved)]
    if not shown:
        return None
    high = 0.3 * len(moved) + 0.15
    names = [shortened(method.title) for method in moved]
    sheet = FigurePage((1.95, high), left=0.2 + text_in(names), top=0.15, gap=(0.25, 0.5))
    figure, axes = panels(len(shown), len(shown), sheet)
    for number, (panel, (field, title)) in enumerate(zip(axes, shown, strict=True)):
        values = [method.errors(field) for method in moved]
        low, top = limits(np.concatenate(values), 1e-3, _MOST_MM)
        for place, (method, errors) in enumerate(zip(moved, values, strict=True)):
            _spread_bar(panel, place, errors, look[method.name], low, top)
        panel.set(xscale="log", xlim=(low, top), ylim=(len(moved) - 0.4, -0.6), xlabel=title)
        panel.set_yticks(range(len(moved)), names if not number else [])
        for words in panel.get_yticklabels():
            words.set(color=INK, parse_math=False)
        panel.grid(axis="y", visible=False)
        panel.tick_params(axis="y", length=0)
        plain_log(panel.xaxis)
    caption = (
        "Median (mark), middle half (thick line) and 5th to 95th percentile (thin line) of each part of the error, "
        "over all cases, on logarithmic axes. A line that leaves the panel on the right goes on to runs that failed. "
        "Depth is what a single view shows least."
    )
    return Drawn("axes", "Where the error lies", caption, figure)


def _spread_bar(panel: Axes, place: int, errors: Floats, look: Look, low: float, high: float) -> None:
    """One method's median, quartiles and 5th and 95th percentile on row `place` of a logarithmic panel."""
    known = np.where(np.isnan(errors), np.inf, errors)
    ranks = (
        np.quantile(known, (0.05, 0.25, 0.5, 0.75, 0.95), method="inverted_cdf") if len(known) else np.full(5, np.inf)
    )
    # Beyond the panel's edge, so that the line of a failed run visibly leaves the panel.
    ends = np.clip(ranks, low / 10, high * 10)
    panel.plot(ends[[0, 4]], [place] * 2, color=look.colour, lw=1)
    panel.plot(ends[[1, 3]], [place] * 2, color=look.colour, lw=4, alpha=0.45)
    panel.plot(ends[2], place, color=look.colour, marker=look.marker, ms=6, mec="white", mew=0.5)


def _small_panels(high: float, methods: Sequence[MethodResults]) -> FigurePage:
    """Panels of one method each, with room for the names above them."""
    line = 0.15 if any("\n" in folded(method.title) for method in methods) else 0.0
    return FigurePage((2.3, high), left=0.75, top=0.4 + line, gap=(0.3, 0.55 + line))


def _named(panel: Axes, method: MethodResults) -> None:
    panel.set_title(folded(method.title), size=9, parse_math=False)


def _log_axes(panel: Axes, first: bool, last: bool) -> None:
    for axis in (panel.xaxis, panel.yaxis):
        plain_log(axis)
    panel.tick_params(which="both", labelleft=first, labelbottom=last)
