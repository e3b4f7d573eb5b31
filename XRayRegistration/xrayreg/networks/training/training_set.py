"""The training set of a run: one patient, many patients, or one patient placed in the frame of another network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ...scene import Volume, rendered_grid
from ...settings import TrainingSettings
from ..data.batches import SubjectSource
from ..data.sources import Source
from ..data.subject_pool import OnMessage, PoolMember, align_members, pool_of_members, subject_in_template
from ..data.subjects import DrrSubject, prepare_subject
from ..inference.locate import locate_patient
from ..model.canonical_frame import canonical_from_patient, moved_to_template
from ..model.card import ModelKind, RigidRows, SubjectCard
from ..model.checkpoint import AnyCheckpoint, Checkpoint
from ..model.fingerprint import fingerprint
from ..model.template import Template, template_of

# Patients of a pool on whose images the network is validated.
_VALIDATED = 4


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Subjects for the batches, and the information on them for card and validation.

    close: releases the subjects' resources. validated_on: functions that give a subject and its volume, both in the
    template's frame. notes: sentences for display.
    """

    subjects: SubjectSource
    kind: ModelKind
    cards: tuple[SubjectCard, ...]
    template: Template
    validated_on: tuple[Callable[[], tuple[DrrSubject, Volume]], ...]
    notes: tuple[str, ...] = ()
    close: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class _OnePatient:
    """The pool of a network for one patient."""

    patient: DrrSubject

    def subject(self, number: int, generator: torch.Generator) -> DrrSubject:
        return self.patient


def prepare_training_set(
    sources: tuple[Source, ...],
    structures: tuple[int, ...],
    settings: TrainingSettings,
    start: AnyCheckpoint | None,
    on_message: OnMessage = lambda message: None,
) -> TrainingSet:
    """Read and prepare the training set.

    start: the network that training starts from. A single patient unknown to it is placed in its frame, so that its
    poses stay valid; many patients are aligned with its template.
    on_message: called with a sentence before each long step.
    Raises InputError for a patient that cannot be used, or when none of many can.
    """

    def prepare(volume: Volume, name: str) -> DrrSubject:
        return prepare_subject(
            volume,
            structures,
            voxel_mm=settings.pixel_at_patient_mm,
            engine=settings.engine,
            device=settings.device,
            name=name,
        )

    if len(sources) > 1:
        return _many(sources, structures, settings.seed, start, prepare, on_message)
    return _one(sources[0], structures, start, prepare, on_message)


def _one(
    source: Source,
    structures: tuple[int, ...],
    start: AnyCheckpoint | None,
    prepare: Callable[[Volume, str], DrrSubject],
    on_message: OnMessage,
) -> TrainingSet:
    on_message(f"reading {source.name}")
    volume = source.read()
    on_message("preparing the volume")
    isocentre = rendered_grid(volume, structures).centre
    mark = fingerprint(volume)
    placed, template = np.eye(4), template_of(volume, isocentre)
    notes: tuple[str, ...] = ()
    # A similarity's poses are not relative to a network's frame, so patients may have any position.
    if isinstance(start, Checkpoint):
        on_message("looking where the network's patients lie")
        placed, notes = locate_patient(start, volume, isocentre, lambda volume: prepare(volume, "patient"))
        template = start.template or _as_placed(template, placed)
    template_from_network = np.linalg.inv(canonical_from_patient(template.isocentre))
    member = PoolMember(source, template_from_network @ placed @ canonical_from_patient(isocentre), mark, isocentre)
    subject = subject_in_template(member, template, volume, prepare)
    kind: ModelKind = "patient" if start is None else "finetuned"
    card = SubjectCard(source.name, mark, _three(isocentre), _rows(placed))
    validated_on = (lambda: (subject, member.moved_to_template(volume)),)
    return TrainingSet(_OnePatient(subject), kind, (card,), template, validated_on, notes)


def _as_placed(own: Template, placed: NDArray[np.float64]) -> Template:
    """The patient's own coarse CT, placed in the network's frame."""
    return Template(moved_to_template(own.volume, placed @ canonical_from_patient(own.isocentre)), np.zeros(3))


def _many(
    sources: tuple[Source, ...],
    structures: tuple[int, ...],
    seed: int,
    start: AnyCheckpoint | None,
    prepare: Callable[[Volume, str], DrrSubject],
    on_message: OnMessage,
) -> TrainingSet:
    known = {} if start is None else {card.fingerprint: np.array(card.placed) for card in start.card.subjects}
    found = align_members(sources, structures, None if start is None else start.template, known, on_message)
    on_message("preparing the first volumes")
    pool = pool_of_members(found, prepare, seed)
    cards = tuple(
        SubjectCard(one.source.name, one.fingerprint, _three(one.isocentre), _rows(one.placed(found.template)))
        for one in found.members
    )

    def validated_on(member: PoolMember) -> Callable[[], tuple[DrrSubject, Volume]]:
        def made() -> tuple[DrrSubject, Volume]:
            volume = member.source.read()
            return subject_in_template(member, found.template, volume, prepare), member.moved_to_template(volume)

        return made

    every = max(1, len(found.members) // _VALIDATED)
    chosen = tuple(validated_on(member) for member in found.members[::every][:_VALIDATED])
    return TrainingSet(pool, "agnostic", cards, found.template, chosen, found.left_out, pool.close)


def _rows(matrix: NDArray[np.float64]) -> RigidRows:
    """A rigid (4, 4) as stored in the card."""
    rows = tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in matrix)
    return rows[0], rows[1], rows[2], rows[3]


def _three(point: NDArray[np.float64]) -> tuple[float, float, float]:
    right, anterior, superior = point.tolist()
    return right, anterior, superior
