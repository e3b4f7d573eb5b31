"""Figures tell what the numbers say, in any circumstances, and the same each time."""

from __future__ import annotations

import itertools
import math

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from xrayreg.benchmark.plotting import folded, limits, looks, save, shortened, spread
from xrayreg.benchmark.report.figures import distance_bins, draw_figures, share_below
from xrayreg.benchmark.report.traces import Way, ways_of
from xrayreg.benchmark.statistics import StudyRow
from xrayreg.benchmark.study.reading import Evaluation, MethodResults

# How people see linear RGB who lack the receptors for red or for green (Machado et al., IEEE TVCG 15(6), 2009).
PROTANOPIA = np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]])
DEUTERANOPIA = np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]])


def row(method: str = "ours", case: str = "000", **numbers: object) -> StudyRow:
    return StudyRow(method, "V-A", case, **numbers)  # type: ignore[arg-type]


def evaluation_of(tmp_path, rows: dict[str, list[StudyRow]], metric: str = "mtre_mm") -> Evaluation:
    methods = tuple(MethodResults(name, name, tuple(some), metric=metric) for name, some in rows.items())
    return Evaluation(tmp_path, {"metric": metric}, {}, methods)


def drawn_by_stem(evaluation: Evaluation) -> dict:
    return {drawn.stem: drawn for drawn in draw_figures(evaluation)}


def test_the_survival_curve_is_the_share_of_all_cases_failed_ones_included(tmp_path):
    errors = [0.5, 1.5, 3.0, math.nan]
    rows = [row(case=f"{n}", mtre_mm=error) for n, error in enumerate(errors)]
    panel = drawn_by_stem(evaluation_of(tmp_path, {"ours": rows}))["survival"].figure.axes[1]
    (curve,) = [line for line in panel.get_lines() if len(line.get_xdata()) == 5]
    assert list(curve.get_xdata()) == [0, 0.5, 1.5, 3.0, 20.0]
    assert list(curve.get_ydata()) == [0, 25, 50, 75, 75]
    assert [text.get_text() for text in panel.texts] == ["75 %  ours"]
    assert share_below(np.array([0.5, 2.0, np.inf, np.nan]), 2.0) == 0.25


def test_the_way_of_a_run_holds_its_last_error_and_begins_at_the_start():
    way = Way(80.0, np.array([1.0, 2.0]), np.array([10.0, 30.0]), np.array([9.0, 0.5]))
    assert list(way.at("seconds", np.array([0.5, 1.0, 1.9, 2.0, 50.0]))) == [80, 9, 9, 0.5, 0.5]
    assert list(way.at("renders", np.array([9.0, 10.0, 31.0]))) == [80, 9, 0.5]


def test_traces_without_numbers_are_left_out(tmp_path):
    good = {"seconds": 1.0, "renders": 3, "similarity": None, "mtre_mm": 2.0}
    traces = [
        [good],
        [],
        [{**good, "mtre_mm": None}],
        [{"seconds": 1.0}],
        [{**good, "seconds": math.inf}],
        ["nonsense"],
    ]
    rows = [row(case=f"{n}", trace=trace) for n, trace in enumerate(traces)]
    ways = ways_of(evaluation_of(tmp_path, {"ours": rows, "other": [row("other")]}))
    assert list(ways) == ["ours"] and len(ways["ours"]) == 1
    assert ways["ours"][0].start == math.inf


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(0.001, 0.2))
def test_labels_keep_their_order_and_their_distance_and_stay_inside(wanted, gap):
    placed = spread(wanted, gap)
    gap = min(gap, 1 / max(len(wanted) - 1, 1))
    order = np.argsort(wanted, kind="stable")
    assert (np.diff(placed[order]) >= gap - 1e-9).all()
    assert placed.min() >= -1e-9 and placed.max() <= 1 + 1e-9


def test_labels_that_do_not_overlap_stay_where_they_belong():
    assert np.allclose(spread([0.9, 0.1, 0.5], 0.1), [0.9, 0.1, 0.5])
    # Two at one place part evenly.
    assert np.allclose(spread([0.5, 0.5], 0.1), [0.45, 0.55])


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=200))
@example([82.6])
def test_groups_of_starts_hold_every_case_and_are_at_most_ten(starts):
    edges = distance_bins(np.array([*starts, np.nan]))
    assert 2 <= len(edges) <= 11
    assert edges[0] <= min(starts) and max(starts) < edges[-1]
    assert np.histogram(starts, edges)[0].sum() == len(starts)


def test_without_known_starts_there_are_no_groups():
    assert len(distance_bins(np.full(3, np.nan))) == 0


def test_methods_differ_in_colour_for_everybody_and_in_more_than_colour():
    names = [f"m{n}" for n in range(24)]
    look = looks(["initial", *names])
    assert len({(some.colour, str(some.dashes)) for some in look.values()}) == len(look)
    assert len({look[name].marker for name in names[:8]}) == 8
    colours = [np.array(to_rgb(look[name].colour)) ** 2.2 for name in names[:6]]
    for seen in (np.eye(3), PROTANOPIA, DEUTERANOPIA):
        for one, other in itertools.combinations(colours, 2):
            # A step of a tenth of the range in sRGB is seen without searching.
            shades = [np.clip(seen @ colour, 0, 1) ** (1 / 2.2) for colour in (one, other)]
            assert np.linalg.norm(shades[0] - shades[1]) > 0.1


