"""Making a case of an arm: X-rays simulated from the resampled patient, and the data available to methods, as files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...geometry import Camera, placement_of
from ...io import CaseFile, CaseView, write_case, write_image, write_json
from ...io.results import remove_leftovers
from ...simulation import Collimator, MetalBall, MetalRod, Patient, XraySettings, simulate_xray
from ...simulation.metal import Metal
from .case_poses import PosedCase
from .protocol import Arm, ArmImage, Variant

CASE, KNOWN = "case.json", "known.json"
# Fraction of the detector that a collimated image keeps.
_OPEN_SHARE = 0.7
# Errors of landmarks on the detector [mm], as of a trained landmark detector (Grupp et al., IPCAI 2020).
_LANDMARK_MM = 5.0
LANDMARKS = 14


@dataclass(frozen=True, eq=False)
class StudySubject:
    """The patient of a study, as cases refer to it, and the points at which errors are measured.

    volume, labels: files. structures: labels that methods render; empty for the whole CT. isocentre: (3,) [RAS mm].
    targets: (N, 3), surface: (M, 3) points in the volume frame [mm].
    """

    volume: Path
    labels: Path | None
    structures: tuple[int, ...]
    isocentre: NDArray[np.float64]
    targets: NDArray[np.float64]
    surface: NDArray[np.float64]


def make_case(folder: Path, arm: Arm, posed: PosedCase, patient: Patient, subject: StudySubject) -> None:
    """Write a case's X-rays, the additional data, and last its case.json to `folder`, which is created.

    The world is the first view's camera frame. With perturbed geometry the case states the wrong camera; the X-rays are
    made with the true one. Raises OSError if a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    images = [folder / ("xray.tif" if number == 0 else f"xray{number + 1}.tif") for number in range(len(arm.views_deg))]
    # Left by a process that was killed before the case was complete.
    for file in (*images, folder / KNOWN, folder / CASE):
        remove_leftovers(file)
    variant = arm.variants[posed.variant]
    generator = np.random.default_rng(posed.seed)
    machine = machine_of(variant.image, arm.camera.size_px, subject.isocentre, generator)
    views = []
    for file, camera in zip(images, cameras_of(arm), strict=True):
        pose = camera.camera_from_world @ posed.reference
        seed = int(generator.integers(2**31))
        xray = simulate_xray(patient, camera, pose, machine, seed)
        inverse = variant.image.polarity == "inverse"
        image = np.iinfo(np.uint16).max - xray.transmission if inverse else xray.transmission
        write_image(file, image)
        views.append(CaseView(file, told_camera(camera, variant), "auto" if inverse else "transmission"))
    write_json(folder / KNOWN, known_of(arm, posed, subject, tuple(view.camera for view in views), generator))
    case = CaseFile(
        subject.volume,
        tuple(views),
        subject.labels,
        subject.structures,
        posed.start,
        posed.reference,
        subject.targets,
    )
    write_case(folder / CASE, case)


def cameras_of(arm: Arm) -> tuple[Camera, ...]:
    """The arm's true cameras: the first one's frame is the world, the others are rotated about the isocentre.

    The rotation is about the image's rows axis through the point on the central ray at the nominal distance, like a
    C-arm's primary angle for a patient on the table.
    """
    detector = arm.camera
    cameras = []
    for degrees in arm.views_deg:
        angle = np.deg2rad(degrees)
        pose = np.eye(4)
        pose[:3, :3] = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
        centre = np.array([0.0, 0.0, arm.poses.sod_mm])
        pose[:3, 3] = centre - pose[:3, :3] @ centre
        size = detector.size_px
        cameras.append(Camera.from_sid(detector.sid_mm, detector.pixel_mm, size, size, pose))
    return tuple(cameras)


def told_camera(camera: Camera, variant: Variant) -> Camera:
    """The camera stated in a case: the true one with the variant's errors."""
    assert camera.pixel_mm is not None
    matrix = camera.matrix.copy()
    matrix[[0, 1], [0, 1]] *= variant.told_sid
    matrix[:2, 2] += np.array(variant.told_principal_mm) / camera.pixel_mm
    return replace(camera, matrix=matrix)


