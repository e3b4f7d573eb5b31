"""Progress and result of a registration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..reasons import Note, ReasonCode
from .verdict import Evidence, Uncertainty, Verdict


@dataclass(frozen=True, eq=False)
class ViewResult:
    """One view's pose camera_from_volume (4, 4) [mm] and its similarity; the evidence's similarity is the mean."""

    name: str
    camera_from_volume: NDArray[np.float64]
    similarity: float


@dataclass(frozen=True, eq=False)
class Registration:
    """The result: a pose, and everything needed to decide how far to trust it.

    world_from_volume: (4, 4) [mm]; started_from: the same before any step, for before-and-after pictures.
    start: name of the start that the pose comes from, in words; stopped: why its refinement ended.
    """

    world_from_volume: NDArray[np.float64]
    started_from: NDArray[np.float64]
    views: tuple[ViewResult, ...]
    verdict: Verdict
    evidence: Evidence
    uncertainty: Uncertainty
    start: str
    stopped: str
    seconds: dict[str, float]
    renders: int
    engine: str
    coded_notes: tuple[Note, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on findings and decisions, one sentence each."""
        return tuple(note.text for note in self.coded_notes)

    @property
    def expected_error_mm(self) -> float | None:
        """The expected mean error [mm] at the anatomy; None where the pose is not accepted (see `withheld`)."""
        return self.evidence.expected_error_mm if self.verdict.accepted else None

    def as_dict(self) -> dict[str, Any]:
        """The result file's content (design.md 5), without the score, which needs a reference.

        The expected error is left out where the pose is not accepted, see `withheld`.
        """
        content = {
            "world_from_volume": self.world_from_volume.tolist(),
            "started_from": self.started_from.tolist(),
            "views": [
                {"name": v.name, "camera_from_volume": v.camera_from_volume.tolist(), "similarity": v.similarity}
                for v in self.views
            ],
            "accepted": self.verdict.accepted,
            "reason": self.verdict.reason,
            "reason_code": self.verdict.code.value,
            "quality": self.evidence.as_dict(),
            "uncertainty": self.uncertainty.as_dict(),
            "start": self.start,
            "stopped": self.stopped,
            "seconds": self.seconds,
            "renders": self.renders,
            "engine": self.engine,
            "version": __version__,
        }
        return with_notes(withheld(content), self.coded_notes)


def with_notes(content: Mapping[str, Any], notes: Iterable[Note]) -> dict[str, Any]:
    """A result's content with further notes behind those it has."""
    notes = tuple(notes)
    return {
        **content,
        "notes": [*content.get("notes", ()), *(note.text for note in notes)],
        "note_codes": [*content.get("note_codes", ()), *(note.code.value for note in notes)],
    }


def withheld(content: Mapping[str, Any]) -> dict[str, Any]:
    """A result's content in which the expected error and the uncertainty are None, unless the pose is accepted.

    They come from the curvature of the similarity, which is as sharp around a wrong optimum as around the right one.
    """
    if content.get("accepted"):
        return dict(content)
    hidden = dict(content)
    if "expected_error_mm" in (content.get("quality") or {}):
        hidden["quality"] = {**content["quality"], "expected_error_mm": None}
    if content.get("uncertainty"):
        hidden["uncertainty"] = dict.fromkeys(content["uncertainty"])
    return hidden


@dataclass(frozen=True, eq=False)
class Estimate:
    """A pose predicted by a network, without a verdict.

    world_from_volume: (4, 4) [mm]. views: name and camera_from_volume (4, 4) of each.
    start: which of the network's poses it is, in words; belief: its probability by the network, 0 to 1.
    """

    world_from_volume: NDArray[np.float64]
    views: tuple[tuple[str, NDArray[np.float64]], ...]
    start: str
    belief: float
    seconds: dict[str, float]
    coded_notes: tuple[Note, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on findings and decisions, one sentence each."""
        return tuple(note.text for note in self.coded_notes)

    def as_dict(self) -> dict[str, Any]:
        """The result file's content (design.md 5), without the score, which needs a reference."""
        content = {
            "world_from_volume": self.world_from_volume.tolist(),
            "views": [
                {"name": name, "camera_from_volume": pose.tolist(), "similarity": None} for name, pose in self.views
            ],
            "accepted": False,
            "reason": "An initial estimate only: the network's pose, neither refined nor judged.",
            "reason_code": ReasonCode.UNJUDGED.value,
            "unjudged": True,
            "quality": {"belief": self.belief},
            "uncertainty": {},
            "start": self.start,
            "seconds": self.seconds,
            "renders": 0,
            "engine": "network",
            "version": __version__,
        }
        return with_notes(content, self.coded_notes)


@dataclass(frozen=True, eq=False)
class Step:
    """One moment of a registration.

    stage: prepare, search, refine, judge or done. fraction: of the registration, between 0 and 1, never decreasing.
    message: current activity. camera_from_volume: (4, 4) best pose of the first view so far, once there is one.
    similarity: at that pose, comparable within a stage only.
    renders: images made so far.
    """

    stage: str
    fraction: float
    message: str
    camera_from_volume: NDArray[np.float64] | None = None
    similarity: float | None = None
    renders: int = 0


# Callback of a registration for its steps.
OnStep = Callable[[Step], object]


def unheeded(step: Step) -> None:
    """An `OnStep` that does nothing."""
