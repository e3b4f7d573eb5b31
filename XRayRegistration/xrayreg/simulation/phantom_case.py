"""A generated case, without patient data, for the module's self-test and for trying the panel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..geometry import Camera, NominalView, nominal_pose, retract
from ..io import CaseFile, CaseView, write_case, write_image, write_json, write_nifti
from .phantom import pelvis_phantom
from .xray import XraySettings, simulate_xray

CASE = "case.json"
# Volume, the two X-rays, and labels.
NAMES = ("ct", "xray", "xray_lateral", "labels")

# The C-arm: source to detector, side of the detector, source to isocentre [mm].
SID_MM, DETECTOR_MM, SOD_MM = 1000.0, 400.0, 700.0
# True and assumed deviation of the C-arm from its nominal view: degrees and mm in the camera's axes.
_TRUE, _BELIEVED = ((4.0, -6.0, 3.0), (8.0, -10.0, 15.0)), ((1.0, -2.0, 1.0), (2.0, -4.0, 0.0))
_VIEWS: tuple[NominalView, ...] = ("pa", "left_lateral")


def write_phantom_case(
    folder: Path,
    spacing_mm: float = 5.0,
    image_px: int = 96,
    seed: int = 0,
    *,
    lateral: bool = False,
    labelled: bool = False,
    names: tuple[str, ...] = NAMES,
    on_part: Callable[[str], object] = lambda part: None,
    **machine: Any,
) -> Path:
    """Write a volume, simulated X-rays of it and case.json to `folder`; returns the path of the case.

    The X-ray is a PA view, turned and shifted by amounts that a registration has to find: the case's initial pose is
    off by some 15 mm and 5 degrees. The reference pose is in the case, so that the result gets scored.
    lateral: with a second view at right angles. labelled: with a label map of ten bones. names: of the files, as in
    NAMES. machine: further settings of the X-rays (XraySettings). on_part: called with a sentence before each part.
    """
    on_part("Generating the CT of a phantom")
    volume = pelvis_phantom(spacing_mm, seed)
    isocentre = volume.grid.centre
    nominal = {name: nominal_pose(name, isocentre, SOD_MM) for name in _VIEWS}
    true, believed = (_turned(nominal["pa"], isocentre, *moved) for moved in (_TRUE, _BELIEVED))
    settings = XraySettings(step_voxels=1.0, energy_bins=4, **machine)
    views: list[CaseView] = []
    ct, pa, side, bones = names
    for view, stem in zip(_VIEWS[: 2 if lateral else 1], (pa, side), strict=False):
        on_part(f"Simulating X-ray {len(views) + 1} of the phantom")
        place = nominal[view] @ np.linalg.inv(nominal["pa"])
        camera = Camera.from_sid(SID_MM, DETECTOR_MM / image_px, image_px, image_px, place)
        xray = simulate_xray(volume, camera, place @ true, settings, seed)
        write_image(folder / f"{stem}.tif", xray.transmission)
        views.append(CaseView(folder / f"{stem}.tif", camera, "transmission"))
    on_part("Writing the phantom")
    write_nifti(folder / f"{ct}.nii.gz", volume.values, volume.grid.volume_from_index)
    labels = None
    if labelled and volume.labels is not None:
        labels = folder / f"{bones}.nii.gz"
        write_nifti(labels, volume.labels, volume.grid.volume_from_index)
        write_json(folder / f"{bones}.json", {str(number): name for number, name in volume.label_names.items()})
    # Written last, so that an existing case is complete.
    case = CaseFile(folder / f"{ct}.nii.gz", tuple(views), labels, initial=believed, reference=true)
    write_case(folder / CASE, case)
    return folder / CASE


def _turned(
    pose: NDArray[np.float64], pivot: NDArray[np.float64], degrees: tuple[float, ...], shift_mm: tuple[float, ...]
) -> NDArray[np.float64]:
    """A pose rotated about a point of the volume and shifted, in the camera's axes."""
    twist = torch.tensor([*np.radians(degrees), *shift_mm], dtype=torch.float64)
    moved: NDArray[np.float64] = retract(torch.as_tensor(pose), twist, torch.as_tensor(pivot)).numpy()
    return moved
