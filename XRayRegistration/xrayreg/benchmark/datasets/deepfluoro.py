"""DeepFluoro (Grupp et al., IPCAI 2020) at full resolution: six pelves, 366 fluoroscopic images with ground truth.

Layout by the dataset's own documentation (github.com/rg2/DeepFluoroLabeling-IPCAI2020, hdf5_layouts):

    proj-params/{intrinsic, extrinsic, num-cols, num-rows, pixel-col-spacing, pixel-row-spacing}
    17-1882/vol/{pixels, spacing, origin, dir-mat}, vol-seg/{image/..., labels-def/N}, vol-landmarks/FH-l ...
    17-1882/projections/000/{image/pixels, gt-poses/cam-to-pelvis-vol, gt-landmarks/FH-l, rot-180-for-up}

A point of the CT (LPS, mm) has the camera coordinates extrinsic @ inv(cam-to-vol) @ point; see `projective` for this
frame. Images are intensities; 50 pixels along each border lie under the collimator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...checks import InputError, require_rigid
from ...geometry import VoxelGrid
from ...io.labels import labels_on
from ...io.volumes import RAS_FROM_LPS, compact
from ...scene import Scene, Volume, radiograph_from_array
from .dataset import QUESTIONABLE, CaseExtras, moved, present_labels, require_case, shown_in
from .hdf5 import Group, opened
from .projective import StoredProjection, pinhole_of

Array = NDArray[np.float64]

BORDER_PX = 50
_PELVIS = "cam-to-pelvis-vol"
_FEMURS = ("left-femur", "right-femur")
# The file's 2D landmarks are projections of its 3D ones. A larger deviation [fraction of the width] means that the
# file's geometry is misinterpreted; in a mirrored or upside-down image it is hundreds of pixels.
_MOST_OFF = 0.01
# Number of CTs held in memory; cases are ordered by subject.
_KEPT_SUBJECTS = 1


@dataclass(frozen=True, eq=False)
class DeepFluoroSubject:
    """A specimen: its CT with labels, the labels that move rigidly with the pelvis, and its landmarks (RAS)."""

    volume: Volume
    structures: tuple[int, ...]
    landmarks: Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class DeepFluoroFrame:
    """Geometry of one image: conversion to a pinhole image, poses camera_from_volume (RAS), landmarks as stored."""

    projection: StoredProjection
    camera_from_pelvis: Array
    others: Mapping[str, Array]
    landmarks_px: Mapping[str, Array]


class DeepFluoro:
    """The full-resolution file; cases are named "17-1882/003"."""

    name = "DeepFluoro"

    def __init__(self, path: Path, questionable: bool = False) -> None:
        """questionable: list the frames of doubtful ground truth too. Raises InputError for other kinds of files."""
        self.path = path
        with opened(path) as root:
            root.group("proj-params")
            specimens = [name for name in root.names() if root.has(f"{name}/projections")]
            found = [(name, frame) for name in specimens for frame in root.group(name).group("projections").names()]
            if not found:
                raise root.wrong('groups of specimens with "projections"', "none")
        doubtful = [] if questionable else [each for each in found if each in QUESTIONABLE]
        self.cases = tuple("/".join(each) for each in found if each not in doubtful)
        self.left_out = tuple("/".join(each) for each in doubtful)
        self.subject = lru_cache(maxsize=_KEPT_SUBJECTS)(self._read_subject)

    def scene(self, case: str) -> Scene:
        """The case with the pelvis to register, its pose as reference and the 3D landmarks as targets."""
        specimen, number = self._named(case)
        frame = self.frame(specimen, number)
        with opened(self.path) as root:
            image = _projection(root, specimen, number).group("image").array("pixels", (None, None))
        given = frame.projection
        if image.shape != (given.height, given.width):
            raise InputError(
                f"image of {case}",
                expected=f"{given.width} x {given.height} pixels, as proj-params says",
                found=" x ".join(map(str, image.shape[::-1])),
                remedy="download the dataset again",
            )
        inside = _inside(given)
        view = radiograph_from_array(
            image[BORDER_PX:-BORDER_PX, BORDER_PX:-BORDER_PX],
            inside.camera,
            intensity="transmission",
            quarter_turns=given.quarter_turns,
            mirrored=given.mirrored,
            name=f"{specimen}_{number}",
            origins={"camera": "DeepFluoro's proj-params"},
            notes=(f"{BORDER_PX} pixels along each border, which the collimator shades, were cut off.",),
        )
        subject = self.subject(specimen)
        return Scene(
            subject.volume,
            (view,),
            subject.structures,
            reference=frame.camera_from_pelvis,
            targets=np.array(list(subject.landmarks.values())) if subject.landmarks else None,
        )

    def extras(self, case: str) -> CaseExtras:
        """The landmarks with their positions in the image, and the poses of the femurs that it shows well."""
        specimen, number = self._named(case)
        frame = self.frame(specimen, number)
        with opened(self.path) as root:
            points = landmarks_of(root.group(specimen))
        names = tuple(name for name in points if name in frame.landmarks_px)
        inside = _inside(frame.projection)
        stored = np.array([frame.landmarks_px[name] for name in names]).reshape(-1, 2) - BORDER_PX
        pixels = shown_in(inside.upright(stored), inside.width, inside.height)
        return CaseExtras(
            names,
            np.array([points[name] for name in names]).reshape(-1, 3),
            pixels[None],
            others=frame.others,
        )

    def frame(self, specimen: str, number: str) -> DeepFluoroFrame:
        """The geometry of one image, checked against the file's own 2D landmarks; raises InputError."""
        with opened(self.path) as root:
            params, group = root.group("proj-params"), _projection(root, specimen, number)
            width, height = round(params.number("num-cols")), round(params.number("num-rows"))
            if min(width, height) <= 3 * BORDER_PX:
                raise params.wrong(f"images of more than {3 * BORDER_PX} pixels", f"{width} x {height}")
            projection = pinhole_of(
                params.numbers("intrinsic", (3, 3)),
                width,
                height,
                params.number("pixel-col-spacing"),
                f"{params.place}, intrinsic",
                upside_down=bool(group.number("rot-180-for-up")),
            )
            camera_from_world = require_rigid(params.numbers("extrinsic", (4, 4)), f"{params.place}, extrinsic")
            poses = group.group("gt-poses")
            frame = DeepFluoroFrame(
                projection,
                _pose(poses, _PELVIS, projection, camera_from_world),
                {
                    name.replace("-", "_"): _pose(poses, f"cam-to-{name}-vol", projection, camera_from_world)
                    for name in _FEMURS
                    if poses.has(f"{name}-good-fov") and poses.number(f"{name}-good-fov")
                },
                _points(group, "gt-landmarks", 2),
            )
            _require_agreement(frame, landmarks_of(root.group(specimen)), group)
        return frame

    def _named(self, case: str) -> tuple[str, str]:
        specimen, number = require_case(case, self.cases, self.name, self.left_out).split("/")
        return specimen, number

    def _read_subject(self, specimen: str) -> DeepFluoroSubject:
        """A specimen's CT, labels and landmarks, cached for the next cases."""
        with opened(self.path) as root:
            group = root.group(specimen)
            values, grid = _image(group.group("vol"))
            segmentation = group.group("vol-seg")
            labels = labels_on(*_image(segmentation.group("image")), grid)
            definitions = segmentation.group("labels-def")
            names = {int(name): definitions.text(name) for name in definitions.names() if name.isdecimal()}
            landmarks = landmarks_of(group)
        # The ground truth is the pelvis's; the femurs turn in their joints.
        moving = {label for label, name in names.items() if "femur" in name.lower()}
        structures = tuple(label for label in present_labels(labels) if label not in moving)
        return DeepFluoroSubject(Volume(compact(values), grid, labels, names), structures, landmarks)


