"""The parts of a sheet, drawn with Pillow: caption, rows of panels, legend."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

from .drawing import Colour
from .sheet import ACCEPTED, REJECTED, Caption, SheetPanel

_BACKGROUND: Colour = (18, 21, 26)
_STRIP: Colour = (30, 35, 43)
_TEXT: Colour = (236, 239, 244)
_QUIET: Colour = (150, 160, 175)
_MARGIN = 28
_GAP = 20
# Least column width, so that the caption fits above narrow panels.
_LEAST_COLUMN = 640


def composed(caption: Caption, panels: Sequence[SheetPanel], legend: Sequence[tuple[Colour, str]]) -> Image.Image:
    """Caption, panels in two columns and a legend of colours."""
    columns = [max([_LEAST_COLUMN, *(panel.picture.shape[1] for panel in panels[n::2])]) for n in range(2)]
    width = sum(columns) + _GAP + 2 * _MARGIN
    blocks = [_caption_strip(caption, width)]
    for first in range(0, len(panels), 2):
        blocks.append(_row(panels[first : first + 2], columns, width))
    if legend:
        blocks.append(_legend(legend, width))
    sheet = Image.new("RGB", (width, sum(block.height for block in blocks) + _MARGIN), _BACKGROUND)
    top = 0
    for block in blocks:
        sheet.paste(block, (0, top))
        top += block.height
    return sheet


@cache
def _font(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name
    # Pillow's basic layout: with an external text layout library it was observed to measure far too wide.
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


def _caption_strip(caption: Caption, width: int) -> Image.Image:
    lines = _wrapped(caption.reason, _font(22), width - 2 * _MARGIN)
    figures_height = 74 if caption.figures else 0
    height = 24 + 52 + figures_height + 32 * len(lines) + 20
    strip = Image.new("RGB", (width, height + _GAP), _BACKGROUND)
    draw = ImageDraw.Draw(strip)
    draw.rectangle((0, 0, width, height), fill=_STRIP)
    right = width - _MARGIN
    if caption.accepted is not None:
        colour, words = (ACCEPTED, "✓  Accepted") if caption.accepted else (REJECTED, "✗  Rejected")
        draw.rectangle((0, 0, 10, height), fill=colour)
        length = draw.textlength(words, _font(28, True))
        draw.rounded_rectangle((right - length - 44, 22, right, 72), radius=25, fill=colour)
        draw.text((right - length / 2 - 22, 47), words, (255, 255, 255), _font(28, True), anchor="mm")
        right -= int(length) + 44 + _GAP
    draw.text((_MARGIN, 47), _shortened(caption.title, _font(36, True), right - _MARGIN), _TEXT, _font(36, True), "lm")
    left: float = _MARGIN
    for name, value in caption.figures:
        draw.text((left, 84), name, _QUIET, _font(18))
        draw.text((left, 107), value, _TEXT, _font(28, True))
        left += max(draw.textlength(name, _font(18)), draw.textlength(value, _font(28, True))) + 48
    for number, line in enumerate(lines):
        draw.text((_MARGIN, 82 + figures_height + 32 * number), line, _TEXT, _font(22))
    return strip


def _row(panels: Sequence[SheetPanel], columns: Sequence[int], width: int) -> Image.Image:
    head = 44
    row = Image.new("RGB", (width, head + max(panel.picture.shape[0] for panel in panels) + _GAP), _BACKGROUND)
    draw = ImageDraw.Draw(row)
    left = _MARGIN
    for panel, column in zip(panels, columns, strict=False):
        draw.text((left, head / 2), panel.title, _TEXT, _font(24, True), anchor="lm")
        end: float = left + column
        for colour, words in reversed(panel.key):
            end -= draw.textlength(words, _font(18))
            draw.text((end, head / 2), words, _QUIET, _font(18), anchor="lm")
            draw.rounded_rectangle((end - 26, head / 2 - 8, end - 10, head / 2 + 8), radius=3, fill=colour)
            end -= 48
        row.paste(Image.fromarray(panel.picture), (left + (column - panel.picture.shape[1]) // 2, head))
        left += column + _GAP
    return row


def _legend(entries: Sequence[tuple[Colour, str]], width: int) -> Image.Image:
    font = _font(20)
    places: list[tuple[int, int]] = []
    left, line = _MARGIN, 0
    for _, words in entries:
        length = int(font.getlength(words)) + 66
        if left > _MARGIN and left + length > width - _MARGIN:
            left, line = _MARGIN, line + 1
        places.append((left, 34 * line))
        left += length
    block = Image.new("RGB", (width, 34 * (line + 1)), _BACKGROUND)
    draw = ImageDraw.Draw(block)
    for (colour, words), (x, y) in zip(entries, places, strict=True):
        draw.rounded_rectangle((x, y + 8, x + 18, y + 26), radius=3, fill=colour)
        draw.text((x + 28, y + 17), words, _TEXT, font, anchor="lm")
    return block


def _wrapped(text: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _shortened(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """`text`, with its middle elided where it is wider than `width`: file names differ at their ends."""
    kept = len(text)
    shown = text
    while kept > 4 and font.getlength(shown) > width:
        kept -= 1
        shown = f"{text[: kept // 2]}…{text[-(kept - kept // 2) :]}"
    return shown
