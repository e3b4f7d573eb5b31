"""Rows of a study are read as they were written: lines end at line feeds, and only a torn end is cut off."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from killed_at_each_step import files_in, killed_at_each_step, needs_fork

from xrayreg.benchmark.statistics import StudyRow
from xrayreg.benchmark.study.reading import RESULTS, read_evaluation, read_rows
from xrayreg.benchmark.study.study_folder import StudyFolder, append

# What str.splitlines takes for the end of a line, and a letter of several bytes.
ENDS = "\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e\r\n é"
ROWS = [
    StudyRow("ours", "C-A", "000", mtre_mm=1.0, reason=f"one{ENDS}line"),
    StudyRow("ours", "C-A", "001", mtre_mm=2.0, error=f"{ENDS}"),
    StudyRow(f"x{ENDS}vr", "C-A", "000", mtre_mm=3.0),
]


def written(path: Path, rows: list[StudyRow]) -> bytes:
    """A file of rows as a study writes it; returns its content."""
    file = path / RESULTS
    file.unlink(missing_ok=True)
    with file.open("a", encoding="utf-8") as opened:
        for row in rows:
            append(opened, row)
    return file.read_bytes()


def named(rows: list[StudyRow]) -> dict[tuple[str, str], dict]:
    return {(row.method, row.case): row.as_dict() for row in rows}


def read(path: Path) -> dict[tuple[str, str], dict]:
    return named(list(read_rows(path / RESULTS).rows.values()))


texts = st.text(st.one_of(st.sampled_from(ENDS), st.characters(exclude_categories=["Cs"])), max_size=12)


@settings(max_examples=60)
@given(st.lists(st.builds(StudyRow, method=texts, arm=texts, case=texts, error=texts, reason=texts), max_size=4))
def test_whatever_text_a_row_holds_it_is_read_again_and_the_file_stays_as_it_is(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("study")
    before = written(folder, rows)
    assert read(folder) == named(rows)
    found, said = StudyFolder(folder).mended_rows()
    assert named(list(found.values())) == named(rows) and said == ""
    assert (folder / RESULTS).read_bytes() == before


@pytest.fixture
def all_rows(tmp_path):
    return written(tmp_path, ROWS)


def test_cut_off_anywhere_a_file_keeps_every_row_that_was_whole(tmp_path, all_rows):
    file = tmp_path / RESULTS
    ends = [n + 1 for n, byte in enumerate(all_rows) if byte == ord("\n")]
    for length in range(len(all_rows)):
        file.write_bytes(all_rows[:length])
        # A row whose line lacks nothing but its end is whole.
        whole = sum(end - 1 <= length for end in ends)
        found, said = StudyFolder(tmp_path).mended_rows()
        assert named(list(found.values())) == named(ROWS[:whole]), length
        assert file.read_bytes() == all_rows[: ends[whole - 1] if whole else 0], length
        torn = length not in (0, *ends, *(end - 1 for end in ends))
        assert said == ("the last line of results.jsonl, not written to its end, was cut off" if torn else "")


@pytest.mark.parametrize("damage", [b"{}", b"null", b"[1]", b"\xff\xfe", b'{"method": 3}', b"[" * 5000, b"\0\0"])
def test_damaged_lines_are_passed_over_and_stay(tmp_path, all_rows, damage):
    lines = all_rows.split(b"\n")
    content = b"\n".join([lines[0], damage, *lines[1:]])
    (tmp_path / RESULTS).write_bytes(content)
    found, said = StudyFolder(tmp_path).mended_rows()
    assert named(list(found.values())) == named(ROWS)
    assert said == "1 damaged line of results.jsonl passed over"
    assert (tmp_path / RESULTS).read_bytes() == content
    assert read_evaluation(tmp_path).notes == ("1 damaged lines of results.jsonl were passed over.",)


def test_what_is_added_after_a_torn_line_is_a_line_of_its_own(tmp_path, all_rows):
    (tmp_path / RESULTS).write_bytes(all_rows[:-7])
    folder = StudyFolder(tmp_path)
    folder.mended_rows()
    again = replace(ROWS[-1], mtre_mm=9.0)
    with folder.appending() as file:
        append(file, again)
    assert read(tmp_path) == named([*ROWS[:-1], again])


def test_reading_alone_changes_nothing(tmp_path, all_rows):
    (tmp_path / RESULTS).write_bytes(all_rows[:-7])
    assert named(list(StudyFolder(tmp_path).rows().values())) == named(ROWS[:-1])
    assert (tmp_path / RESULTS).read_bytes() == all_rows[:-7]


@needs_fork
def test_a_kill_while_rows_are_added_or_mended_loses_no_row(tmp_path, all_rows):
    torn = all_rows + json.dumps(ROWS[0].as_dict()).encode()[:20]
    file = tmp_path / RESULTS
    file.write_bytes(torn)

    def go_on() -> None:
        folder = StudyFolder(tmp_path)
        folder.mended_rows()
        with folder.appending() as opened:
            append(opened, replace(ROWS[0], case="007"))

    for _ in killed_at_each_step(go_on):
        assert file.read_bytes().startswith(all_rows)
        assert set(files_in(tmp_path)) == {RESULTS}
        file.write_bytes(torn)
    assert read(tmp_path) == named([*ROWS, replace(ROWS[0], case="007")])
