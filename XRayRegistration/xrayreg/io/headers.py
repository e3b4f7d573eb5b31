"""The text header of a MetaImage or NRRD file, read before ITK silently fills in or corrects missing values.

ITK 5.4 assumes 1 mm for a file without spacing, reads a negative one as a flipped axis, "Offset = nan" as 0 0 0, and
ignores the units of lengths.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..checks import InputError

_META, _NRRD = (".mha", ".mhd"), (".nrrd", ".nhdr")
_HEADER_BYTES = 1 << 22
_META_BYTES = {"CHAR": 1, "SHORT": 2, "INT": 4, "LONG": 4, "LONG_LONG": 8, "FLOAT": 4, "DOUBLE": 8}
_NRRD_BYTES = (
    (r"u?int8(_t)?|((un)?signed )?char|uchar", 1),
    (r"u?int16(_t)?|(unsigned |signed )?short( int)?|ushort", 2),
    (r"u?int32(_t)?|(unsigned |signed )?int|uint|float", 4),
    (r"u?int64(_t)?|(unsigned |signed )?long ?long( int)?|u?longlong|double", 8),
)
# Tolerance for unit vectors; directions rounded to six digits deviate less.
_UNIT = 1e-3
_LENGTHS = ("m", "cm", "dm", "um", "µm", "nm", "in", "inch", "meter", "metre", "micron", "micrometer", "centimeter")
# NRRD spaces with anatomical axes; ITK reads any other as if it were LPS.
_ANATOMICAL = re.compile(r"(left|right)-(anterior|posterior)-(superior|inferior)|[lr][ap][si]", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Header:
    """The content of a text header: spacing and origin where stated, and where and how the voxels are stored.

    file, offset: the file of the voxels and the position of their first byte; None for voxels in several files or where
        the size of a voxel is not known.
    encoding: "raw", "text", "hex", "gzip", "zlib" or another.
    """

    needed: int
    file: Path | None
    offset: int
    encoding: str
    spacing: NDArray[np.float64] | None = None
    origin: NDArray[np.float64] | None = None
    notes: tuple[str, ...] = field(default=())


def has_text_header(path: Path) -> bool:
    """Whether the file name has the suffix of a MetaImage or NRRD image."""
    return path.name.lower().endswith(_META + _NRRD)


def read_text_header(path: Path, what: str) -> Header:
    """The header of a scalar 3D MetaImage or NRRD file.

    Raises InputError naming `what` for a spacing that is not positive, an offset that is not finite, directions that
    are not of length 1, and lengths in other units than millimetres.
    """
    return _of_metaimage(path, what) if path.name.lower().endswith(_META) else _of_nrrd(path, what)


def data_file_of(path: Path) -> Path | None:
    """The file that holds the voxels of a MetaImage or NRRD header, itself or another; None where there are several."""
    meta = path.name.lower().endswith(_META)
    named = "LOCAL"
    for line, _ in _lines(path):
        key, _, value = line.partition("=" if meta else ":")
        if meta and key.strip() == "ElementDataFile":
            named = value.strip()
            break
        if not meta and not line:
            break
        if not meta and key.strip().lower() in ("data file", "datafile"):
            named = value.strip()
    return _data_file(path, named)[0]


def _lines(path: Path) -> Iterator[tuple[str, int]]:
    """Lines of a file, and the position of the first byte after each."""
    with path.open("rb") as file:
        while file.tell() < _HEADER_BYTES and (line := file.readline(_HEADER_BYTES)):
            yield line.decode("utf-8", "replace").strip(), file.tell()


def _of_metaimage(path: Path, what: str) -> Header:
    found: dict[str, str] = {}
    offset = 0
    for line, after in _lines(path):
        key, _, value = (part.strip() for part in line.partition("="))
        found[key] = value
        offset = after
        if key == "ElementDataFile":
            break
    spacing = found.get("ElementSpacing", found.get("ElementSize"))
    origin = next((found[key] for key in ("Offset", "Position", "Origin") if key in found), None)
    turn = next((found[key] for key in ("TransformMatrix", "Rotation", "Orientation") if key in found), None)
    _require_millimetres(found.get("DistanceUnits", "mm"), what)
    if turn is not None:
        _require_unit(_numbers(turn, 9, f"{what} directions").reshape(3, 3), what)
    sizes = _sizes(found.get("DimSize", ""), what)
    kind = found.get("ElementType", "").removeprefix("MET_").removeprefix("U")
    voxel = _META_BYTES.get(kind, 0) * int(_one(found.get("ElementNumberOfChannels", "1")))
    packed = found.get("CompressedData", "").lower() in ("true", "1", "t")
    file, inside = _data_file(path, found.get("ElementDataFile", ""))
    begin = offset if inside else max(0, int(_one(found.get("HeaderSize", "0"))))
    return Header(
        needed=math.prod(sizes) * voxel,
        file=file if voxel else None,
        offset=begin,
        encoding="zlib" if packed else "raw" if found.get("BinaryData", "True").lower() != "false" else "text",
        spacing=None if spacing is None else _positive(_numbers(spacing, 3, "voxel spacing")),
        origin=None if origin is None else _numbers(origin, 3, f"{what} origin"),
    )


def _of_nrrd(path: Path, what: str) -> Header:
    found: dict[str, str] = {}
    offset = 0
    for line, after in _lines(path):
        offset = after
        if not line:
            break
        name, _, value = line.partition(":")
        if not line.startswith("#") and not value.startswith("="):
            found[name.strip().lower()] = value.strip()
    spacing = None
    if "space directions" in found:
        spacing = _lengths(found["space directions"], what)
    elif "spacings" in found:
        spacing = _positive(_numbers(found["spacings"], 3, "voxel spacing"))
    for name in ("space units", "units"):
        for unit in re.findall(r'"([^"]*)"', found.get(name, "")):
            _require_millimetres(unit, what)
    if "space origin" in found:
        _numbers(found["space origin"].strip("() ").replace(",", " "), 3, f"{what} origin")
    sizes = _sizes(found.get("sizes", ""), what)
    voxel = next((size for kind, size in _NRRD_BYTES if re.fullmatch(kind, found.get("type", "").lower())), 0)
    file, inside = _data_file(path, found.get("data file", found.get("datafile", "LOCAL")))
    encoding = {"gz": "gzip", "txt": "text", "ascii": "text"}.get(
        found.get("encoding", "").lower(), found.get("encoding", "").lower()
    )
    skip = int(_one(found.get("byte skip", found.get("byteskip", "0"))))
    return Header(
        needed=math.prod(sizes) * voxel,
        file=file if voxel and "line skip" not in found else None,
        offset=(offset if inside else 0) + (max(0, skip) if encoding == "raw" else 0),
        encoding=encoding,
        spacing=spacing,
        notes=_space_notes(found, what),
    )


def _space_notes(found: dict[str, str], what: str) -> tuple[str, ...]:
    space = found.get("space", "")
    if "space directions" not in found or _ANATOMICAL.fullmatch(space):
        return ()
    named = f'Its space "{space}"' if space else "Its space"
    return (
        f"The {what}: {named} is not one of a patient; its axes were read as left, posterior, superior (ITK's rule).",
    )


def _data_file(path: Path, named: str) -> tuple[Path | None, bool]:
    """The file of the voxels, None where there are several, and whether it is the header's own."""
    if named.upper() == "LOCAL":
        return path, True
    if not named or named.upper().startswith("LIST") or "%" in named:
        return None, False
    return path.parent / named, False


