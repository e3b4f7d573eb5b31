"""A small generated case, free of anybody's data, for the module's self-test and for trying the panel."""

import numpy as np


def write(folder, spacingMm=5.0, imagePixels=96, seed=0):
    """Write a volume, a simulated X-ray of it and case.json to `folder`; returns the path of the case.

    The X-ray is a PA view, turned and shifted by amounts that a registration has to find: the case's initial pose is
    off by some 15 mm and 5 degrees. The reference pose is in the case, so that the result gets scored.
    """
    import SimpleITK as sitk
    import torch

    from xrayreg.geometry import Camera, retract
    from xrayreg.initial import nominal_pose
    from xrayreg.io import CaseFile, CaseView, write_case
    from xrayreg.simulation import XraySettings, pelvis_phantom, simulate_xray

    volume = pelvis_phantom(spacingMm, seed)
    camera = Camera.from_sid(1000.0, 400.0 / imagePixels, imagePixels, imagePixels)
    isocentre = volume.grid.centre
    nominal = torch.as_tensor(nominal_pose("pa", isocentre, 700.0))
    pivot = torch.as_tensor(isocentre)

    def turned(degrees, shiftMm):
        twist = torch.tensor([*np.radians(degrees), *shiftMm], dtype=torch.float64)
        return retract(nominal, twist, pivot).numpy()

    true, initial = turned((4.0, -6.0, 3.0), (8.0, -10.0, 15.0)), turned((1.0, -2.0, 1.0), (2.0, -4.0, 0.0))
    xray = simulate_xray(volume, camera, true, XraySettings(step_voxels=1.0, energy_bins=4), seed)

    image = sitk.GetImageFromArray(volume.values)
    lpsFromIndex = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.grid.volume_from_index
    spacing = np.linalg.norm(lpsFromIndex[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((lpsFromIndex[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(lpsFromIndex[:3, 3].tolist())
    sitk.WriteImage(image, str(folder / "ct.nrrd"), True)
    sitk.WriteImage(sitk.GetImageFromArray(xray.transmission), str(folder / "xray.tif"))
    view = CaseView(folder / "xray.tif", camera, "transmission")
    write_case(folder / "case.json", CaseFile(folder / "ct.nrrd", (view,), initial=initial, reference=true))
    return folder / "case.json"
