"""The report of an evaluation: one HTML page that needs nothing else, the same as Markdown, and its figures."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ...io import write_image
from ...io.delivery import delivered
from ...report import embedded
from ..plotting import save
from ..statistics import Summary, summary
from ..study.reading import Evaluation, read_evaluation
from .about import in_short, methods_of, settings_of, title_of
from .figures import draw_figures
from .gallery import Gallery, worst_of
from .paper_report import paper_tables
from .report_tables import report_tables

HTML, MARKDOWN, FIGURES = "report.html", "report.md", "figures"
# Files that a report writes to its folder of figures.
_OURS = re.compile(r"(survival|start|capture|axes|cost|convergence|trust|worst_\d+_[\w-]+)\.(png|pdf)")
# Scale at which the page shows figures, so that letters are of one size in all.
_PX_PER_INCH = 108


@dataclass(frozen=True)
class _Picture:
    """A picture on the page: its file, relative to the folder, heading and caption, as a data URL; its width there."""

    file: str
    heading: str
    caption: str
    source: str
    width_px: int = 0


@dataclass(frozen=True)
class _Worst:
    """The worst cases of one method, and what could not be drawn."""

    method: str
    pictures: tuple[_Picture, ...]
    problems: tuple[str, ...]


def write_report(folder: str | Path, written: date | None = None) -> list[Path]:
    """Write report.html, report.md and figures/ about the evaluation in `folder`; returns their paths.

    The page is made from arm.json, results.jsonl, table.json, paper.json and the cases in the folder alone, and can be
    made again at any time; what is there of an earlier one is replaced once everything is drawn. The same results give
    the same bytes but for the date. written: the date told, today's by default.
    Raises InputError where the folder holds no results.
    """
    folder = Path(folder)
    evaluation = read_evaluation(folder)
    with delivered(folder, _files_of_earlier) as (scratch, names):
        drawn = scratch / FIGURES
        drawn.mkdir()
        summaries = []
        for method in evaluation.methods:
            summaries.append(summary(method.rows, evaluation.metric))
        figures = _figures(evaluation, drawn)
        worst = _worst(evaluation, drawn)
        content = _content(evaluation, summaries, figures, worst)
        content["written"] = (written or date.today()).isoformat()
        texts = {name: _environment(name).get_template(f"{name}.j2").render(content) for name in (HTML, MARKDOWN)}
        for name, text in texts.items():
            (scratch / name).write_text(text, encoding="utf-8", newline="\n")
        shown = sorted(f"{FIGURES}/{file.name}" for file in drawn.iterdir())
        names += [HTML, MARKDOWN, *shown]
    return [folder / name for name in names]


def _figures(evaluation: Evaluation, place: Path) -> list[_Picture]:
    """Draw the figures into `place`."""
    made = []
    for drawn in draw_figures(evaluation):
        files = save(drawn.figure, place / drawn.stem)
        source = "data:image/png;base64," + base64.b64encode(files[0].read_bytes()).decode("ascii")
        width = round(_PX_PER_INCH * drawn.width_in)
        made.append(_Picture(f"{FIGURES}/{files[0].name}", drawn.heading, drawn.caption, source, width))
    return made


def _worst(evaluation: Evaluation, place: Path) -> list[_Worst]:
    """Draw the worst cases of each method into `place`."""
    gallery = Gallery(evaluation)
    made: list[_Worst] = []
    titles = {method.name: method.title for method in evaluation.methods}
    for method, (name, rows) in enumerate(worst_of(evaluation).items(), start=1):
        stem = f"worst_{method}_{re.sub(r'[^A-Za-z0-9-]+', '_', name)[:40]}"
        pictures: list[_Picture] = []
        problems: list[str] = []
        for number, row in enumerate(rows, start=1):
            shown = gallery.shown(row)
            if shown.picture is None:
                problems.append(shown.problem)
                continue
            file = place / f"{stem}_{number}.png"
            write_image(file, shown.picture)
            source = embedded(file)
            pictures.append(_Picture(f"{FIGURES}/{file.name}", "", shown.caption, source))
        if pictures or problems:
            made.append(_Worst(titles[name], tuple(pictures), tuple(problems)))
    return made


def _files_of_earlier(folder: Path) -> list[str]:
    """The files in a study's folder that an earlier report has written."""
    figures = folder / FIGURES
    drawn = [file.name for file in figures.iterdir()] if figures.is_dir() else []
    return [HTML, MARKDOWN, *(f"{FIGURES}/{name}" for name in drawn if _OURS.fullmatch(name))]


def _content(
    evaluation: Evaluation, summaries: list[Summary], figures: Sequence[_Picture], worst: Sequence[_Worst]
) -> dict[str, Any]:
    """Everything that the templates tell."""
    return {
        "title": title_of(evaluation),
        "in_short": in_short(evaluation, summaries),
        "settings": settings_of(evaluation),
        "methods": methods_of(evaluation),
        "notes": evaluation.notes,
        "tables": [*paper_tables(evaluation), *report_tables(evaluation, summaries)],
        "figures": figures,
        "worst": worst,
    }


def _environment(name: str) -> Environment:
    """The templates: what comes from outside is escaped in the one way for HTML, in another for Markdown."""
    made = Environment(
        loader=PackageLoader(__package__),
        autoescape=name == HTML,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["plain"] = _plain
    return made


def _plain(text: str) -> str:
    """Text that Markdown neither formats nor takes for HTML or the end of a table's cell."""
    line = " ".join(text.split())
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]<>#|~$&" else letter for letter in line)