def _sizes(text: str, what: str) -> tuple[int, ...]:
    sizes = _numbers(text, 3, f"{what} size")
    if not all(size >= 1 and size.is_integer() for size in sizes.tolist()):
        raise _unusable(f"{what} size", "whole numbers of voxels", text)
    return tuple(int(size) for size in sizes)


def _numbers(text: str, count: int, what: str) -> NDArray[np.float64]:
    try:
        numbers = np.array([float(word) for word in text.split()])
    except ValueError:
        numbers = np.empty(0)
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise _unusable(what, f"{count} finite numbers", text)
    return numbers


def _one(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) else 0.0


def _lengths(text: str, what: str) -> NDArray[np.float64] | None:
    """Lengths of NRRD's three vectors "(x,y,z) (x,y,z) (x,y,z)"; None where one is missing ("none")."""
    if re.search(r"\bnone\b", text):
        return None
    vectors = re.findall(r"\(([^)]*)\)", text)
    rows = [_numbers(vector.replace(",", " "), 3, f"{what} directions") for vector in vectors]
    if len(rows) != 3:
        raise _unusable(f"{what} directions", "three vectors", text)
    return _positive(np.linalg.norm(rows, axis=1))


def _positive(spacing: NDArray[np.float64]) -> NDArray[np.float64]:
    if not (spacing > 0).all():
        raise InputError(
            "voxel spacing",
            expected="millimetres above 0 along each axis",
            found=" x ".join(f"{step:g}" for step in spacing),
            remedy="correct the spacing in the file's header",
        )
    return spacing


def _require_unit(directions: NDArray[np.float64], what: str) -> None:
    lengths = np.linalg.norm(directions, axis=1)
    if np.abs(lengths - 1).max() > _UNIT:
        raise InputError(
            f"{what} directions",
            expected="vectors of length 1 (the spacing stands apart)",
            found=f"lengths {', '.join(f'{length:g}' for length in lengths)}",
            remedy="correct the matrix in the file's header",
        )


def _require_millimetres(unit: str, what: str) -> None:
    if unit.strip().lower().rstrip("s") in _LENGTHS:
        raise InputError(
            f"{what} geometry",
            expected="lengths in millimetres",
            found=f"the unit {unit}, which ITK and Slicer do not look at",
            remedy="save the file again with spacing and origin in millimetres",
        )


def _unusable(what: str, expected: str, text: str) -> InputError:
    found = f'"{text.strip()[:80]}"' if text.strip() else "none"
    return InputError(what, expected=expected, found=found, remedy="correct the file's header")
