"""A case with everything that one can have, in files, and what its scene has to be equal to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from nodes import RAS_FROM_INDEX, SHAPE, blob

from xrayreg.geometry import Camera
from xrayreg.io import CaseFile, CaseView, write_case, write_image, write_json, write_nifti

POSE = np.eye(4)
POSE[:3, 3] = 20.0, -10.0, 700.0


def cameras() -> tuple[Camera, Camera]:
    place = np.eye(4)
    place[:3, :3] = [[0.6, 0, -0.8], [0, 1, 0], [0.8, 0, 0.6]]
    place[:3, 3] = 550.0, 10.0, 270.0
    return Camera.from_sid(1000.0, 0.5, 120, 90), Camera.from_sid(1100.0, 0.4, 120, 90, place)


def write(folder: Path, **changes: Any) -> Path:
    """A case with an oblique CT, labels 2 and 5, a view as counts and a mirrored one in floating point."""
    generator = np.random.default_rng(0)
    values = generator.integers(-900, 1500, SHAPE).astype(np.int16)
    labels = np.zeros(SHAPE, np.uint8)
    labels[5:20, 5:25, 10:30], labels[25:35, 20:45, 25:50] = 2, 5
    write_nifti(folder / "ct.nii.gz", values, RAS_FROM_INDEX)
    write_nifti(folder / "bones.nii.gz", labels, RAS_FROM_INDEX)
    write_json(folder / "bones.json", {"2": "radius", "5": "ulna"})
    write_image(folder / "front.tif", np.clip(blob(), 0, None).astype(np.uint16))
    write_image(folder / "side.tif", blob() / 1000)
    first, second = cameras()
    case = {
        "volume": folder / "ct.nii.gz",
        "views": (
            CaseView(folder / "front.tif", first, "transmission"),
            CaseView(folder / "side.tif", second, "transmission", mirrored=True),
        ),
        "labels": folder / "bones.nii.gz",
        "structures": (5,),
        "initial": POSE,
        "reference": POSE,
        "targets": np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]),
    }
    write_case(folder / "case.json", CaseFile(**{**case, **changes}))
    return folder / "case.json"


def same(first: Any, second: Any) -> None:
    """Whether two scenes of xrayreg are the same but for the numbers of their labels."""
    np.testing.assert_array_equal(first.volume.values, second.volume.values)
    np.testing.assert_allclose(first.volume.grid.volume_from_index, second.volume.grid.volume_from_index, atol=1e-9)
    for one, other in zip(first.views, second.views, strict=True):
        assert one.name == other.name and one.reflected == other.reflected
        np.testing.assert_array_equal(one.recorded, other.recorded)
        np.testing.assert_array_equal(one.valid, other.valid)
        np.testing.assert_array_equal(one.attenuation, other.attenuation)
        np.testing.assert_allclose(one.camera.matrix, other.camera.matrix, rtol=1e-12)
        np.testing.assert_allclose(one.camera.camera_from_world, other.camera.camera_from_world, atol=1e-12)
    if first.structures:
        masks = [scene.volume.structure_mask(scene.structures) for scene in (first, second)]
        np.testing.assert_array_equal(*masks)
    for name in ("reference", "targets"):
        one, other = getattr(first, name), getattr(second, name)
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_allclose(one, other, atol=1e-12)
