"""How far off a network is after some minutes of training on a patient, and what a registration gains from it.

    PYTHONPATH=XRayRegistration:Testing/Python python Testing/Benchmarks/network.py --minutes 5 [--model model.pt]

Poses are N(0, 20 degrees) and N(0, 30, 30, 60 mm) about the frontal view of the real pelvis CT of the test data. Not
part of `make bench`: it takes ten minutes.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from conftest import shared_data
from numpy.typing import NDArray
from rich.console import Console
from tables import Cell, Table
from torch import Tensor

from xrayreg.geometry import Camera, nominal_pose, rotation_angle
from xrayreg.io import read_volume
from xrayreg.metrics import pose_error
from xrayreg.networks.data.pose_sampling import sample_poses
from xrayreg.networks.inference.prediction import predict
from xrayreg.networks.model.checkpoint import Checkpoint, load_checkpoint
from xrayreg.networks.training import TrainingOrder, train_network
from xrayreg.registration.pipeline import register
from xrayreg.render import prepare, render, warm_up
from xrayreg.scene import Radiograph, Scene, Volume, attenuation_of, radiograph_from_array
from xrayreg.settings import DISTRIBUTIONS, NetworkCamera, NetworkStart, TrainingSettings, registration_settings
from xrayreg.simulation import XraySettings, simulate_xray

POSES = DISTRIBUTIONS["chen"]
PIXELS, FIELD_MM, SID_MM = 256, 396.8, 1020.0
CAMERA = Camera.from_sid(SID_MM, FIELD_MM / PIXELS, PIXELS, PIXELS)


def drrs(volume: Volume, poses: Tensor) -> list[Radiograph]:
    """DRRs without any effect."""
    projector = prepare(attenuation_of(volume))
    images = torch.cat([render(projector, CAMERA, some) for some in poses.split(16)]).float().numpy()
    return [Radiograph(image, image, np.ones(image.shape, bool), CAMERA) for image in images]


def xrays(volume: Volume, poses: Tensor) -> list[Radiograph]:
    """X-rays by physics of machines that differ in energy, dose and scatter, every other one with a tone curve."""
    random, made = np.random.default_rng(5), []
    for number, pose in enumerate(poses.numpy()):
        machine = XraySettings(
            kvp=random.uniform(65, 115),
            photons=10 ** random.uniform(4, 5.3),
            scatter_to_primary=random.uniform(0, 0.8),
            blur_px=0.6,
            gamma=random.uniform(0.7, 1.4) if number % 2 else 1.0,
        )
        recorded = simulate_xray(volume, CAMERA, pose, machine, number).transmission
        made.append(radiograph_from_array(recorded, CAMERA, intensity="transmission"))
    return made


def guesses(network: Checkpoint, volume: Volume, views: list[Radiograph], truth: Tensor, looks: int) -> list[Cell]:
    """Median errors of the network's most believed poses, and milliseconds for one."""
    started = time.perf_counter()
    found = torch.stack([predict(network, Scene(volume, (view,)), count=looks).poses[0] for view in views])
    milliseconds = 1000 * (time.perf_counter() - started) / len(views)
    centre = torch.tensor([*volume.grid.centre, 1.0], dtype=torch.float64)
    shift = ((found - truth) @ centre)[:, :3].abs().median(0).values.tolist()
    return [len(views), looks, float(torch.rad2deg(rotation_angle(found, truth)).median()), *shift, milliseconds]


def registrations(volume: Volume, views: list[Radiograph], truth: Tensor, init: str) -> list[Cell]:
    """How many registrations end below a millimetre, their median error, seconds and renders."""
    frontal, targets = nominal_pose("pa", volume.grid.centre, POSES.sod_mm), volume.grid.corners()
    errors, seconds, renders = [], [], []
    for view, pose in zip(views, truth.numpy(), strict=True):
        found = register(Scene(volume, (view,), initial=frontal), registration_settings(init=init))
        errors.append(pose_error(CAMERA, found.world_from_volume, pose, targets).mtre_mm)
        seconds.append(found.seconds["total"])
        renders.append(found.renders)
    below = sum(error < 1 for error in errors)
    return [f"{below} of {len(errors)}", *(_median(values) for values in (errors, seconds, renders))]


def _median(values: list[float] | list[int]) -> float:
    numbers: NDArray[np.float64] = np.asarray(values, dtype=np.float64)
    return float(np.median(numbers))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--model", type=Path, help="a network trained before, instead of training one")
    parser.add_argument("--registrations", type=int, default=24)
    chosen = parser.parse_args()
    path = shared_data("pelvis", "ct.nii.gz")
    volume, console = read_volume(path), Console(width=130)
    with tempfile.TemporaryDirectory() as folder:
        model = chosen.model or Path(folder) / "model.pt"
        if chosen.model is None:
            camera = NetworkCamera(field_mm=FIELD_MM, sid_mm=SID_MM)
            settings = replace(TrainingSettings(), minutes=chosen.minutes, camera=camera, poses=POSES)
            train_network(TrainingOrder((path,), model, settings))
        network = load_checkpoint(model)
        generator = torch.Generator().manual_seed(777)
        centre = torch.as_tensor(volume.grid.centre)
        sets: dict[str, tuple[Callable[[Volume, Tensor], list[Radiograph]], int]] = {
            "DRRs": (drrs, 256),
            "X-rays by physics": (xrays, 40),
        }
        rows: list[list[Cell]] = []
        for kind, (make, count) in sets.items():
            poses = sample_poses(POSES, centre, count, generator)
            views = make(volume, poses)
            rows += [[kind, *guesses(network, volume, views, poses, looks)] for looks in (1, NetworkStart().looks)]
        shown = network.card
        console.print(
            Table(
                f"Network after {shown.seconds / 60:.1f} minutes and {shown.images} images: median errors",
                ("images", "number", "looks", "rotation [deg]", "x [mm]", "y [mm]", "depth [mm]", "each [ms]"),
                rows,
            ).for_terminal()
        )
        warm_up()
        views, poses = views[: chosen.registrations], poses[: chosen.registrations]
        compared = [[init, *registrations(volume, views, poses, start)] for init, start in
                    (("search", "search"), ("network", str(model)))]  # fmt: skip
        console.print(
            Table(
                "Registrations of X-rays by physics",
                ("start", "mTRE below 1 mm", "median [mm]", "seconds", "renders"),
                compared,
            ).for_terminal()
        )


if __name__ == "__main__":
    main()
