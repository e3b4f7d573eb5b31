"""A patient whose shadows are known in closed form, X-rayed by C-arms that stand anywhere, for tests of what is seen.

Projections are computed here from SID, pitch and central ray alone, not with the code under test.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nodes import add_segmentation, new_parameters
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

# The CT: oblique and left-handed, voxels of 2 x 2 x 2.5 mm.
SHAPE = (64, 80, 72)
RAS_FROM_INDEX = np.eye(4)
RAS_FROM_INDEX[:3, :3] = Rotation.from_euler("xyz", [12, -20, 8], degrees=True).as_matrix() @ np.diag([2.0, -2.0, 2.5])
RAS_FROM_INDEX[:3, 3] = -60.0, 95.0, -85.0
# A metal ball off the middle, and a block of bone beside it.
BALL_INDEX, BALL_MM = np.array([50.0, 28.0, 40.0]), 9.0
# Columns and rows of an X-ray's dot, so that nothing turned or mirrored passes for it.
DOT = (0.22, 0.34)
# A pose that nothing is aligned with; C-arm angles are added to it.
ISOCENTRE = (RAS_FROM_INDEX @ [*(np.array(SHAPE[::-1]) - 1) / 2, 1.0])[:3]


@dataclass(frozen=True)
class Arm:
    """One view's geometry, in numbers."""

    sid_mm: float = 1000.0
    pitch_mm: float = 1.5
    width: int = 160
    height: int = 160
    central: tuple[float, float] = (79.5, 79.5)

    def pixel(self, camera_from_volume: NDArray, ras: NDArray) -> NDArray[np.float64]:
        """Column and row at which a point (RAS mm) is seen."""
        x, y, z = camera_from_volume[:3, :3] @ ras + camera_from_volume[:3, 3]
        return np.array([x, y]) / z * self.sid_mm / self.pitch_mm + self.central

    def picture(self) -> NDArray[np.uint16]:
        """A stored X-ray: grey, with one dark dot."""
        rows, columns = np.mgrid[: self.height, : self.width]
        away = np.hypot(columns - DOT[0] * self.width, rows - DOT[1] * self.height)
        return np.where(away < 4, 8000, 40000 + 20 * columns).astype(np.uint16)


WIDE = Arm(1150.0, 1.3, 220, 150, (101.0, 83.0))
ARMS = (Arm(), WIDE)


