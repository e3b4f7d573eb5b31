"""The canonical frame, which a network's poses are relative to: RAS axes, the origin at the isocentre.

Poses relative to the volume frame would depend on each scanner's choice of origin. In the canonical frame one network
serves all volumes. For a network trained on many patients it is the frame of the template, and an alignment gives the
pose of another patient in it. Frame names match in the middle:

    camera_from_patient = camera_from_canonical @ canonical_from_template @ template_from_patient
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ...checks import InputError, require_rigid
from ...geometry import VoxelGrid, rigid
from ...scene import Volume


@dataclass(frozen=True, eq=False)
class CanonicalFrame:
    """The canonical frame of a network, by its nominal view: rotation and source-to-isocentre distance.

    nominal_rotation: rotation camera_from_canonical (3, 3), kept as float64.
    sod_mm: distance from source to isocentre, above 0.
    Raises InputError for a matrix that is not a rotation or a distance that is not positive.
    """

    nominal_rotation: Tensor
    sod_mm: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.sod_mm) and self.sod_mm > 0):
            raise InputError(
                "source-to-isocentre distance",
                expected="millimetres above 0",
                found=f"{self.sod_mm:g}",
                remedy="check the pose distribution",
            )
        pose = np.eye(4)
        rotation = torch.as_tensor(self.nominal_rotation).detach().cpu().numpy()
        if rotation.shape == (3, 3):
            pose[:3, :3] = rotation
        else:
            pose = rotation
        object.__setattr__(
            self, "nominal_rotation", torch.from_numpy(require_rigid(pose, "nominal rotation")[:3, :3].copy())
        )

    @property
    def nominal_pose(self) -> Tensor:
        """camera_from_canonical (4, 4) float64 of the nominal view: the isocentre lies on the central ray."""
        return rigid(self.nominal_rotation, torch.tensor([0.0, 0.0, self.sod_mm], dtype=torch.float64))

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `from_dict` reads them back."""
        return {"nominal_rotation": self.nominal_rotation.tolist(), "sod_mm": float(self.sod_mm)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> CanonicalFrame:
        """The inverse of `as_dict`, also after JSON serialisation; raises InputError for other content."""
        try:
            rotation = torch.tensor(content["nominal_rotation"], dtype=torch.float64)
            sod_mm = float(content["sod_mm"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                "frame of the network",
                expected="nominal_rotation (3 x 3) and sod_mm",
                found="something else",
                remedy="use a file that the training wrote",
            ) from error
        return cls(rotation, sod_mm)


def canonical_poses(camera_from_volume: Tensor, isocentre: Tensor) -> Tensor:
    """Poses camera_from_canonical (..., 4, 4) of poses camera_from_volume; isocentre (..., 3) [mm, volume frame]."""
    return _with_origin_at(camera_from_volume, isocentre)


def volume_poses(camera_from_canonical: Tensor, isocentre: Tensor) -> Tensor:
    """Poses camera_from_volume (..., 4, 4) of poses camera_from_canonical: the inverse of `canonical_poses`."""
    return _with_origin_at(camera_from_canonical, -isocentre)


def canonical_from_patient(
    template_isocentre: ArrayLike, template_from_patient: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Rigid (4, 4) from a patient's volume frame to the network's frame [RAS mm].

    template_isocentre: (3,) in the template's frame. template_from_patient: of an alignment; None for the template
    itself, and so for the patient of a single-patient network.
    """
    canonical_from_template = np.eye(4)
    canonical_from_template[:3, 3] = -np.asarray(template_isocentre, dtype=np.float64)
    if template_from_patient is None:
        return canonical_from_template
    return canonical_from_template @ require_rigid(template_from_patient, "alignment")


def patient_poses(camera_from_canonical: Tensor, canonical_from_patient: ArrayLike) -> Tensor:
    """Poses camera_from_patient (..., 4, 4) of a network's poses camera_from_canonical."""
    return camera_from_canonical @ torch.as_tensor(np.asarray(canonical_from_patient)).to(camera_from_canonical)


def moved_to_template(patient: Volume, template_from_patient: ArrayLike) -> Volume:
    """The patient's volume moved to the template's frame: the same voxels on a moved grid, not resampled."""
    matrix = require_rigid(template_from_patient, "alignment")
    return replace(patient, grid=VoxelGrid(patient.grid.shape, matrix @ patient.grid.volume_from_index))


def _with_origin_at(pose: Tensor, origin: Tensor) -> Tensor:
    """Poses (..., 4, 4) from a frame whose origin lies at `origin` (..., 3) of the given poses' frame."""
    rotation = pose[..., :3, :3]
    shift = (rotation @ origin.to(pose)[..., None]).squeeze(-1)
    return rigid(rotation, pose[..., :3, 3] + shift)
