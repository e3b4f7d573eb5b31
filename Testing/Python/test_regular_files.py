"""Only regular files are opened as files: a pipe would wait for ever, a device might never end."""

from __future__ import annotations

import os
import socket

import pytest

from xrayreg.checks import InputError, require_regular


def test_a_regular_file_and_a_link_to_one_are_taken(tmp_path):
    file, link = tmp_path / "ct.nii", tmp_path / "link.nii"
    file.write_bytes(b"")
    link.symlink_to(file)
    assert require_regular(file, "volume") == file
    assert require_regular(link, "volume") == link


@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "socket"])
def test_what_is_no_regular_file_is_refused_by_its_kind(tmp_path, monkeypatch, kind):
    path = tmp_path / "ct.nii"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        # The name of a socket has room for a hundred characters.
        monkeypatch.chdir(tmp_path)
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(path.name)
    with pytest.raises(InputError, match=f"volume: expected a file, found the {kind} ") as caught:
        require_regular(path, "volume")
    assert str(path) in str(caught.value)


def test_nothing_at_the_path_is_said(tmp_path):
    with pytest.raises(InputError, match="nothing at"):
        require_regular(tmp_path / "ct.nii", "volume")
