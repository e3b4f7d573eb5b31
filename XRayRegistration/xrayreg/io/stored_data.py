"""Verification that a file holds the voxels that its header states, before memory is allocated.

ITK allocates the size that a header states, and does not verify the checksum of compressed voxels in MetaImage files,
nor every one in NRRD files: a flipped bit there silently changes voxels.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import BinaryIO

from ..checks import InputError, require_regular
from .headers import Header

# Bytes read or unpacked at a time.
AT_ONCE = 1 << 24
# Largest compression ratio of Deflate, which gzip and zlib use.
LARGEST_RATIO = 1040
# Encoded as text, a number of eight bytes may take only two characters, a digit and a space.
_LEAST_TEXT = 4


def require_stored(header: Header, path: Path, what: str) -> None:
    """Raise InputError naming `what` unless the file `path` holds all voxels that `header` states.

    Compressed voxels are decompressed once, without being kept, and their checksum is verified.
    """
    if header.file is None:
        return
    file = require_regular(header.file, f"{what} data")
    size = max(0, file.stat().st_size - header.offset)
    packed = header.encoding in ("gzip", "zlib")
    if header.needed > size * LARGEST_RATIO if packed else header.encoding == "raw" and header.needed > size:
        raise _damaged(path, what, f"its header asks for {header.needed} bytes of voxels, {file.name} has {size}")
    if header.encoding == "text" and header.needed > _LEAST_TEXT * (size + 1):
        raise _damaged(path, what, f"its header asks for more numbers than {file.name} can hold")
    if packed:
        try:
            with file.open("rb") as opened:
                opened.seek(header.offset)
                length = (_gzip_length if header.encoding == "gzip" else _zlib_length)(opened, header.needed)
        except (OSError, EOFError, zlib.error) as error:
            raise _damaged(path, what, f"its compressed voxels are damaged: {error}") from error
        if length < header.needed:
            raise _damaged(path, what, f"its header asks for {header.needed} bytes of voxels, it holds {length}")


def _gzip_length(file: BinaryIO, needed: int) -> int:
    """Decompressed bytes of the gzip stream that begins here, read to its end, where the checksum is."""
    length = 0
    with gzip.GzipFile(fileobj=file) as unpacked:
        while part := unpacked.read(AT_ONCE):
            length += len(part)
            _require_no_more(length, needed)
    return length


def _zlib_length(file: BinaryIO, needed: int) -> int:
    """Decompressed bytes of the zlib (or gzip) stream that begins here; zlib.error where its checksum differs."""
    # 32 added to the largest window size: the type of stream is detected from its first bytes.
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    length = 0
    while not unpacker.eof:
        part = unpacker.unconsumed_tail or file.read(1 << 20)
        made = len(unpacker.decompress(part, AT_ONCE))
        if not part and not made:
            raise EOFError("the stream is cut off")
        length += made
        _require_no_more(length, needed)
    return length


def _require_no_more(length: int, needed: int) -> None:
    if length > 2 * needed + AT_ONCE:
        raise OSError("much more follows than the voxels that the header names")


def _damaged(path: Path, what: str, reason: str) -> InputError:
    return InputError(
        what,
        expected="an image that can be read",
        found=f"{path} ({reason})",
        remedy="check that the file is complete, or take another copy",
    )