def landmarks_of(specimen: Group) -> dict[str, Array]:
    """The 3D landmarks (3,) of a specimen by name, in RAS millimetres."""
    points = _points(specimen, "vol-landmarks", 3)
    return {name: moved(RAS_FROM_LPS, point) for name, point in points.items()}


def _inside(projection: StoredProjection) -> StoredProjection:
    """The projection of the image without its border."""
    width, height = projection.width - 2 * BORDER_PX, projection.height - 2 * BORDER_PX
    camera = projection.camera.cropped(BORDER_PX, BORDER_PX, width, height)
    return StoredProjection(
        camera, projection.camera_from_file, width, height, projection.quarter_turns, projection.mirrored
    )


def _projection(root: Group, specimen: str, number: str) -> Group:
    return root.group(specimen).group("projections").group(number)


def _pose(poses: Group, name: str, projection: StoredProjection, camera_from_world: Array) -> Array:
    """camera_from_volume (RAS) of the pose `name`, which the file holds as volume_from_world (LPS)."""
    volume_from_world = require_rigid(poses.numbers(name, (4, 4)), f"{poses.place}, {name}")
    pose: Array = projection.camera_from_file @ camera_from_world @ np.linalg.inv(volume_from_world) @ RAS_FROM_LPS
    return pose


def _image(group: Group) -> tuple[NDArray, VoxelGrid]:
    """Values [k, j, i] and grid (RAS) of a volume stored in ITK's convention: LPS, with a direction matrix."""
    values = group.array("pixels", (None, None, None))
    lps_from_index = np.eye(4)
    lps_from_index[:3, :3] = group.numbers("dir-mat", (3, 3)) * group.numbers("spacing", (3,))
    lps_from_index[:3, 3] = group.numbers("origin", (3,))
    nk, nj, ni = values.shape
    return values, VoxelGrid((ni, nj, nk), RAS_FROM_LPS @ lps_from_index)


def _points(parent: Group, name: str, size: int) -> dict[str, Array]:
    group = parent.group(name)
    return {point: group.numbers(point, (size,)) for point in group.names()}


def _require_agreement(frame: DeepFluoroFrame, points: Mapping[str, Array], group: Group) -> None:
    """Raise InputError if the 3D landmarks do not project to the file's own 2D ones."""
    names = [name for name in points if name in frame.landmarks_px]
    if not names:
        return
    camera = frame.projection.camera
    projected = camera.project(moved(frame.camera_from_pelvis, np.array([points[name] for name in names])))
    stored = frame.projection.upright(np.array([frame.landmarks_px[name] for name in names]))
    # The 2D landmarks of the femoral heads may have been projected with the femurs' poses.
    off = float(np.median(np.nan_to_num(np.linalg.norm(projected - stored, axis=-1), nan=np.inf)))
    if off > _MOST_OFF * camera.width:
        raise group.wrong(
            "3D landmarks that project to gt-landmarks by the file's own poses",
            f"them {off:.0f} pixels apart",
            "check that the file is the published one: its frames are not those of its documentation",
        )
