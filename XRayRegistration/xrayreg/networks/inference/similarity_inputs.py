"""Inputs of a learned similarity, prepared in the same way for training and use.

X-ray: resampled to the network's camera and normalised per image, so that gain and offset do not matter.
CT: attenuation averaged to voxels as large as the network's pixels are at the patient, its axes along R, A and S where
a 3D network refines it. It is rendered to line integrals relative to water, in units of the settings' `scale_mm`
(`training.pose_gradient`). Poses are camera_from_volume in the volume's own frame; the pivot is its isocentre.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...checks import InputError
from ...geometry import VoxelGrid
from ...render import Projector, prepare
from ...scene import Attenuation, Radiograph, Volume
from ...settings import DeviceName, EngineName, FixedImage, TrainingSettings
from ..data.subjects import DrrSubject, prepare_subject
from ..model.input_image import network_input, to_network_camera

# Channels of `network_input`.
_CHANNELS: dict[FixedImage, int] = {"contrast": 0, "local": 2}


@dataclass(frozen=True, eq=False)
class SimilarityCt:
    """A CT that a similarity renders.

    projector: of its attenuation. isocentre: (3,) the pivot of the poses' parameters [volume frame, mm], float64.
    points: (8, 3) corners of the box around what is rendered [volume frame, mm], float64.
    """

    projector: Projector
    isocentre: Tensor
    points: Tensor


def fixed_image(radiograph: Radiograph, settings: TrainingSettings) -> Tensor:
    """The network's input for an X-ray: (1, 1, H, W) float32 on the CPU, 0 at invalid pixels.

    settings: of the network's training, with `similarity`.
    """
    return fixed_images(*to_network_camera(radiograph, settings.camera), settings)


def fixed_images(attenuation: Tensor, valid: Tensor, settings: TrainingSettings) -> Tensor:
    """The same (B, 1, H, W) for images (B, H, W) of the network's camera and their valid pixels (B, H, W), 0 or 1."""
    return fixed_channel(network_input(attenuation, valid), settings)


def fixed_channel(inputs: Tensor, settings: TrainingSettings) -> Tensor:
    """The same (B, 1, H, W) out of the inputs (B, 3, H, W) of `network_input`."""
    channel = 0 if settings.similarity is None else _CHANNELS[settings.similarity.fixed]
    return inputs[:, channel : channel + 1]


def similarity_ct(
    volume: Volume,
    settings: TrainingSettings,
    structures: tuple[int, ...] = (),
    engine: EngineName = "auto",
    device: DeviceName = "auto",
) -> SimilarityCt:
    """The volume, or the named structures alone, prepared for a similarity trained with `settings`.

    Raises InputError as `prepare_subject` does.
    """
    voxel_mm = settings.pixel_at_patient_mm
    subject = prepare_subject(volume, structures, voxel_mm=voxel_mm, engine=engine, device=device)
    return ct_of_subject(subject, settings, engine, device)


def ct_of_subject(
    subject: DrrSubject, settings: TrainingSettings, engine: EngineName = "auto", device: DeviceName = "auto"
) -> SimilarityCt:
    """The same for a subject prepared for rendering X-rays; raises InputError for one that is all air."""
    parts = [part for part in (subject.soft, subject.bone) if part is not None]
    if not parts:
        raise InputError(
            f"volume {subject.name}", expected="matter", found="air alone", remedy="check the structures and the CT"
        )
    whole = Attenuation(torch.stack([part.mu for part in parts]).sum(0), parts[0].grid)
    if settings.similarity is not None and settings.similarity.volume_network:
        whole = _along_ras(whole)
    return SimilarityCt(prepare(whole, engine, device), subject.isocentre, subject.points)


def _along_ras(attenuation: Attenuation) -> Attenuation:
    """The same map stored with the index axes nearest to R, A and S: no voxel moves."""
    grid = attenuation.grid
    order = _nearest_axes(grid.volume_from_index[:3, :3] / grid.spacing_mm)
    # Tensors are stored [k, j, i], grids named (i, j, k).
    mu = attenuation.mu.permute([2 - axis for axis in order[::-1]])
    matrix = grid.volume_from_index.copy()
    matrix[:3, :3] = matrix[:3, order]
    shape = np.array(grid.shape)[order]
    for axis in range(3):
        if matrix[axis, axis] < 0:
            mu = mu.flip(2 - axis)
            matrix[:3, 3] += matrix[:3, axis] * (shape[axis] - 1)
            matrix[:3, axis] *= -1
    ni, nj, nk = shape.tolist()
    return replace(attenuation, mu=mu.contiguous(), grid=VoxelGrid((ni, nj, nk), matrix))


def _nearest_axes(directions: NDArray[np.float64]) -> list[int]:
    """For R, A and S the index axis closest to it, none used twice; directions (3, 3) in columns."""
    free, order = [0, 1, 2], []
    for row in range(3):
        order.append(max(free, key=lambda axis: abs(directions[row, axis])))
        free.remove(order[-1])
    return order
