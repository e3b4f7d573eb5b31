"""Whatever files and headers hold, a terminal is shown it and never obeys it."""

from __future__ import annotations

import argparse
import io
import json
import logging
import sys
import unicodedata
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from xrayreg.cli import main, progress
from xrayreg.cli.options import label_list, number, place, whole
from xrayreg.cli.progress import Display
from xrayreg.cli.table import show_result
from xrayreg.cli.terminal import guarded_terminal, printable_json
from xrayreg.printing import printable
from xrayreg.registration.results import Step

# Clears the screen, changes the title, goes back to the line's start, turns the direction, ends the line.
EVIL = "a\x1b[2J\x1b]0;owned\x07\rb\x9b31m\u202ec\u2028d\x7f\ne"
anything = st.text(st.characters())


def is_harmless(text: str) -> bool:
    return not any(
        unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") or char in "\u202e\u2066\u200f" for char in text
    )


@given(anything)
def test_nothing_printable_steers_a_terminal(text):
    assert is_harmless(printable(text))


@given(st.text(st.characters(categories=("L", "N", "P", "S", "Zs"))))
def test_ordinary_text_of_any_language_stays_as_it_is(text):
    assert printable(text) == text


def test_what_was_there_can_be_told():
    assert printable("a\x1bb\n\u202e\x9b\udcff") == "a\\x1bb\\n\\u202e\\x9b\\udcff"


@given(st.dictionaries(anything, anything, max_size=4))
def test_json_means_the_same_when_it_is_made_printable(content):
    told = printable_json(json.dumps(content, ensure_ascii=False, indent=1))
    assert json.loads(told) == content
    assert is_harmless(told.replace("\n", ""))


def printed(capfd) -> str:
    shown = capfd.readouterr()
    return shown.out + shown.err


def only_shown(text: str) -> bool:
    return bool(text) and all(is_harmless(line) for line in text.split("\n"))


@pytest.mark.parametrize("command", [["register", "--out", "out"], ["info"], ["render", "--out", "a.png", "--case"]])
def test_names_in_errors_are_shown(command, capfd):
    assert main([*command, f"/nowhere/{EVIL}"]) == 2
    assert only_shown(text := printed(capfd))
    assert "\\x1b[2J" in text and text.count("\n") == 1


def test_arguments_in_errors_are_shown(capfd):
    assert main(["register", "case.json", "--out", "out", "--effort", EVIL]) == 2
    assert only_shown(printed(capfd))


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_names_of_images_and_labels_are_shown_by_info(tmp_path, capfd, options):
    folder = tmp_path / "a\x1b[2Jb\x9b\u202ec"
    folder.mkdir()
    values = np.full((6, 6, 6), -1000, np.int16)
    values[2:4] = 60
    sitk.WriteImage(sitk.GetImageFromArray(values), str(folder / "ct.mha"))
    (folder / "ct.mha").rename(folder / "c\x1b[2Jt.mha")
    assert main(["info", str(folder / "c\x1b[2Jt.mha"), *options]) == 0
    shown = printed(capfd)
    assert only_shown(shown)
    assert (r"\u001b[2J" if options else r"\x1b[2J") in shown


def test_notes_and_reasons_are_shown_in_the_table(capfd):
    content = {
        "accepted": False,
        "reason": f"Because {EVIL}.",
        "notes": [EVIL],
        "views": [],
        "quality": {},
        "seconds": {"total": 1.0},
        "renders": 3,
        "engine": EVIL,
    }
    show_result(content, Path(EVIL))
    assert only_shown(printed(capfd))


def test_messages_are_shown_in_the_progress_bar_and_are_no_markup(monkeypatch):
    written = io.StringIO()
    from rich import console

    real = console.Console
    monkeypatch.setattr(console, "Console", lambda **_: real(file=written, force_terminal=True, width=300))
    with Display() as display:
        # In markup this closes what was never opened, an error.
        display.stage(f"[/nothing] {EVIL}")
        display.step(Step("refine", 0.5, f"[/nothing] {EVIL}"))
        display._progress.refresh()
    text = written.getvalue()
    assert "[/nothing]" in text and r"\x1b[2J" in text
    for steering in ("\x1b[2J", "\x1b]0", "\x07", "\x9b", "\u202e"):
        assert steering not in text
    assert progress.printable is printable


