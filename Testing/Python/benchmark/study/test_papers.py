"""The descriptions of the papers' tables: rows that can be run, and the numbers that are published."""

from __future__ import annotations

import pytest

from xrayreg.benchmark.methods import METHODS
from xrayreg.benchmark.study.protocol import arm_names
from xrayreg.benchmark.tables.papers import PAPER_NAMES, PaperRow, paper_table
from xrayreg.checks import InputError
from xrayreg.settings import NetworkCamera, SimilaritySettings

TABLES = [paper_table(name) for name in PAPER_NAMES]
ROWS = [(table, row) for table in TABLES for arm in table.arms for row in arm.rows]

# As they stand in the papers (methods.md A1 and A3): means of the best 95, 75 and 50 % of the cases [mm], share below
# 10 mm [%], both by the far lever.
CHEN = {
    "Initial": ((225.7, 188.6, 148.0), None),
    "CMA-ES": ((98.6, 55.7, 24.2), 22.0),
    "ProST": ((185.7, 151.2, 114.3), None),
    "ProST + CMA-ES": ((38.3, 12.8, 2.6), 55.6),
    "SOPI": ((163.6, 133.1, 101.3), None),
    "SOPI + CMA-ES": ((34.7, 9.1, 2.2), 58.4),
    "Chen et al.": ((155.7, 127.2, 95.1), None),
    "Chen et al. + CMA-ES": ((32.0, 7.9, 2.2), 61.0),
    "This program": None,
}


def rows_of(name: str, arm: str) -> dict[str, PaperRow]:
    found = paper_table(name).arm(arm)
    assert found is not None
    return {row.title: row for row in found.rows}


@pytest.mark.parametrize(("table", "row"), ROWS, ids=[f"{table.name}-{row.method}" for table, row in ROWS])
def test_a_row_is_a_method_of_ours_with_the_network_that_it_needs(table, row):
    needs = METHODS[row.method].needs
    assert bool(row.network) == bool({"network", "similarity"} & set(needs))
    if row.network:
        network = table.network(row.network)
        assert row.method.partition("+")[0] == network.name
        assert ("network" in needs) == (network.architecture is None)
        assert network.architecture in (None, network.name)
    for words in (row.same, row.different):
        assert words.endswith(".") and "  " not in words


@pytest.mark.parametrize("table", TABLES, ids=PAPER_NAMES)
def test_a_table_has_arms_of_the_protocol_and_no_network_that_no_row_needs(table):
    used = {row.network for arm in table.arms for row in arm.rows} - {""}
    assert used == {network.name for network in table.networks}
    for arm in table.arms:
        assert arm.arm in arm_names() and arm.same.endswith(".") and arm.different.endswith(".")
        # The start comes first: with it alone the cases are made.
        assert arm.rows[0].method == "initial"
        assert len({row.title for row in arm.rows}) == len({row.method for row in arm.rows}) == len(arm.rows)
    assert {network.arm for network in table.networks} <= {arm.arm for arm in table.arms}


def test_the_words_on_the_networks_are_true():
    assert not SimilaritySettings().volume_network and SimilaritySettings().width == 0.5
    assert all("half as wide" in row.different for table, row in ROWS if row.network not in ("", "network"))
    assert NetworkCamera().image_px == 64
    assert "without the 3D network" in rows_of("isbi2024", "C-A")["ProST"].different


def test_the_numbers_of_isbi_2024_are_those_of_its_table():
    found = rows_of("isbi2024", "C-A")
    assert list(found) == list(CHEN)
    for title, known in CHEN.items():
        line = found[title].published
        assert known is None or (line is not None and line.sr10 is line.median_mm is None)
        assert (None if line is None else (tuple(mean for mean, _ in line.best), line.far_sr10)) == known
    initial, last = found["Initial"].published, found["Chen et al. + CMA-ES"].published
    assert initial is not None and [sd for _, sd in initial.best] == [89.7, 64.5, 47.3]
    assert last is not None and last.best[2] == (2.2, 0.9)
    assert "49.4 %" in found["CMA-ES"].different


@pytest.mark.parametrize(("arm", "title"), [("P-A", "ProST (MICCAI 2020)"), ("P-B", "ProST (TMI 2024)")])
def test_the_numbers_of_prost_are_those_of_its_second_paper(arm, title):
    found = rows_of("prost", arm)
    alone, then = found["CMA-ES"].published, found[f"{title} + CMA-ES"].published
    assert alone is not None and (alone.sr10, alone.median_mm, alone.far_sr10) == (28.5, None, None)
    assert then is not None and (then.sr10, then.median_mm, then.best) == (65.6, 4.4, ())
    assert found[title].published is None
    assert "36.0 %" in found["CMA-ES"].different and "73.2 %" in found[f"{title} + CMA-ES"].told


def test_the_numbers_of_xvr_are_told_in_words_as_none_is_in_our_metric():
    found = rows_of("xvr", "X-A")
    assert all(row.published is None for row in found.values())
    assert "20 to 40 mm" in found["Network"].told and "96.2 %" in found["Network + refinement"].told
    assert "30.5 %" in found["Fixed pose + refinement"].different
    elsewhere = paper_table("xvr").networks[0].elsewhere
    assert (elsewhere.iterations, elsewhere.batch, elsewhere.minutes) == (30_000, 116, 720)


def test_prost_trains_for_2000_epochs_of_50_iterations():
    elsewhere = paper_table("prost").network("prost-vit").elsewhere
    assert (elsewhere.iterations, elsewhere.batch) == (2000 * 50, 2)


def test_an_unknown_table_is_told_with_the_three_that_there_are():
    with pytest.raises(InputError, match="isbi2024, prost, xvr, found miccai2030"):
        paper_table("miccai2030")
