"""A tiny patient with two X-rays as files, written without the package's own writers."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from pelvis_scenes import phantom

from xrayreg.cli import main
from xrayreg.geometry import Camera, camera_from_carm
from xrayreg.simulation import XraySettings, simulate_xray

VOXEL_MM, SIDE_PX, PITCH_MM = 5.0, 112, 3.0
# Views of the rig by C-arm angle [degrees]; the world is the first view's camera.
VIEWS = {"front": (12.0, -8.0), "side": (75.0, 5.0)}


def write_mha(path: Path, values: np.ndarray, origin: tuple[float, ...], spacing: float = VOXEL_MM) -> Path:
    """An image whose axes are RAS; the file speaks LPS, so two axes and two numbers of the origin change sign."""
    image = sitk.GetImageFromArray(values)
    image.SetSpacing([spacing] * 3)
    image.SetOrigin([-origin[0], -origin[1], origin[2]])
    image.SetDirection([-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0])
    sitk.WriteImage(image, str(path))
    return path


def write_tif(path: Path, pixels: np.ndarray) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(pixels, isVector=pixels.ndim == 3), str(path))
    return path


@dataclass(frozen=True)
class Ward:
    """A folder of data and the case they make; `case` gives a copy to spoil."""

    folder: Path
    content: dict[str, Any]
    values: np.ndarray
    labels: np.ndarray
    origin: tuple[float, ...]

    def case(self) -> dict[str, Any]:
        return copy.deepcopy(self.content)


@pytest.fixture(scope="session")
def ward(tmp_path_factory) -> Ward:
    """A phantom's CT, labels and two X-rays; the case has one view, an initial pose and the reference."""
    folder = tmp_path_factory.mktemp("ward")
    volume = phantom(VOXEL_MM)
    origin = tuple(volume.grid.volume_from_index[:3, 3])
    write_mha(folder / "ct.mha", volume.values, origin)
    write_mha(folder / "labels.mha", volume.labels, origin)
    machine = XraySettings(photons=1e6, exposure=12.0, gamma=0.6, rays_per_side=1, energy_bins=4)
    camera = Camera.from_sid(1000.0, PITCH_MM, SIDE_PX, SIDE_PX)
    poses = {name: camera_from_carm(*angles, 700.0, volume.grid.centre) for name, angles in VIEWS.items()}
    views = []
    for name, pose in poses.items():
        write_tif(folder / f"{name}.tif", simulate_xray(volume, camera, pose, machine).transmission)
        matrix, size = camera.matrix.tolist(), [SIDE_PX, SIDE_PX]
        from_world = (pose @ np.linalg.inv(poses["front"])).tolist()
        views.append(
            {
                "image": str(folder / f"{name}.tif"),
                "intensity": "transmission",
                "camera": {"matrix": matrix, "size": size, "pixel_mm": PITCH_MM, "camera_from_world": from_world},
            }
        )
    initial = poses["front"].copy()
    initial[:3, 3] += [6.0, -4.0, 15.0]
    content = {
        "volume": str(folder / "ct.mha"),
        "labels": str(folder / "labels.mha"),
        "views": views,
        "initial": {"world_from_volume": initial.tolist()},
        "reference": {"world_from_volume": poses["front"].tolist()},
    }
    return Ward(folder, content, volume.values, volume.labels, origin)


@pytest.fixture
def one_view(ward) -> dict[str, Any]:
    """The case of the first view alone, to spoil or to use."""
    case = ward.case()
    case["views"] = case["views"][:1]
    return case


@pytest.fixture
def write_case(tmp_path) -> Callable[[dict[str, Any]], Path]:
    """Writes a case to this test's folder."""

    def write(case: dict[str, Any]) -> Path:
        path = tmp_path / "case.json"
        path.write_text(json.dumps(case), encoding="utf-8")
        return path

    return write


@pytest.fixture
def register(tmp_path, write_case) -> Callable[..., int]:
    """Runs `register` on a case in this process, with results in `tmp_path / "out"`; returns the exit code."""

    def run(case: dict[str, Any] | Path, *options: str, out: Path | None = None) -> int:
        path = case if isinstance(case, Path) else write_case(case)
        return main(["register", str(path), "--out", str(out or tmp_path / "out"), *options])

    return run