def test_warnings_and_log_records_are_shown_on_one_line(capfd):
    with warnings.catch_warnings(), guarded_terminal():
        warnings.simplefilter("always")
        warnings.warn(EVIL, stacklevel=1)
        record = logging.LogRecord("decoder", logging.WARNING, __file__, 1, EVIL, None, None)
        assert logging.lastResort is not None
        logging.lastResort.handle(record)
    shown = printed(capfd)
    assert only_shown(shown) and shown.count("\n") == 2
    assert shown.count(r"\x1b[2J") == 2


def test_a_terminal_without_the_letters_gets_them_spelt(monkeypatch):
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", narrow)
    with guarded_terminal():
        print("5 µm \udcff")
    narrow.flush()
    assert narrow.buffer.getvalue().decode() == "5 \\xb5m \\udcff\n".replace("\n", narrow.newlines or "\n")
    assert narrow.errors == "strict"


@given(st.integers(-(10**6), 10**6))
def test_whole_numbers_within_bounds_are_read_and_no_others(value):
    read = whole(-500, 500_000)
    if -500 <= value <= 500_000:
        assert read(str(value)) == value
    else:
        with pytest.raises(argparse.ArgumentTypeError):
            read(str(value))


@pytest.mark.parametrize("text", ["", " ", "nan", "1.0", "1e3", "0x10", "١٢", "1_000", "9" * 5000, "-" * 9])
def test_what_is_no_whole_number_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError):
        whole(0)(text)


@pytest.mark.parametrize("text", ["", "nan", "inf", "-inf", "1e999", "-0.1", "one", "9" * 5000])
def test_what_is_no_number_within_bounds_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError):
        number(0.0, 100.0)(text)


@pytest.mark.parametrize("text", ["", "  ", "\t", "a\0b"])
def test_an_empty_path_is_none(text):
    with pytest.raises(argparse.ArgumentTypeError, match="name of a file"):
        place(text)


@pytest.mark.parametrize("text", ["0", "-1", "1,", "9" * 5000, "²", "1;2"])
def test_labels_are_numbers_above_0(text):
    with pytest.raises(argparse.ArgumentTypeError):
        label_list(text)


REFUSED = {
    "a seed below 0": ["register", "c.json", "--out", "o", "--seed", "-1"],
    "no folder": ["register", "c.json", "--out", ""],
    "a folder of spaces": ["simulate", "--volume", "ct", "--out", "  "],
    "no case": ["register", "", "--out", "o"],
    "a frame below 0": ["info", "x.dcm", "--frame", "-1"],
    "minutes that are none": ["train", "--volume", "ct", "--out", "m.pt", "--minutes", "nan"],
    "no images": ["train", "--volume", "ct", "--out", "m.pt", "--batch", "0"],
    "pixels beyond measure": ["train", "--volume", "ct", "--out", "m.pt", "--pixels", "100000"],
    "a detector without pixels": ["render", "--volume", "ct", "--out", "a.png", "--size", "0", "0"],
    "an infinite distance": ["render", "--volume", "ct", "--out", "a.png", "--sid", "inf"],
    "an angle that is none": ["render", "--volume", "ct", "--out", "a.png", "--primary", "nan"],
    "rays without end": ["simulate", "--volume", "ct", "--out", "o", "--rays-per-side", "1000000"],
    "no cases": ["evaluate", "--volume", "ct", "--out", "o", "--limit", "0"],
    "workers below 1": ["evaluate", "--volume", "ct", "--out", "o", "--workers", "-3"],
    "a seed of thousands of digits": ["evaluate", "--volume", "ct", "--out", "o", "--seed", "9" * 5000],
}


@pytest.mark.parametrize("argv", REFUSED.values(), ids=REFUSED)
def test_options_beyond_their_bounds_are_refused_in_one_line(argv, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(argv) == 2
    shown = printed(capfd)
    assert shown.count("\n") == 1 and "expected" in shown and len(shown) < 300
    assert list(tmp_path.iterdir()) == []


def test_a_step_can_be_shown_without_a_terminal(capfd):
    with Display(shown=False) as display:
        display.step(replace(Step("refine", 0.5, "x"), message=EVIL))
    assert capfd.readouterr() == ("", "")
