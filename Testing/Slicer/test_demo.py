"""`make demo` says what is missing before anything is downloaded, and what has changed in a scene that was saved."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import demo
import pytest

from slicer_harness import libraries, probe

ROOT = Path(__file__).resolve().parents[2]


def test_without_the_headless_slicer_one_line_says_so(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(probe, "obstacle", lambda: "nothing can be drawn here; apt install libegl1")
    assert demo.main([str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert said == "No pictures of the module in Slicer's scene: nothing can be drawn here; apt install libegl1\n"
    assert not list(tmp_path.iterdir())


def test_without_the_command_lines_data_it_says_how_to_make_them(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(probe, "obstacle", lambda: "")
    assert demo.main([str(tmp_path)]) == 2
    assert "python -m xrayreg demo" in capsys.readouterr().out


def planned(*targets: str, venv: Path) -> list[str]:
    """The commands that make would run."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    done = subprocess.run(
        ["make", "--dry-run", f"VENV={venv}", *targets], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def line_with(text: str, lines: list[str]) -> int:
    return next(number for number, line in enumerate(lines) if text in line)


def test_libraries_are_asked_for_before_anything_is_installed(tmp_path):
    lines = planned("demo", venv=tmp_path / "none")
    assert line_with("libraries.py --install", lines) < line_with("pip --disable", lines)
    # Slicer's packages only where drawing is possible.
    assert not any("installed-slicer" in line for line in lines)
    assert line_with("xrayreg demo", lines) < line_with("can-draw || ", lines)


def test_slicers_packages_come_before_the_part_that_needs_them(tmp_path):
    lines = planned("demo-in-slicer", venv=tmp_path / "none")
    assert line_with("requirements-slicer.txt", lines) < line_with("Testing/Slicer/demo.py demo_output", lines)


def test_missing_libraries_become_one_line_with_debian_packages(monkeypatch, capsys):
    monkeypatch.setattr(libraries, "missing", lambda: ["libegl1", "libgl1-mesa-dri"])
    assert libraries.main([]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "the headless Slicer lacks system libraries; on Debian and Ubuntu: apt-get install libegl1 libgl1-mesa-dri"
    ]


SAVED = {"pose": [[1.0, 2.0]], "views": {"PA": [512, 0.5]}, "verdict": ["Accepted", True, ""]}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (SAVED, []),
        ({**SAVED, "pose": ((1.0, 2.0 + 1e-6),)}, []),
        ({**SAVED, "pose": [[1.0, 2.5]]}, ["scene, pose 0 1: 2.0 has become 2.5"]),
        ({**SAVED, "views": {}}, ["scene, views, PA: [512, 0.5] has become None"]),
        ({**SAVED, "verdict": ["Accepted", False, ""]}, ["scene, verdict 1: True has become False"]),
        ({**SAVED, "more": 1}, ["scene, more: None has become 1"]),
        ({**SAVED, "pose": [[1.0]]}, ["scene, pose 0: [1.0, 2.0] has become [1.0]"]),
    ],
    ids=["the same", "rounded", "moved", "a lost view", "another verdict", "more than was saved", "fewer numbers"],
)
def test_a_scene_that_came_back_otherwise_is_told(found, said):
    assert list(demo.compared(SAVED, found)) == said
