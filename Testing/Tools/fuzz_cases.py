"""Case files for the fuzz corpus: a sound case.json with its images, and damage to its text."""

from __future__ import annotations

import json
import math
import os
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from fuzz_sound import PIXELS, ct_metaimage, ct_values, xray_pixels

_TURNED = [[1.0, 0.0, 0.0, 5.0], [0.0, 0.0, -1.0, 3.0], [0.0, 1.0, 0.0, 700.0], [0.0, 0.0, 0.0, 1.0]]
_CAMERA = {
    "matrix": [[1250.0, 0.0, 31.5], [0.0, 1250.0, 31.5], [0.0, 0.0, 1.0]],
    "size": [PIXELS, PIXELS],
    "camera_from_world": [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]],
    "pixel_mm": 0.8,
}
_SOUND: dict[str, Any] = {
    "volume": "ct.mha",
    "labels": "labels.mha",
    "structures": [1, 2],
    "views": [
        {"image": "front.tif", "intensity": "transmission", "mirrored": False, "camera": _CAMERA},
        {"image": "side.tif", "frame": 0, "calibration": "side.txt"},
    ],
    "initial": {"world_from_volume": _TURNED},
    "reference": {"world_from_volume": _TURNED, "targets": [[0.0, 1.0, 2.0], [10.0, -5.0, 3.0]]},
}
_CALIBRATION = f"""image size
{PIXELS},{PIXELS}

camera matrix
1250,0,31.5
0,1250,31.5
0,0,1

rotation
0,0,1
0,1,0
-1,0,0

translation
0
0
700
"""


class _Literal:
    """Text that goes into the JSON as it stands."""

    def __init__(self, text: str) -> None:
        self.text = text


_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    3,
    0.5,
    1e-12,
    1e300,
    2**40,
    _Literal("1e400"),
    _Literal("-1e400"),
    _Literal("NaN"),
    _Literal("Infinity"),
    _Literal("9" * 400),
    _Literal("9" * 5000),
    _Literal("-0"),
    _Literal("[" * 200 + "]" * 200),
    _Literal("[" * 100000 + "]" * 100000),
    _Literal('{"a":' * 300 + "1" + "}" * 300),
    "",
    " ",
    "abc",
    "1",
    "\u0661",
    "nothing.here",
    ".",
    "..",
    "/",
    "/dev/null",
    "/dev/zero",
    "waiting",
    "front.tif/x",
    "a" * 5000,
    "a\u0000b",
    "\ud800",
    "\x1b[31mred\x07",
    "a\nb\u2028c\u202ed",
    "front.tif",
    "ct.mha",
    "side.txt",
    "case.json",
    [],
    {},
    [1],
    [[1, 2], [3]],
    [None, "a", {}],
    {"matrix": 3},
    ["front.tif"],
)
_KEYS = ("volum", "Volume", "view", "intial", "mirorred", "structure", "", "\x1b[31m", "a" * 300, "pixel_m")


def sound_case(folder: Path) -> Path:
    """Writes a case with all that it may have into `folder`, and a FIFO named "waiting" beside it."""
    (folder / "ct.mha").write_bytes(ct_metaimage())
    (folder / "labels.mha").write_bytes(_labels())
    sitk.WriteImage(sitk.GetImageFromArray(xray_pixels()[0]), str(folder / "front.tif"))
    sitk.WriteImage(sitk.GetImageFromArray(xray_pixels()[0][:, ::-1].copy()), str(folder / "side.tif"))
    (folder / "side.txt").write_text(_CALIBRATION, encoding="utf-8")
    os.mkfifo(folder / "waiting")
    path = folder / "case.json"
    path.write_text(json.dumps(_SOUND, indent=1), encoding="utf-8")
    return path


def damage_case(path: Path, rng: np.random.Generator) -> str:
    """Damages the case at `path` in one to three places, or its text, or the calibration that it names."""
    kind = rng.random()
    if kind < 0.12:
        data, told = _damaged_text(path.read_bytes(), rng)
        path.write_bytes(data)
        return told
    if kind < 0.24:
        side = path.with_name("side.txt")
        data, told = _damaged_text(side.read_bytes(), rng)
        side.write_bytes(data)
        return f"calibration: {told}"
    case, told_all = deepcopy(_SOUND), []
    for _ in range(int(rng.choice([1, 1, 2, 3]))):
        told_all.append(_damaged_node(case, rng))
    path.write_text(_text(case), encoding="utf-8", errors="surrogatepass")
    return "; ".join(told_all)


