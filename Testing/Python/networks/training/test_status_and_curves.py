"""What a run writes beside its network, for people, TensorBoard and other programs."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
import SimpleITK as sitk

import xrayreg.networks.training.curves as curves
import xrayreg.networks.training.status as status
from xrayreg.checks import InputError
from xrayreg.networks.model.card import MedianErrors
from xrayreg.networks.training.curves import COLUMNS, Curves
from xrayreg.networks.training.status import RunFolder, TrainStep, last_checkpoint, run_folder
from xrayreg.processes import Identity, Life, life_of
from xrayreg.settings import TrainingSettings
from xrayreg.settings.plain import from_plain

ERRORS = MedianErrors(4.0, 1.0, 2.0, 8.0, 12.0, 10.0, 64)
STEP = TrainStep(
    "training", "training", 0.25, 30, 1920, 75.0, 225.0, 41.5, {"geodesic": 41.5}, 1e-3, 812.0, {"clean": ERRORS}
)
KEYS = {
    *("state", "message", "fraction", "iteration", "images", "seconds", "seconds_left", "loss", "learning_rate"),
    *("images_per_second", "validation", "model", "pid", "host", "born", "namespace", "command", "started", "updated"),
}


@pytest.fixture
def undrawn(monkeypatch):
    """No pictures, which take longer than all else, where they are not looked at."""
    monkeypatch.setattr(curves, "draw_curve", lambda rows, path: path.touch())


def told(folder) -> dict:
    return json.loads((folder / "status.json").read_text(encoding="utf-8"))


def test_the_status_says_where_the_run_is(tmp_path):
    out = tmp_path / "my.model.pt"
    folder = RunFolder(out, TrainingSettings(batch=7))
    assert folder.path == run_folder(out) == tmp_path / "my.model_training"
    assert last_checkpoint(out).parent == folder.path
    folder.write(STEP)
    content = told(folder.path)
    assert set(content) == KEYS
    assert (content["state"], content["fraction"], content["loss"]) == ("training", 0.25, 41.5)
    assert content["validation"]["clean"]["rotation_deg"] == 4.0
    assert (content["pid"], content["model"]) == (os.getpid(), str(out))
    # Enough to know the process again, and no other.
    assert life_of(Identity.from_dict(content)) is Life.LIVES and content["command"]
    assert datetime.fromisoformat(content["started"]) <= datetime.fromisoformat(content["updated"])
    settings = json.loads((folder.path / "settings.json").read_text(encoding="utf-8"))
    assert from_plain(TrainingSettings, settings).batch == 7


def test_the_status_is_replaced_at_most_once_a_second_but_at_once_when_it_matters(tmp_path, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(status.time, "monotonic", lambda: now[0])
    folder = RunFolder(tmp_path / "m.pt", TrainingSettings())

    def said(iteration: int, at_once: bool = False) -> int:
        folder.write(replace(STEP, iteration=iteration), at_once)
        return told(folder.path)["iteration"]

    assert said(1) == 1
    now[0] += 0.9
    assert said(2) == 1
    assert said(3, at_once=True) == 3
    now[0] += 1.1
    assert said(4) == 4


def test_a_loss_that_is_no_number_does_not_spoil_the_status(tmp_path):
    folder = RunFolder(tmp_path / "m.pt", TrainingSettings())
    folder.write(replace(STEP, loss=float("nan")))
    assert told(folder.path)["loss"] is None


def test_a_file_named_stop_asks_to_stop_and_an_old_one_does_not(tmp_path):
    out = tmp_path / "m.pt"
    run_folder(out).mkdir()
    (run_folder(out) / "stop").touch()
    folder = RunFolder(out, TrainingSettings())
    assert not folder.asked_to_stop()
    (folder.path / "stop").touch()
    assert folder.asked_to_stop()


def test_a_status_that_cannot_be_written_ends_nothing(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path / "m.pt", TrainingSettings())

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(status, "write_json", full)
    folder.write(STEP)


def test_a_place_that_takes_no_folder_is_refused(tmp_path):
    (tmp_path / "m_training").write_text("a file")
    with pytest.raises(InputError, match="folder"):
        RunFolder(tmp_path / "m.pt", TrainingSettings())


def rows_of(folder) -> list[dict[str, str]]:
    with (folder / "curve.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def told_to(board: Curves, count: int, first: int = 1) -> None:
    """Iterations half a second apart, losses that fall, a validation after every fourth."""
    for number in range(first, first + count):
        step = replace(STEP, iteration=number, seconds=0.5 * number, loss=100.0 - number)
        board.add(step)
        if number % 4 == 0:
            board.add(
                replace(step, state="validating", validation={"clean": ERRORS, "physics": ERRORS}, validated=True)
            )


def test_the_table_has_a_row_each_second_and_for_each_validation(tmp_path, undrawn):
    board = Curves(tmp_path)
    told_to(board, 8)
    board.close()
    rows = rows_of(tmp_path)
    assert tuple(rows[0]) == COLUMNS
    judged = [row for row in rows if row["clean_mtre_mm"]]
    assert [row["iteration"] for row in judged] == ["4", "8"]
    assert judged[0]["physics_depth_mm"] == "8"
    # Iterations 2 and 3 share a row, whose loss is their mean.
    assert [float(row["loss"]) for row in rows[:2]] == [99.0, 97.5]


def test_a_resumed_run_goes_on_with_the_table_where_its_state_is_from(tmp_path, undrawn):
    first = Curves(tmp_path)
    told_to(first, 9)
    first.close()
    again = Curves(tmp_path, resumed_at=8)
    told_to(again, 4, first=9)
    again.close()
    iterations = [int(row["iteration"]) for row in rows_of(tmp_path)]
    assert iterations == sorted(iterations)
    assert iterations.count(12) == 1 or rows_of(tmp_path)[-1]["clean_mtre_mm"]
    # Without a state to go on from the table begins anew.
    fresh = Curves(tmp_path)
    told_to(fresh, 4)
    fresh.close()
    assert max(int(row["iteration"]) for row in rows_of(tmp_path)) == 4


def test_the_picture_shows_something(tmp_path):
    board = Curves(tmp_path)
    told_to(board, 12)
    board.close()
    picture = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "curve.png")))
    assert picture.shape[1] > picture.shape[0] > 300
    # Both colours of the validation lines are there.
    for colour in ((0, 114, 178), (213, 94, 0)):
        assert (np.abs(picture[..., :3].astype(int) - colour).max(axis=-1) < 8).sum() > 20


def test_the_picture_is_drawn_once_for_what_it_shows(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(curves, "draw_curve", lambda rows, path: drawn.append(len(rows)) or path.touch())
    board = Curves(tmp_path)
    told_to(board, 8)
    board.close()
    assert drawn == [drawn[0], len(rows_of(tmp_path))]
    # What was not yet shown at the end still is.
    board = Curves(tmp_path, resumed_at=8)
    told_to(board, 2, first=9)
    board.close()
    assert drawn[2:] == [len(rows_of(tmp_path))] and drawn[2] > drawn[1]


def test_a_picture_of_nothing_can_be_drawn(tmp_path):
    Curves(tmp_path).close()
    assert (tmp_path / "curve.png").stat().st_size > 0


def test_tensorboard_gets_loss_speed_and_validation(tmp_path, undrawn):
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event

    board = Curves(tmp_path)
    told_to(board, 4)
    board.close()
    (path,) = tmp_path.glob("events.out.tfevents.*")
    data, tags = path.read_bytes(), set()
    while data:
        # A record: length, its checksum, content, its checksum.
        length = int.from_bytes(data[:8], "little")
        tags |= {value.tag for value in Event.FromString(data[12 : 12 + length]).summary.value}
        data = data[16 + length :]
    assert {"training/loss", "training/images_per_second", "loss/geodesic", "validation_clean/mtre_mm"} <= tags


def test_without_tensorboard_there_is_a_note(tmp_path, undrawn, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(curves.importlib.util, "find_spec", lambda name: None if name == "tensorboardX" else real(name))
    board = Curves(tmp_path)
    told_to(board, 4)
    board.close()
    assert "tensorboardX" in board.note
    assert {path.name for path in tmp_path.iterdir()} == {"curve.csv", "curve.png"}
