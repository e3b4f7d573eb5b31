"""Stands for `python -m xrayreg train` in tests of the panel: tells what a training tells, and learns nothing.

python fake_training.py --volume CT --out FILE [--kind similarity] [--minutes N] [--resume] --story STORY

Stories: done, failed, silent, slow and deaf.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

STEPS, STEP_S = 5, 0.12
# What a deaf one would go on for [s] if nobody ended it.
DEAF_S = 600.0


def main() -> int:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--volume", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--kind", default="pose")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--story", default="done")
    options, _others = parser.parse_known_args()
    run = Run(options.out, options.kind)
    if not options.volume.is_file():
        sys.stderr.write("xrayreg: volume: expected an existing file\n")
        return 2
    run.tell("preparing", message="reading the CT")
    if options.story == "failed":
        sys.stderr.write("a line that nobody needs\nxrayreg: CT: expected bone, found only air; choose another CT\n")
        return 2
    steps = range(1, STEPS + 1)
    for number in steps:
        if options.story == "silent" and number == 3:
            os._exit(-9)
        if options.story == "deaf" and number == 3:
            time.sleep(DEAF_S)
        run.step(number)
        while options.story == "slow" and number == 3 and not (run.folder / "stop").exists():
            time.sleep(0.05)
        # A slow one hears of it at its third step, so that the time it then reports does not depend on timing.
        if (run.folder / "stop").exists() and (options.story != "slow" or number == 3):
            return run.end("stopped", number, "stopped as asked")
        time.sleep(STEP_S)
    return run.end("done", STEPS, "the time is up")


class Run:
    """The files beside a network in training, as status and curves of xrayreg.networks.training write them."""

    def __init__(self, model: Path, kind: str) -> None:
        self.figures = _angles if kind == "similarity" else _errors
        self.model, self.folder = model, model.with_name(f"{model.stem}_training")
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "stop").unlink(missing_ok=True)
        self.rows: list[dict[str, float]] = []

    def step(self, number: int) -> None:
        """One validation, with a better network each time."""
        errors = self.figures(number)
        self.rows.append(
            {"iteration": 100 * number, "seconds": 60.0 * number}
            | {f"{kind}_{name}": value for kind, found in errors.items() for name, value in found.items()}
        )
        with (self.folder / "curve.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, list(self.rows[0]))
            table.writeheader()
            table.writerows(self.rows)
        for path in (self.model, self.folder / "last.pt"):
            path.write_text(f"network of iteration {100 * number}")
        self.tell("training", number, errors)

    def end(self, state: str, number: int, message: str) -> int:
        self.tell(state, number, self.figures(number), message)
        return 0

    def tell(self, state: str, number: int = 0, validation: object = None, message: str = "training") -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        content = {
            "state": state,
            "message": message,
            "fraction": number / STEPS,
            "iteration": 100 * number,
            "images": 6400 * number,
            "seconds": 60.0 * number,
            "seconds_left": 60.0 * (STEPS - number),
            "images_per_second": 812.0 if number else None,
            "validation": validation,
            "model": str(self.model),
            "pid": os.getpid(),
            "started": now,
            "updated": now,
        }
        temporary = self.folder / "status.tmp"
        temporary.write_text(json.dumps(content), encoding="utf-8")
        temporary.replace(self.folder / "status.json")


def _errors(number: int) -> dict[str, dict[str, float]]:
    """Of poses, by kind of image, after some validations."""
    first = {"rotation_deg": 5.0, "x_mm": 2.0, "y_mm": 2.5, "depth_mm": 10.0, "mtre_mm": 12.0, "nearest_mtre_mm": 11.0}
    kinds = (("clean", 1.0), ("physics", 1.5))
    return {kind: {name: value * factor / number for name, value in first.items()} for kind, factor in kinds}


def _angles(number: int) -> dict[str, dict[str, float]]:
    """Of pose gradients, by what gave them: correlation does not learn."""
    degrees = {"network": 22.0 + 50.0 / number, "zncc": 61.0, "gradient_correlation": 66.0}
    return {
        name: {"whole_deg": whole, "rotation_deg": whole + 5.0, "translation_deg": whole - 4.0, "poses": 64}
        for name, whole in degrees.items()
    }


if __name__ == "__main__":
    sys.exit(main())