def _labels() -> bytes:
    values = ct_values()
    labels = (values > 500).astype("<i2") + (values > 950)
    head = ct_metaimage().partition(b"LOCAL\n")[0]
    return head + b"LOCAL\n" + labels.astype("<i2").tobytes()


def _places(node: Any, where: str = "") -> list[tuple[Any, Any, str]]:
    """Every place below `node`: what holds it, its key there, and its name."""
    keys: list[Any] = list(node) if isinstance(node, dict) else list(range(len(node))) if isinstance(node, list) else []
    found = []
    for key in keys:
        name = f"{where}.{key}"
        # Rows of numbers would outnumber everything else.
        again = 1 if not isinstance(node[key], int | float) else 0
        found += [(node, key, name)] * (1 + 3 * again)
        found += _places(node[key], name)
    return found


def _damaged_node(case: dict[str, Any], rng: np.random.Generator) -> str:
    places = _places(case)
    if not places:
        case["views"] = 1
        return ".views is 1"
    holder, key, name = places[int(rng.integers(len(places)))]
    kind = int(rng.integers(8))
    if kind == 0:
        del holder[key]
        return f"{name} is missing"
    if kind == 1 and isinstance(holder, dict):
        wrong = _KEYS[int(rng.integers(len(_KEYS)))]
        holder[wrong] = holder.pop(key) if rng.random() < 0.5 else 1
        return f"{name}: the key {wrong[:20]!r}"
    if kind == 2 and isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
        factor = float(rng.choice([-1, 0, 1000, 1e-3, 1.1, 1e9]))
        holder[key] = holder[key] * factor
        return f"{name} is {factor:g} times as large"
    if kind == 3 and isinstance(holder[key], list):
        holder[key] = holder[key] * 3 if rng.random() < 0.5 else holder[key][:-1]
        return f"{name} has {len(holder[key])} entries"
    if kind == 4:
        other = places[int(rng.integers(len(places)))]
        holder[key] = deepcopy(other[0][other[1]]) if other[1] in _keys(other[0]) else 1
        return f"{name} is what {other[2]} is"
    value = _VALUES[int(rng.integers(len(_VALUES)))]
    holder[key] = value
    return f"{name} is {(value.text if isinstance(value, _Literal) else repr(value))[:30]}"


def _keys(node: Any) -> Any:
    return node if isinstance(node, dict) else range(len(node))


def _text(case: Any) -> str:
    literals: list[str] = []

    def put(value: Any) -> str:
        literals.append(value.text)
        return f"@@{len(literals) - 1}@@"

    text = json.dumps(case, indent=1, default=put, ensure_ascii=False)
    for n, literal in enumerate(literals):
        text = text.replace(f'"@@{n}@@"', literal)
    return text


def _damaged_text(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    place = int(rng.integers(len(data)))
    kinds: dict[str, bytes] = {
        f"cut after {place} bytes": data[:place],
        "a byte that is not UTF-8": data[:place] + b"\xff" + data[place:],
        "UTF-16": data.decode().encode("utf-16"),
        "latin-1 letters": data[:place] + "\u00e4\u00f6".encode("latin-1") + data[place:],
        "nothing": b"",
        "a mark before the text": b"\xef\xbb\xbf" + data,
        "twice": data + data,
        "a zero byte": data[:place] + b"\0" + data[place:],
        f"a bit turned at {place}": data[:place] + bytes([data[place] ^ 1 << int(rng.integers(8))]) + data[place + 1 :],
        "a digit more": data[:place] + b"7" + data[place:],
        "a line less": b"\n".join(line for n, line in enumerate(data.split(b"\n")) if n != place % 12),
        "only the mark before a text": b"\xef\xbb\xbf",
        "not JSON": b"volume: ct.mha\n",
        "a list": b"[1, 2]",
        "a number": str(math.pi).encode(),
    }
    told = str(rng.choice(list(kinds)))
    return kinds[told], told
