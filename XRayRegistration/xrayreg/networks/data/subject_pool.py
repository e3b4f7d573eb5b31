"""Pool of many training patients: all aligned with one template, a few of them in memory at a time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from ...checks import InputError
from ...ct_alignment.alignment import align
from ...scene import Volume, rendered_grid
from ..model.canonical_frame import canonical_from_patient, moved_to_template
from ..model.fingerprint import fingerprint
from ..model.template import Template, template_of
from .sources import Source
from .subjects import DrrSubject

# Volumes that batches are drawn from at one time, and batches after which the oldest of them is replaced.
AT_ONCE, BATCHES_EACH = 8, 16


@dataclass(frozen=True, eq=False)
class PoolMember:
    """One patient of a pool.

    source: of the CT. template_from_patient: rigid (4, 4) [RAS mm]. fingerprint: of the CT.
    isocentre: (3,) of the CT's own rendered box, in its own frame [mm].
    """

    source: Source
    template_from_patient: NDArray[np.float64]
    fingerprint: str
    isocentre: NDArray[np.float64]

    def placed(self, template: Template) -> NDArray[np.float64]:
        """Rigid (4, 4) from the frame centred on the patient's isocentre to that centred on the template's [mm]."""
        canonical_from_volume = canonical_from_patient(template.isocentre, self.template_from_patient)
        return np.asarray(canonical_from_volume @ np.linalg.inv(canonical_from_patient(self.isocentre)))

    def moved_to_template(self, volume: Volume) -> Volume:
        """The patient's volume moved to the template's frame."""
        return moved_to_template(volume, self.template_from_patient)


# Callback of long tasks, called with a sentence on the next step.
OnMessage = Callable[[str], object]


@dataclass(frozen=True, eq=False)
class AlignedMembers:
    """The usable patients, and a sentence about each unusable one.

    template: with which all of them are aligned.
    """

    members: tuple[PoolMember, ...]
    template: Template
    left_out: tuple[str, ...] = ()


def align_members(
    sources: Sequence[Source],
    structures: tuple[int, ...] = (),
    template: Template | None = None,
    known: Mapping[str, NDArray[np.float64]] | None = None,
    on_message: OnMessage = lambda message: None,
) -> AlignedMembers:
    """Read every CT once and align it with the template, or with the first CT that can be read.

    known: `PoolMember.placed` by fingerprint of CTs that were aligned with this template before.
    on_message: called with a sentence before each CT. One that cannot be read or aligned, or that lacks the structures,
    is left out.
    Raises InputError where none remains.
    """
    members: list[PoolMember] = []
    left_out: list[str] = []
    for number, source in enumerate(sources, 1):
        on_message(f"reading {source.name} ({number} of {len(sources)})")
        try:
            volume = source.read()
            centre = rendered_grid(volume, structures).centre
            mark = fingerprint(volume)
            if template is None:
                template, pose = template_of(volume, centre), np.eye(4)
            elif known and mark in known:
                at_isocentre = np.linalg.inv(canonical_from_patient(template.isocentre))
                pose = at_isocentre @ known[mark] @ canonical_from_patient(centre)
            else:
                on_message(f"aligning {source.name} ({number} of {len(sources)})")
                pose = align(template.volume, volume).template_from_patient
            members.append(PoolMember(source, pose, mark, centre))
        except (InputError, OSError) as error:
            left_out.append(f"{source.name} is left out: {' '.join(str(error).split())}")
    if not members or template is None:
        raise InputError(
            "volumes",
            expected="at least one CT that can be used",
            found="; ".join(left_out) or "none",
            remedy="check the files",
        )
    return AlignedMembers(tuple(members), template, tuple(left_out))


def volume_of_batch(
    seed: int, number: int, count: int, at_once: int = AT_ONCE, batches_each: int = BATCHES_EACH
) -> int:
    """Which of `count` volumes batch `number` shows: a pure function of its arguments.

    Batches are drawn from `at_once` volumes; after `batches_each` of them the oldest is replaced, so that each volume
    stays for a while and is loaded once. All volumes are used before any is repeated.
    """
    step, at_once = number // batches_each, min(at_once, count)
    pick = int(np.random.SeedSequence([seed, 1, number]).generate_state(1)[0]) % at_once
    return _in_shuffled_rounds(seed, step + pick, count)


def _in_shuffled_rounds(seed: int, place: int, count: int) -> int:
    """The volume at a position of an endless sequence of shuffled rounds."""
    lap, within = divmod(place, count)
    return int(np.random.default_rng([seed, 2, lap]).permutation(count)[within])


class SubjectPool:
    """The subjects of a training over many patients, prepared on demand in the order of `volume_of_batch`.

    load: makes the subject of a member, by its number. count: of members. seed: of the training.
    capacity: most subjects kept, at least two; the least recently used one is dropped first. The next subject is
    prepared ahead on a thread of the pool.
    """

    def __init__(self, load: Callable[[int], DrrSubject], count: int, seed: int, capacity: int) -> None:
        self._load, self._count, self._seed, self._capacity = load, count, seed, max(2, capacity)
        self._kept: OrderedDict[int, Future[DrrSubject]] = OrderedDict()
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="volumes")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the thread after its current task."""
        self._worker.shutdown(wait=True, cancel_futures=True)

    def subject(self, number: int, generator: torch.Generator) -> DrrSubject:
        """The subject of batch `number`, in the template's frame."""
        index = volume_of_batch(self._seed, number, self._count)
        with self._lock:
            wanted = self._requested(index)
            # Batches request their volumes in order; the next volume to enter is prepared meanwhile.
            following = _in_shuffled_rounds(self._seed, number // BATCHES_EACH + min(AT_ONCE, self._count), self._count)
            if self._count > AT_ONCE and wanted.done() and following not in self._kept:
                self._requested(following)
                self._kept.move_to_end(index)
        return wanted.result()

    def _requested(self, index: int) -> Future[DrrSubject]:
        if index not in self._kept:
            while len(self._kept) >= self._capacity:
                self._kept.popitem(last=False)[1].cancel()
            self._kept[index] = self._worker.submit(self._load, index)
        self._kept.move_to_end(index)
        return self._kept[index]


def pool_of_members(gathering: AlignedMembers, prepare: Callable[[Volume, str], DrrSubject], seed: int) -> SubjectPool:
    """The pool of the aligned members; it keeps as many subjects as fit into a quarter of the free memory.

    prepare: makes a subject of a volume and name (`prepare_subject` with the run's settings). seed: of the training.
    """
    members = gathering.members

    def load(index: int) -> DrrSubject:
        member = members[index]
        return subject_in_template(member, gathering.template, member.source.read(), prepare)

    first = load(volume_of_batch(seed, 0, len(members)))
    capacity = int(_free_bytes() / 4 / max(1, _bytes_of(first)))
    return SubjectPool(load, len(members), seed, min(capacity, len(members)))


def subject_in_template(
    member: PoolMember, template: Template, volume: Volume, prepare: Callable[[Volume, str], DrrSubject]
) -> DrrSubject:
    """The patient prepared for training, in the template's frame and about the template's isocentre."""
    subject = prepare(member.moved_to_template(volume), member.source.name)
    isocentre = torch.from_numpy(template.isocentre.copy())
    return replace(subject, isocentre=isocentre, fingerprint=member.fingerprint)


def _bytes_of(subject: DrrSubject) -> int:
    maps = [getattr(part, "mu", None) for part in vars(subject).values()]
    return sum(mu.numel() * mu.element_size() for mu in maps if isinstance(mu, torch.Tensor))


def _free_bytes() -> int:
    """Free memory as reported by the system; a cautious guess where it is not reported."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            entries = dict(line.split(":", 1) for line in file)
        return 1024 * int(entries["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        return 4_000_000_000
