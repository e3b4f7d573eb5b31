"""A network's file is whole or not there, and nothing in it is ever run."""

from __future__ import annotations

import errno
import json
import pickle
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from training_scenes import SETTINGS, card_of, new_network, patient, weights

import xrayreg.networks.model.checkpoint as checkpoint
from xrayreg.checks import InputError
from xrayreg.networks.model.card import MedianErrors
from xrayreg.networks.model.checkpoint import Checkpoint, digest_of, load_checkpoint, save_checkpoint
from xrayreg.networks.model.template import template_of


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "model.pt"


def content_of(path: Path) -> dict:
    return torch.load(path, weights_only=True)


def refused(path: Path, match: str = "network") -> None:
    with pytest.raises(InputError, match=match) as told:
        load_checkpoint(path)
    assert "\n" not in str(told.value)


def test_what_was_saved_is_loaded(path):
    network, state = new_network(), {"step": 3, "moments": [torch.arange(3.0)], "rate": 0.5, "name": "a", "none": None}
    errors = MedianErrors(1.0, 2.0, 3.0, 4.0, 5.0, 4.5, 64)
    card = replace(card_of(), validation={"clean": errors}, structures=(1, 2), notes=("a note",), parent="ab")
    digest = save_checkpoint(path, Checkpoint(card, network, state))
    loaded = load_checkpoint(path)
    assert loaded.card == card
    assert (loaded.digest, digest_of(loaded.training_state)) == (digest, digest_of(state))
    assert torch.equal(weights(loaded.network), weights(network))
    assert not loaded.network.training
    inputs = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(loaded.network(inputs).poses, network.eval()(inputs).poses)


def test_the_template_goes_with_the_network(path):
    template = template_of(patient(), patient().grid.centre + 1.0, 20.0)
    save_checkpoint(path, Checkpoint(card_of(), new_network(), template=template))
    loaded = load_checkpoint(path).template
    assert loaded is not None
    np.testing.assert_array_equal(loaded.volume.values, template.volume.values)
    np.testing.assert_array_equal(loaded.volume.grid.volume_from_index, template.volume.grid.volume_from_index)
    np.testing.assert_array_equal(loaded.isocentre, template.isocentre)


def test_the_digest_is_that_of_card_and_weights(path, tmp_path):
    network = new_network()
    digest = save_checkpoint(path, Checkpoint(card_of(), network))
    assert save_checkpoint(tmp_path / "with_state.pt", Checkpoint(card_of(), network, {"step": 1})) == digest
    assert save_checkpoint(tmp_path / "other.pt", Checkpoint(card_of(), new_network(seed=1))) != digest
    assert save_checkpoint(tmp_path / "card.pt", Checkpoint(replace(card_of(), images=1), network)) != digest


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99, 0.9999])
def test_a_truncated_file_is_refused(path, share):
    save_checkpoint(path, Checkpoint(card_of(), new_network()))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    refused(path)


def test_a_flipped_bit_in_the_weights_is_noticed(path):
    network = new_network()
    save_checkpoint(path, Checkpoint(card_of(), network))
    data = bytearray(path.read_bytes())
    # The bytes of the last layer's weights, which the archive stores as they are.
    place = data.find(network.head.last.weight.detach().numpy().tobytes())
    assert place > 0
    data[place + 5] ^= 1
    path.write_bytes(data)
    refused(path)


@pytest.mark.parametrize("what", ["card", "network", "training", "template"])
def test_content_that_was_changed_is_refused(path, what):
    template = template_of(patient(), patient().grid.centre, 20.0)
    save_checkpoint(path, Checkpoint(card_of(), new_network(), {"step": 1}, template=template))
    content = content_of(path)
    if what == "card":
        content["card"] = content["card"].replace('"patient"', '"agnostic"')
    elif what == "network":
        next(iter(content["network"].values())).view(-1)[0] += 1
    elif what == "template":
        content["template"]["isocentre"][0] += 1.0
    else:
        content["training"]["step"] = 2
    torch.save(content, path)
    refused(path, "checksum")


def test_a_newer_format_is_told_as_such(path):
    save_checkpoint(path, Checkpoint(card_of(), new_network()))
    torch.save(content_of(path) | {"version": checkpoint.VERSION + 1}, path)
    refused(path, f"version {checkpoint.VERSION + 1}; update this program")


def test_an_older_format_is_told_as_such(path):
    save_checkpoint(path, Checkpoint(card_of(), new_network()))
    torch.save(content_of(path) | {"version": checkpoint.VERSION - 1}, path)
    refused(path, f"version {checkpoint.VERSION - 1}; train it again")


