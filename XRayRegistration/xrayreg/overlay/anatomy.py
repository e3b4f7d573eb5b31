"""The drawable content of a volume, and its image, edges and silhouettes at a pose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from ..checks import require_array
from ..geometry import Camera
from ..render import Projector, prepare, render
from ..scene import Attenuation, Volume, attenuation_of
from ..scene.attenuation import MU_WATER
from ..settings import DeviceName, EngineName
from ..slabs import slabs
from .drawing import Silhouette
from .lines import Lines, drr_edges
from .tones import Floats

# Attenuation of 200 HU: above it is bone, whose edges are clearest in an X-ray.
_BONE_MU = 1.2 * MU_WATER
# With less than this share of the occupied voxels in bone, the edges of all tissue are drawn.
_LEAST_BONE = 0.002
# Pixels rendered at once: all of a live picture, larger ones in parts, as some engines hold all samples of their rays.
_AT_ONCE_PX = 3 << 15
# Largest voxel size for the smoothing of edges, as a share of the picture's longer side.
_LARGEST_VOXEL = 0.03


@dataclass(frozen=True, eq=False)
class Anatomy:
    """The drawable content of a volume, prepared for rendering.

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
    """The volume, or its `structures`, prepared for pictures by a render engine; raises as `prepare` does.

    In a volume with labels, those of the structures are outlined, or all of them when none are named.
    """
    attenuation = attenuation_of(volume, structures)
    whole = prepare(attenuation, engine, device)
    dense = dense_part(volume, attenuation)
    bone = whole if dense is attenuation else prepare(dense, engine, device)
    labels = prepare_labels(volume, structures, engine=engine, device=device)
    return Anatomy(whole, bone, labels, volume.label_names)


def prepare_labels(
    volume: Volume, structures: tuple[int, ...] = (), *, engine: EngineName = "auto", device: DeviceName = "auto"
) -> dict[int, Projector]:
    """The voxels of each label of a volume, or of its `structures`, with value 1, for rendering path lengths."""
    labels = {}
    for label, mask in _label_masks(volume, structures).items():
        labels[label] = prepare(mask, engine, device)
    return labels


def dense_part(volume: Volume, attenuation: Attenuation) -> Attenuation:
    """Attenuation of bone in excess of water's, or all of the volume's `attenuation` where there is hardly any bone."""
    if not volume.is_hounsfield:
        return attenuation
    mu = attenuation.mu
    excess = torch.empty_like(mu)
    bone = tissue = 0
    for some in slabs(mu.shape):
        dense = mu[some] > _BONE_MU
        excess[some] = torch.where(dense, mu[some] - MU_WATER, 0.0)
        bone, tissue = bone + int(dense.sum()), tissue + int((mu[some] > 0).sum())
    return Attenuation(excess, attenuation.grid) if bone > _LEAST_BONE * tissue else attenuation


