"""Limits on the size of a network's file, checked by the sizes declared in it before anything is unpacked.

A small file can expand to a large one: compressed or overlapping members, tensors that repeat one number, nested lists
that repeat one another. Everything this program writes is stored uncompressed.
"""

from __future__ import annotations

import pickletools
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

# The largest network here has 22 million weights: 90 MB, with the optimiser's moments and averages some 400 MB.
MOST_BYTES = 2 * 2**30
# A member for each tensor; a run's state has four for each weight.
_MOST_MEMBERS = 20_000
# Size of the pickle that assembles the tensors; its texts and numbers need less than a megabyte.
_MOST_PICKLE_BYTES = 16 * 2**20
# Number of values in dictionaries and lists, and their nesting depth.
_MOST_VALUES, _DEEPEST = 100_000, 32
# Most tensors that may share storage (weights and their average before the first step do).
_MOST_SHARED = 4
# Largest size in bits of integers; the state of random generators is stored as integers.
_MOST_BITS = 1024
# Names allowed in a pickle of numbers, texts and tensors.
_NAMES = {
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    *(
        f"torch {kind}Storage"
        for kind in ["Float", "Double", "Half", "BFloat16", "Byte", "Char", "Short", "Int", "Long", "Bool"]
    ),
}
_OTHER_CALLS = {"STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"}
# Errors that Python raises for damaged archives and pickles, or for features that ours do not use.
_DAMAGED = (
    zipfile.BadZipFile,
    struct.error,
    ValueError,
    LookupError,
    TypeError,
    ArithmeticError,
    RuntimeError,
    EOFError,
)


def problem_of_archive(path: Path) -> str:
    """The reason why a file must not be unpacked, in words; empty where there is none.

    Only its directory and its pickle are read. Raises OSError where it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            problem = _problem_of_members(members, path.stat().st_size)
            if problem:
                return problem
            (pickled,) = (member for member in members if member.filename.endswith("/data.pkl"))
            names = [(code.name, argument) for code, argument, _ in pickletools.genops(archive.read(pickled))]
    except _DAMAGED:
        return "a damaged archive"
    other = {argument for code, argument in names if code == "GLOBAL"} - _NAMES
    if other or any(code in _OTHER_CALLS for code, _ in names):
        return "something else than numbers, texts and tensors, which was not run"
    return ""


def problem_of_content(content: Any, file_bytes: int) -> str:
    """The reason why unpacked content must not be used, in words; empty where there is none."""
    waiting: list[tuple[Any, int]] = [(content, 0)]
    values, size = 0, 0
    while waiting:
        value, depth = waiting.pop()
        values += 1
        if values > _MOST_VALUES or depth > _DEEPEST:
            return "lists within lists beyond measure"
        if isinstance(value, Mapping):
            waiting += [(entry, depth + 1) for pair in value.items() for entry in pair]
        elif isinstance(value, list | tuple):
            waiting += [(entry, depth + 1) for entry in value]
        elif isinstance(value, Tensor):
            size += value.numel() * value.element_size()
        elif isinstance(value, str):
            size += len(value)
        elif isinstance(value, int) and value.bit_length() > _MOST_BITS:
            return "an integer of thousands of digits"
        if size > _MOST_SHARED * file_bytes:
            return f"numbers that take more than {size:,} bytes in a file of {file_bytes:,}"
    return ""


def _problem_of_members(members: list[zipfile.ZipInfo], file_bytes: int) -> str:
    unpacked = sum(member.file_size for member in members)
    if unpacked > MOST_BYTES:
        return f"{unpacked:,} bytes when unpacked (at most {MOST_BYTES:,})"
    if any(member.compress_type != zipfile.ZIP_STORED for member in members) or unpacked > file_bytes:
        return f"{unpacked:,} bytes packed into {file_bytes:,}, which no network is"
    if len(members) > _MOST_MEMBERS:
        return f"{len(members):,} members"
    if len({member.filename for member in members}) < len(members):
        return "two members of one name"
    pickles = [member for member in members if member.filename.endswith("/data.pkl")]
    if len(pickles) != 1:
        return "another kind of archive"
    return f"a pickle of {pickles[0].file_size:,} bytes" if pickles[0].file_size > _MOST_PICKLE_BYTES else ""
