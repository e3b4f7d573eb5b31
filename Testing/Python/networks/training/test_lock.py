"""One run at a time trains a network; what dead runs leave is removed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from killed_at_each_step import needs_fork

from xrayreg.checks import InputError
from xrayreg.io.results import replace_file
from xrayreg.networks.training.lock import lock_file, only_run


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "model.pt"


def test_a_second_run_of_a_network_is_refused_and_another_networks_is_not(out):
    with only_run(out) as told:
        assert told == "" and lock_file(out).exists()
        with pytest.raises(InputError, match="no other run that trains it") as raised, only_run(out):
            pytest.fail("two runs at once")
        assert "choose another --out, end that run by creating the file" in str(raised.value)
        with only_run(out.with_name("other.pt")) as told:
            assert told == ""
    assert list(out.parent.rglob("*lock*")) == []


@needs_fork
@pytest.mark.parametrize("name", ["model.pt", "model_training/last.pt", "model_training/curve.png"])
def test_what_a_run_that_was_killed_has_half_written_is_swept_up_by_the_next(out, name):
    def half(temporary: Path) -> None:
        temporary.write_bytes(b"half of a network")
        os.kill(os.getpid(), signal.SIGKILL)

    pid = os.fork()
    if pid == 0:
        with only_run(out):
            replace_file(out.parent / name, half)
        os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    half_written = [path for path in out.parent.rglob(".*") if path.is_file()]
    assert len(half_written) == 1 and half_written[0].suffix == Path(name).suffix
    with only_run(out) as told:
        assert f"process {pid}" in told
        assert not half_written[0].exists()


OTHERS = (
    ".model-abc.pt",
    ".model-abcdefgh.txt",
    ".model-abcdefgh-12345678.pt",
    ".model2-abcdefgh.pt",
    ".model-ABCDEFGH.pt",
    "model-abcdefgh.pt",
    "model.pt",
    ".other-abcdefgh.pt",
    "other_training/.last-abcdefgh.pt",
    "model_training/.other-abcdefgh.png",
    "model_training/last.pt",
    "model_training/log.txt",
)


def test_nothing_of_others_is_swept_up(out):
    for name in OTHERS:
        path = out.parent / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (out.parent / ".model-folder_1.pt").mkdir()
    (out.parent / ".model-abcdefgh.pt").touch()
    with only_run(out):
        pass
    left = {path.relative_to(out.parent).as_posix() for path in out.parent.rglob("*") if path.is_file()}
    assert left == set(OTHERS)
    assert (out.parent / ".model-folder_1.pt").is_dir()


def test_half_written_files_have_the_names_that_are_swept_up(out, monkeypatch):
    seen = []
    for _ in range(20):
        replace_file(out, lambda temporary: (seen.append(temporary.name), temporary.touch()))
    for name in seen:
        (out.parent / name).touch()
    with only_run(out):
        pass
    assert [path.name for path in out.parent.iterdir() if path.is_file()] == ["model.pt"]
