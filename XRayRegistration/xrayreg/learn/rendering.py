"""A volume made ready for training: its soft and its bony part as maps that an engine renders apart.

X-rays of one pose differ by the beam's energies, which bone and soft tissue answer to differently. Rendering both
once lets any number of appearances be made of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..checks import InputError
from ..geometry import Camera
from ..pieces import Pieces, divisible
from ..render import Projector, prepare, render
from ..scene import Attenuation, Volume, attenuation_of
from ..scene.attenuation import MU_WATER
from ..scene.slabs import bounds
from ..settings import DeviceName, EngineName
from .averaging import averaged
from .continuation import continuation
from .fingerprint import fingerprint

# Hounsfield units between which matter turns from soft to bone: trabecular bone starts at the first, the second is
# beyond contrast-filled vessels (as in simulation.XraySettings).
BONE_HU = (150.0, 400.0)
# Attenuation [1/mm] of cortical bone in CT, some 1000 HU.
_DENSE_MU = 2 * MU_WATER
# A map that is thinner than this many voxels along an axis shows nothing to a network.
_FEWEST_VOXELS = 3


@dataclass(frozen=True, eq=False)
class Subject:
    """One volume made ready for an engine.

    soft, bone: the two parts of its attenuation; None where a part is empty. Together they are
        a CT's `scene.attenuation_of`, averaged to the voxels rendered.
    isocentre: (3,) about which poses are drawn, the centre of what is rendered [volume frame, mm], float64.
    points: (8, 3) corners of the box around what is rendered [volume frame, mm], float64.
    beyond: the body where the scan has ended, None where it ends too; see `continuation`.
    partial: whether it is a part cut out of the body, of which an X-ray shows the rest too.
    fingerprint, name: which volume it is, for machines and for people.
    """

    soft: Projector | None
    bone: Projector | None
    isocentre: Tensor
    points: Tensor
    beyond: Projector | None = None
    partial: bool = False
    fingerprint: str = ""
    name: str = "volume"

    @property
    def device(self) -> torch.device:
        """Where its images are made."""
        part = self.soft if self.bone is None else self.bone
        assert part is not None
        return part.mu.device


@divisible
def subject_of(
    volume: Volume,
    structures: tuple[int, ...] = (),
    *,
    voxel_mm: float,
    engine: EngineName = "auto",
    device: DeviceName = "auto",
    name: str = "volume",
) -> Pieces[Subject]:
    """The volume, or the named structures alone, made ready for training.

    voxel_mm: edge of a pixel of the network's camera at the patient; finer voxels are averaged.
    A volume without negative values (a vessel tree of MR angiography, a bone cut out of its CT) goes to the bony part,
    scaled to attenuate as bone does: its unit is unknown.
    Raises InputError for structures that are missing, a CT without bone, and a volume too small for `voxel_mm`.
    """
    whole = yield from attenuation_of.pieces(volume, structures)
    grid = whole.grid
    _require_extent(grid.spacing_mm * grid.shape, voxel_mm)
    soft: Attenuation | None = None
    if volume.is_hounsfield:
        bone = yield from averaged.pieces(whole, voxel_mm, bony)
        if not structures:
            _require_bone(bone)
        soft = yield from averaged.pieces(whole, voxel_mm)
        soft = Attenuation((soft.mu - bone.mu).clamp_min_(0), soft.grid)
    else:
        bone = yield from averaged.pieces(_as_dense_as_bone(whole), voxel_mm)
    del whole
    # A structure ends where it is cut off; only a body goes on.
    further = None if soft is None or structures else continuation(soft, bone, volume.grid)
    made = []
    for part in (soft, bone, further):
        made.append(None if part is None else (yield from _prepared(part, engine, device)))
    centre, corners = torch.as_tensor(grid.centre), torch.as_tensor(grid.corners())
    partial = bool(structures) or not volume.is_hounsfield
    return Subject(made[0], made[1], centre, corners, made[2], partial, fingerprint(volume), name)


def _prepared(attenuation: Attenuation, engine: EngineName, device: DeviceName) -> Pieces[Projector | None]:
    """The map without the air around it, ready for an engine; None where it is all air."""
    mu = attenuation.mu.numpy()
    if not mu.any():
        return None
    box = yield from bounds(mu.shape, lambda some: mu[some] > 0)
    first, size = box[:, 0], box[:, 1] + 1 - box[:, 0]
    inside = tuple(slice(start, start + count) for start, count in zip(first, size, strict=True))
    # Arrays are stored [k, j, i], grids named (i, j, k).
    (k0, j0, i0), (nk, nj, ni) = first.tolist(), size.tolist()
    grid = attenuation.grid.cropped((i0, j0, k0), (ni, nj, nk))
    return (yield from prepare.pieces(Attenuation(attenuation.mu[inside].contiguous(), grid), engine, device))


def bony(mu: Tensor) -> Tensor:
    """The part of attenuations [1/mm], of any shape, that is bone: none below BONE_HU, all of it above."""
    low, high = (MU_WATER * (1 + hu / 1000) for hu in BONE_HU)
    return ((mu - low) / (high - low)).clamp_(0, 1).mul_(mu)


def _as_dense_as_bone(attenuation: Attenuation) -> Attenuation:
    """A map of arbitrary unit, scaled so that all but its brightest voxels attenuate no more than cortical bone."""
    some = attenuation.mu.reshape(-1)[:: max(1, attenuation.mu.numel() // 1_000_000)]
    brightest = torch.quantile(some[some > 0], 0.995) if bool((some > 0).any()) else attenuation.mu.max()
    attenuation.mu.mul_(_DENSE_MU / float(brightest))
    return attenuation


def line_integrals(subject: Subject, camera: Camera, poses: Tensor) -> Tensor:
    """Line integrals (B, 2, H, W) through the soft and the bony part, float32 on the subject's device.

    poses: camera_from_volume (B, 4, 4). Differentiable with respect to them.
    """
    empty = torch.zeros(len(poses), camera.height, camera.width, device=subject.device)
    parts = (subject.soft, subject.bone)
    return torch.stack([empty if part is None else render(part, camera, poses).float() for part in parts], 1)


def _require_bone(bone: Attenuation) -> None:
    if not bool(bone.mu.any()):
        raise InputError(
            "volume",
            expected=f"bone (above {BONE_HU[0]:g} HU)",
            found="none",
            remedy="check the rescale slope and intercept of the file, or name structures of its label map",
        )


def _require_extent(extent_mm: NDArray[np.float64], voxel_mm: float) -> None:
    if extent_mm.min() < _FEWEST_VOXELS * voxel_mm:
        raise InputError(
            "volume",
            expected=f"at least {_FEWEST_VOXELS * voxel_mm:.3g} mm each way, {_FEWEST_VOXELS} pixels of the image",
            found=" x ".join(f"{side:.3g}" for side in extent_mm) + " mm",
            remedy="use a camera with a smaller field or more pixels, or a larger volume",
        )
