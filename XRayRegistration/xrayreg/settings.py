"""Every knob, typed and declared once: the command line, the panel and checkpoints read them from here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

Effort = Literal["fast", "standard", "thorough"]
EngineName = Literal["auto", "reference", "torch", "numba"]
DeviceName = Literal["auto", "cpu", "cuda", "mps"]
IntensityName = Literal["auto", "transmission", "attenuation"]

EFFORTS: tuple[str, ...] = get_args(Effort)
ENGINES: tuple[str, ...] = get_args(EngineName)
DEVICES: tuple[str, ...] = get_args(DeviceName)


@dataclass(frozen=True)
class PosePrior:
    """How far the true pose may lie from the nominal one: standard deviations in the first camera's axes.

    Default: the distribution of Chen et al. (ISBI 2024).
    """

    rotation_deg: tuple[float, float, float] = (20.0, 20.0, 20.0)
    translation_mm: tuple[float, float, float] = (30.0, 30.0, 60.0)


@dataclass(frozen=True)
class SearchSettings:
    """Global search: many hypotheses ranked on small images, the best refined in small steps (design.md 6.3)."""

    prior: PosePrior = field(default_factory=PosePrior)
    hypotheses: int = 400
    image_px: int = 32
    keep: int = 24
    finalists: int = 3


@dataclass(frozen=True)
class LevelSettings:
    """One level of the pyramid: longest image side [pixels] and the steps allowed on it."""

    image_px: int
    max_steps: int


@dataclass(frozen=True)
class StepSettings:
    """Limits on one optimiser step: a smaller one ends the level, a larger one is shortened."""

    stop_rotation_deg: float = 0.005
    stop_translation_mm: float = 0.02
    most_rotation_deg: float = 10.0
    most_translation_mm: float = 40.0


@dataclass(frozen=True)
class RefineSettings:
    """Multi-resolution Levenberg-Marquardt; levels from coarse to fine."""

    levels: tuple[LevelSettings, ...] = (LevelSettings(64, 20), LevelSettings(128, 15), LevelSettings(256, 10))
    step: StepSettings = field(default_factory=StepSettings)


@dataclass(frozen=True)
class RegistrationSettings:
    """All that one registration needs to know besides its scene."""

    init: str = field(
        default="auto",
        metadata={"help": "where to start: auto (the case's pose, else search), case, search, dicom or landmarks"},
    )
    effort: Effort = field(default="standard", metadata={"help": "how long to look", "choices": EFFORTS})
    engine: EngineName = field(default="auto", metadata={"help": "render engine", "choices": ENGINES})
    device: DeviceName = field(default="auto", metadata={"help": "where to compute", "choices": DEVICES})
    seed: int = field(default=0, metadata={"help": "seed of everything random"})
