"""TIFF files whose orientation tag requires rotating or mirroring the picture for display."""

from __future__ import annotations

import struct
from pathlib import Path

from PIL import Image, TiffImagePlugin

from ..checks import InputError

_ORIENTATION = 274
_AS_STORED = 1


def require_unturned(path: Path, what: str) -> None:
    """Raise InputError naming `what` where a TIFF's display orientation differs from the stored one.

    ITK mirrors or rotates such a picture and reduces it to 8 bits, other readers leave it as stored; for which of these
    the camera was calibrated is unknown.
    """
    if path.suffix.lower() not in (".tif", ".tiff"):
        return
    try:
        with Image.open(path) as picture:
            turn = _AS_STORED
            if isinstance(picture, TiffImagePlugin.TiffImageFile):
                turn = int(picture.tag_v2.get(_ORIENTATION, _AS_STORED))
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, struct.error):
        # An unreadable file is reported by the reader.
        return
    if turn != _AS_STORED:
        raise InputError(
            what,
            expected="a TIFF that is shown as it is stored (orientation 1)",
            found=f"{path} with orientation {turn}, turned or mirrored when it is shown",
            remedy="save it again the way the camera was calibrated for, without that tag",
        )
