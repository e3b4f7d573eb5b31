"""Files that replace others in a folder: all of the old or all of the new, whatever happens to whoever does it."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import threading
from pathlib import Path

import pytest
from killed_at_each_step import (
    files_in,
    hidden_in,
    killed_at_each_step,
    killed_when,
    needs_fork,
    refused_at_each_step,
)

from xrayreg.checks import InputError
from xrayreg.io import delivery, locks, temporary
from xrayreg.io.delivery import delivered, recover
from xrayreg.io.locks import held

THEIRS = {"mine.txt": b"keep me", "data/deep/scan.bin": b"large"}
# One name that both have, one that goes, and one that comes.
OLD = {"figures/a.png": b"old", "result.json": b"old"}
NEW = {"drr_b.tif": b"new", "result.json": b"new"}


def ours(folder: Path) -> list[str]:
    """Everything that is not theirs."""
    return [name for name in files_in(folder) if name not in THEIRS]


def put(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def write(out: Path, files: dict[str, bytes]) -> None:
    with delivered(out, ours) as (folder, names):
        put(folder, files)
        names += files


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """What was written does not have to be safe from a power failure here."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def out(tmp_path) -> Path:
    folder = tmp_path / "out"
    put(folder, THEIRS)
    write(folder, OLD)
    assert files_in(folder) == THEIRS | OLD
    return folder


@pytest.fixture
def restored(out, tmp_path):
    """A function that brings the folder with the old files back."""
    shutil.copytree(out, tmp_path / "before")

    def restore() -> None:
        shutil.rmtree(out)
        shutil.copytree(tmp_path / "before", out)

    return restore


