"""Voxel spacings as they stand in a text header, before ITK reads a negative one as a flipped axis in silence."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ..checks import InputError

_HEADER_BYTES = 1 << 16
_PATTERNS = {
    (".mha", ".mhd"): rb"^\s*(?:ElementSpacing|ElementSize)\s*=([^\r\n]*)",
    (".nrrd", ".nhdr"): rb"^\s*spacings\s*:([^\r\n]*)",
}


def require_positive_spacing(path: Path) -> None:
    """Raise InputError where a MetaImage or NRRD header gives a spacing that is not positive.

    (NRRD's "space directions" may point anywhere; only its "spacings" have no sign.)
    """
    for suffixes, pattern in _PATTERNS.items():
        if path.name.lower().endswith(suffixes):
            with open(path, "rb") as file:
                match = re.search(pattern, file.read(_HEADER_BYTES), re.MULTILINE | re.IGNORECASE)
            if match is not None:
                _check(match.group(1).decode("ascii", "replace"))


def _check(text: str) -> None:
    try:
        positive = all(np.isfinite(float(word)) and float(word) > 0 for word in text.split())
    except ValueError:
        positive = False
    if not positive:
        raise InputError(
            "voxel spacing",
            expected="millimetres above 0 along each axis",
            found=" x ".join(text.split()),
            remedy="correct the spacing in the file's header",
        )