def machine_of(
    image: ArmImage, size_px: int, isocentre: NDArray[np.float64], generator: np.random.Generator
) -> XraySettings:
    """The X-ray machine of a case; collimator and metal are drawn at random."""
    collimator = _collimator(size_px, generator) if image.field == "collimated" else None
    metal = _metal(isocentre, generator) if image.metal else ()
    settings = XraySettings(
        photons=image.photons,
        scatter_to_primary=image.scatter_to_primary,
        blur_px=image.blur_px,
        exposure=image.exposure,
        gamma=image.gamma,
        collimator=collimator,
        metal=metal,
        rays_per_side=image.rays_per_side,
        step_voxels=image.step_voxels,
    )
    if image.physics:
        return settings
    return replace(settings, energy_kev=70.0, photons=None, scatter_to_primary=0.0, blur_px=0.0, exposure=1.0)


def known_of(
    arm: Arm,
    posed: PosedCase,
    subject: StudySubject,
    cameras: tuple[Camera | None, ...],
    generator: np.random.Generator,
) -> dict[str, Any]:
    """Data of a case, besides its case.json, for methods that need them.

    angles: the C-arm's primary and secondary angle, rounded as in DICOM, and the nominal source-to-isocentre distance;
    its roll and the patient's position on the table are not in DICOM headers. landmarks: points of the bones' surface
    and their positions as marked by a landmark detector with errors of 5 mm; NaN outside the image.
    """
    placed = placement_of(posed.reference, subject.isocentre)
    points = subject.surface[:: max(1, len(subject.surface) // LANDMARKS)][:LANDMARKS]
    pixels = []
    for camera in cameras:
        assert camera is not None and camera.pixel_mm is not None
        pose = camera.camera_from_world @ posed.reference
        seen = camera.project(points @ pose[:3, :3].T + pose[:3, 3])
        seen = seen + generator.normal(0, _LANDMARK_MM / camera.pixel_mm, seen.shape)
        outside = ((seen < 0) | (seen > [camera.width - 1, camera.height - 1])).any(axis=1)
        seen[outside] = np.nan
        pixels.append(seen)
    return {
        "angles": [round(placed.primary_deg, 1), round(placed.secondary_deg, 1), arm.poses.sod_mm],
        "landmarks": {"points": points, "pixels": pixels},
    }


def _collimator(size_px: int, generator: np.random.Generator) -> Collimator:
    """An opening of _OPEN_SHARE of the image, slightly off-centre."""
    area = _OPEN_SHARE * size_px**2
    middle = (size_px - 1) / 2 + generator.uniform(-0.01, 0.01, 2) * size_px
    centre = float(middle[0]), float(middle[1])
    if generator.random() < 0.5:
        diameter = float(np.sqrt(4 * area / np.pi))
        return Collimator("circle", centre, (diameter, diameter))
    # The opening is seldom aligned with the image.
    aspect = generator.uniform(0.9, 1.1)
    return Collimator("rectangle", centre, (float(np.sqrt(area * aspect)), float(np.sqrt(area / aspect))))


def _metal(isocentre: NDArray[np.float64], generator: np.random.Generator) -> tuple[Metal, ...]:
    """Two screws, a wire and three marker balls around the isocentre."""
    pieces: list[Metal] = []
    for length, radius, material in ((50.0, 3.0, "titanium"), (40.0, 3.0, "titanium"), (120.0, 0.8, "iron")):
        middle = isocentre + generator.uniform(-50, 50, 3)
        way = generator.normal(size=3)
        half = way / np.linalg.norm(way) * length / 2
        pieces.append(MetalRod(_point(middle - half), _point(middle + half), radius, material))
    pieces += [MetalBall(_point(isocentre + generator.uniform(-70, 70, 3)), 2.5) for _ in range(3)]
    return tuple(pieces)


def _point(place: NDArray[np.float64]) -> tuple[float, float, float]:
    return float(place[0]), float(place[1]), float(place[2])
