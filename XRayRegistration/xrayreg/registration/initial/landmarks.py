"""The pose from landmarks: points set in the volume and marked in the X-rays (PnP), and its reliability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...checks import InputError, require_array
from ...geometry import Camera
from .clicks import Clicks, checked_clicks, collinear, point_tangents
from .reprojection import Solution, solutions

Array = NDArray[np.float64]

# Weight of the assumed deviation of clicks, in residuals: four clicks leave only two residuals to estimate it from.
_ASSUMED_WEIGHT = 4.0
# Another pose is ruled out when its sum of squares is larger by this many variances of a click (three sigma).
_RULED_OUT = 9.0
# Poses that place the anatomy within this distance [mm] of each other are equivalent as starts.
_AS_GOOD_MM = 5.0
# A landmark is an outlier when its two coordinates add this many variances each to the sum of squares of the others.
_DOES_NOT_FIT = 20.0
# The others are consistent when their clicks deviate by at most this many times the assumed deviation.
_AGREE = 7.0
# Degrees of freedom that the others need for judging a landmark: that takes six landmarks in one view, or four in two.
_LEAST_TO_TELL = 4
# Errors that a start for registration may have [mm]: root mean square of the residuals, and largest expected error.
MOST_RESIDUAL_MM, MOST_EXPECTED_MM = 5.0, 10.0
# Curvature [px^2/mm^2] below which the clicks do not constrain a direction.
_LEAST_CURVATURE = 1e-12


@dataclass(frozen=True, eq=False)
class LandmarkPose:
    """The pose from landmarks, and its reliability.

    world_from_volume: (4, 4) [mm], minimises the sum of squared pixel distances over all landmarks but the outlier.
    residuals_px, residuals_mm: (V, N) distance of each projected landmark from its click, in pixels and in millimetres
        at the landmark's depth; NaN where it is not marked.
    rms_px, rms_mm: their root mean squares over all landmarks but the outlier.
    expected_error_mm: the largest standard deviation of the position of the anatomy: of a ball about the landmarks'
        centre, as large as they extend, and of the isocentre.
    other_rms_px: root mean square of the best distinct other pose; None when there is none.
    outlier: index of the landmark that is inconsistent with the others and was left out; None when all fit, and when
        there are too few to decide.
    trusted: whether the pose suffices as a start. reason: why, or why not and what helps, a sentence.
    """

    world_from_volume: Array
    residuals_px: Array
    residuals_mm: Array
    rms_px: float
    rms_mm: float
    expected_error_mm: float
    other_rms_px: float | None
    outlier: int | None
    trusted: bool
    reason: str


def pose_from_landmarks(
    cameras: Sequence[Camera],
    points: ArrayLike,
    pixels: Sequence[ArrayLike],
    isocentre: ArrayLike | None = None,
    names: Sequence[str] = (),
) -> LandmarkPose:
    """The pose of the volume from landmarks marked in one view or several.

    cameras: V cameras that share a world. points: (N, 3) in the volume frame [mm].
    pixels: for each camera (N, 2) as (column, row), NaN where the landmark is not marked in that view.
    isocentre: (3,) in the volume frame [mm]; the error expected there counts too.
    names: of the landmarks, for messages; without them they are numbered from 1.
    Raises InputError for landmarks that do not determine the pose (fewer than four in one view or three in several,
    coinciding, or on a line), for counts that do not fit, for non-finite numbers, and for clicks that no pose in front
    of the X-ray source explains.
    """
    given, marked, labels = checked_clicks(cameras, points, pixels, names)
    extra = np.empty((0, 3)) if isocentre is None else require_array(isocentre, "isocentre", (3,))[None]
    clicks = Clicks.of(cameras, given, marked)
    used, poses = _fitting(clicks)
    if not poses:
        raise InputError(
            "landmarks",
            expected="a pose that puts them in front of the X-ray source",
            found="none",
            remedy="check that every click belongs to its landmark and that the image is not mirrored",
        )
    best, targets = poses[0], np.vstack([_ball(used), extra])
    outlier = next(iter(set(clicks.landmarks.tolist()) - set(used.landmarks.tolist())), None)
    off_px, off_mm = _residuals(cameras, given, marked, best.world_from_volume)
    kept = [number for number in range(len(given)) if number != outlier]
    other = next((pose for pose in poses[1:] if _shift_mm(pose, best, targets) > _AS_GOOD_MM), None)
    found = LandmarkPose(
        world_from_volume=best.world_from_volume,
        residuals_px=off_px,
        residuals_mm=off_mm,
        rms_px=float(np.sqrt(np.nanmean(off_px[:, kept] ** 2))),
        rms_mm=float(np.sqrt(np.nanmean(off_mm[:, kept] ** 2))),
        expected_error_mm=_expected_error_mm(used, best, targets),
        other_rms_px=None if other is None else float(np.sqrt(other.squares / len(used.pixels))),
        outlier=outlier,
        trusted=False,
        reason="",
    )
    ambiguous = other is not None and other.squares - best.squares < _RULED_OUT * _variance(used, best.squares)
    each = np.unique(used.landmarks).tolist()
    doubt = _doubt(found, labels, ambiguous, not all(_tells(used.without(landmark)) for landmark in each))
    agreed = (
        f"{len(each)} landmarks agree to {found.rms_px:.1f} px ({found.rms_mm:.1f} mm); "
        f"the expected error is {found.expected_error_mm:.1f} mm."
    )
    return replace(found, trusted=not doubt, reason=doubt or agreed)


def _fitting(clicks: Clicks) -> tuple[Clicks, list[Solution]]:
    """The consistent clicks, those of at most one landmark left out, and their poses, best first."""
    poses = solutions(clicks)
    squares = poses[0].squares if poses else np.inf
    best, best_poses, least = clicks, poses, np.inf
    for landmark in np.unique(clicks.landmarks).tolist():
        rest = clicks.without(landmark)
        # A landmark cannot add more than the total.
        if not _tells(rest) or squares <= _out_of_place(clicks, rest, 0.0):
            continue
        found = solutions(rest)
        if found and found[0].squares < least:
            best, best_poses, least = rest, found, found[0].squares
    if best is clicks or _variance(best, least) > (_AGREE * clicks.assumed_px) ** 2:
        return clicks, poses
    return (best, best_poses) if squares - least > _out_of_place(clicks, best, least) else (clicks, poses)


def _tells(rest: Clicks) -> bool:
    """Whether the clicks on all landmarks but one suffice to judge that one."""
    return rest.left_over >= _LEAST_TO_TELL and not collinear(rest.points)


def _out_of_place(clicks: Clicks, rest: Clicks, squares: float) -> float:
    """The least that an outlier adds to the sum of `squares` [px^2] of the rest."""
    return _DOES_NOT_FIT * (clicks.left_over - rest.left_over) * _variance(rest, squares)


def _variance(clicks: Clicks, squares: float) -> float:
    """Variance of a click in one direction [px^2], from the residuals and the assumed deviation pooled."""
    return (_ASSUMED_WEIGHT * clicks.assumed_px**2 + squares) / (_ASSUMED_WEIGHT + clicks.left_over)


def _reach_mm(clicks: Clicks) -> float:
    """Distance [mm] from the landmarks' centre to the farthest one."""
    return float(np.linalg.norm(clicks.points - clicks.pivot, axis=1).max())