def standing(primary_deg: float, secondary_deg: float, roll_deg: float, sod_mm: float = 700.0) -> NDArray[np.float64]:
    """camera_from_volume of a C-arm turned any way about a point near the CT's middle."""
    pose = np.eye(4)
    angles = [secondary_deg + 90, primary_deg, roll_deg]
    pose[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    pose[:3, 3] = np.array([4.0, -6.0, sod_mm]) - pose[:3, :3] @ ISOCENTRE
    return pose


POSES = {
    "frontal": standing(0, 0, 0),
    "oblique": standing(35, -20, 10),
    "lateral": standing(-90, 8, -95),
    "from below": standing(160, 60, 200),
}


@dataclass
class Stage:
    """The scene: parameters, rig, nodes, where each view stands (camera_from_volume), and the ball (RAS mm)."""

    app: Any
    parameters: Any
    arms: tuple[Arm, ...]
    poses: tuple[NDArray[np.float64], ...]
    ball: NDArray[np.float64]

    @property
    def rig(self) -> Any:
        from XRayRegistrationLib.mrml.rig import rigOf

        return rigOf(self.parameters.pose)

    def turn(self, first_pose: NDArray) -> None:
        """Move the C-arm so that the first view stands at a pose; the others go with it."""
        from XRayRegistrationLib.mrml import rig

        moved = np.linalg.inv(self.poses[0]) @ first_pose
        self.poses = tuple(pose @ moved for pose in self.poses)
        rig.setCameraFromVolume(self.rig, self.rig.views[0], first_pose)

    def ball_pixel(self, index: int) -> NDArray[np.float64]:
        """Column and row of the ball's centre in a view."""
        return self.arms[index].pixel(self.poses[index], self.ball)

    def view(self, index: int) -> Any:
        """The harness's slice view of a view."""
        return self.app.layouts.slices[f"XRay{index + 1}"]

    def on_screen(self, index: int, pixel: NDArray) -> NDArray[np.float64]:
        """Where a slice view into which the whole X-ray is fitted shows a pixel of it, from the view's top left."""
        arm, size = self.arms[index], np.array(self.view(index).size)
        zoom = min(size / [arm.width, arm.height])
        return (size - 1) / 2 + zoom * (np.asarray(pixel) - [(arm.width - 1) / 2, (arm.height - 1) / 2])

    def zoom(self, index: int) -> float:
        """Screen pixels in a pixel of the X-ray."""
        return float(min(np.array(self.view(index).size) / [self.arms[index].width, self.arms[index].height]))


@functools.cache
def hounsfield() -> NDArray[np.int16]:
    """The CT's values [k, j, i]; nodes get copies."""
    k, j, i = np.indices(SHAPE)
    values = np.full(SHAPE, -1000, np.int16)
    middle = (np.array(SHAPE[::-1]) - 1) / 2
    tissue = (2 * (i - middle[0]) / 68) ** 2 + (2 * (j - middle[1]) / 60) ** 2 < 1
    values[tissue & (k > 3) & (k < SHAPE[0] - 4)] = 30
    values[block()] = 700
    values[ball_mask()] = 3000
    values.setflags(write=False)
    return values


@functools.cache
def ball_mask() -> NDArray[np.bool_]:
    k, j, i = np.indices(SHAPE)
    away = (np.stack([i, j, k], -1) - BALL_INDEX) * [2.0, 2.0, 2.5]
    mask = np.linalg.norm(away, axis=-1) < BALL_MM
    mask.setflags(write=False)
    return mask


def block() -> NDArray[np.bool_]:
    mask = np.zeros(SHAPE, bool)
    mask[12:34, 38:60, 18:30] = True
    return mask


def build(app: Any, *names: str, arms: tuple[Arm, ...] = ARMS) -> Stage:
    """An empty scene with CT, segmentation, and an X-ray for each name of POSES, that nothing shows yet."""
    import slicer

    from xrayreg.geometry import Camera, Projection
    from XRayRegistrationLib.mrml import rig

    app.scene.Clear(0)
    volume = slicer.util.addVolumeFromArray(hounsfield(), RAS_FROM_INDEX, "CT")
    segmentation = add_segmentation(ball_mask(), block(), matrix=RAS_FROM_INDEX)
    names = names or ("oblique",)
    poses = tuple(POSES[name] for name in names)
    made = rig.createRig()
    for name, arm, pose in zip(names, arms, poses, strict=False):
        source = slicer.util.addVolumeFromArray(arm.picture()[None], np.diag([-1.0, -1.0, 1.0, 1.0]), name)
        focal = arm.sid_mm / arm.pitch_mm
        matrix = np.array([[focal, 0, arm.central[0]], [0, focal, arm.central[1]], [0, 0, 1]])
        # The first view's camera is the rig's world.
        camera = Camera(matrix, arm.width, arm.height, pose @ np.linalg.inv(poses[0]), arm.pitch_mm)
        made = rig.addView(made, source, Projection.of_camera(camera, "calibrated"))
    rig.setCameraFromVolume(made, made.views[0], poses[0])
    parameters = new_parameters(volume=volume, segmentation=segmentation, pose=made.pose)
    ball = (RAS_FROM_INDEX @ [*BALL_INDEX, 1.0])[:3]
    return Stage(app, parameters, arms[: len(poses)], poses, ball)


def show(stage: Stage) -> Any:
    """Bring the layout up with an overlay that follows; returns the settled LiveOverlay."""
    from XRayRegistrationLib.display import layout
    from XRayRegistrationLib.display.live import LiveOverlay
    from XRayRegistrationLib.mrml.backend import Inputs

    live = LiveOverlay(Inputs())
    live.follow(stage.parameters)
    settle(stage.app, live)
    layout.showLayout(stage.rig, stage.parameters)
    settle(stage.app, live)
    return live


def settle(app: Any, live: Any, quiet_s: float = 0.05) -> None:
    """Wait until the overlay has nothing left to do."""
    while True:
        app.wait_until(lambda: live.settled)
        app.settle(quiet_s)
        if live.settled:
            return


def shows(app: Any, compiled: None) -> Iterator[Callable[[Stage], Any]]:
    """A fixture: shows a stage and returns its overlay. Errors in slots, which Qt would only print, fail the test."""
    from slicer_harness import pythonqt

    pythonqt.slot_errors.clear()
    shown = []

    def make(stage: Stage) -> Any:
        shown.append(show(stage))
        return shown[-1]

    yield make
    for live in shown:
        live.stop()
    assert not pythonqt.slot_errors


def edges_of(view: Any) -> NDArray[np.float64]:
    """How much of each pixel of their grid the edges of a view cover, 0 to 1."""
    import slicer

    return slicer.util.arrayFromVolume(view.edges)[0] / 255


def ball_outline(stage: Stage, index: int) -> NDArray[np.float64]:
    """Columns and rows, in pixels of the X-ray, of the edges around the ball."""
    covered, arm = edges_of(stage.rig.views[index]), stage.arms[index]
    rows, columns = np.nonzero(covered > 0.5)
    grid = np.array([arm.width / covered.shape[1], arm.height / covered.shape[0]])
    pixels = (np.stack([columns, rows], -1) + 0.5) * grid - 0.5
    depth = stage.poses[index][2, :3] @ stage.ball + stage.poses[index][2, 3]
    radius = BALL_MM * arm.sid_mm / arm.pitch_mm / depth
    away = np.linalg.norm(pixels - stage.ball_pixel(index), axis=1)
    return pixels[np.abs(away - radius) < 0.35 * radius]


def assert_ball_is_outlined(stage: Stage) -> None:
    """The edges around the ball lie where each view has to show it."""
    for index in range(len(stage.arms)):
        outline = ball_outline(stage, index)
        assert len(outline) > 20
        # Voxels of 2 mm are 1.9 pixels; all around, an outline's middle is known much better.
        np.testing.assert_allclose((outline.max(axis=0) + outline.min(axis=0)) / 2, stage.ball_pixel(index), atol=0.8)


def centre_of(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean column and row of a mask's pixels."""
    rows, columns = np.nonzero(mask)
    assert rows.size, "nothing is drawn"
    return np.array([columns.mean(), rows.mean()])


def changed(before: NDArray, after: NDArray, by: int = 20) -> NDArray[np.bool_]:
    """Pixels of two pictures (H, W, 3) that differ clearly."""
    return np.abs(before.astype(int) - after).max(axis=-1) > by


def keep(folder: Path, stage: Stage, name: str) -> None:
    """Write what all views show to PNG files, for looking at."""
    for view in (*stage.app.layouts.slices.values(), *stage.app.layouts.views):
        view.picture(folder / f"{name}_{view.node.GetName()}.png")
