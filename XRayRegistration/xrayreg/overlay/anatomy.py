"""What is drawn of a volume, and its image, edges and silhouettes at a pose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from ..geometry import Camera
from ..render import Projector, prepare, render
from ..scene import Attenuation, Volume, attenuation_of
from ..scene.attenuation import MU_WATER
from ..settings import DeviceName, EngineName
from .drawing import Silhouette
from .lines import Lines, drr_edges
from .tones import Floats

# Attenuation of 200 HU: above it lies bone, whose edges an X-ray shows best.
_BONE_MU = 1.2 * MU_WATER
# With less than this share of the occupied voxels in bone, the edges of all tissue are drawn.
_LEAST_BONE = 0.002


@dataclass(frozen=True, eq=False)
class Anatomy:
    """What is drawn of a volume, ready to render.

    whole: the map that is registered. bone: its dense part, of which edges are drawn. labels: the voxels of each label
    with value 1, so that a rendered value is a path length [mm]. names: the labels' names, where known.
    """

    whole: Projector
    bone: Projector
    labels: Mapping[int, Projector]
    names: Mapping[int, str]


def prepare_anatomy(
    volume: Volume, structures: tuple[int, ...] = (), *, engine: EngineName = "auto", device: DeviceName = "auto"
) -> Anatomy:
    """The volume, or its `structures`, made ready for pictures with a render engine; raises as `prepare` does.

    Of a volume with labels the structures' are outlined, or all of them when none are named.
    """
    whole = prepare(attenuation_of(volume, structures), engine, device)
    dense = whole.mu > _BONE_MU
    bone = whole
    if volume.is_hounsfield and int(dense.sum()) > _LEAST_BONE * int((whole.mu > 0).sum()):
        excess = torch.where(dense, whole.mu - MU_WATER, torch.zeros_like(whole.mu))
        bone = prepare(Attenuation(excess, whole.grid), engine, device)
    labels = {}
    for label, mask in _label_masks(volume, structures).items():
        labels[label] = prepare(mask, engine, device)
    return Anatomy(whole, bone, labels, volume.label_names)


def rendered(projector: Projector, camera: Camera, camera_from_volume: NDArray) -> Floats:
    """The DRR (H, W) of one pose (4, 4); only the part of the image that can show the map is computed."""
    pose = np.asarray(camera_from_volume, dtype=np.float64)
    image = np.zeros((camera.height, camera.width), dtype=np.float32)
    left, top, right, bottom = _image_box(projector.grid.corners() @ pose[:3, :3].T + pose[:3, 3], camera)
    if right > left and bottom > top:
        window = camera.cropped(left, top, right - left, bottom - top)
        drr = render(projector, window, torch.as_tensor(pose, device=projector.mu.device)[None])[0]
        image[top:bottom, left:right] = drr.detach().cpu().numpy()
    return image


def pose_edges(anatomy: Anatomy, camera: Camera, camera_from_volume: NDArray) -> Lines:
    """Edges of the anatomy's dense part at one pose (4, 4), found at the scale of its voxels."""
    voxel_px = _voxel_px(anatomy.bone, camera, camera_from_volume)
    scale = max(1.0, 0.6 * voxel_px, 0.0015 * max(camera.width, camera.height))
    # Rendered beyond the image's border, which would otherwise bend edges that cross it.
    margin = int(np.ceil(3 * scale))
    wide = camera.cropped(-margin, -margin, camera.width + 2 * margin, camera.height + 2 * margin)
    drr = rendered(anatomy.bone, wide, camera_from_volume)
    # A rounded bone's path length grows from its outline like a square root, whose steepest place smoothing shifts
    # inwards by most of the scale; of its root it stays (measured on a ball: 0.1 instead of 2 pixels at 1.9).
    edges = drr_edges(np.sqrt(drr), scale)
    points = edges.points - margin
    seen = (points > -1).all(axis=1) & (points < [camera.width, camera.height]).all(axis=1)
    return Lines(points[seen], edges.normals[seen])


def pose_silhouettes(anatomy: Anatomy, camera: Camera, camera_from_volume: NDArray) -> dict[int, Silhouette]:
    """Silhouettes of the anatomy's labels at one pose (4, 4)."""
    return {
        label: Silhouette(
            rendered(projector, camera, camera_from_volume),
            threshold_mm=float(projector.grid.spacing_mm.mean()),
            smoothing_px=max(0.8, 0.5 * _voxel_px(projector, camera, camera_from_volume)),
        )
        for label, projector in anatomy.labels.items()
    }


def _label_masks(volume: Volume, structures: tuple[int, ...]) -> dict[int, Attenuation]:
    if volume.labels is None:
        return {}
    labels = volume.labels if volume.labels.dtype.kind in "iu" else volume.labels.astype(np.int32)
    masks = {}
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None or (structures and label not in structures):
            continue
        k, j, i = box
        mask = torch.from_numpy((labels[box] == label).astype(np.float32))
        grid = volume.grid.cropped((i.start, j.start, k.start), (mask.shape[2], mask.shape[1], mask.shape[0]))
        masks[label] = Attenuation(mask, grid)
    return masks


def _image_box(corners_in_camera: NDArray[np.float64], camera: Camera) -> tuple[int, int, int, int]:
    """First and one-past-last column and row (left, top, right, bottom) in which a box with these corners may show."""
    if (corners_in_camera[:, 2] <= 1.0).any():
        return 0, 0, camera.width, camera.height
    pixels = camera.project(corners_in_camera)
    limits = [camera.width, camera.height]
    left, top = (int(n) for n in np.clip(np.floor(pixels.min(axis=0)) - 1, 0, limits))
    right, bottom = (int(n) for n in np.clip(np.ceil(pixels.max(axis=0)) + 2, 0, limits))
    return left, top, right, bottom


def _voxel_px(projector: Projector, camera: Camera, camera_from_volume: NDArray) -> float:
    """Size [pixels] of a voxel's image in the middle of the map."""
    centre = camera_from_volume[:3, :3] @ projector.grid.centre + camera_from_volume[:3, 3]
    spacing = float(np.prod(projector.grid.spacing_mm) ** (1 / 3))
    return spacing * camera.focal_px / max(float(centre[2]), 1.0)
