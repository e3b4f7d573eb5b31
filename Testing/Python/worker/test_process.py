"""The process itself: it answers, keeps to its streams, and never outlives who started it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from xrayreg.worker.messages import UNLOADABLE, Unpacker, packed

LIBRARY = Path(__file__).resolve().parents[3] / "XRayRegistration"
# Loading the backend takes seconds; on a loaded machine many.
PATIENCE_S = 120


def run(folder: Path, stdin: bytes) -> tuple[int, list[dict[str, Any]], str]:
    """A worker that gets these bytes and then the end: exit code, its messages, and what it said besides."""
    done = subprocess.run(
        [sys.executable, "-m", "xrayreg.worker", str(folder)],
        input=stdin,
        capture_output=True,
        timeout=PATIENCE_S,
        env={**os.environ, "PYTHONPATH": str(LIBRARY)},
    )
    return done.returncode, Unpacker().feed(done.stdout), done.stderr.decode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "arrays"
    made.mkdir()
    return made


def test_closing_the_stream_ends_it_and_its_folder_goes(folder):
    code, messages, _said = run(folder, b"")
    assert code == 0
    assert all("ready" in message for message in messages)
    assert not folder.exists()


def test_what_is_no_message_ends_it_with_a_reason(folder):
    code, _messages, said = run(folder, b"GET / HTTP/1.1\r\n\r\n")
    assert code == 2
    assert "The worker ends: something that is no message" in said
    assert not folder.exists()


NOISY = """
import os, sys
from pathlib import Path
from xrayreg.worker import process, requests
from xrayreg.worker.service import Handler

def noisy(room, content, on_news):
    print("a library says something")
    os.write(1, b"and so does its C code")
    on_news(None)
    return {"done": True}

requests.HANDLERS = {"noisy": Handler(noisy)}
sys.exit(process.serve(Path(sys.argv[1])))
"""


def test_what_libraries_print_is_kept_out_of_the_messages(folder):
    command = [sys.executable, "-c", NOISY, str(folder)]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(LIBRARY)}, **pipes) as process:
        process.stdin.write(packed({"id": 1, "kind": "noisy", "content": {}}))
        process.stdin.flush()
        unpacker, messages = Unpacker(), []
        while not any(message.keys() & {"answer", "failure"} for message in messages):
            data = os.read(process.stdout.fileno(), 1 << 16)
            assert data, "it ended"
            messages += unpacker.feed(data)
        _rest, said = process.communicate(timeout=PATIENCE_S)
    assert messages[-1] == {"id": 1, "answer": {"done": True}}
    assert process.returncode == 0
    assert "and so does its C code" in said.decode()


def test_a_package_that_does_not_load_has_an_exit_code_of_its_own(folder, tmp_path):
    (tmp_path / "torch.py").write_text("raise OSError('c10.dll or one of its dependencies is missing')")
    done = subprocess.run(
        [sys.executable, "-m", "xrayreg.worker", str(folder)],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_S,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(LIBRARY)])},
    )  # fmt: skip
    assert done.returncode == UNLOADABLE
    assert done.stderr.decode().splitlines()[-1] == "c10.dll or one of its dependencies is missing"
