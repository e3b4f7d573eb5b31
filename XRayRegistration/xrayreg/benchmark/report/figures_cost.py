"""The figures about computational cost and about the reliability of verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
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
    label_ends,
    limits,
    panels,
    plain_log,
    shortened,
    text_in,
)
from ..statistics import GROSS_MM
from ..statistics.comparison import quantile
from ..statistics.trust import WRONG_MM, Trust, trust
from ..study.reading import MethodResults
from .traces import Way

Floats = NDArray[np.float64]

_LEAST_MM, _MOST_MM = 1e-2, 2e3
# Number of points in time or renders at which convergence is drawn.
_TIMES = 160
# Style of each kind of verdict: colour, hatching, text colour; and the least share [%] with room for its number.
_VERDICTS = {
    "accepted_right": ("#009e73", "", "white"),
    "accepted_wrong": ("#d55e00", "////", "white"),
    "rejected_right": ("#a9cfe5", "", INK),
    "rejected_wrong": (FAINT, "", INK),
}
_LEAST_TOLD = 9
# With more methods than this, the bands would hide each other.
_MOST_BANDS = 4


def draw_cost(methods: Sequence[MethodResults], look: Mapping[str, Look]) -> Drawn | None:
    """Median error against seconds and renders; None if neither is known."""
    moved = [method for method in methods if method.moves]
    errors = {method.name: quartiles(method.errors()) for method in moved}
    kinds = []
    for field, title in (("seconds", "time for a case [s]"), ("renders", "renders for a case")):
        costs = {method.name: known for method in moved if len(known := _costs(method, field))}
        if costs:
            kinds.append((title, costs))
    if not kinds:
        return None
    names = {method.name: shortened(method.title) for method in moved}
    right = END_IN + text_in(names.values())
    figure, axes = panels(len(kinds), 2, FigurePage((3.2, 3.0), left=0.75, right=right, top=0.2, gap=(0.35, 0.5)))
    low, high = limits([value for some in errors.values() for value in some], _LEAST_MM, _MOST_MM)
    low, high = min(low, 0.9), max(high, 30.0)
    failed_at, middles = high * 1.5, {}
    for panel, (title, costs) in zip(axes, kinds, strict=True):
        panel.set(xscale="log", yscale="log", xlabel=title, ylim=(low, failed_at * 1.5))
        panel.set_xlim(limits([cost for some in costs.values() for cost in quartiles(some)], 1e-4, 1e9))
        panel.axhspan(low, GROSS_MM, color="#f1f6f2", zorder=0)
        for method in moved:
            if method.name not in costs:
                continue
            style, x = look[method.name], quartiles(costs[method.name])
            y = np.minimum(errors[method.name], [failed_at * 10, failed_at, failed_at * 10])
            panel.plot([x[1]] * 2, [max(y[0], low / 10), y[2]], color=style.colour, lw=1.1)
            panel.plot([x[0], x[2]], [y[1]] * 2, color=style.colour, lw=1.1)
            panel.plot(x[1], max(y[1], low), color=style.colour, marker=style.marker, ms=8, mec="white", mew=0.5)
            panel.plot([x[1], panel.get_xlim()[1]], [max(y[1], low)] * 2, color=style.colour, lw=0.5, alpha=0.6)
            middles[method.name] = max(y[1], low)
        plain_log(panel.xaxis)
        plain_log(panel.yaxis)
    axes[0].set_ylabel(f"error ({error_name(moved[0].metric)}) [mm]")
    axes[-1].tick_params(which="both", labelleft=len(axes) == 1)
    named = [method for method in moved if method.name in middles]
    label_ends(axes[-1], [(middles[m.name], names[m.name], look[m.name].colour) for m in named])
    caption = (
        "Median error against what a case costs, both on logarithmic axes; lines span the middle half of the cases. "
        f"Down and to the left is better; the shaded part is below {GROSS_MM:g} mm. A mark at the top stands for a "
        "method most of whose runs gave no pose."
    )
    return Drawn("cost", "What accuracy costs", caption, figure)


def draw_convergence(
    methods: Sequence[MethodResults], look: Mapping[str, Look], ways: Mapping[str, Sequence[Way]]
) -> Drawn | None:
    """The error of the best pose so far over time and renders; None if no method has a trace.

    ways: of each method's cases that have a trace.
    """
    told = [method for method in methods if method.moves and ways.get(method.name)]
    if not told:
        return None
    names = {method.name: shortened(method.title) for method in told}
    right = END_IN + text_in(names.values())
    figure, axes = panels(2, 2, FigurePage((3.1, 3.0), left=0.75, right=right, top=0.2, gap=(0.35, 0.5)))
    shown = [
        _draw_ways(panel, told, look, ways, field) for panel, field in zip(axes, ("seconds", "renders"), strict=True)
    ]
    everything = [value for some in shown for course in some.values() for value in course]
    low, high = limits(everything, _LEAST_MM, _MOST_MM)
    for panel, title in zip(axes, ("time [s]", "renders"), strict=True):
        panel.set(yscale="log", ylim=(low, high), xlabel=title)
        panel.axhline(GROSS_MM, color=QUIET, lw=0.8)
        plain_log(panel.xaxis)
        plain_log(panel.yaxis)
    axes[0].set_ylabel("median mTRE so far [mm]")
    axes[1].tick_params(which="both", labelleft=False)
    ends = [(min(shown[1][m.name][-1], high), names[m.name], look[m.name].colour) for m in told]
    label_ends(axes[1], ends)
    caption = (
        "Median error of the best pose so far (by the method's own similarity), over the cases that tell their way"
        + (", with the middle half of the cases. " if len(told) <= _MOST_BANDS else ". ")
        + "A line goes on thinly where nearly all cases (95 %) have ended."
    )
    return Drawn("convergence", "How the error falls", caption, figure)


def draw_trust(methods: Sequence[MethodResults]) -> Drawn | None:
    """Right and wrong acceptances and rejections of the methods with verdicts; None if no method gives one."""
    judging = [method for method in methods if any(row.accepted is not None for row in method.rows)]
    if not judging:
        return None
    names = [shortened(method.title) for method in judging]
    sheet = FigurePage((3.4, 0.36 * len(judging) + 0.1), left=0.2 + text_in(names), top=0.65, gap=(0.55, 0.5))
    figure, axes = panels(2, 2, sheet)
    for panel, wrong_mm in zip(axes, (WRONG_MM[0], WRONG_MM[-1]), strict=True):
        for place, method in enumerate(judging):
            _verdict_bar(panel, place, trust(method.rows, method.metric, wrong_mm), len(method.rows))
        panel.set(xlim=(0, 100), ylim=(len(judging) - 0.5, -0.5), xlabel="share of cases")
        panel.set_title(f"Wrong: above {wrong_mm:g} mm")
        panel.xaxis.set_major_formatter(lambda value, _: f"{value:g} %")
        panel.set_yticks(range(len(judging)), names if panel is axes[0] else [])
        for label in panel.get_yticklabels():
            label.set(color=INK, parse_math=False)
        panel.tick_params(axis="y", length=0)
        panel.grid(axis="y", visible=False)
    keys = [
        Patch(facecolor=colour, hatch=hatch, edgecolor="white", label=field.replace("_", ", "))
        for field, (colour, hatch, _) in _VERDICTS.items()
    ]
    axes[0].legend(
        handles=keys,
        loc="lower left",
        bbox_to_anchor=(0, 1 + 0.27 / sheet.panel[1]),
        ncols=4,
        frameon=False,
        fontsize=8,
        borderaxespad=0,
        borderpad=0,
    )
    caption = (
        "Cases by what the method itself says and whether it is right: a result is wrong above "
        f"{WRONG_MM[0]:g} mm on the left, above {WRONG_MM[-1]:g} mm on the right. Hatched: accepted although wrong, "
        "the kind that does harm."
    )
    return Drawn("trust", "Whether a method knows its failures", caption, figure)


def _verdict_bar(panel: Axes, place: int, found: Trust, cases: int) -> None:
    """One method's verdicts on row `place`; cases without one are left blank."""
    left = 0.0
    for field, (colour, hatch, ink) in _VERDICTS.items():
        share = 100 * getattr(found, field) / cases
        panel.barh(place, share, left=left, height=0.62, color=colour, hatch=hatch, edgecolor="white", lw=0.6)
        if share >= _LEAST_TOLD:
            box = {"facecolor": colour, "edgecolor": "none", "pad": 1.5} if hatch else None
            middle = left + share / 2
            panel.text(middle, place, f"{share:.0f} %", color=ink, size=8, ha="center", va="center", bbox=box)
        left += share


