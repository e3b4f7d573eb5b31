"""A patient, settings and networks so small that a training run takes a second or two."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pelvis_scenes
import torch

from xrayreg.networks.data.pose_sampling import nominal_rotation
from xrayreg.networks.data.subjects import DrrSubject, prepare_subject
from xrayreg.networks.model.backbones import PoseNetwork, build_network
from xrayreg.networks.model.canonical_frame import CanonicalFrame
from xrayreg.networks.model.card import FrameCard, ModelCard, SubjectCard
from xrayreg.networks.training import validation_set
from xrayreg.networks.training.distributed import Process
from xrayreg.networks.training.loop import RunInputs, TrainingResult, train
from xrayreg.networks.training.pose_regression import PoseRegression
from xrayreg.networks.training.status import OnTrainStep, TrainStep
from xrayreg.scene import Volume
from xrayreg.settings import NetworkCamera, NetworkSettings, TrainingSettings
from xrayreg.settings.plain import from_plain

SETTINGS = TrainingSettings(
    minutes=0.0,
    iterations=6,
    batch=4,
    precision="float32",
    validate_every_s=1e9,
    validation_poses=3,
    validation_xrays=0,
    engine="torch",
    device="cpu",
    camera=NetworkCamera(image_px=32),
    network=NetworkSettings(hypotheses=2, width=8),
)
CPU = Process(torch.device("cpu"))


@functools.lru_cache(maxsize=1)
def patient() -> Volume:
    return pelvis_scenes.phantom(8.0)


@functools.lru_cache(maxsize=1)
def subject() -> DrrSubject:
    return prepare_subject(patient(), voxel_mm=10.0, engine="torch", device="cpu", name="phantom")


@dataclass(frozen=True)
class OnePatient:
    """A pool that holds the phantom alone."""

    def subject(self, number: int, generator: torch.Generator) -> DrrSubject:
        return subject()


def frame_of(settings: TrainingSettings = SETTINGS) -> CanonicalFrame:
    return CanonicalFrame(nominal_rotation(settings.poses), settings.poses.sod_mm)


def new_network(settings: TrainingSettings = SETTINGS, seed: int = 0) -> PoseNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(settings.network, settings.camera, frame_of(settings))
        # Untrained networks ignore their input: the last weights start at zero.
        torch.nn.init.normal_(network.head.last.weight, std=1e-3)
    return network


def card_of(settings: TrainingSettings = SETTINGS) -> ModelCard:
    return ModelCard(
        "patient",
        settings,
        from_plain(FrameCard, frame_of(settings).as_dict()),
        (SubjectCard("phantom", "0123456789abcdef", (0.0, 0.0, 0.0)),),
    )


def run_of(out: Path, settings: TrainingSettings = SETTINGS, **changes: Any) -> RunInputs:
    (out.parent / f"{out.stem}_training").mkdir(exist_ok=True)
    return replace(RunInputs(card_of(settings), out), **changes)


def lesson_of(network: PoseNetwork, settings: TrainingSettings = SETTINGS) -> PoseRegression:
    return PoseRegression(network, OnePatient(), validation_set(subject(), patient(), settings))


def trained(
    run: RunInputs,
    network: PoseNetwork | None = None,
    asked_to_stop: Callable[[], bool] = lambda: False,
    process: Process = CPU,
) -> tuple[list[TrainStep], TrainingResult]:
    """All steps of a run, and what came of it."""
    settings = run.card.settings
    lesson = lesson_of(network or new_network(settings), settings)
    return followed(lambda on_step: train(lesson, run, process, asked_to_stop, on_step))


def followed(run: Callable[[OnTrainStep], TrainingResult]) -> tuple[list[TrainStep], TrainingResult]:
    """All steps of a run, and what came of it."""
    steps: list[TrainStep] = []
    return steps, run(steps.append)


def losses(steps: list[TrainStep]) -> list[float]:
    return [step.loss for step in steps if step.state == "training" and step.loss is not None]


def weights(network: torch.nn.Module) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])
