"""A generated case, free of anybody's data, for the module's self-test and for trying the panel."""

import numpy as np
from slicer.i18n import tr as _

CASE = "case.json"
# Volume, the two X-rays, and labels.
NAMES = ("ct", "xray", "xray_lateral", "labels")

# The C-arm: source to detector, side of the detector, source to isocentre [mm].
SID_MM, DETECTOR_MM, SOD_MM = 1000.0, 400.0, 700.0
# How the C-arm stood, and how it was believed to stand, off its nominal view: degrees and mm in the camera's axes.
_TRUE, _BELIEVED = ((4.0, -6.0, 3.0), (8.0, -10.0, 15.0)), ((1.0, -2.0, 1.0), (2.0, -4.0, 0.0))


def write(folder, spacingMm=5.0, imagePixels=96, seed=0, lateral=False, labelled=False):
    """Write a volume, simulated X-rays of it and case.json to `folder`; returns the path of the case.

    The X-ray is a PA view, turned and shifted by amounts that a registration has to find: the case's initial pose is
    off by some 15 mm and 5 degrees. The reference pose is in the case, so that the result gets scored.
    lateral: with a second view at right angles. labelled: with a label map of ten bones.
    """
    for _message in writeSteps(folder, spacingMm, imagePixels, seed, lateral, labelled):
        pass
    return folder / CASE


def writeSteps(folder, spacingMm, imagePixels, seed=0, lateral=False, labelled=False, names=NAMES, **machine):
    """`write` in short steps, with a message before each part that takes a second or two.

    names: of the files, as in NAMES. machine: further settings of the X-rays (xrayreg.simulation.XraySettings).
    """
    import torch

    from xrayreg.geometry import Camera, retract
    from xrayreg.initial import nominal_pose
    from xrayreg.io import CaseFile, CaseView, write_case, write_image, write_json, write_nifti
    from xrayreg.simulation import XraySettings, pelvis_phantom, simulate_xray

    yield _("Generating the CT of a phantom")
    volume = yield from pelvis_phantom.pieces(spacingMm, seed)
    isocentre = volume.grid.centre
    pivot = torch.as_tensor(isocentre)
    nominal = {name: nominal_pose(name, isocentre, SOD_MM) for name in ("pa", "left_lateral")}

    def turned(degrees, shiftMm):
        twist = torch.tensor([*np.radians(degrees), *shiftMm], dtype=torch.float64)
        return retract(torch.as_tensor(nominal["pa"]), twist, pivot).numpy()

    true, believed = turned(*_TRUE), turned(*_BELIEVED)
    settings = XraySettings(step_voxels=1.0, energy_bins=4, **machine)
    views = []
    ct, pa, side, bones = names
    for name, stem in (("pa", pa), ("left_lateral", side))[: 2 if lateral else 1]:
        yield _("Simulating X-ray {number} of the phantom").format(number=len(views) + 1)
        place = nominal[name] @ np.linalg.inv(nominal["pa"])
        camera = Camera.from_sid(SID_MM, DETECTOR_MM / imagePixels, imagePixels, imagePixels, place)
        xray = yield from simulate_xray.pieces(volume, camera, place @ true, settings, seed)
        write_image(folder / f"{stem}.tif", xray.transmission)
        views.append(CaseView(folder / f"{stem}.tif", camera, "transmission"))
    yield _("Writing the phantom")
    yield from write_nifti.pieces(folder / f"{ct}.nii.gz", volume.values, volume.grid.volume_from_index)
    labels = folder / f"{bones}.nii.gz" if labelled else None
    if labelled:
        yield from write_nifti.pieces(labels, volume.labels, volume.grid.volume_from_index)
        write_json(folder / f"{bones}.json", {str(number): name for number, name in volume.label_names.items()})
    # Last, so that a case that is there is whole.
    case = CaseFile(folder / f"{ct}.nii.gz", tuple(views), labels, initial=believed, reference=true)
    write_case(folder / CASE, case)
