"""Messages between a client and its worker: a header with protocol version and length, followed by JSON.

    header (12 bytes): "XRWK", version (uint32), length of the text in bytes (uint32), little-endian
    text: a JSON object in UTF-8; non-finite numbers are written NaN, Infinity and -Infinity

Arrays are not part of a message; it holds their names (`arrays`).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

VERSION = 1
# Largest length of a message's text [bytes]; the longest one sent, a result with its notes, has some thousands.
LONGEST = 16 << 20
# Exit code of a worker whose packages are installed but cannot be loaded.
UNLOADABLE = 3
_HEADER = struct.Struct("<4sII")
_MAGIC = b"XRWK"


class BrokenStream(RuntimeError):
    """The data received are not a message of this protocol; nothing that follows on the stream can be read."""


def packed(message: Mapping[str, Any]) -> bytes:
    """A message as bytes. Raises ValueError for one that is longer than `LONGEST`."""
    text = json.dumps(message, separators=(",", ":")).encode()
    if len(text) > LONGEST:
        raise ValueError(f"a message of {len(text)} bytes, at most {LONGEST} are sent; put arrays into files")
    return _HEADER.pack(_MAGIC, VERSION, len(text)) + text


class Unpacker:
    """Reassembles messages from a stream of bytes that arrives in parts of any size."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """The messages that are complete with `data`, in their order.

        Raises BrokenStream for invalid bytes, another version, and a message that is too long.
        """
        self._held += data
        messages = []
        while True:
            if not _MAGIC.startswith(self._held[: len(_MAGIC)]):
                raise BrokenStream("something that is no message of XRayRegistration arrived")
            if len(self._held) < _HEADER.size:
                break
            _magic, version, length = _HEADER.unpack_from(self._held)
            if version != VERSION:
                raise BrokenStream(f"a message of version {version} arrived, version {VERSION} was expected")
            if length > LONGEST:
                raise BrokenStream(f"a message of {length} bytes was announced, at most {LONGEST} are taken")
            end = _HEADER.size + length
            if len(self._held) < end:
                break
            messages.append(_object(bytes(self._held[_HEADER.size : end])))
            del self._held[:end]
        return messages


def _object(text: bytes) -> dict[str, Any]:
    try:
        message = json.loads(text)
    except ValueError as error:
        raise BrokenStream(f"a message that is no JSON arrived ({error})") from error
    if not isinstance(message, dict):
        raise BrokenStream("a message that is no JSON object arrived")
    return message
