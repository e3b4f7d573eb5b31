"""Double of slicer.i18n."""

from __future__ import annotations

import re
import sys
from pathlib import Path


def translate(context: str, text: str) -> str:
    """The application's translation."""
    import slicer

    return slicer.app.translate(context, text)


def tr(text: str) -> str:
    """The translation in the context of the calling file, unless it lost a placeholder."""
    translated = translate(Path(sys._getframe(1).f_code.co_filename).stem, text)
    return translated if _placeholders(text) == _placeholders(translated) else text


def _placeholders(text: str) -> set[str]:
    return set(re.findall(r"(?<!\{)\{([^{}]+)\}(?!\})", text))