@pytest.mark.parametrize(
    "foreign",
    [
        b"",
        b"no network",
        pickle.dumps({"format": checkpoint.FORMAT}),
        b"\x89PNG\r\n\x1a\n" + bytes(100),
    ],
)
def test_foreign_files_are_refused(path, foreign):
    path.write_bytes(foreign)
    refused(path)


def test_other_archives_and_other_networks_are_refused(path, tmp_path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    refused(path)
    torch.save({"state_dict": new_network().state_dict()}, path)
    refused(path, "network of this program")
    torch.save([1, 2], path)
    refused(path)
    refused(tmp_path / "missing.pt", "nothing at")
    refused(tmp_path)


class Bomb:
    """Runs code where it is unpickled."""

    def __init__(self, crater: Path) -> None:
        self.crater = crater

    def __reduce__(self):
        return Path.touch, (self.crater,)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("where", ["training", "card", "top"])
def test_code_in_a_file_is_refused_and_not_run(path, tmp_path, where, legacy):
    crater = tmp_path / "crater"
    save_checkpoint(path, Checkpoint(card_of(), new_network()))
    content = content_of(path)
    bomb = Bomb(crater) if where == "top" else content | {where: Bomb(crater)}
    torch.save(bomb, path, _use_new_zipfile_serialization=not legacy)
    refused(path)
    assert not crater.exists()
    # The bomb is a real one.
    torch.load(path, weights_only=False)
    assert crater.exists()


def test_a_card_that_does_not_fit_the_weights_is_refused(path):
    settings = replace(SETTINGS, network=replace(SETTINGS.network, width=16))
    save_checkpoint(path, Checkpoint(card_of(settings), new_network()))
    refused(path, "fit each other")
    content = content_of(path)
    card = json.loads(content["card"])
    card["settings"]["poses"]["law"] = "cauchy"
    content["card"] = json.dumps(card)
    content["digest"] = digest_of({name: content[name] for name in ("card", "network", "template")})
    torch.save(content, path)
    refused(path, "cauchy")


def test_a_full_disk_leaves_the_last_good_file(path, monkeypatch):
    save_checkpoint(path, Checkpoint(card_of(), new_network()))
    before = path.read_bytes()

    real = Path.open

    class Full:
        """A file on a disk with room for 5000 more bytes."""

        def __init__(self, *arguments) -> None:
            self.file = real(*arguments)

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *error) -> None:
            self.file.close()

        def write(self, data) -> int:
            self.file.write(data[:5000])
            raise OSError(errno.ENOSPC, "No space left on device")

    def opened(path, mode="r", *rest, **named):
        return Full(path, mode) if mode == "wb" else real(path, mode, *rest, **named)

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(path, Checkpoint(card_of(), new_network(seed=1)))
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
    load_checkpoint(path)


_WRITER = """
import sys
from pathlib import Path
sys.path[:0] = {paths!r}
from training_scenes import card_of, new_network
from xrayreg.networks.model import checkpoint
real, path = Path.open, Path({path!r})

class Slow:
    def __init__(self, *arguments):
        self.file = real(*arguments)
    def __enter__(self):
        return self
    def __exit__(self, *error):
        self.file.close()
    def write(self, data):
        self.file.write(data[:5000])
        self.file.flush()
        print("writing", flush=True)
        sys.stdin.read(1)

def opened(path, mode="r", *rest, **named):
    return Slow(path, mode) if mode == "wb" else real(path, mode, *rest, **named)

Path.open = opened
checkpoint.save_checkpoint(path, checkpoint.Checkpoint(card_of(), new_network(seed=1)))
"""


def test_a_kill_in_the_middle_of_writing_leaves_the_last_good_file(path):
    save_checkpoint(path, Checkpoint(card_of(), new_network()))
    before = path.read_bytes()
    root = Path(__file__).resolve().parents[4]
    paths = [str(root / "XRayRegistration"), str(root / "Testing" / "Python")]
    child = subprocess.Popen(
        [sys.executable, "-c", _WRITER.format(paths=paths, path=str(path))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stdout.readline().strip() == b"writing"
    child.kill()
    child.wait()
    assert path.read_bytes() == before
    # The half written file is there, under a name that nobody reads.
    (half,) = (other for other in path.parent.iterdir() if other != path)
    assert half.stat().st_size == 5000
    load_checkpoint(path)