def without(monkeypatch, *names: str) -> None:
    """A file system that knows no such thing as os.symlink or os.link."""

    def unknown(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    for name in names:
        monkeypatch.setattr(os, name, unknown)


@needs_fork
def test_killed_at_any_step_the_folder_holds_all_of_the_old_or_all_of_the_new(out, restored):
    seen = []
    for _ in killed_at_each_step(lambda: write(out, NEW)):
        found = files_in(out)
        assert found in (THEIRS | OLD, THEIRS | NEW)
        seen.append(found == THEIRS | NEW)
        write(out, NEW)
        assert files_in(out) == THEIRS | NEW and hidden_in(out) == []
        restored()
    # One step changes from the old to the new, and there is more to do on both sides of it.
    assert seen == sorted(seen) and seen.count(False) > 10 and seen.count(True) > 10


@needs_fork
def test_killed_at_any_step_the_first_delivery_brings_all_or_nothing(tmp_path):
    out = tmp_path / "new" / "out"
    for _ in killed_at_each_step(lambda: write(out, NEW)):
        assert not out.exists() or files_in(out) in ({}, NEW)
        shutil.rmtree(tmp_path / "new", ignore_errors=True)


@needs_fork
def test_without_links_a_kill_is_made_good_by_the_next(out, restored, monkeypatch):
    without(monkeypatch, "symlink", "link")
    # Killed between making a lock and writing it, which cannot be one step there.
    monkeypatch.setattr(locks, "_HALF_WRITTEN_S", 0.05)
    seen = []
    for _ in killed_at_each_step(lambda: write(out, NEW)):
        assert files_in(out).items() >= THEIRS.items()
        with held(delivery._lock(out)):
            recover(out)
        seen.append(files_in(out))
        assert seen[-1] in (THEIRS | OLD, THEIRS | NEW)
        write(out, NEW)
        assert files_in(out) == THEIRS | NEW and hidden_in(out) == []
        restored()
    assert THEIRS | OLD in seen and THEIRS | NEW in seen


@pytest.mark.parametrize("lacking", [(), ("link",), ("symlink", "link")], ids=["links", "no second names", "no links"])
def test_what_the_system_refuses_leaves_all_of_the_old_or_all_of_the_new(out, restored, monkeypatch, lacking):
    without(monkeypatch, *lacking)
    refusals = 0
    for done in refused_at_each_step(lambda: write(out, NEW), OSError(errno.ENOSPC, "No space left"), InputError):
        # Whoever is told that it failed finds the old ones.
        assert files_in(out) == THEIRS | (NEW if done else OLD)
        refusals += not done
        write(out, NEW)
        assert files_in(out) == THEIRS | NEW
        restored()
    assert refusals > 5


@needs_fork
@pytest.mark.parametrize("left", [OLD, NEW], ids=["before the new are the folder's", "after it"])
def test_a_kill_while_another_kill_is_made_good_loses_nothing(out, restored, tmp_path, left):
    killed = []

    def reached(_: int, event: str, arguments: tuple) -> bool:
        killed.extend([event] if event == "os.rename" and str(arguments[1]).endswith("shown") else [])
        return bool(killed) and (left == OLD or event != "os.rename" or not str(arguments[1]).endswith("shown"))

    assert killed_when(lambda: write(out, NEW), reached)
    state = tmp_path / "state"
    shutil.copytree(out, state, symlinks=True)
    assert any(path.is_symlink() for path in state.iterdir())

    def mend() -> None:
        with held(delivery._lock(out)):
            recover(out)

    for _ in killed_at_each_step(mend):
        assert files_in(out) == THEIRS | left
        mend()
        assert files_in(out) == THEIRS | left and hidden_in(out) == []
        shutil.rmtree(out)
        shutil.copytree(state, out, symlinks=True)


def test_a_file_of_somebody_else_is_kept_under_another_name(tmp_path):
    put(tmp_path, {"report.html": b"theirs", "report.kept1.html": b"theirs too"})
    with delivered(tmp_path, lambda _: ()) as (folder, names):
        put(folder, {"report.html": b"new"})
        names.append("report.html")
    kept = {"report.kept1.html": b"theirs too", "report.kept2.html": b"theirs"}
    assert files_in(tmp_path) == {"report.html": b"new", **kept}


def test_links_of_the_user_are_replaced_and_what_they_lead_to_stays(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    put(elsewhere, {"report.html": b"theirs", "a.png": b"theirs"})
    out = tmp_path / "out"
    out.mkdir()
    (out / "report.html").symlink_to(elsewhere / "report.html")
    (out / "link").symlink_to(elsewhere)
    with delivered(out, lambda _: ("report.html", "link/a.png", "../elsewhere/a.png")) as (folder, names):
        put(folder, {"report.html": b"new"})
        names.append("report.html")
    assert files_in(elsewhere) == {"report.html": b"theirs", "a.png": b"theirs"}
    assert (out / "report.html").read_bytes() == b"new" and not (out / "report.html").is_symlink()
    assert (out / "link").is_symlink() and hidden_in(out) == []


def test_a_linked_folder_is_not_written_into(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    out = tmp_path / "out"
    out.mkdir()
    (out / "figures").symlink_to(elsewhere)
    with pytest.raises(InputError, match="link is in the place of a folder"):
        write(out, OLD)
    assert list(elsewhere.iterdir()) == [] and [path.name for path in out.iterdir()] == ["figures"]


def test_the_folder_may_be_a_link_or_the_one_that_is_worked_in(out, tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(out)
    write(tmp_path / "link", NEW)
    assert (tmp_path / "link").is_symlink() and files_in(out) == THEIRS | NEW
    monkeypatch.chdir(out)
    inode = os.stat(".").st_ino
    write(Path("."), OLD)
    assert files_in(Path(".")) == THEIRS | OLD == files_in(out)
    assert os.stat(out).st_ino == inode


def test_a_folder_in_the_way_is_named_and_nothing_changes(out):
    (out / "drr_b.tif").mkdir()
    with pytest.raises(InputError, match=r"output folder: .*found .*out \(drr_b.tif: a folder of that name is "):
        write(out, NEW)
    assert files_in(out) == THEIRS | OLD and hidden_in(out) == []


@pytest.mark.skipif(os.name == "nt" or not hasattr(os, "geteuid"), reason="Windows has other rights")
def test_each_cause_is_a_sentence(out, monkeypatch):
    replace = os.replace
    for number, words in (
        (errno.EACCES, "no permission to replace it, or it is open in another program"),
        (errno.EXDEV, "on another disk"),
        (errno.EDQUOT, "no room is left"),
        (errno.EIO, os.strerror(errno.EIO)),
    ):

        def refuse(source: object, target: object, number: int = number) -> None:
            if Path(str(target)) == out / "result.json":
                raise OSError(number, os.strerror(number), str(target))
            replace(source, target)

        with monkeypatch.context() as patched, pytest.raises(InputError, match=words) as told:
            patched.setattr(os, "replace", refuse)
            write(out, NEW)
        assert "result.json" in str(told.value) and "\n" not in str(told.value)
        assert files_in(out) == THEIRS | OLD


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_work_that_is_given_up_leaves_nothing_and_is_not_masked(tmp_path, error):
    out = tmp_path / "a" / "b"
    with pytest.raises(error), delivered(out, ours) as (folder, _):
        put(folder, NEW)
        raise error
    assert list(tmp_path.iterdir()) == []
    # Somebody has put a file into the new folder meanwhile.
    with pytest.raises(error), delivered(out, ours) as (folder, _):
        (out / "mine.txt").write_bytes(b"keep")
        raise error
    assert files_in(tmp_path) == {"a/b/mine.txt": b"keep"} and hidden_in(out) == []


@needs_fork
def test_leftovers_go_only_where_they_are_of_a_dead_process_of_this_program(out):
    with delivered(out, ours) as (living, _):
        put(living, NEW)
        pid = os.fork()
        if pid == 0:
            with delivered(out, ours) as (folder, _names):
                put(folder, NEW)
                os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
        assert len(hidden_in(out)) == 2
        others = (".unfinished-mine", ".unfinished-abcdefgh", ".unfinished-abcdefghijkl")
        for name in others:
            put(out, {f"{name}/thesis.txt": b"keep"})
        (out / ".unfinished-zzzzzzzzzzzz").symlink_to(out / "data")
        write(out, NEW)
        assert hidden_in(out) == sorted([living.parent.name, *others, ".unfinished-zzzzzzzzzzzz"])
        assert all((out / name / "thesis.txt").read_bytes() == b"keep" for name in others)
        assert files_in(living) == NEW
    assert files_in(out)["data/deep/scan.bin"] == b"large"


def test_two_at_once_come_one_after_the_other(tmp_path):
    out = tmp_path / "out"
    failures: list[BaseException] = []

    def again(content: bytes) -> None:
        try:
            for _ in range(4):
                write(out, {f"{content.decode()}.txt": content, "result.json": content})
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=again, args=(content,)) for content in (b"a", b"b")]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == [] and hidden_in(out) == []
    result = files_in(out)["result.json"]
    assert files_in(out) == {f"{result.decode()}.txt": result, "result.json": result}


def test_new_files_have_the_rights_of_any_new_file(out):
    (out / "plain").write_bytes(b"")
    rights = os.stat(out / "plain").st_mode
    write(out, NEW)
    assert os.stat(out / "result.json").st_mode == rights


def test_a_mark_tells_the_process_that_made_it(monkeypatch):
    import time

    now = time.time()
    assert not temporary.has_ended(temporary.new_mark(), now)
    # The number was given again: this process began after that file was made.
    assert temporary.has_ended(temporary.new_mark(), 1e9)
    with monkeypatch.context() as patched:
        patched.setattr(os, "getpid", lambda: 2**22 + 5)
        assert temporary.has_ended(temporary.new_mark(), now)
    with monkeypatch.context() as patched:
        patched.setattr(temporary, "table_name", lambda: "another computer")
        elsewhere = temporary.new_mark()
    assert not temporary.has_ended(elsewhere, now - 3600)
    assert temporary.has_ended(elsewhere, now - 7 * 86400)


PLANS = {
    "no JSON": "{",
    "not text": b"\xff\xfe",
    "another thing": "[]",
    "without names": '{"new": 3, "old": [], "kept": {}}',
    "too deep": "[" * 100_000,
    "a file outside": '{"new": ["../elsewhere.txt"], "old": [], "kept": {}}',
    "an old file outside": '{"new": [], "old": ["figures/../../elsewhere.txt"], "kept": {}}',
    "a new name outside": '{"new": [], "old": ["a.txt"], "kept": {"a.txt": "/elsewhere.txt"}}',
}


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_a_plan_that_cannot_be_used_is_named_and_moves_nothing(tmp_path, plan):
    out = tmp_path / "out"
    put(out, {"a.txt": b"old", "mine.txt": b"mine"})
    scratch = out / f".unfinished-{temporary.new_mark()}"
    put(scratch, {"new/a.txt": b"new", "plan.json": plan if isinstance(plan, bytes) else plan.encode()})
    (tmp_path / "elsewhere.txt").write_bytes(b"mine")
    with pytest.raises(InputError, match="plan"):
        write(out, {"a.txt": b"newer"})
    assert (out / "a.txt").read_bytes() == b"old" and (out / "mine.txt").read_bytes() == b"mine"
    assert (tmp_path / "elsewhere.txt").read_bytes() == b"mine" and (scratch / "new/a.txt").read_bytes() == b"new"
