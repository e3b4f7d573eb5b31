"""The folder beside a network in training: the interface for monitoring and stopping a run.

model.pt                    the best network so far
model_training/status.json  progress of the run, replaced at most once a second
model_training/stop         a file created to end the run
model_training/lock         the process of the active run (see io.locks)
model_training/...          settings.json, last.pt (to resume), curve.csv, curve.png, TensorBoard's events
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from ...io import prepare_output, write_json
from ...processes import identity_of
from ...settings import TrainingSettings
from ...settings.plain import as_plain
from ..model.card import MedianAngles, MedianErrors

RunState = Literal["preparing", "training", "validating", "done", "failed", "stopped"]

# Readers poll about once a second; writing more often would only wear the disk.
EVERY_S = 1.0


@dataclass(frozen=True)
class TrainStep:
    """One moment of a training run.

    fraction: of the run, 0 to 1. seconds: since training began, including earlier parts of a resumed run.
    seconds_left: estimate. loss: of the last iteration; images: trained on so far. validation: the latest errors by
    kind of image, or angles by the method that a gradient is from, new where the step is `validated`. message: a
    sentence on the current activity.
    """

    state: RunState
    message: str
    fraction: float = 0.0
    iteration: int = 0
    images: int = 0
    seconds: float = 0.0
    seconds_left: float | None = None
    loss: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    learning_rate: float | None = None
    images_per_second: float | None = None
    validation: Mapping[str, MedianErrors] | Mapping[str, MedianAngles] | None = None
    validated: bool = False


# Callback of a training for its steps.
OnTrainStep = Callable[[TrainStep], object]


def run_folder(out: Path) -> Path:
    """The folder of the run that trains the network `out`."""
    return out.with_name(f"{out.stem}_training")


def last_checkpoint(out: Path) -> Path:
    """The file of a run's latest state, from which it can be resumed."""
    return run_folder(out) / "last.pt"


class RunFolder:
    """Writes status.json and settings.json, and checks for the file `stop`."""

    def __init__(self, out: Path, settings: TrainingSettings) -> None:
        """out: the network's file. Creates the folder; raises InputError where that fails."""
        self.path = prepare_output(run_folder(out))
        self._model = out
        self._started, self._written = _now(), -EVERY_S
        # A program that terminates this run compares all of it first.
        process = identity_of()
        self._process = {"pid": os.getpid()} if process is None else process.as_dict()
        self._stop = self.path / "stop"
        # A file left from an earlier run does not apply to this one.
        self._stop.unlink(missing_ok=True)
        write_json(self.path / "settings.json", as_plain(settings))

    def asked_to_stop(self) -> bool:
        """Whether the file `stop` was created."""
        return self._stop.exists()

    def write(self, step: TrainStep, at_once: bool = False) -> None:
        """Replace status.json, unless it was written a moment ago and the step may wait.

        Write errors are ignored, as they must not stop the training.
        """
        if not at_once and time.monotonic() - self._written < EVERY_S:
            return
        self._written = time.monotonic()
        try:
            write_json(self.path / "status.json", self._content(step))
        except OSError:
            return

    def _content(self, step: TrainStep) -> dict[str, Any]:
        validation = step.validation
        return {
            "state": step.state,
            "message": step.message,
            "fraction": step.fraction,
            "iteration": step.iteration,
            "images": step.images,
            "seconds": step.seconds,
            "seconds_left": step.seconds_left,
            "loss": step.loss,
            "learning_rate": step.learning_rate,
            "images_per_second": step.images_per_second,
            "validation": validation and {name: asdict(errors) for name, errors in validation.items()},
            "model": str(self._model.absolute()),
            **self._process,
            "started": self._started,
            "updated": _now(),
        }


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
