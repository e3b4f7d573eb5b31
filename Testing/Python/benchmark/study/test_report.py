"""The report tells the results truly, alone, safely and the same each time."""

from __future__ import annotations

import base64
import io
import re
import shutil
from dataclasses import replace
from datetime import date

import numpy as np
import pelvis_scenes
import pytest
from evaluation_folders import METHODS, write_evaluation, write_rows
from html_pages import page_of
from PIL import Image

from xrayreg.benchmark import plotting
from xrayreg.benchmark.report import gallery
from xrayreg.benchmark.report import study_report as report
from xrayreg.benchmark.report.gallery import FOUND, TRUE
from xrayreg.benchmark.report.report_tables import report_tables
from xrayreg.benchmark.report.study_report import write_report
from xrayreg.benchmark.report.wording import UNKNOWN
from xrayreg.benchmark.statistics import StudyRow, compare, summary
from xrayreg.benchmark.study.reading import read_evaluation
from xrayreg.benchmark.tables.literature import ELSEWHERE
from xrayreg.checks import InputError

DAY = date(2026, 1, 2)
NASTY = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>&amp;|*_`$\\[a](b)"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder of four methods and two cases with images, and its report."""
    folder = tmp_path_factory.mktemp("evaluation")
    rows = write_evaluation(folder, 2, images=2)
    return folder, rows, write_report(folder, DAY)


@pytest.fixture
def unsaved(monkeypatch):
    """Figures are drawn and not rendered, which takes longer than all else, where nobody looks at them.

    test_figures.py saves figures of whatever happened.
    """

    def save(figure, stem):
        files = [stem.with_name(stem.name + suffix) for suffix in (".png", ".pdf")]
        Image.new("L", (1, 1)).save(files[0])
        files[1].touch()
        return files

    monkeypatch.setattr(report, "save", save)


@pytest.fixture
def pictures_alone(monkeypatch):
    """Figures are rendered as pictures and not as PDF, where nobody looks at that."""

    def save(figure, stem):
        files = [stem.with_name(stem.name + suffix) for suffix in (".png", ".pdf")]
        with plotting.styled():
            figure.savefig(files[0], dpi=plotting.DPI)
        files[1].touch()
        return files

    monkeypatch.setattr(report, "save", save)


def tables_of(folder):
    evaluation = read_evaluation(folder)
    return report_tables(evaluation, [summary(method.rows, evaluation.metric) for method in evaluation.methods])


def row(method: str = "a", case: str = "000", **numbers: object) -> StudyRow:
    return StudyRow(method, "V-A", case, **numbers)  # type: ignore[arg-type]


def test_the_page_tells_the_numbers_of_the_summary(made):
    folder, rows, written = made
    assert written[:2] == [folder / "report.html", folder / "report.md"]
    page = page_of(written[0])
    assert not page.open
    figures = summary([some for some in rows if some.method == "ours"])
    assert f"{figures.median:.2f}" in page.text and f"{figures.sr10.percent:.0f}" in page.text
    for told in (*(entry[0] for entry in METHODS.values()), "pelvis.nii.gz", "sha256:1f0e6a", "2.083", "2026-01-02"):
        assert told in page.text, told
    assert "legacy, do not interpret" in page.text and "far-lever" in page.text
    assert figures.n == 2 and "2 cases" in page.text


def test_the_page_needs_nothing_else(made):
    text = made[2][0].read_text(encoding="utf-8")
    page = page_of(made[2][0])
    assert not re.search(r"https?:|//[a-z]|@import|url\(", re.sub(r"base64,[^\"]*", "", text))
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    sources = [value for name, value in page.attributes if name == "src"]
    assert sources and all(value.startswith("data:image/") for value in sources)
    for value in sources:
        Image.open(io.BytesIO(base64.b64decode(value.partition(",")[2]))).verify()


def test_markdown_tells_the_same_beside_its_figures(made):
    folder, _, written = made
    text = (folder / "report.md").read_text(encoding="utf-8")
    images = re.findall(r"!\[[^\]]*\]\(([^)]*)\)", text)
    assert len(images) == page_of(written[0]).tags.count("img")
    assert all((folder / image).is_file() for image in images)
    assert sorted(written[2:]) == sorted((folder / "figures").iterdir())
    for table in tables_of(folder):
        assert f"## {table.heading}" in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    # Every line of a table has as many cells as the line above it.
    for above, line in zip(text.splitlines(), text.splitlines()[1:], strict=False):
        if above in lines and line in lines:
            assert len(re.findall(r"(?<!\\)\|", above)) == len(re.findall(r"(?<!\\)\|", line)), line


def test_the_same_results_give_the_same_bytes_but_for_the_date(made, tmp_path):
    folder, _, written = made
    other = tmp_path / "again"
    shutil.copytree(folder, other)
    again = write_report(other, date(2027, 3, 4))
    assert [path.relative_to(other) for path in again] == [path.relative_to(folder) for path in written]
    for one, two in zip(written, again, strict=True):
        assert one.read_bytes() == two.read_bytes().replace(b"2027-03-04", b"2026-01-02"), one


def test_worst_cases_come_first_with_red_where_found_and_green_where_true(made):
    folder, rows, _ = made
    errors = {some.case: some.mtre_mm for some in rows if some.method == "xvr" and not some.failed}
    worst = max(errors, key=errors.__getitem__)
    text = (folder / "report.md").read_text(encoding="utf-8")
    captions = re.findall(r"^Case (\d+): .*mTRE", text, re.MULTILINE)
    before = len([some for some in rows if some.method == "ours" and not some.failed])
    assert captions[before] == worst
    picture = np.asarray(Image.open(folder / "figures" / "worst_2_xvr_1.png")).astype(int)
    for colour in (FOUND, TRUE):
        assert (np.abs(picture - colour).max(axis=-1) < 40).sum() > 500


def test_the_worst_that_was_accepted_is_shown_though_others_are_worse(tmp_path):
    pose = np.eye(4).tolist()
    told = {"0": (90.0, False), "1": (80.0, False), "2": (70.0, False), "3": (30.0, True), "4": (20.0, True)}
    rows = [
        row("a", case, mtre_mm=error, accepted=accepted, camera_from_volume=pose)
        for case, (error, accepted) in told.items()
    ]
    write_rows(tmp_path, rows)
    assert [some.case for some in gallery.worst_of(read_evaluation(tmp_path))["a"]] == ["0", "1", "3"]
    # Where what was accepted is right, the worst are the worst.
    write_rows(tmp_path, [*rows[:3], replace(rows[3], mtre_mm=9.0), replace(rows[4], mtre_mm=1.0)])
    assert [some.case for some in gallery.worst_of(read_evaluation(tmp_path))["a"]] == ["0", "1", "2"]


def test_a_pose_that_is_right_covers_the_true_one(unsaved, made, tmp_path):
    folder, rows, _ = made
    shutil.copytree(folder / "cases", tmp_path / "cases")
    case = read_case_truth(tmp_path)
    right = replace(rows[0], case="000", error="", mtre_mm=0.0, camera_from_volume=case.tolist())
    write_rows(tmp_path, [right])
    write_report(tmp_path, DAY)
    picture = np.asarray(Image.open(tmp_path / "figures" / "worst_1_ours_1.png")).astype(int)
    red, green = ((np.abs(picture - colour).max(axis=-1) < 40).sum() for colour in (FOUND, TRUE))
    assert red > 500 and green == 0


def read_case_truth(folder):
    from xrayreg.io import parse_case

    case = parse_case(folder / "cases" / "000" / "case.json")
    return case.views[0].camera.camera_from_world @ case.reference


def test_cases_of_a_data_set_are_drawn_from_there(unsaved, tmp_path, monkeypatch):
    class Shelf:
        def scene(self, case):
            return pelvis_scenes.scene() if case == "here" else pelvis_scenes.scene(reference=None)

    monkeypatch.setattr(gallery, "open_dataset", lambda path: {"shelf.h5": Shelf()}[path])
    (tmp_path / "arm.json").write_text('{"name": "shelf", "dataset": "shelf.h5"}', encoding="utf-8")
    pose = pelvis_scenes.nearby().tolist()
    rows = [row(case=case, mtre_mm=float(n), camera_from_volume=pose) for n, case in enumerate(("here", "elsewhere"))]
    write_rows(tmp_path, rows)
    page = page_of(write_report(tmp_path, DAY)[0])
    assert "Case here: 0 mm mTRE" in page.text and "Case elsewhere could not be drawn" in page.text
    assert [file.name for file in (tmp_path / "figures").glob("worst*")] == ["worst_1_a_2.png"]


def test_cases_that_cannot_be_drawn_are_named(unsaved, tmp_path):
    write_evaluation(tmp_path, 2)
    text = page_of(write_report(tmp_path, DAY)[0]).text
    assert "Case 000 could not be drawn" in text and "case.json" in text


@pytest.mark.parametrize(
    "rows",
    [
        [row(mtre_mm=1.0)],
        [row()],
        [row(error="broke")],
        [row(error="broke"), row("b", error="broke"), row("b", "001", error="broke")],
        [row(mtre_mm=float("inf"), mpd_mm=float("inf"), seconds=float("nan"))],
        [row("initial", mtre_mm=40.0, initial_mtre_mm=40.0)],
        [row(mtre_mm=1.0), row("b", "001", mtre_mm=1.0)],
        [row(mtre_mm=1.0, accepted=False), row("b", mtre_mm=30.0, accepted=True)],
    ],
)
def test_a_report_is_written_whatever_happened(unsaved, tmp_path, rows):
    write_rows(tmp_path, rows)
    page = page_of(write_report(tmp_path, DAY)[0])
    assert not page.open
    assert "nan" not in re.sub(r"\w{4,}", "", page.text).split()


def test_text_from_outside_stays_text(unsaved, tmp_path):
    rows = [row(NASTY, mtre_mm=1.0, accepted=True), row("b", error=NASTY), row("b", "001", error="x" * 5000)]
    write_rows(tmp_path, rows)
    (tmp_path / "arm.json").write_text(
        '{"name": "<b>", "title": "<i>&", "volume": {"path": "<u>"}, "<s>": "<p>"}', encoding="utf-8"
    )
    html, markdown = write_report(tmp_path, DAY)[:2]
    page = page_of(html)
    assert not page.open
    assert not {"script", "b>", "i", "u", "s"} & set(page.tags)
    assert not any(name == "onerror" for name, _ in page.attributes)
    assert NASTY in page.text
    told = markdown.read_text(encoding="utf-8")
    assert not re.search(r"(?<!\\)<", told)


def test_an_arm_without_a_table_and_a_damaged_line_are_no_obstacle(unsaved, tmp_path):
    write_rows(tmp_path, [row(mtre_mm=1.0), row(case="001", mtre_mm=2.0)])
    with (tmp_path / "results.jsonl").open("a", encoding="utf-8") as file:
        file.write('[1]\nnull\n{"method": "a", "arm": "V-A", "case": "002", "mtre_mm": "far"}\n{"method": "a", "ca')
    (tmp_path / "arm.json").write_text("{ torn", encoding="utf-8")
    text = page_of(write_report(tmp_path, DAY)[0]).text
    assert "4 damaged lines" in text and "2 cases" in text


def test_the_last_result_of_a_case_counts(tmp_path):
    write_rows(tmp_path, [row(mtre_mm=50.0), row(mtre_mm=1.0)])
    (method,) = read_evaluation(tmp_path).methods
    assert [some.mtre_mm for some in method.rows] == [1.0]


def test_without_results_nothing_is_written(tmp_path):
    (tmp_path / "arm.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match=r"results\.jsonl"):
        write_report(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["arm.json"]


def test_figures_of_an_earlier_report_do_not_stay(unsaved, tmp_path):
    write_rows(tmp_path, [row(mtre_mm=1.0, accepted=True)])
    assert (tmp_path / "figures" / "trust.png") in write_report(tmp_path, DAY)
    (tmp_path / "figures" / "my own.png").write_bytes(b"mine")
    write_rows(tmp_path, [row(mtre_mm=1.0)])
    assert (tmp_path / "figures" / "trust.png") not in write_report(tmp_path, DAY)
    assert (tmp_path / "figures" / "my own.png").exists()
    assert not (tmp_path / "figures" / "trust.png").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_the_best_of_a_column_is_marked_and_the_start_takes_no_part(tmp_path):
    rows = [row("initial", f"{n}", mtre_mm=0.0, seconds=0.0) for n in range(4)]
    rows += [row("a", f"{n}", mtre_mm=error, seconds=9.0) for n, error in enumerate((0.5, 0.6, 0.7, 30.0))]
    rows += [row("b", f"{n}", mtre_mm=error, seconds=3.0) for n, error in enumerate((1.5, 1.6, 1.7, 1.8))]
    write_rows(tmp_path, rows)
    main = tables_of(tmp_path)[0]
    marked = {
        (line.head, column)
        for line in main.rows
        for cell, column in zip(line.cells, main.columns, strict=True)
        if cell.best
    }
    assert marked == {
        ("a", "median mTRE [mm]"),
        ("a", "< 1 mm [%]"),
        ("b", "< 2 mm [%]"),
        ("b", "< 5 mm [%]"),
        ("b", "< 10 mm [%]"),
        ("b", "> 10 mm [%]"),
        ("b", "time [s]"),
    }


def test_comparisons_are_with_the_first_method_that_moves(tmp_path):
    write_evaluation(tmp_path, 12)
    evaluation = read_evaluation(tmp_path)
    by_name = {method.name: method for method in evaluation.methods}
    (table,) = [table for table in tables_of(tmp_path) if table.heading.startswith("Compared")]
    found = compare(by_name["ours"].rows, by_name["xvr"].rows)
    line = table.rows[0]
    assert line.head == METHODS["xvr"][0] and line.cells[0].text == "12"
    assert line.cells[1].text.endswith(f"{found.sr10:.1f}".removeprefix("-"))
    assert [cell.text for cell in line.cells[3:5]] == [str(found.only_a), str(found.only_b)]
    assert len(table.rows) == 2


def test_published_numbers_stand_only_where_the_definition_is_the_same(tmp_path):
    write_evaluation(tmp_path, 2)
    (best,) = [table for table in tables_of(tmp_path) if table.heading == "Mean, and best part of the cases"]
    assert ELSEWHERE in " ".join(line.head for line in best.rows).lower()
    published = [line for line in best.rows if line.quiet and line.cells]
    # The columns of mTRE at the anatomy and the mean of all have no published counterpart.
    assert all(not cell.text for line in published for cell in line.cells[:6])
    assert all(len(line.cells) == len(best.columns) for line in published)
    # The initial errors of ISBI 2024, Table 1.
    assert [cell.text for cell in published[0].cells[6:9]] == ["225.7 ± 89.7", "188.6 ± 64.5", "148.0 ± 47.3"]
    (tmp_path / "arm.json").write_text('{"name": "V-A"}', encoding="utf-8")
    assert not any(line.quiet for table in tables_of(tmp_path) for line in table.rows)


def test_each_disturbance_has_its_line(tmp_path):
    rows = [row("a", f"{n}", variant="metal" if n % 2 else "", mtre_mm=50.0 if n % 2 else 1.0) for n in range(6)]
    write_rows(tmp_path, rows)
    (table,) = [table for table in tables_of(tmp_path) if table.heading == "By disturbance"]
    assert [(line.head, line.cells[0].text) for line in table.rows] == [("undisturbed", "100 %"), ("metal", "0 %")]


def test_hundreds_of_cases_and_long_names_fit(pictures_alone, tmp_path):
    generator = np.random.default_rng(0)
    names = [f"a method with a very long name that goes on and on, variant number {n}" for n in range(9)]
    rows = [
        row(
            name,
            f"{case:03d}",
            mtre_mm=float(generator.lognormal(1, 2)),
            initial_mtre_mm=float(generator.uniform(5, 90)),
        )
        for name in names
        for case in range(400)
    ]
    write_rows(tmp_path, rows)
    page = page_of(write_report(tmp_path, DAY)[0])
    assert not page.open and all(name in page.text for name in names)
    for figure in (tmp_path / "figures").glob("*.png"):
        # No figure grows beyond what a page shows.
        assert Image.open(figure).width < 2400


def test_the_summary_counts_what_was_accepted_although_wrong(unsaved, tmp_path):
    rows = [row("a", f"{n}", mtre_mm=error, accepted=error != 40.0) for n, error in enumerate((0.5, 0.6, 30.0, 40.0))]
    write_rows(tmp_path, [*rows, row("a", "9", error="broke")])
    text = page_of(write_report(tmp_path, DAY)[0]).text
    assert "a brought 40 % of 5 cases to within 10 mm" in text
    # Wilson's interval of one in three.
    assert "a accepted 3 of its results; 1 of these was wrong by more than 10 mm (33 %; 6\N{EN DASH}79 %)." in text


def test_the_table_of_trust_counts_each_verdict_at_each_threshold(tmp_path):
    errors = {"0": (0.5, True), "1": (3.0, True), "2": (30.0, True), "3": (0.7, False), "4": (40.0, False)}
    rows = [
        row("a", case, mtre_mm=error, accepted=accepted, similarity=1 / error)
        for case, (error, accepted) in errors.items()
    ]
    rows += [row("b", case, mtre_mm=error, similarity=0.5) for case, (error, _) in errors.items()]
    write_rows(tmp_path, [*rows, row("silent", "0", mtre_mm=1.0)])
    (table,) = [table for table in tables_of(tmp_path) if table.heading == "Can its verdict be trusted?"]
    told = {(line.head, line.cells[0].text): [cell.text for cell in line.cells[1:]] for line in table.rows}
    assert told["a", "10"] == ["60", "2", "1", "1", "1", "33", "1.000"]
    assert told["a", "5"] == ["60", "2", "1", "1", "1", "33", "1.000"]
    assert told["a", "2"] == ["60", "1", "2", "1", "1", "67", "1.000"]
    # Without verdicts there is still the similarity, here as good as none.
    assert told["b", "2"] == [UNKNOWN] * 6 + ["0.500"]
    assert not any(head == "silent" for head, _ in told)
