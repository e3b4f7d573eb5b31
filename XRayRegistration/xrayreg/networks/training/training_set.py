"""What a run is trained on: one patient, many patients, or one patient where another network's patients lie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ...pieces import Story, divisible
from ...scene import Volume, rendered_grid
from ...settings import TrainingSettings
from ..data.batches import Subjects
from ..data.sources import Source
from ..data.subject_pool import Gathered, Member, gathered, laid, pool_of
from ..data.subjects import Subject, subject_of
from ..inference.locate import placed_by
from ..model.canonical_frame import centred_from_patient, moved
from ..model.card import ModelKind, Placed, SubjectCard
from ..model.checkpoint import Checkpoint
from ..model.fingerprint import fingerprint
from ..model.template import Template, template_of

# Patients of a pool on whose images the network is judged.
_JUDGED = 4


@dataclass(frozen=True, eq=False)
class Trainees:
    """Subjects for the batches, and what the card and the validation need to know of them.

    close: lets go of what the subjects hold. judged: functions that give a subject and its volume, both laid where the
    template lies. notes: sentences for people.
    """

    subjects: Subjects
    kind: ModelKind
    cards: tuple[SubjectCard, ...]
    template: Template
    judged: tuple[Callable[[], tuple[Subject, Volume]], ...]
    notes: tuple[str, ...] = ()
    close: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class _OnePatient:
    """The pool of a network for one patient."""

    patient: Subject

    def subject(self, number: int, generator: torch.Generator) -> Subject:
        return self.patient


@divisible
def trainees_of(
    sources: tuple[Source, ...], structures: tuple[int, ...], settings: TrainingSettings, start: Checkpoint | None
) -> Story[str, Trainees]:
    """Read and prepare what is trained on; tells a sentence before each long step.

    start: the network that training begins with. A single patient whom it does not know is laid where its own patients
    lie, so that it goes on where it was; many patients are laid onto its template.
    Raises InputError for a patient that cannot be used, or when none of many can.
    """

    def prepare(volume: Volume, name: str) -> Subject:
        return subject_of(
            volume,
            structures,
            voxel_mm=settings.pixel_at_patient_mm,
            engine=settings.engine,
            device=settings.device,
            name=name,
        )

    if len(sources) > 1:
        return (yield from _many(sources, structures, settings.seed, start, prepare))
    return (yield from _one(sources[0], structures, start, prepare))


def _one(
    source: Source,
    structures: tuple[int, ...],
    start: Checkpoint | None,
    prepare: Callable[[Volume, str], Subject],
) -> Story[str, Trainees]:
    yield f"reading {source.name}"
    volume = source.read()
    yield "preparing the volume"
    isocentre = (yield from rendered_grid.pieces(volume, structures)).centre
    mark = yield from fingerprint.pieces(volume)
    placed, template = np.eye(4), template_of(volume, isocentre)
    notes: tuple[str, ...] = ()
    if start is not None:
        yield "looking where the network's patients lie"
        placed, notes = yield from placed_by.pieces(start, volume, isocentre, lambda volume: prepare(volume, "patient"))
        template = start.template or _as_placed(template, placed)
    template_from_network = np.linalg.inv(centred_from_patient(template.isocentre))
    member = Member(source, template_from_network @ placed @ centred_from_patient(isocentre), mark, isocentre)
    subject = laid(member, template, volume, prepare)
    kind: ModelKind = "patient" if start is None else "finetuned"
    card = SubjectCard(source.name, mark, _three(isocentre), _rows(placed))
    judged = (lambda: (subject, member.moved(volume)),)
    return Trainees(_OnePatient(subject), kind, (card,), template, judged, notes)


def _as_placed(own: Template, placed: NDArray[np.float64]) -> Template:
    """The patient's own coarse CT, laid where the network has it."""
    return Template(moved(own.volume, placed @ centred_from_patient(own.isocentre)), np.zeros(3))


def _many(
    sources: tuple[Source, ...],
    structures: tuple[int, ...],
    seed: int,
    start: Checkpoint | None,
    prepare: Callable[[Volume, str], Subject],
) -> Story[str, Trainees]:
    known = {} if start is None else {card.fingerprint: np.array(card.placed) for card in start.card.subjects}
    found: Gathered = yield from gathered.pieces(sources, structures, None if start is None else start.template, known)
    yield "preparing the first volumes"
    pool = pool_of(found, prepare, seed)
    cards = tuple(
        SubjectCard(one.source.name, one.fingerprint, _three(one.isocentre), _rows(one.placed(found.template)))
        for one in found.members
    )

    def judged(member: Member) -> Callable[[], tuple[Subject, Volume]]:
        def made() -> tuple[Subject, Volume]:
            volume = member.source.read()
            return laid(member, found.template, volume, prepare), member.moved(volume)

        return made

    every = max(1, len(found.members) // _JUDGED)
    chosen = tuple(judged(member) for member in found.members[::every][:_JUDGED])
    return Trainees(pool, "agnostic", cards, found.template, chosen, found.left_out, pool.close)


def _rows(matrix: NDArray[np.float64]) -> Placed:
    """A rigid (4, 4) as the card holds it."""
    rows = tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in matrix)
    return rows[0], rows[1], rows[2], rows[3]


def _three(point: NDArray[np.float64]) -> tuple[float, float, float]:
    right, anterior, superior = point.tolist()
    return right, anterior, superior