def test_the_reader_s_settings_neither_change_figures_nor_are_changed(tmp_path):
    evaluation = evaluation_of(tmp_path, {"ours": [row(mtre_mm=1.0)]})
    plain, other = tmp_path / "plain", tmp_path / "other"
    save(drawn_by_stem(evaluation)["survival"].figure, plain)
    with mpl.rc_context({"font.size": 31, "lines.linewidth": 9, "axes.grid": False}):
        files = save(drawn_by_stem(evaluation)["survival"].figure, other)
        assert mpl.rcParams["font.size"] == 31
    assert [file.suffix for file in files] == [".png", ".pdf"]
    for file in files:
        assert file.read_bytes() == plain.with_suffix(file.suffix).read_bytes()


FAILED = {"error": "broke", "seconds": 1.0}
FINE = {
    "mtre_mm": 1.0,
    "initial_mtre_mm": 50.0,
    "rotation_deg": 1.0,
    "mtre_depth_mm": 0.5,
    "seconds": 2.0,
    "renders": 9,
}
TRACE = [{"seconds": 0.1, "renders": 2, "mtre_mm": 40.0}, {"seconds": 1.0, "renders": 9, "mtre_mm": 1.0}]


@pytest.mark.parametrize(
    "rows",
    [
        {"ours": [row(**FINE)]},
        {"ours": [row()]},
        {"initial": [row("initial", mtre_mm=50.0, initial_mtre_mm=50.0)]},
        {"ours": [row(**FAILED), row(case="1", **FAILED)], "b": [row("b", **FAILED)]},
        {"ours": [row(**{**FINE, "mtre_mm": math.inf, "mpd_mm": math.inf})]},
        {"ours": [row(**{**FINE, "mtre_mm": 0.0, "mtre_depth_mm": 0.0, "seconds": 0.0, "renders": 0})]},
        {"ours": [row(**{**FINE, "mtre_mm": 1e9, "initial_mtre_mm": 1e9})], "b": [row("b", **FINE)]},
        {"ours": [row(**FINE, accepted=True, trace=TRACE)], "b": [row("b", **FAILED, accepted=False)]},
        {"ours": [row(**{**FINE, "initial_mtre_mm": math.nan}, trace=TRACE)]},
        {"a$b_{": [row("a$b_{", **FINE)], "$\\frac": [row("$\\frac", **FINE, accepted=False)]},
    ],
)
def test_figures_are_drawn_whatever_happened(tmp_path, rows):
    drawn = drawn_by_stem(evaluation_of(tmp_path, rows))
    assert "survival" in drawn
    for stem, some in drawn.items():
        files = save(some.figure, tmp_path / stem)
        assert all(file.stat().st_size > 2000 for file in files)
        assert some.heading and some.caption
        for panel in some.figure.axes:
            assert np.isfinite([*panel.get_xlim(), *panel.get_ylim()]).all()


def test_long_names_are_whole_or_shortened_and_stay_inside_their_figure(tmp_path):
    name = "Levenberg-Marquardt on the objective of WWW"
    rows = {
        title: [row(title, f"{n}", **FINE, accepted=bool(n), similarity=n, trace=TRACE) for n in range(2)]
        for title in ("initial", name, name.upper(), "short")
    }
    for stem, some in drawn_by_stem(evaluation_of(tmp_path, rows)).items():
        some.figure.draw_without_rendering()
        names = [words for words in some.figure.findobj(Text) if "levenberg" in words.get_text().lower()]
        assert len(names) >= 2, stem
        for words in names:
            box = words.get_window_extent()
            assert box.x0 >= 0 and box.x1 <= some.figure.bbox.x1, (stem, words.get_text())
            assert box.y0 >= 0 and box.y1 <= some.figure.bbox.y1, (stem, words.get_text())


def test_names_are_folded_between_words():
    assert folded("short") == "short"
    assert folded("Ours, Levenberg-Marquardt alone", 27) == "Ours, Levenberg-Marquardt\nalone"
    assert all(len(line) <= 20 for line in folded("x" * 50 + " and a great many words after it", 20).split("\n"))


def test_figures_without_numbers_are_left_out(tmp_path):
    assert set(drawn_by_stem(evaluation_of(tmp_path, {"ours": [row()]}))) == {"survival"}
    rows = [row(**FINE, accepted=True, trace=TRACE)]
    everything = {"survival", "start", "capture", "axes", "cost", "convergence", "trust"}
    assert set(drawn_by_stem(evaluation_of(tmp_path, {"ours": rows}))) == everything


def test_the_far_lever_is_named_where_an_evaluation_is_about_it(tmp_path):
    rows = {"ours": [row(**FINE, mtre_far_mm=7.0)]}
    for metric, name, end in (("mtre_mm", "error (mTRE)", 1.0), ("mtre_far_mm", "error (far-lever mTRE)", 7.0)):
        panel = drawn_by_stem(evaluation_of(tmp_path, rows, metric))["survival"].figure.axes[1]
        assert panel.get_xlabel().startswith(name)
        assert end in panel.get_lines()[4].get_xdata()


def test_limits_hold_every_number_and_a_decade():
    low, high = limits([2.0, 3.0, math.inf, math.nan, 0.0], 1e-3, 1e3)
    assert low < 2 and high > 3 and high / low >= 10
    assert limits([], 1e-3, 1e3) == (1e-3, 1e3)
    low, high = limits([1e-9, 1e9], 1e-3, 1e3)
    assert low <= 1e-3 and high >= 1e3


def test_long_names_keep_their_ends():
    assert shortened("short") == "short"
    told = shortened("a very long name of a method of ours", 20)
    assert len(told) == 20 and told.startswith("a very long") and told.endswith("ours"[-3:])
