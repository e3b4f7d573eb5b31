"""Figures of many cases against closed forms, counting by hand and published tables."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import bootstrap

from xrayreg.benchmark.statistics import StudyRow, compare, errors_of, success_rate, summary, wilson
from xrayreg.benchmark.statistics.comparison import (
    Interval,
    best_share,
    bootstrapped,
    capture_range,
    mcnemar,
    quantile,
    survival_auc,
    survival_curve,
)
from xrayreg.checks import InputError


def row(case: int, mtre: float, **more: object) -> StudyRow:
    fields = {"initial_mtre_mm": 20.0, "mtre_mm": mtre, "rotation_deg": mtre / 2, "mpd_mm": mtre, "seconds": 1.0}
    return StudyRow("m", "C-A", f"{case:03}", **{**fields, **more})  # type: ignore[arg-type]


def rows(errors: list[float]) -> list[StudyRow]:
    return [row(n, error) for n, error in enumerate(errors)]


def test_success_counts_what_is_below_each_threshold():
    figures = summary(rows([0.5, 1.0, 1.5, 4.9, 5.0, 9.9, 10.0, 30.0]))
    assert [rate.percent for rate in (figures.sr1, figures.sr2, figures.sr5, figures.sr10)] == [12.5, 37.5, 50.0, 75.0]
    assert figures.gfr.percent == 12.5  # 10.0 is neither below nor above 10
    assert figures.sr_1deg.percent == 37.5 and figures.sr_pd1.percent == 12.5


def test_a_run_that_failed_is_an_infinite_error():
    good = rows([1.0, 2.0, 3.0])
    failed = [*good, row(3, 0.1, error="It broke."), row(4, math.nan)]
    figures = summary(failed)
    assert figures.n == 5 and figures.failed == 2
    assert figures.sr10.percent == 60.0 and figures.gfr.percent == 40.0
    assert figures.median == 3.0 and math.isinf(figures.mean) and math.isinf(figures.p95)
    assert figures.auc_20mm == pytest.approx((0.95 + 0.9 + 0.85) / 5)
    # Success of the other measures is denied to it as well.
    assert figures.sr_pd1.percent == 0.0


def test_giving_up_never_pays():
    errors = [0.5, 3.0, 8.0, 40.0]
    honest = summary(rows(errors))
    for which in range(4):
        given_up = rows(errors)
        given_up[which] = replace(given_up[which], error="No idea.", mtre_mm=math.nan)
        figures = summary(given_up)
        assert figures.sr10.percent <= honest.sr10.percent and figures.gfr.percent >= honest.gfr.percent
        assert figures.median >= honest.median and figures.auc_20mm <= honest.auc_20mm


def test_the_best_of_a_uniform_spread_have_half_its_mean():
    errors = np.arange(1, 1001) / 10
    best = best_share(errors, 50.0)
    assert best.mean == pytest.approx(25.05) and best.sd == pytest.approx(50 / math.sqrt(12), rel=1e-3)
    # Infinite errors beyond the share do not spoil it, within it they do.
    errors[-40:] = math.inf
    assert best_share(errors, 95.0).mean == pytest.approx(47.55)
    errors[-60:] = math.inf
    assert math.isinf(best_share(errors, 95.0).mean)


def test_the_area_under_the_survival_curve_is_that_of_the_curve():
    errors = np.random.default_rng(0).gamma(2.0, 5.0, 200)
    thresholds = np.linspace(0, 20, 20001)
    curve = survival_curve(errors, thresholds)
    assert (np.diff(curve) >= 0).all() and curve[0] >= 0 and curve[-1] <= 1
    assert survival_auc(errors) == pytest.approx(curve.mean(), abs=1e-3)
    assert survival_auc(np.zeros(3)) == 1.0 and survival_auc(np.array([20.0, math.inf])) == 0.0


def test_the_capture_range_ends_where_the_first_bin_fails():
    initial = np.repeat(np.arange(0.5, 40, 2.0), 20)  # bins of 2 mm, 20 cases in each
    errors = np.where(initial < 24, 0.5, 50.0)
    assert capture_range(initial, errors) == 24.0
    # One failure of 20 is 95 %, two are not.
    errors[100], errors[140] = 50.0, 50.0
    assert capture_range(initial, errors) == 24.0
    errors[101] = 50.0
    assert capture_range(initial, errors) == 10.0


def test_empty_bins_neither_end_nor_extend_the_capture_range():
    assert capture_range(np.array([1.0, 9.0]), np.array([0.1, 0.1])) == 10.0
    assert capture_range(np.array([9.0]), np.array([5.0])) == 0.0
    assert capture_range(np.array([math.nan]), np.array([0.1])) == 0.0


def test_wilsons_interval_ends_where_the_share_is_1_96_standard_deviations_away():
    for hits, n in ((0, 10), (5, 10), (61, 100), (305, 500), (100, 100)):
        found = wilson(hits, n)
        assert 0.0 <= found.low <= found.percent <= found.high <= 100.0
        for end in (found.low / 100, found.high / 100):
            # At 0 and at 1 the deviation is none, and the share is there itself.
            assert (hits / n - end) ** 2 == pytest.approx(1.959964**2 * end * (1 - end) / n, rel=1e-6, abs=1e-12)
    assert math.isnan(wilson(0, 0).percent)


def test_the_interval_of_61_percent_of_500_is_four_points_wide_each_way():
    found = wilson(305, 500)
    assert found.high - found.percent == pytest.approx(4.2, abs=0.2)


def test_the_bootstrap_interval_of_a_mean_is_that_of_the_normal_law():
    values = np.random.default_rng(1).normal(10, 2, 400)
    found = bootstrapped(lambda which: float(values[which].mean()), 400)
    assert found.low == pytest.approx(values.mean() - 1.96 * values.std() / 20, abs=0.02)
    assert found.high == pytest.approx(values.mean() + 1.96 * values.std() / 20, abs=0.02)
    assert found == bootstrapped(lambda which: float(values[which].mean()), 400)  # seeded


def test_the_bootstrap_is_that_of_a_reference_implementation():
    values = np.random.default_rng(4).gamma(1.0, 5.0, 60)
    found = bootstrapped(lambda which: quantile(values[which], 0.5), len(values))
    options = {"n_resamples": 2000, "method": "percentile", "random_state": np.random.default_rng(0)}
    expected = bootstrap((values,), np.median, **options).confidence_interval
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_one_case_alone_has_an_interval_too():
    assert bootstrapped(lambda which: float(which[0] + 7), 1) == Interval(7.0, 7.0)


def test_quantiles_are_numpys_and_stand_infinity():
    values = np.random.default_rng(2).normal(size=101)
    for share in (0.0, 0.3, 0.5, 0.777, 1.0):
        assert quantile(values, share) == pytest.approx(np.quantile(values, share))
    assert quantile(np.array([1.0, math.inf]), 0.5) == math.inf
    assert quantile(np.array([1.0, 1.0, math.inf]), 0.5) == 1.0
    assert quantile(np.array([math.inf, math.inf]), 0.5) == math.inf


def test_mcnemars_test_is_the_exact_binomial_one():
    for only_a, only_b in ((0, 0), (1, 0), (6, 0), (12, 3), (40, 45)):
        n = only_a + only_b
        tail = sum(math.comb(n, k) for k in range(min(only_a, only_b) + 1)) / 2**n
        assert mcnemar(only_a, only_b) == pytest.approx(min(1.0, 2 * tail))
        assert mcnemar(only_a, only_b) == mcnemar(only_b, only_a)


def test_a_method_does_not_differ_from_itself():
    same = compare(rows([0.5, 3.0, 20.0]), rows([0.5, 3.0, 20.0]))
    assert same.sr10 == same.median == 0.0 and same.p_value == 1.0
    assert (same.sr10_interval.low, same.sr10_interval.high) == (0.0, 0.0)


def test_pairs_are_by_case_and_show_what_unpaired_figures_hide():
    generator = np.random.default_rng(3)
    hard = generator.gamma(1.0, 20.0, 200)
    better, worse = rows(list(hard)), rows(list(hard + 0.5))
    found = compare(better, list(reversed(worse)))
    assert found.median == pytest.approx(-0.5) and found.median_interval.high < 0
    # Unpaired, half a millimetre disappears in the spread of the cases.
    assert summary(better).median_interval.high > summary(worse).median_interval.low


def test_cases_that_one_method_alone_was_given_are_left_out():
    assert compare(rows([1.0, 2.0, 3.0]), rows([1.0, 2.0])).n == 2
    with pytest.raises(ValueError, match="both"):
        compare(rows([1.0]), [])


def test_two_methods_that_both_fail_do_not_differ():
    lost = [row(n, math.nan, error="No.") for n in range(4)]
    found = compare(lost, lost)
    assert found.median == 0.0 and found.median_interval.low == 0.0


def test_the_verdict_is_scored_too():
    told = [row(0, 1.0, accepted=True), row(1, 30.0, accepted=True), row(2, 40.0, accepted=False), row(3, 1.0)]
    figures = summary(told)
    assert figures.accepted is not None and figures.accepted.percent == pytest.approx(200 / 3)
    gross, _, exact = figures.trust
    assert (gross.accepted_right, gross.accepted_wrong, gross.rejected_right, gross.rejected_wrong) == (1, 1, 0, 1)
    assert (gross.wrong_mm, exact.wrong_mm) == (10.0, 2.0)
    assert summary(rows([1.0])).accepted is None


def test_a_summary_can_be_taken_of_another_metric():
    far = [row(n, 1.0, mtre_far_mm=12.0) for n in range(3)]
    assert summary(far).sr10.percent == 100.0
    assert summary(far, "mtre_far_mm").sr10.percent == 0.0


def test_no_rows_have_no_summary():
    with pytest.raises(ValueError, match="at least one"):
        summary([])


def test_a_row_survives_json_with_all_that_it_holds():
    told = row(7, 1.25, translation_mm=(1.0, -2.0, 0.5), accepted=True, error="", trace=[{"mtre_mm": 3.0}])
    again = StudyRow.from_dict(json.loads(json.dumps(told.as_dict(), allow_nan=False)))
    assert again.as_dict() == told.as_dict()
    assert math.isnan(again.mtre_far_mm) and again.translation_mm == (1.0, -2.0, 0.5)


def test_an_infinite_number_of_a_row_comes_back_as_unknown_and_counts_as_infinite():
    again = StudyRow.from_dict(json.loads(json.dumps(row(0, 5.0, mpd_mm=math.inf).as_dict(), allow_nan=False)))
    assert errors_of([again], "mpd_mm")[0] == math.inf
    assert success_rate(errors_of([again], "mtre_mm"), 10.0).percent == 100.0


@pytest.mark.parametrize(
    "content", [{}, {"method": "m", "arm": "a", "case": 3}, {"method": "m", "arm": "a", "case": "1", "mtre_mm": "far"}]
)
def test_a_line_that_is_no_row_is_told(content):
    with pytest.raises(InputError, match="result"):
        StudyRow.from_dict(content)