def _ball(clicks: Clicks) -> Array:
    """Points (6, 3) around the landmarks, so that any rotation moves some, even where the landmarks are collinear."""
    return clicks.pivot + _reach_mm(clicks) * np.vstack([np.eye(3), -np.eye(3)])


def _shift_mm(solution: Solution, other: Solution, points: Array) -> float:
    """The largest distance [mm] between the positions of points (N, 3) at two poses."""
    between = solution.world_from_volume - other.world_from_volume
    return float(np.linalg.norm(points @ between[:3, :3].T + between[:3, 3], axis=1).max())


def _expected_error_mm(clicks: Clicks, solution: Solution, targets: Array) -> float:
    """The largest standard deviation [mm] of the positions of targets (N, 3), by Laplace's approximation."""
    pose = solution.world_from_volume
    # Angles are scaled to millimetres at the farthest landmark, so that all six curvatures are comparable.
    unit = np.array([1 / _reach_mm(clicks)] * 3 + [1.0] * 3)
    jacobian = clicks.jacobian(pose).reshape(-1, 6) * unit
    curvatures, axes = np.linalg.eigh(jacobian.T @ jacobian)
    # A direction that the clicks do not constrain gets a large deviation.
    spread = axes / np.sqrt(curvatures.clip(min=_LEAST_CURVATURE))
    moved = point_tangents(pose, targets, clicks.pivot) * unit @ spread
    return float(np.sqrt(_variance(clicks, solution.squares) * (moved**2).sum(axis=(1, 2)).max()))


