"""Damage to files as bytes, to text headers (NRRD, MetaImage) and to the fields of a NIfTI header."""

from __future__ import annotations

import nibabel
import numpy as np

_WORDS = (
    "",
    "abc",
    "nan",
    "inf",
    "-1",
    "0",
    "0 0 0",
    "1",
    "1 2",
    "-2 -2 -3",
    "1e400",
    "1e-30 1 1",
    "1 2 3 4 5 6 7 8 9",
    "2 2 2",
    "2000 2 2",
    "(1,0,0)",
    "(nan,0,0) (0,1,0) (0,0,1)",
    "(1,0,0) (1,0,0) (0,0,1)",
    "(1,0,0) none (0,0,1)",
    "nothing.raw",
    "MET_CHAR",
    "MET_DOUBLE",
    "float",
    "block",
    "True",
    "left-posterior-superior-time",
    "\x1b[31mred",
    "\u0664\u0665",
)
# What an outside reader makes of another number of axes is not this program's to test.
_LEFT_ALONE = ("NDims", "dimension")
_NAMES: tuple[str, ...] = (
    "dim",
    "pixdim",
    "datatype",
    "bitpix",
    "vox_offset",
    "scl_slope",
    "scl_inter",
    "xyzt_units",
    "sizeof_hdr",
)
_NAMES += ("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "srow_x", "srow_y", "srow_z")
_NAMES += ("magic", "intent_code", "dim_info", "slice_code")
_FIELDS = dict(nibabel.Nifti1Header.template_dtype.fields or {})
_REALS = (0.0, -1.0, 1e-30, 1e30, 1e5, np.nan, np.inf, -np.inf, 0.5, 3.0)
_WHOLES = (0, 1, 2, 3, 4, 5, 7, 8, 16, 32, 64, 128, 256, 300, 512, 768, 1024, 2304, 20000, 32767, -1, -32768)


def damage_bytes(data: bytes, rng: np.random.Generator, header: int) -> tuple[bytes, str]:
    """`data` with bytes turned, cut, zeroed or put in; mostly within its first `header` bytes."""
    end = min(header, len(data)) if rng.random() < 0.75 else len(data)
    place = int(rng.integers(end))
    kind = int(rng.integers(6))
    if kind <= 1:
        changed = bytearray(data)
        count = int(rng.integers(1, 9))
        for n in rng.integers(end, size=count):
            changed[n] ^= 1 << int(rng.integers(8))
        return bytes(changed), f"{count} bits turned"
    if kind == 2:
        place = int(rng.integers(len(data)))
        return data[:place], f"cut after {place} bytes"
    length = int(rng.integers(1, 40))
    if kind == 3:
        return data[:place] + b"\0" * length + data[place + length :], f"{length} zeros at byte {place}"
    if kind == 4:
        return data[:place] + rng.bytes(length) + data[place:], f"{length} bytes more at byte {place}"
    return data[:place] + data[place + length :], f"{length} bytes fewer at byte {place}"


def damage_lines(data: bytes, rng: np.random.Generator, separator: str, end: bytes) -> tuple[bytes, str]:
    """A file whose header is lines of "name separator value" up to `end`, with one line changed."""
    head, _, rest = data.partition(end)
    lines = head.decode().split("\n")
    n = int(rng.integers(1, len(lines)))
    if lines[n].startswith(_LEFT_ALONE):
        n += 1
    kind, told = int(rng.integers(6)), lines[n][:40]
    if kind == 0:
        del lines[n]
    elif kind == 1:
        lines.insert(n, lines[n])
    elif kind == 2:
        m = int(rng.integers(1, len(lines)))
        lines[n], lines[m] = lines[m], lines[n]
    else:
        name = lines[n].partition(separator)[0]
        lines[n] = f"{name}{separator} {_WORDS[int(rng.integers(len(_WORDS)))]}"
    done = ("is missing", "stands there twice", "is at another place")[kind] if kind < 3 else f"is {lines[n][:40]!r}"
    return "\n".join(lines).encode() + end + rest, f'"{told}" {done}'


def damage_fields(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """A .nii file with one number of its header changed."""
    name = _NAMES[int(rng.integers(len(_NAMES)))]
    kind, offset = _FIELDS[name][:2]
    base, shape = kind.base, kind.shape
    place = offset + (int(rng.integers(shape[0])) * base.itemsize if shape else 0)
    if base.kind == "f":
        value = np.array(_REALS[int(rng.integers(len(_REALS)))], base.newbyteorder("<"))
    elif base.kind in "iu":
        whole = _WHOLES[int(rng.integers(len(_WHOLES)))]
        value = np.array(whole & (2 ** (8 * base.itemsize) - 1), f"<u{base.itemsize}")
        whole = int(value)
        return data[:place] + value.tobytes() + data[place + base.itemsize :], f"{name} is {whole}"
    else:
        value = np.frombuffer(rng.bytes(base.itemsize), np.uint8)
    return data[:place] + value.tobytes() + data[place + base.itemsize :], f"{name} is {value!s:.12}"
