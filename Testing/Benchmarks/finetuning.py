"""What pretraining on other patients is worth: error after the same time with it and from scratch.

    PYTHONPATH=XRayRegistration:Testing/Python python Testing/Benchmarks/finetuning.py --pretrain 5 --minutes 1

Other patients are the generated pelvis, bent, scaled and made denser or softer in ways of their own; the
patient is the real pelvis CT of the test data. Not part of `make bench`: it takes a quarter of an hour.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from conftest import shared_data
from numpy.typing import NDArray
from scipy import ndimage

from xrayreg.io import write_nifti
from xrayreg.networks.training import TrainingOrder, train_network
from xrayreg.networks.training.status import run_folder
from xrayreg.scene import Volume
from xrayreg.settings import DISTRIBUTIONS, NetworkCamera, TrainingSettings
from xrayreg.simulation import pelvis_phantom

PATIENTS, SPACING_MM, CONTROL_MM = 8, 3.0, 90.0


def another_patient(phantom: Volume, seed: int) -> Volume:
    """The phantom bent smoothly by up to some 12 mm, scaled by up to 12 % per axis, its bone density changed."""
    generator = np.random.default_rng([7, seed])
    index = np.indices(phantom.values.shape, dtype=np.float32)
    middle = (np.array(phantom.values.shape) - 1) / 2
    places = [
        centre + (axis - centre) / generator.uniform(0.88, 1.12) + bend(generator, phantom.values.shape)
        for axis, centre in zip(index, middle, strict=True)
    ]
    values = ndimage.map_coordinates(phantom.values.astype(np.float32), places, order=1, cval=-1000.0)
    values = np.where(values > 150, 150 + (values - 150) * generator.uniform(0.6, 1.3), values)
    return Volume(np.rint(values).astype(np.int16), phantom.grid)


def bend(generator: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A smooth displacement along one axis [voxels]: cubic between control points drawn from N(0, 6 mm)."""
    knots = generator.normal(0, 6.0 / SPACING_MM, [max(4, round(size * SPACING_MM / CONTROL_MM)) for size in shape])
    factors = [size / count for size, count in zip(shape, knots.shape, strict=True)]
    return np.asarray(ndimage.zoom(knots, factors, order=3), dtype=np.float32)


def train(volumes: list[Path], out: Path, settings: TrainingSettings, finetune: Path | None = None) -> list[dict]:
    """Train a network; the rows of its curve at which it was judged."""
    trained = train_network(TrainingOrder(tuple(volumes), out, settings, finetune=finetune))
    for note in trained.card.notes:
        print(f"  {note}")
    with (run_folder(out) / "curve.csv").open(encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if any(value for name, value in row.items() if "mtre" in name)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pretrain", type=float, default=5.0, help="minutes on other patients")
    parser.add_argument("--minutes", type=float, default=1.0, help="minutes on the patient")
    parser.add_argument("--pixels", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    chosen = parser.parse_args()
    patient = shared_data("pelvis", "ct.nii.gz")
    settings = TrainingSettings(
        minutes=chosen.pretrain,
        batch=chosen.batch,
        validate_every_s=12.0,
        camera=NetworkCamera(image_px=chosen.pixels),
        poses=DISTRIBUTIONS["chen"],
    )
    short = replace(settings, minutes=chosen.minutes)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        phantom, others = pelvis_phantom(SPACING_MM), []
        for number in range(PATIENTS):
            others.append(folder / f"patient{number}.nii.gz")
            other = another_patient(phantom, number)
            write_nifti(others[-1], other.values, other.grid.volume_from_index)
        runs = {
            f"{PATIENTS} other patients": lambda: train(others, folder / "agnostic.pt", settings),
            "this patient, pretrained": lambda: train([patient], folder / "tuned.pt", short, folder / "agnostic.pt"),
            "this patient, from scratch": lambda: train([patient], folder / "scratch.pt", short),
        }
        for title, run in runs.items():
            print(title)
            for row in run():
                print("  " + "  ".join(f"{name} {value}" for name, value in row.items() if value))


if __name__ == "__main__":
    main()