def _residuals(
    cameras: Sequence[Camera], points: Array, pixels: Array, world_from_volume: Array
) -> tuple[Array, Array]:
    """Distances (V, N) of the projected points from their clicks, in pixels and in millimetres at their depth."""
    views = []
    for camera, at in zip(cameras, pixels, strict=True):
        camera_from_volume = camera.camera_from_world @ world_from_volume
        in_camera = points @ camera_from_volume[:3, :3].T + camera_from_volume[:3, 3]
        off = camera.project(in_camera) - at
        off_at_unit_depth = np.linalg.solve(camera.matrix[:2, :2], off.T).T
        off_mm = np.linalg.norm(off_at_unit_depth, axis=1) * in_camera[:, 2]
        distances = np.stack([np.linalg.norm(off, axis=1), off_mm])
        # Only a landmark that was left out can lie behind the source.
        distances[np.isnan(distances) & np.isfinite(at[:, 0])] = np.inf
        views.append(distances)
    off_px, off_mm = np.stack(views, axis=1)
    return off_px, off_mm


def _doubt(found: LandmarkPose, labels: Sequence[str], ambiguous: bool, few: bool) -> str:
    """The message with the most serious objection to a pose; empty where there is none."""
    if found.outlier is not None:
        off_px, off_mm = found.residuals_px[:, found.outlier], found.residuals_mm[:, found.outlier]
        view = int(np.nanargmax(off_px))
        where = f" in view {view + 1}" if len(off_px) > 1 else ""
        return (
            f"Landmark {labels[found.outlier]} does not fit the others and was left out: it is marked "
            f"{off_px[view]:.0f} px ({off_mm[view]:.0f} mm) from where they put it{where}, and they agree to "
            f"{found.rms_px:.1f} px. Mark it again or remove it."
        )
    if found.rms_mm > MOST_RESIDUAL_MM:
        return (
            f"The landmarks do not fit their clicks: {found.rms_mm:.1f} mm off ({MOST_RESIDUAL_MM:g} mm allowed). "
            "Check that every click belongs to its landmark, left and right above all, and that no image is mirrored."
        )
    if ambiguous:
        return (
            f"Two poses explain the clicks about equally well ({found.rms_px:.1f} and {found.other_rms_px:.1f} px "
            "off): add a landmark well out of the plane of the others, or mark another view."
        )
    if found.expected_error_mm > MOST_EXPECTED_MM:
        return (
            f"The landmarks leave the pose open to about {found.expected_error_mm:.0f} mm ({MOST_EXPECTED_MM:g} mm "
            "allowed): mark more of them, farther apart, or another view."
        )
    if few:
        return (
            f"The landmarks agree to {found.rms_px:.1f} px, but they are so few that a wrong click would hardly show: "
            "mark six in one view, or four in two."
        )
    return ""
