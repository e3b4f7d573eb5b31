"""Figures of a landscape: costs and slopes along lines through the truth, and the capture range of each similarity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from ..plotting import END_IN, FAINT, QUIET, Drawn, FigurePage, Look, label_ends, looks, panels, styled, text_in
from .capture_range import Captured
from .profiles import RANDOM, REACH, LinePoint

_TITLES = {
    "rx": "Rotation, image columns",
    "ry": "Rotation, image rows",
    "rz": "Rotation, in plane",
    "tx": "Shift along columns",
    "ty": "Shift along rows",
    "tz": "Depth",
    RANDOM: "Random lines",
}

Floats = NDArray[np.float64]


def draw_landscape(points: Sequence[LinePoint]) -> Drawn:
    """Costs above, slopes below, one column for each pose axis and one for all random lines.

    Each line is normalised: cost 0 at the truth, cost range 1, steepest slope 1. Means over lines are shown.
    """
    names = list(dict.fromkeys(point.measure for point in points))
    look, shown = looks(names), [*REACH, *([RANDOM] if any(p.line.startswith(RANDOM) for p in points) else [])]
    with styled():
        right = END_IN + text_in(names)
        sheet = FigurePage((1.75, 1.9), left=0.75, right=right, top=0.4, bottom=0.6, gap=(0.22, 0.5))
        figure, axes = panels(2 * len(shown), len(shown), sheet)
        ends: list[tuple[float, str, str]] = []
        for number, line in enumerate(shown):
            costs, slopes = axes[number], axes[number + len(shown)]
            ends = _draw_line(costs, slopes, [p for p in points if p.line.partition(" ")[0] == line], look)
            costs.set_title(_TITLES[line], fontsize=8.5)
            costs.tick_params(labelbottom=False)
            slopes.set_xlabel("off the truth [degrees]" if line.startswith("r") and line != RANDOM else "off [mm]")
            for panel in (costs, slopes):
                panel.axvline(0, color=FAINT, lw=0.8)
                panel.tick_params(labelleft=number == 0)
            slopes.axhline(0, color=QUIET, lw=0.8)
        for row in (axes[: len(shown)], axes[len(shown) :]):
            low, high = (pick(panel.get_ylim()[end] for panel in row) for end, pick in ((0, min), (1, max)))
            for panel in row:
                panel.set_ylim(low, high)
        label_ends(axes[len(shown) - 1], ends)
        axes[0].set_ylabel("cost over its range")
        axes[len(shown)].set_ylabel("slope over its steepest")
    caption = (
        "Along each pose axis and along random lines through the true pose, means over cases: the cost of each "
        "similarity (0 at the truth; below it, a wrong pose looks better) and its slope (rising through 0 where every "
        "step downhill leads home)."
    )
    return Drawn("landscape", "Similarities around the truth", caption, figure)


def draw_capture(found: Sequence[Captured], success_mm: float) -> Drawn:
    """The capture range of each method with its interval; `success_mm` is the error limit of a success."""
    names = [captured.method for captured in found]
    look = looks(names)
    with styled():
        sheet = FigurePage((4.2, 0.32 * len(found) + 0.3), left=0.4 + text_in(names), right=0.3, top=0.35, bottom=0.55)
        figure, (panel,) = panels(1, 1, sheet)
        for place, captured in enumerate(reversed(found)):
            style = look[captured.method]
            panel.plot([captured.interval.low, captured.interval.high], [place, place], color=style.colour, lw=2.2)
            panel.plot(captured.range_mm, place, style.marker, color=style.colour, ms=7, clip_on=False)
        panel.set_yticks(range(len(found)), list(reversed(names)))
        panel.set(ylim=(-0.6, len(found) - 0.4), xlabel="error of the start [mm]")
        panel.set_xlim(left=0)
        panel.grid(visible=False, axis="y")
        panel.set_title("Capture range")
    caption = (
        f"Largest error of a start up to which at least 95 % of the runs end below {success_mm:g} mm (bins of 2 mm), "
        "with its 95 % interval. All have the same refinement and no search."
    )
    return Drawn("capture", "From how far each similarity leads home", caption, figure)


def _draw_line(
    costs: Axes, slopes: Axes, points: Sequence[LinePoint], look: dict[str, Look]
) -> list[tuple[float, str, str]]:
    """Draw the measures' means over some lines; returns the ends of the cost curves, for their names."""
    ends = []
    for name, style in look.items():
        offsets, cost, slope = _means([point for point in points if point.measure == name])
        costs.plot(offsets, cost, color=style.colour, ls=style.dashes)
        slopes.plot(offsets, slope, color=style.colour, ls=style.dashes)
        ends.append((float(cost[-1]), name, style.colour))
    return ends


def _means(points: Sequence[LinePoint]) -> tuple[Floats, Floats, Floats]:
    """Offsets (N,), and the means over lines of costs and slopes (N,), each normalised by its line's range."""
    costs, slopes, offsets = [], [], np.zeros(0)
    for key in dict.fromkeys((point.case, point.line) for point in points):
        line = [point for point in points if (point.case, point.line) == key]
        offsets = np.array([point.offset for point in line])
        cost, slope = np.array([point.cost for point in line]), np.array([point.slope for point in line])
        costs.append((cost - cost[len(cost) // 2]) / (np.ptp(cost) or 1.0))
        slopes.append(slope / (np.abs(slope).max() or 1.0))
    return offsets, np.mean(costs, axis=0), np.mean(slopes, axis=0)
