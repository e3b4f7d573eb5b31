"""Validation images: DRRs and simulated X-rays at held-out poses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ...scene import Radiograph, Volume, line_integrals
from ...settings import NetworkCamera, TrainingSettings
from ...simulation import XraySettings, simulate_xray
from ..data.appearance import apply_appearance, no_appearance
from ..data.batches import seeded_generator, visible_views
from ..data.subjects import DrrSubject
from ..model.canonical_frame import canonical_poses
from ..model.input_image import network_input, to_network_camera
from ..model.network_camera import pinhole
from .validation import ValidationImages, ValidationSet

# Separate random streams, used by no batch.
_DRRS, _XRAYS = 1, 2
# Machines used in turn for the simulated X-rays: exposure, tone curve, energy and scatter differ.
_MACHINES = (
    XraySettings(kvp=80.0, photons=1e6, scatter_to_primary=0.5, exposure=12.0, gamma=0.5),
    XraySettings(kvp=110.0, photons=2e5, scatter_to_primary=0.8, exposure=8.0, gamma=0.7),
    XraySettings(kvp=65.0, photons=5e5, scatter_to_primary=0.3, exposure=20.0, gamma=0.4),
)
# Least number of pixels along the edge of the machines' detectors, and the samples along a ray: detectors are finer
# than a network's images, at whose scale their blur and noise are small.
_PIXELS, _SAMPLE_MM, _ENERGIES = 128, 2.0, 5


def validation_set(subject: DrrSubject, volume: Volume, settings: TrainingSettings) -> ValidationSet:
    """DRRs (clean) and simulated X-rays of the whole patient (physics) of poses that no batch draws.

    A volume without Hounsfield units cannot be simulated, so that kind is left out.
    """
    camera = pinhole(settings.camera)
    generator = seeded_generator(settings.seed, 0, _DRRS)
    poses, integrals = visible_views(subject, camera, settings, settings.validation_poses, generator)
    plain = apply_appearance(no_appearance(len(poses)), integrals)
    images = {"clean": _with_truth(subject, network_input(*plain), poses)}
    if settings.validation_xrays and volume.is_hounsfield:
        generator = seeded_generator(settings.seed, 0, _XRAYS)
        poses, _ = visible_views(subject, camera, settings, settings.validation_xrays, generator)
        inputs = []
        for number, pose in enumerate(poses):
            radiograph = simulated_radiograph(volume, settings.camera, pose, number)
            inputs.append(network_input(*to_network_camera(radiograph, settings.camera)))
        images["physics"] = _with_truth(subject, torch.cat(inputs), poses)
    return images


def simulated_radiograph(volume: Volume, network_camera: NetworkCamera, pose: Tensor, number: int) -> Radiograph:
    """A simulated X-ray of the whole patient at the pose camera_from_volume (4, 4), of the `number`-th machine.

    It has the network's field, in pixels at least as fine as the network's.
    """
    camera = pinhole(replace(network_camera, image_px=max(network_camera.image_px, _PIXELS)))
    spacing_mm = float(volume.grid.spacing_mm.min())
    machine = replace(
        _MACHINES[number % len(_MACHINES)],
        energy_bins=_ENERGIES,
        rays_per_side=1,
        step_voxels=max(1.0, _SAMPLE_MM / spacing_mm),
    )
    xray = simulate_xray(volume, camera, pose.numpy(), machine, seed=number)
    recorded = xray.transmission.astype(np.float32)
    # In images this small the border of an X-ray cannot be detected as in real ones; it is known here.
    attenuation, _ = line_integrals(recorded, xray.valid, "transmission")
    return Radiograph(recorded, attenuation, xray.valid, camera)


def _with_truth(subject: DrrSubject, inputs: Tensor, poses: Tensor) -> ValidationImages:
    points = (subject.points - subject.isocentre).cpu().expand(len(poses), -1, -1)
    return ValidationImages(inputs.cpu(), canonical_poses(poses, subject.isocentre), points)


def joined_sets(sets: Sequence[ValidationSet]) -> ValidationSet:
    """The images of several patients as one set."""
    kinds = dict.fromkeys(kind for images in sets for kind in images)
    return {kind: _joined([images[kind] for images in sets if kind in images]) for kind in kinds}


def _joined(parts: Sequence[ValidationImages]) -> ValidationImages:
    return ValidationImages(
        torch.cat([part.inputs for part in parts]),
        torch.cat([part.poses for part in parts]),
        torch.cat([part.points for part in parts]),
    )
