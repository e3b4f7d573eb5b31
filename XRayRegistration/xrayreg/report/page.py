"""One HTML page about a registration: verdict, numbers and pictures, readable anywhere and printable."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from ..checks import InputError

# Longer side [pixels] of an embedded picture: sharp on paper, and a page of ten stays below a few megabytes.
_PICTURE_PX = 1800
_JPEG_QUALITY = 88

_STYLE = """
:root { --ink: #1c2430; --quiet: #5b6675; --line: #dbe0e7; --panel: #f5f7fa; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.5rem 3rem; max-width: 72rem; color: var(--ink); background: #fff;
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2rem 0 .6rem; }
.verdict { display: flex; gap: 1rem; align-items: baseline; padding: .9rem 1.1rem; border-radius: .5rem;
  border-left: .5rem solid var(--tone); background: var(--panel); }
.verdict b { color: var(--tone); font-size: 1.2rem; white-space: nowrap; }
.accepted { --tone: #007a5a; } .rejected { --tone: #b84a00; } .unjudged { --tone: #5b6675; }
.tables { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 0 2rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); }
th { color: var(--quiet); font-weight: normal; }
td { overflow-wrap: anywhere; }
.matrix td { text-align: right; padding-left: 1rem; }
figure { margin: 1.5rem 0; break-inside: avoid; }
img { display: block; max-width: 100%; height: auto; margin: 0 auto; border-radius: .3rem; }
figcaption { color: var(--quiet); margin-top: .4rem; text-align: center; }
@media print { body { max-width: none; padding: 0; font-size: 11pt; } img { max-height: 24cm; }
  section { break-inside: avoid; } * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""

_UNITS = {"mm": "mm", "px": "pixels", "deg": "°", "s": "s", "rad": "rad"}
# Abbreviations whose capitalisation a key does not give.
_NAMES = {"mtre": "mTRE", "mpd": "mPD", "mrpd": "mRPD", "dgeo": "dGeo", "sid": "SID"}


def write_report(
    folder: str | Path, title: str, result: Mapping[str, Any], pictures: Sequence[tuple[str, str | Path]]
) -> Path:
    """Write `folder`/report.html and return its path; the page needs no other file and no network.

    result: the content of result.json (design: file contract); missing keys are left out of the page. An "unjudged"
        result is shown without a verdict.
    pictures: (caption, path relative to `folder`) in the order in which they are shown.
    Raises InputError for a picture that cannot be read.
    """
    folder = Path(folder)
    figures = []
    for caption, path in pictures:
        figures.append(_figure(folder / path, caption))
    body = [
        f"<h1>{escape(title)}</h1>",
        _verdict(result),
        *figures,
        '<div class="tables">',
        *_tables(result),
        "</div>",
    ]
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n" + "\n".join(body) + "\n</body>\n"
        "</html>\n"
    )
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _verdict(result: Mapping[str, Any]) -> str:
    accepted = None if result.get("unjudged") else result.get("accepted")
    kind, words = "unjudged", "Not judged"
    if accepted is not None:
        kind, words = ("accepted", "✓ Accepted") if accepted else ("rejected", "✗ Rejected")
    reason = escape(str(result.get("reason") or ""))
    code = escape(str(result.get("reason_code") or ""))
    return f'<div class="verdict {kind}" data-reason-code="{code}"><b>{words}</b><span>{reason}</span></div>'


def _tables(result: Mapping[str, Any]) -> list[str]:
    sections = []
    for heading, key in (
        ("Score against the reference", "score"),
        ("Quality", "quality"),
        ("Uncertainty", "uncertainty"),
        ("Time", "seconds"),
    ):
        content = result.get(key)
        if isinstance(content, Mapping) and key in ("quality", "uncertainty"):
            # Values that are unknown, or withheld as the pose is not accepted, are left out.
            content = {name: value for name, value in content.items() if value is not None}
        if isinstance(content, Mapping) and content:
            unit = "s" if key == "seconds" else ""
            sections.append(_section(heading, _rows(content, unit)))
    similarities = {
        str(view.get("image") or view.get("name") or f"view {number}"): view["similarity"]
        for number, view in enumerate(result.get("views") or [], start=1)
        if "similarity" in view
    }
    # For a single view it is already among the quality's numbers.
    if len(similarities) > 1 or "similarity" not in (result.get("quality") or {}):
        rows = "".join(_row(name, _told(value)) for name, value in similarities.items())
        sections += [_section("Similarity per view", rows)] if rows else []
    pose = result.get("world_from_volume")
    if pose is not None:
        cells = "".join("<tr>" + "".join(f"<td>{float(n):.6g}</td>" for n in row) + "</tr>" for row in pose)
        sections.append(_section("Pose: world_from_volume [RAS mm to world mm]", cells, "matrix"))
    notes = result.get("notes")
    if notes:
        cells = "".join(f"<tr><td>{escape(str(note))}</td></tr>" for note in notes)
        sections.append(_section("Notes", cells))
    how = {key: result[key] for key in ("engine", "renders", "version") if key in result}
    if how:
        sections.append(_section("Computed with", _rows(how)))
    return sections


def _section(heading: str, rows: str, kind: str = "") -> str:
    return f'<section><h2>{escape(heading)}</h2><table class="{kind}">{rows}</table></section>'


def _rows(content: Mapping[str, Any], unit: str = "") -> str:
    """Table rows of a mapping; nested mappings are shown under their joined names."""
    rows = []
    for key, value in content.items():
        if isinstance(value, Mapping):
            rows.append(_rows({f"{key} {inner}": entry for inner, entry in value.items()}, unit))
            continue
        name, own_unit = _name_and_unit(str(key))
        rows.append(_row(name, _told(value), own_unit or unit))
    return "".join(rows)


def _row(name: str, value: str, unit: str = "") -> str:
    shown = f"{value}\N{NO-BREAK SPACE}{unit}" if unit and value != "unknown" else value
    return f'<tr><th scope="row">{escape(name)}</th><td>{escape(shown)}</td></tr>'


def _name_and_unit(key: str) -> tuple[str, str]:
    """A key of the result in words, and the unit its name ends with: mtre_mm is "mTRE" in "mm"."""
    words = key.replace("_", " ").split()
    unit = _UNITS.get(words[-1], "") if len(words) > 1 else ""
    words = words[:-1] if unit else words
    name = " ".join(_NAMES.get(word, word) for word in words)
    return (name if words and words[0] in _NAMES else name[:1].upper() + name[1:]), unit


def _told(value: Any) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
    if isinstance(value, list | tuple):
        return ", ".join(_told(entry) for entry in value)
    return str(value)


def _figure(path: Path, caption: str) -> str:
    words = escape(caption)
    source = embedded(path)
    return f'<figure><img alt="{words}" src="{source}"><figcaption>{words}</figcaption></figure>'


def embedded(path: Path) -> str:
    """The picture as a data URL of moderate size; raises InputError for one that cannot be read."""
    try:
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise InputError(
            "picture", expected="a PNG, JPEG or TIFF file", found=f"{path} ({error})", remedy="write it first"
        ) from error
    picture.thumbnail((_PICTURE_PX, _PICTURE_PX), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    # No chroma subsampling, which would blur thin coloured lines.
    picture.save(data, "JPEG", quality=_JPEG_QUALITY, subsampling=0, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode("ascii")
