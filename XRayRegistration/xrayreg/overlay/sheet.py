"""A summary sheet of a registration: caption, panels in two columns, legend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .drawing import Colour, Picture

# Distinct under any common colour blindness; a word and a symbol show the same.
ACCEPTED: Colour = (0, 158, 115)
REJECTED: Colour = (213, 94, 0)


@dataclass(frozen=True, eq=False)
class SheetPanel:
    """A picture (uint8 RGB) with its title and a key of colours."""

    title: str
    picture: Picture
    key: tuple[tuple[Colour, str], ...] = ()


@dataclass(frozen=True)
class Caption:
    """The text above the panels.

    title: the view's name. figures: names and values, for example ("Similarity", "0.41 → 0.87").
    accepted: the verdict, None where there is none. reason: the sentence behind it.
    """

    title: str
    figures: tuple[tuple[str, str], ...] = ()
    accepted: bool | None = None
    reason: str = ""


def compose_sheet(caption: Caption, panels: Sequence[SheetPanel], legend: Sequence[tuple[Colour, str]] = ()) -> Picture:
    """Caption, panels in two columns and a legend of colours, as uint8 RGB (H, W, 3)."""
    # Pillow and matplotlib, which provides the fonts, are needed only here and not for edges and live pictures.
    from . import sheet_parts

    return np.asarray(sheet_parts.composed(caption, panels, legend))
