"""What was evaluated, in words: the arm, its cameras and images, the volume, the programs and the machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

import numpy as np

from ..statistics import GROSS_MM, Summary
from ..study.reading import Evaluation
from . import wording

# Settings that the page shows elsewhere, or that are of no use to a reader.
_TOLD = {"title", "description", "name", "metric", "cases", "arm", "summaries", "comparisons", "rows", "methods"}
_LONGEST = 160


def title_of(evaluation: Evaluation) -> str:
    """The evaluation in one line."""
    name, title = evaluation.arm_name, str(evaluation.arm.get("title") or "")
    return f"Evaluation: {title or name or evaluation.folder.resolve().name}" + (f" ({name})" if title and name else "")


def in_short(evaluation: Evaluation, summaries: list[Summary]) -> list[str]:
    """The main results in a few sentences."""
    moved = [(m, s) for m, s in zip(evaluation.methods, summaries, strict=True) if m.moves]
    if not moved:
        return ["No method but the start itself was run."]
    order = sorted(range(len(moved)), key=lambda n: (-moved[n][1].sr10.percent, moved[n][1].median, n))
    best, figures = moved[order[0]]
    share, span = wording.rate(figures.sr10, figures.n)
    cases = f"{figures.n} cases" if figures.n > 1 else "1 case"
    sentences = [
        f"{best.title} brought {share} % of {cases} to within {GROSS_MM:g} mm (95 % interval {span} %), with a median "
        f"error of {wording.length(figures.median)} mm in {wording.length(figures.seconds)} s a case."
    ]
    if len(moved) > 1:
        second, others = moved[order[1]]
        share, span = wording.rate(others.sr10, others.n)
        sentences.append(
            f"Next comes {second.title} with {share} % ({span} %) and a median of {wording.length(others.median)} mm."
        )
    starts = np.concatenate([method.starts for method, _ in moved])
    if np.isfinite(starts).any():
        low, middle, high = np.quantile(starts[np.isfinite(starts)], (0.05, 0.5, 0.95))
        sentences.append(
            f"The starts were {wording.length(middle)} mm off in the median (5 to 95 %: {wording.length(low)} to "
            f"{wording.length(high)} mm)."
        )
    if figures.accepted is not None:
        sentences.append(f"{best.title} {wording.verdicts(figures.trust[0])}.")
    return sentences


def settings_of(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Names and values of the evaluation's settings, for a table."""
    arm = evaluation.arm.get("arm")
    arm = arm if isinstance(arm, Mapping) else {}
    rows = [("Cases", wording.count(max(len(method.rows) for method in evaluation.methods)))]
    if evaluation.arm.get("description"):
        rows.insert(0, ("Arm", str(evaluation.arm["description"])))
    camera = _camera(arm.get("camera") or evaluation.arm.get("camera"), arm.get("views_deg"))
    if camera:
        rows.append(("Camera", camera))
    variants = arm.get("variants")
    if isinstance(variants, list) and len(variants) == 1 and isinstance(variants[0], Mapping):
        rows += [("Images", told) for told in [_flat(variants[0].get("image"))] if told]
    elif isinstance(variants, list):
        names = ", ".join(str(one.get("name") or "undisturbed") for one in variants if isinstance(one, Mapping))
        rows.append(("Images", f"in turn: {names}"))
    for source in (evaluation.arm, evaluation.table):
        rows += [entry for key, value in source.items() if key not in _TOLD for entry in _entry(key, value)]
    return [(name, value) for name, value in dict.fromkeys(rows) if value]


def methods_of(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Methods and their sources."""
    return [(f"{m.title} ({m.name})" if m.title != m.name else m.name, m.source) for m in evaluation.methods]


def _entry(key: str, value: Any) -> Iterator[tuple[str, str]]:
    name = key.replace("_", " ")
    name = name[:1].upper() + name[1:]
    if key == "camera":
        return
    if key == "dataset":
        yield name, PurePath(str(value)).name
    elif key == "volume" and isinstance(value, Mapping):
        path = PurePath(str(value.get("path") or "")).name
        labels = PurePath(str(value["labels"])).name if value.get("labels") else ""
        rest = {k: v for k, v in value.items() if k not in ("path", "labels") and v not in (None, [], "")}
        yield name, "; ".join(told for told in (path, labels and f"labels {labels}", _flat(rest)) if told)
    else:
        yield name, _flat(value)


def _camera(camera: Any, views: Any) -> str:
    if not isinstance(camera, Mapping):
        return ""
    sid, pixel, size = (camera.get(key) for key in ("sid_mm", "pixel_mm", "size_px"))
    if not all(isinstance(number, int | float) for number in (sid, pixel, size)):
        return _flat(camera)
    angles = [f"{angle:g}°" for angle in views] if isinstance(views, list) and len(views) > 1 else []
    several = f"; views at {', '.join(angles)}" if angles else ""
    return f"source to image {sid:g} mm; {size} x {size} pixels of {pixel:g} mm{several}"


def _flat(value: Any) -> str:
    """A value as one line of text."""
    if isinstance(value, Mapping):
        told = {str(key).replace("_", " "): _flat(entry) for key, entry in value.items()}
        return "; ".join(f"{name}: {words}" for name, words in told.items() if words)
    if isinstance(value, list | tuple):
        return ", ".join(_flat(entry) for entry in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
