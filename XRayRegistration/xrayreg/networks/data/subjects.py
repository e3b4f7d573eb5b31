"""CTs prepared for rendering DRRs: soft tissue and bone as maps that an engine renders separately.

X-rays of one pose differ by the beam's energies, which bone and soft tissue attenuate differently. With both rendered
once, any number of appearances can be computed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...checks import InputError
from ...geometry import Camera
from ...render import ChannelProjector, Projector, choose_engine, prepare, prepare_channels, render_channels
from ...scene import Attenuation, Volume, attenuation_of
from ...scene.attenuation import MU_WATER
from ...settings import DeviceName, EngineName
from ...slabs import bounds
from ..model.fingerprint import fingerprint
from .downsample_map import downsample_map
from .extend_body import extend_body

# Hounsfield units of the transition from soft tissue to bone: trabecular bone starts at the first, the second is beyond
# contrast-filled vessels (as in simulation.XraySettings).
BONE_HU = (150.0, 400.0)
# Attenuation [1/mm] of cortical bone in CT, some 1000 HU.
_DENSE_MU = 2 * MU_WATER
_CPU = torch.device("cpu")
# A map with fewer voxels than this along an axis is useless to a network.
_FEWEST_VOXELS = 3


@dataclass(frozen=True, eq=False)
class DrrSubject:
    """One CT prepared for rendering DRRs by an engine.

    soft, bone: the two parts of its attenuation, on one grid; None where a part is empty. Together they are
        a CT's `scene.attenuation_of`, averaged to the voxels rendered.
    isocentre: (3,) about which poses are drawn, the centre of what is rendered [volume frame, mm], float64.
    points: (8, 3) corners of the box around what is rendered [volume frame, mm], float64.
    extension: the body beyond the scan, None where it ends within the scan; see `extend_body`.
    parts: soft and bone as channels, or the one that is not empty; None where both are.
    device: on which its images are rendered.
    partial: whether it is a part cut out of the body, whose surroundings an X-ray shows too.
    fingerprint, name: identify the volume, by its content and for display.
    """

    soft: Attenuation | None
    bone: Attenuation | None
    isocentre: Tensor
    points: Tensor
    parts: ChannelProjector | None = None
    device: torch.device = _CPU
    extension: Projector | None = None
    partial: bool = False
    fingerprint: str = ""
    name: str = "volume"


def prepare_subject(
    volume: Volume,
    structures: tuple[int, ...] = (),
    *,
    voxel_mm: float,
    engine: EngineName = "auto",
    device: DeviceName = "auto",
    name: str = "volume",
) -> DrrSubject:
    """The volume, or the named structures alone, prepared for training.

    voxel_mm: edge of a pixel of the network's camera at the patient; finer voxels are averaged.
    A volume without negative values (a vessel tree of MR angiography, a bone cut out of its CT) goes to the bony part,
    scaled to attenuate as bone does: its unit is unknown.
    Raises InputError for structures that are missing, a CT without bone, and a volume too small for `voxel_mm`.
    """
    whole = attenuation_of(volume, structures)
    grid = whole.grid
    _require_extent(grid.spacing_mm * grid.shape, voxel_mm)
    soft: Attenuation | None = None
    if volume.is_hounsfield:
        bone = downsample_map(whole, voxel_mm, bone_part)
        if not structures:
            _require_bone(bone)
        soft = downsample_map(whole, voxel_mm)
        soft = Attenuation((soft.mu - bone.mu).clamp_min_(0), soft.grid)
    else:
        bone = downsample_map(_as_dense_as_bone(whole), voxel_mm)
    del whole
    # Structures have an end of their own; only a body is extended.
    further = None if soft is None or structures else extend_body(soft, bone, volume.grid)
    both = _cropped_to_matter([soft, bone])
    parts = [part for part in both if part is not None]
    rendered = prepare_channels(parts, engine, device) if parts else None
    extension = None
    for around in _cropped_to_matter([further]):
        extension = None if around is None else prepare(around, engine, device)
    place = torch.device(choose_engine(engine, device)[1])
    centre, corners = torch.as_tensor(grid.centre), torch.as_tensor(grid.corners())
    partial = bool(structures) or not volume.is_hounsfield
    return DrrSubject(both[0], both[1], centre, corners, rendered, place, extension, partial, fingerprint(volume), name)


def _cropped_to_matter(parts: list[Attenuation | None]) -> list[Attenuation | None]:
    """Maps on one grid, cropped to their joint content; None for those that are all air."""
    there = [part if part is not None and bool(part.mu.any()) else None for part in parts]
    maps = [part.mu.numpy() for part in there if part is not None]
    if not maps:
        return there
    box = bounds(maps[0].shape, lambda some: np.any([mu[some] > 0 for mu in maps], axis=0))
    first, size = box[:, 0], box[:, 1] + 1 - box[:, 0]
    inside = tuple(slice(start, start + count) for start, count in zip(first, size, strict=True))
    # Arrays are stored [k, j, i], grids named (i, j, k).
    (k0, j0, i0), (nk, nj, ni) = first.tolist(), size.tolist()
    return [
        part and Attenuation(part.mu[inside].contiguous(), part.grid.cropped((i0, j0, k0), (ni, nj, nk)))
        for part in there
    ]


def bone_part(mu: Tensor) -> Tensor:
    """The part of attenuations [1/mm], of any shape, that is bone: none below BONE_HU, all of it above."""
    low, high = (MU_WATER * (1 + hu / 1000) for hu in BONE_HU)
    return ((mu - low) / (high - low)).clamp_(0, 1).mul_(mu)


def _as_dense_as_bone(attenuation: Attenuation) -> Attenuation:
    """A map of arbitrary unit, scaled so that all but its brightest voxels attenuate no more than cortical bone."""
    some = attenuation.mu.reshape(-1)[:: max(1, attenuation.mu.numel() // 1_000_000)]
    brightest = torch.quantile(some[some > 0], 0.995) if bool((some > 0).any()) else attenuation.mu.max()
    attenuation.mu.mul_(_DENSE_MU / float(brightest))
    return attenuation


def render_soft_and_bone(subject: DrrSubject, camera: Camera, poses: Tensor) -> Tensor:
    """Line integrals (B, 2, H, W) through the soft and the bony part, float32 on the subject's device.

    poses: camera_from_volume (B, 4, 4). Differentiable with respect to them.
    """
    if subject.parts is None:
        return torch.zeros(len(poses), 2, camera.height, camera.width, device=subject.device)
    images = render_channels(subject.parts, camera, poses).float()
    if subject.parts.channels == 2:
        return images
    empty = torch.zeros_like(images)
    return torch.cat([empty, images] if subject.soft is None else [images, empty], 1)


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
