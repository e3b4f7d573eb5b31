"""TIFF files whose orientation tag asks for the picture to be turned or mirrored when it is shown."""

from __future__ import annotations

import struct
from pathlib import Path

from PIL import Image, TiffImagePlugin

from ..checks import InputError

_ORIENTATION = 274
_AS_STORED = 1


def require_unturned(path: Path, what: str) -> None:
    """Raise InputError naming `what` where a TIFF is to be shown otherwise than it is stored.

    ITK mirrors or turns such a picture and cuts it to 8 bits, other readers leave it as it is; whether the camera was
    calibrated for the one or the other cannot be known.
    """
    if path.suffix.lower() not in (".tif", ".tiff"):
        return
    try:
        with Image.open(path) as picture:
            turn = _AS_STORED
            if isinstance(picture, TiffImagePlugin.TiffImageFile):
                turn = int(picture.tag_v2.get(_ORIENTATION, _AS_STORED))
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, struct.error):
        # What cannot be read at all is for the reader to say.
        return
    if turn != _AS_STORED:
        raise InputError(
            what,
            expected="a TIFF that is shown as it is stored (orientation 1)",
            found=f"{path} with orientation {turn}, turned or mirrored when it is shown",
            remedy="save it again the way the camera was calibrated for, without that tag",
        )
