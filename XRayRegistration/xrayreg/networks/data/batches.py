"""Batches of simulated X-rays, each made while the network trains on the previous one."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from ...checks import InputError
from ...geometry import Camera
from ...render import render
from ...settings import TrainingSettings
from ..model.input_image import network_input
from ..model.network_camera import pinhole
from .appearance import apply_appearance
from .appearance_sampling import sample_appearance
from .pose_sampling import sample_poses
from .subjects import DrrSubject, render_soft_and_bone

# Line integrals above this count as covered by the subject.
_COVERED = 1e-3
# A distribution is rejected for training where fewer than one in this many of its poses show the anatomy.
_MOST_ROUNDS = 20


class SubjectSource(Protocol):
    """A source of volumes: one patient, or a pool of many."""

    def subject(self, number: int, generator: torch.Generator) -> DrrSubject:
        """The subject of batch `number`."""


@dataclass(frozen=True, eq=False)
class Batch:
    """B simulated X-rays of one subject.

    inputs: (B, 3, H, W) as `view.network_input` makes them. poses: camera_from_volume (B, 4, 4), float64 on the CPU.
    integrals: (B, 2, H, W) as rendered. appearance: means of the effects applied to them.
    """

    number: int
    subject: DrrSubject
    inputs: Tensor
    poses: Tensor
    integrals: Tensor
    appearance: dict[str, float]


@torch.no_grad()
def make_batch(subjects: SubjectSource, settings: TrainingSettings, number: int) -> Batch:
    """Batch `number` of a training: a pure function of it and of `settings.seed`.

    Raises InputError where hardly any pose of the distribution shows the subject.
    """
    generator = seeded_generator(settings.seed, number)
    subject = subjects.subject(number, generator)
    poses, integrals = visible_views(subject, pinhole(settings.camera), settings, settings.batch, generator)
    extended = (torch.rand(settings.batch, generator=generator) < settings.appearance.continued).nonzero()[:, 0]
    appearance = sample_appearance(settings.appearance, settings.batch, generator, subject.partial)
    images, valid = apply_appearance(appearance, _with_extension(subject, settings, poses, integrals, extended))
    return Batch(number, subject, network_input(images, valid), poses, integrals, appearance.summary())


def _with_extension(
    subject: DrrSubject, settings: TrainingSettings, poses: Tensor, integrals: Tensor, which: Tensor
) -> Tensor:
    """Line integrals (B, 2, H, W) in which the body of some images (N,) is extended beyond the scan."""
    if not len(which) or subject.extension is None:
        return integrals
    more = render(subject.extension, pinhole(settings.camera), poses[which]).float()
    continued = integrals.clone()
    continued[:, 0].index_add_(0, which.to(integrals.device), more)
    return continued


def visible_views(
    subject: DrrSubject, camera: Camera, settings: TrainingSettings, wanted: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Poses (wanted, 4, 4) at which the subject covers `settings.least_visible` of the image or more, and their images.

    Others are rejected and drawn again in sequence. Images are line integrals (wanted, 2, H, W).
    """
    kept_poses: list[Tensor] = []
    kept_images: list[Tensor] = []
    missing = wanted
    for _ in range(_MOST_ROUNDS):
        poses = sample_poses(settings.poses, subject.isocentre, missing, generator)
        images = render_soft_and_bone(subject, camera, poses)
        shown = (images.sum(1) > _COVERED).float().mean((1, 2)) >= settings.least_visible
        if bool(shown.all()):
            kept_poses.append(poses)
            kept_images.append(images)
        else:
            kept_poses.append(poses[shown.to(poses.device)])
            kept_images.append(images[shown])
        missing -= len(kept_poses[-1])
        if not missing:
            return torch.cat(kept_poses), torch.cat(kept_images)
    raise InputError(
        "pose distribution",
        expected=f"poses that show {subject.name} on {settings.least_visible:.0%} of the image",
        found=f"{wanted - missing} among more than {wanted} drawn",
        remedy="narrow the distribution, widen the camera's field, or train on more of the volume",
    )


def seeded_generator(seed: int, *numbers: int) -> torch.Generator:
    """A generator with a distinct stream for every seed and numbers."""
    state = np.random.SeedSequence([seed, *numbers]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))


Made = TypeVar("Made")


def prefetch(make: Callable[[int], Made], start: int = 0) -> Generator[Made, None, None]:
    """Yield `make(start)`, `make(start + 1)` and so on, each made while the previous one is being used.

    One worker thread; closing the iterator waits for its current batch. An error is raised in place of its batch.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches") as worker:
        ahead = worker.submit(make, start)
        for number in count(start + 1):
            ready = ahead.result()
            ahead = worker.submit(make, number)
            yield ready
