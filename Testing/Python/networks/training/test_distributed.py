"""Two processes learn what one process with both batches would."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_scenes import CPU, SETTINGS, OnePatient, new_network, run_of, trained, weights

from xrayreg.networks.data.batches import make_batch
from xrayreg.networks.model.checkpoint import load_checkpoint
from xrayreg.networks.training.distributed import Process, joined

ROOT = Path(__file__).resolve().parents[4]
ITERATIONS = 4

_CHILD = """
import sys
sys.path[:0] = {paths!r}
from dataclasses import replace
from pathlib import Path
import torch
torch.set_num_threads(1)
from training_scenes import SETTINGS, new_network, run_of, trained, weights
from xrayreg.networks.training.distributed import joined
folder, settings = Path({folder!r}), replace(SETTINGS, iterations={iterations})
with joined("cpu") as process:
    network = new_network()
    steps, result = trained(run_of(folder / "model.pt", settings), network, process=process)
    torch.save({{"weights": weights(network), "images": steps[-1].images}}, folder / f"rank{{process.number}}.pt")
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Path:
    """A folder with what two processes learnt together."""
    folder = tmp_path_factory.mktemp("two")
    paths = [str(ROOT / "XRayRegistration"), str(ROOT / "Testing" / "Python")]
    code = _CHILD.format(paths=paths, folder=str(folder), iterations=ITERATIONS)
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    children = [
        subprocess.Popen([sys.executable, "-c", code], env=os.environ | place | {"RANK": str(number)})
        for number in range(2)
    ]
    assert [child.wait(timeout=120) for child in children] == [0, 0]
    return folder


def test_both_processes_end_with_the_same_weights(two):
    first, second = (torch.load(two / f"rank{number}.pt", weights_only=True) for number in range(2))
    assert torch.equal(first["weights"], second["weights"])
    assert first["images"] == ITERATIONS * 2 * SETTINGS.batch


def test_one_process_writes(two):
    card = load_checkpoint(two / "model.pt").card
    assert card.images == ITERATIONS * 2 * SETTINGS.batch
    assert {path.name for path in (two / "model_training").iterdir()} == {"last.pt"}


def test_they_learn_what_one_process_with_both_batches_does(two, tmp_path):
    # One process that accumulates two batches shows the network the same images in the same steps: batch numbers are
    # turn * processes + number there, and iteration * accumulate + turn here. Group normalisation looks at one image at
    # a time, so it does not matter in which batch an image is.
    network = new_network()
    trained(run_of(tmp_path / "model.pt", replace(SETTINGS, iterations=ITERATIONS, accumulate=2)), network)
    together = torch.load(two / "rank0.pt", weights_only=True)["weights"]
    alone = weights(network)
    moved = (alone - weights(new_network())).abs().max()
    # Sums in another order differ by a few units in the last place, which Adam's first steps magnify where a gradient
    # is about nothing.
    assert moved > 1e-3
    assert (together - alone).abs().max() < 0.02 * moved


def test_no_batch_is_drawn_twice():
    processes = [Process(torch.device("cpu"), number, 3) for number in range(3)]
    numbers = [process.batch_number(turn) for turn in range(4) for process in processes]
    assert numbers == list(range(12))
    settings = replace(SETTINGS, batch=2)
    one, other = (make_batch(OnePatient(), settings, number).poses for number in (0, 1))
    assert not torch.equal(one, other)


def test_without_torchrun_there_is_one_process(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined("cpu") as process:
        assert process == CPU
        assert process.leads
        assert process.from_leader([1.0, 2.0]) == [1.0, 2.0]
