"""A small file that stands for a large one is refused by what it says of itself, before it is unpacked."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_scenes import card_of, new_network

from xrayreg.checks import InputError
from xrayreg.networks.model.archive import MOST_BYTES, problem_of_archive, problem_of_content
from xrayreg.networks.model.card import ModelCard
from xrayreg.networks.model.checkpoint import Checkpoint, digest_of, load_checkpoint, read_card, save_checkpoint


@pytest.fixture
def path(tmp_path) -> Path:
    save_checkpoint(tmp_path / "model.pt", Checkpoint(card_of(), new_network(), {"step": 1}))
    return tmp_path / "model.pt"


def refused(path: Path, match: str) -> None:
    for read in (load_checkpoint, read_card):
        with pytest.raises(InputError, match=match) as told:
            read(path)
        assert "\n" not in str(told.value)
        assert len(str(told.value)) < 500


def changed(path: Path, **entries) -> None:
    """Write the network's file again with other entries and a checksum that fits them."""
    content = torch.load(path, weights_only=True) | entries
    content["digest"] = digest_of({name: content[name] for name in ("card", "network", "template")})
    torch.save(content, path)


def test_networks_that_this_program_writes_have_no_problem(path):
    assert problem_of_archive(path) == ""
    network = new_network()
    state = {
        # As torch's optimisers tell theirs.
        "optimiser": {"state": {0: {"step": torch.tensor(1.0), "exp_avg": torch.ones(3)}}, "groups": [{"lr": 0.1}]},
        "random": torch.Generator().get_state(),
        "half": torch.zeros(3, dtype=torch.bfloat16),
        "weights": network.state_dict(),
        "told": [1, 2.5, None, True, ("a", -(2**70))],
    }
    save_checkpoint(path, Checkpoint(card_of(), network, state))
    assert problem_of_archive(path) == ""
    assert load_checkpoint(path).training_state.keys() == state.keys()


def packed(path: Path, compression: int, **members: bytes) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(f"archive/{name.replace('_', '.')}", content)


def test_a_compressed_archive_is_refused_by_its_size(path):
    zeros = bytes(50 * 2**20)
    packed(path, zipfile.ZIP_DEFLATED, data_pkl=pickle.dumps({}, protocol=2), zeros=zeros)
    assert path.stat().st_size < 2**17
    refused(path, "52,428,8.. bytes packed into")


def test_an_archive_that_says_it_is_larger_than_itself_is_refused(path):
    data = bytearray(path.read_bytes())
    # The size of the first member in the directory at the end, whose entries begin so (APPNOTE 4.3.12).
    entry = data.index(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = (2**31 + 7).to_bytes(4, "little")
    path.write_bytes(data)
    refused(path, f"bytes when unpacked .at most {MOST_BYTES:,}")
    data[entry + 24 : entry + 28] = (2**26).to_bytes(4, "little")
    path.write_bytes(data)
    refused(path, "bytes packed into")


def test_two_members_of_one_name_and_two_pickles_are_refused(path):
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/version", b"3")
    refused(path, "two members of one name")
    packed(path, zipfile.ZIP_STORED, data_pkl=pickle.dumps({}, protocol=2))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("other/data.pkl", b"")
    refused(path, "another kind of archive")


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_that_names_anything_but_tensors_is_refused_before_torch_sees_it(path, protocol, monkeypatch):
    packed(path, zipfile.ZIP_STORED, data_pkl=pickle.dumps({"a": bytearray(b"1")}, protocol=protocol))
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was loaded"))
    refused(path, "something else than numbers, texts and tensors, which was not run")


@pytest.mark.parametrize("content", [b"", b"\x80\x02", b"no pickle", b"\x80\x02I" + b"9" * 10_000 + b"\n."])
def test_a_damaged_pickle_is_refused(path, content):
    packed(path, zipfile.ZIP_STORED, data_pkl=content)
    refused(path, "a damaged archive|something else")


def test_a_tensor_that_repeats_one_number_is_refused(path):
    changed(path, training=None, template=None, network={"a": torch.zeros(1)})
    content = torch.load(path, weights_only=True)
    content["network"] = {"a": torch.zeros(1).expand(2**40)}
    torch.save(content, path)
    assert path.stat().st_size < 2**16
    refused(path, "4,398,046,511,1.. bytes in a file of")


def test_lists_that_hold_one_another_many_times_are_refused(path):
    laughs: list = ["ha"]
    for _ in range(28):
        laughs = [laughs] * 10
    content = torch.load(path, weights_only=True)
    torch.save(content | {"training": laughs}, path)
    # Of its 10^28 entries nobody has counted the last one.
    refused(path, "beyond measure")


def test_deep_lists_are_refused(path):
    deep: list = []
    for _ in range(100):
        deep = [deep]
    torch.save(torch.load(path, weights_only=True) | {"training": deep}, path)
    refused(path, "beyond measure")


def test_a_number_of_thousands_of_digits_is_refused(path):
    torch.save(torch.load(path, weights_only=True) | {"training": {"step": 10**5000}}, path)
    refused(path, "which was not run|an integer of thousands of digits")
    assert problem_of_content({"step": 10**5000}, 10**6) == "an integer of thousands of digits"


@pytest.mark.parametrize(
    ("card", "words"),
    [
        ("[" * 100_000 + "]" * 100_000, "at most 32 deep"),
        ('{"a":' * 1000 + "1" + "}" * 1000, "at most 32 deep"),
        ("{", "expected JSON"),
        ('{"iteration": ' + "9" * 5000 + "}", "finite numbers"),
        ('{"seconds": NaN}', "seconds: expected finite numbers"),
        ("x" * (5 * 2**20), "at most 4,194,304 characters"),
        ("[]", "a table of settings"),
    ],
)
def test_a_card_that_is_nested_or_huge_is_refused(path, card, words):
    changed(path, card=card)
    refused(path, words)


@pytest.mark.parametrize(
    ("group", "name", "value"),
    [
        ("network", "width", 10**6),
        ("network", "hypotheses", 10**9),
        ("camera", "image_px", 16 * 10**6),
        ("camera", "image_px", 0),
        ("camera", "sid_mm", 10**400),
    ],
)
def test_a_card_whose_network_would_fill_the_memory_is_refused(path, group, name, value):
    card = card_of().as_dict()
    card["settings"][group][name] = value
    changed(path, card=json.dumps(card))
    refused(path, "settings|finite numbers|expected")


def test_integers_beyond_doubles_are_no_numbers_of_settings():
    card = card_of().as_dict()
    card["seconds"] = 10**400
    with pytest.raises(InputError, match="within the range of doubles"):
        ModelCard.from_dict(card)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_or_a_device_is_refused_unread(tmp_path):
    os.mkfifo(tmp_path / "model.pt")
    refused(tmp_path / "model.pt", "expected a file, found the pipe")
    refused(Path("/dev/zero"), "expected a file, found the device")


def test_shared_tensors_count_as_often_as_they_are_held():
    tensor = torch.zeros(1000)
    assert problem_of_content({"a": tensor, "b": tensor}, 4200) == ""
    assert "in a file of 4,200" in problem_of_content([tensor] * 5, 4200)


def test_a_card_with_other_networks_is_still_read(path):
    save_checkpoint(path, Checkpoint(replace(card_of(), notes=("[" * 40, "µ")), new_network()))
    assert read_card(path).notes == ("[" * 40, "µ")
    assert io.BytesIO(path.read_bytes()).read(2) == b"PK"
