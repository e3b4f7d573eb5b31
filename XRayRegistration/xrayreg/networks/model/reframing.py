"""From the frame a network was trained in to the frame of a patient.

A network trained on many patients tells camera_from_centred, where `centred` is its template's frame with the isocentre
as origin. An alignment says where a patient lies in that frame. Names meet in the middle:

    camera_from_patient = camera_from_centred @ centred_from_template @ template_from_patient
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ...checks import require_rigid
from ...geometry import VoxelGrid
from ...scene import Volume


def centred_from_patient(
    template_isocentre: ArrayLike, template_from_patient: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Rigid (4, 4) from a patient's volume frame to the network's frame [RAS mm].

    template_isocentre: (3,) in the template's frame. template_from_patient: of an alignment; none for the template
    itself, and so for a patient on whom alone the network was trained.
    """
    centred_from_template = np.eye(4)
    centred_from_template[:3, 3] = -np.asarray(template_isocentre, dtype=np.float64)
    if template_from_patient is None:
        return centred_from_template
    return centred_from_template @ require_rigid(template_from_patient, "alignment")


def reframed(camera_from_centred: Tensor, centred_from_patient: ArrayLike) -> Tensor:
    """Poses camera_from_patient (..., 4, 4) of a network's poses camera_from_centred."""
    return camera_from_centred @ torch.as_tensor(np.asarray(centred_from_patient)).to(camera_from_centred)


def moved(patient: Volume, template_from_patient: ArrayLike) -> Volume:
    """The patient laid where the template lies: the same voxels on a grid in the template's frame, none resampled."""
    matrix = require_rigid(template_from_patient, "alignment")
    return replace(patient, grid=VoxelGrid(patient.grid.shape, matrix @ patient.grid.volume_from_index))
