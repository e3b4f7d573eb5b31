"""The frame of a network's poses: the volume frame moved so that the isocentre is its origin.

A network that spoke of the volume frame would have to know where each scanner puts its origin. In the centred frame
(axes RAS, origin at the isocentre) one network serves all volumes, and reframing composes with one rigid transform.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...checks import InputError, require_rigid
from ...geometry import rigid


@dataclass(frozen=True, eq=False)
class Frame:
    """The nominal view, relative to which a network tells its poses.

    nominal_rotation: rotation camera_from_centred (3, 3), kept as float64.
    sod_mm: distance from source to isocentre, above 0.
    Raises InputError for a matrix that is no rotation or a distance that is not positive.
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
        """camera_from_centred (4, 4) float64 of the nominal view: the isocentre lies on the central ray."""
        return rigid(self.nominal_rotation, torch.tensor([0.0, 0.0, self.sod_mm], dtype=torch.float64))

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `from_dict` reads them back."""
        return {"nominal_rotation": self.nominal_rotation.tolist(), "sod_mm": float(self.sod_mm)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Frame:
        """The inverse of `as_dict`, also after a way through JSON; raises InputError for other content."""
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


def centred(camera_from_volume: Tensor, isocentre: Tensor) -> Tensor:
    """Poses camera_from_centred (..., 4, 4) of poses camera_from_volume; isocentre (..., 3) [mm, volume frame]."""
    return _moved(camera_from_volume, isocentre)


def uncentred(camera_from_centred: Tensor, isocentre: Tensor) -> Tensor:
    """Poses camera_from_volume (..., 4, 4) of poses camera_from_centred: the inverse of `centred`."""
    return _moved(camera_from_centred, -isocentre)


def _moved(pose: Tensor, origin: Tensor) -> Tensor:
    """Poses (..., 4, 4) from a frame whose origin lies at `origin` (..., 3) of the given poses' frame."""
    rotation = pose[..., :3, :3]
    shift = (rotation @ origin.to(pose)[..., None]).squeeze(-1)
    return rigid(rotation, pose[..., :3, 3] + shift)