def rendered(projector: Projector, camera: Camera, camera_from_volume: NDArray) -> Floats:
    """The DRR (H, W) of one pose (4, 4); only the part of the image that can show the map is computed."""
    pose = require_array(camera_from_volume, "camera_from_volume", (4, 4))
    image = np.zeros((camera.height, camera.width), dtype=np.float32)
    left, top, right, bottom = _image_box(projector.grid.corners() @ pose[:3, :3].T + pose[:3, 3], camera)
    if right > left and bottom > top:
        at_pose = torch.as_tensor(pose, device=projector.mu.device)[None]
        rows = max(1, _AT_ONCE_PX // (right - left))
        for first in range(top, bottom, rows):
            last = min(first + rows, bottom)
            drr = render(projector, camera.cropped(left, first, right - left, last - first), at_pose)[0]
            image[first:last, left:right] = drr.detach().cpu().numpy()
    return image


def pose_edges(anatomy: Anatomy, camera: Camera, camera_from_volume: NDArray) -> Lines:
    """Edges of the anatomy's dense part at one pose (4, 4), found at the scale of its voxels."""
    drr = wide_drr(anatomy.bone, camera, camera_from_volume)
    return edges_in(drr, camera)


@dataclass(frozen=True, eq=False)
class WideDrr:
    """A DRR that extends beyond the picture, as edges would be distorted at its border.

    image: the picture (H, W) with `margin` pixels more on each side. scale_px: that of its edges.
    """

    image: Floats
    margin: int
    scale_px: float

    @property
    def picture(self) -> Floats:
        """The picture without the margin."""
        return self.image[self.margin : -self.margin, self.margin : -self.margin]


def wide_drr(projector: Projector, camera: Camera, camera_from_volume: NDArray) -> WideDrr:
    """The DRR of one pose (4, 4), with the margin that its edges need."""
    pose = require_array(camera_from_volume, "camera_from_volume", (4, 4))
    side = max(camera.width, camera.height)
    # Limited, as near the source a voxel is as large as the picture.
    voxel_px = min(_voxel_px(projector, camera, pose), _LARGEST_VOXEL * side)
    scale = max(1.0, 0.6 * voxel_px, 0.0015 * side)
    margin = int(np.ceil(3 * scale))
    wide = camera.cropped(-margin, -margin, camera.width + 2 * margin, camera.height + 2 * margin)
    return WideDrr(rendered(projector, wide, pose), margin, scale)


def edges_in(drr: WideDrr, camera: Camera) -> Lines:
    """Edges of a map in the picture of `camera`."""
    # A rounded bone's path length grows from its outline like a square root, whose steepest point smoothing shifts
    # inwards by most of the scale; for its root it stays (measured on a ball: 0.1 instead of 2 pixels at 1.9).
    edges = drr_edges(np.sqrt(drr.image), drr.scale_px)
    points = edges.points - drr.margin
    seen = (points > -1).all(axis=1) & (points < [camera.width, camera.height]).all(axis=1)
    return Lines(points[seen], edges.normals[seen])


def pose_silhouettes(anatomy: Anatomy, camera: Camera, camera_from_volume: NDArray) -> dict[int, Silhouette]:
    """Silhouettes of the anatomy's labels at one pose (4, 4)."""
    found = {}
    for label, projector in anatomy.labels.items():
        path_mm = rendered(projector, camera, camera_from_volume)
        voxel_px = _voxel_px(projector, camera, camera_from_volume)
        found[label] = Silhouette(path_mm, float(projector.grid.spacing_mm.mean()), max(0.8, 0.5 * voxel_px))
    return found


def _label_masks(volume: Volume, structures: tuple[int, ...]) -> dict[int, Attenuation]:
    if volume.labels is None:
        return {}
    labels = volume.labels if volume.labels.dtype.kind in "iu" else volume.labels.astype(np.int32)
    masks = {}
    for label, (k, j, i) in _label_boxes(labels).items():
        if structures and label not in structures:
            continue
        mask = torch.from_numpy((labels[k, j, i] == label).astype(np.float32))
        grid = volume.grid.cropped((i.start, j.start, k.start), (mask.shape[2], mask.shape[1], mask.shape[0]))
        masks[label] = Attenuation(mask, grid)
    return masks


def _label_boxes(labels: NDArray) -> dict[int, tuple[slice, slice, slice]]:
    """The box [k, j, i] around each label above 0 of a map of integers, in the order of the labels."""
    found: dict[int, NDArray[np.intp]] = {}
    for some in slabs(labels.shape):
        for label, box in enumerate(ndimage.find_objects(labels[some]), start=1):
            if box is not None:
                ends = np.array([[side.start, side.stop] for side in box]) + [[some.start], [0], [0]]
                before = found.get(label, ends)
                found[label] = np.stack([np.minimum(before, ends)[:, 0], np.maximum(before, ends)[:, 1]], -1)
    return {label: tuple(slice(*side) for side in found[label].tolist()) for label in sorted(found)}  # type: ignore[misc]


def _image_box(corners_in_camera: NDArray[np.float64], camera: Camera) -> tuple[int, int, int, int]:
    """First and one-past-last column and row (left, top, right, bottom) of the image of a box with these corners."""
    if (corners_in_camera[:, 2] <= 1.0).any():
        return 0, 0, camera.width, camera.height
    pixels = camera.project(corners_in_camera)
    limits = [camera.width, camera.height]
    left, top = (int(n) for n in np.clip(np.floor(pixels.min(axis=0)) - 1, 0, limits))
    right, bottom = (int(n) for n in np.clip(np.ceil(pixels.max(axis=0)) + 2, 0, limits))
    return left, top, right, bottom


def _voxel_px(projector: Projector, camera: Camera, camera_from_volume: NDArray) -> float:
    """Size [pixels] of a voxel's image at the centre of the map."""
    centre = camera_from_volume[:3, :3] @ projector.grid.centre + camera_from_volume[:3, 3]
    spacing = float(np.prod(projector.grid.spacing_mm) ** (1 / 3))
    return spacing * camera.focal_px / max(float(centre[2]), 1.0)