def quartiles(values: Floats) -> Floats:
    """The quartiles (3,) of values that may be infinite."""
    return np.array([quantile(values, share) for share in (0.25, 0.5, 0.75)])


def _costs(method: MethodResults, field: str) -> Floats:
    values = np.array([getattr(row, field) for row in method.rows if not row.error], dtype=np.float64)
    return values[np.isfinite(values) & (values > 0)]


def _draw_ways(
    panel: Axes,
    methods: Sequence[MethodResults],
    look: Mapping[str, Look],
    ways: Mapping[str, Sequence[Way]],
    field: str,
) -> dict[str, Floats]:
    """Draw the median error of each method over one measure of cost; returns the values drawn."""
    costs = [cost for method in methods for way in ways[method.name] for cost in getattr(way, field)]
    low, high = limits(costs, 1e-3 if field == "seconds" else 1.0, 1e9)
    times = np.geomspace(low, high, _TIMES)
    drawn = {}
    for method in methods:
        style = look[method.name]
        courses = np.stack([way.at(field, times) for way in ways[method.name]])
        ranks = np.apply_along_axis(quartiles, 0, courses)
        ended = quantile(np.array([getattr(way, field)[-1] for way in ways[method.name]]), 0.95)
        active = times <= ended
        panel.plot(times, ranks[1], color=style.colour, lw=0.7)
        panel.plot(times[active], ranks[1][active], color=style.colour, ls=style.dashes)
        if len(methods) <= _MOST_BANDS:
            panel.fill_between(times, ranks[0], np.minimum(ranks[2], _MOST_MM), color=style.colour, alpha=0.12, lw=0)
        drawn[method.name] = ranks[1]
    panel.set(xscale="log", xlim=(low, high))
    return drawn
