"""The template of a network: the coarse CT in whose frame its poses are, kept in its file to align other CTs with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...checks import InputError, require_array
from ...ct_alignment.preprocess import block_means
from ...geometry import VoxelGrid
from ...scene import Volume

# Fine enough for alignment to a tenth of a voxel, coarse enough for a pelvis in 1.5 MB.
VOXEL_MM = 4.0
_LIMITS = np.iinfo(np.int16)


@dataclass(frozen=True, eq=False)
class Template:
    """A coarse CT and its isocentre, the origin of the network's canonical frame.

    volume: int16 Hounsfield units (or the file's own numbers) at about 4 mm.
    isocentre: (3,) in the template's frame [RAS mm].
    """

    volume: Volume
    isocentre: NDArray[np.float64]

    def as_tensors(self) -> dict[str, Tensor]:
        """The template as tensors for a file; `from_tensors` reads them back."""
        return {
            "values": torch.from_numpy(np.ascontiguousarray(self.volume.values)),
            "volume_from_index": torch.from_numpy(self.volume.grid.volume_from_index),
            "isocentre": torch.from_numpy(self.isocentre),
        }

    @staticmethod
    def from_tensors(content: Mapping[str, Any]) -> Template:
        """The inverse of `as_tensors`; raises InputError for anything else."""
        tensors = [content.get(name) for name in ("values", "volume_from_index", "isocentre")]
        values, matrix, isocentre = (
            tensor.numpy() if isinstance(tensor, Tensor) else np.empty(0) for tensor in tensors
        )
        if values.ndim != 3 or values.dtype != np.int16:
            raise _damaged()
        nk, nj, ni = values.shape
        grid = VoxelGrid((ni, nj, nk), require_array(matrix, "template", (4, 4)))
        return Template(Volume(values, grid), require_array(isocentre, "template", (3,)))


def template_of(volume: Volume, isocentre: NDArray[np.float64], voxel_mm: float = VOXEL_MM) -> Template:
    """The volume averaged over blocks of about `voxel_mm`; its axes stay as they are.

    isocentre: (3,) in the volume frame [mm].
    """
    # Where the unit is unknown only the range matters, and integers need a wide one.
    scale = 1.0 if volume.is_hounsfield else _LIMITS.max / float(volume.values.max())
    means, grid = block_means(volume, voxel_mm, lambda values: values * np.float32(scale))
    values = np.clip(np.rint(means), _LIMITS.min, _LIMITS.max).astype(np.int16)
    return Template(Volume(values, grid), np.asarray(isocentre, dtype=np.float64))


def _damaged() -> InputError:
    return InputError(
        "template of the network",
        expected="a coarse volume, its grid and its isocentre",
        found="something else",
        remedy="train the network again or take another copy",
    )
