#!/bin/bash
# RTK's Joseph projector integrates a volume that is half a voxel smaller on every side.
#
# Expected: a slab of n voxels of 1 mm and value 1, crossed at right angles, has a line integral of n mm; rays cross it
#   up to half a voxel beyond the outer voxels' centres.
# Happens: the integral is n - 1, so that a single layer of voxels gives nothing. Sideways, rays more than zero
#   millimetres outside of the outer voxels' centres give 0 too.
# Matters here: line integrals of other projectors (Siddon, sampling) agree with RTK's only where air surrounds the
#   patient; where the CT is cut off, at its first and last slice, they differ by up to one voxel of tissue.
# Source: RTK's maintainers were told of it in issue 984 (github.com/RTKConsortium/RTK, 2026; since closed, but not in
#   the release that PyPI has).
# Seen: itk-rtk 2.7.0.post1 (itk 5.4.7), Python 3.11, Linux:
#   1, 2, 5 and 20 voxels: 0, 1, 4 and 19 mm
#   outer voxels' centres 40 mm from the middle: 4 at 39 mm, 0 at 41 mm (their edge lies at 45 mm)
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check itk-rtk==2.7.0.post1 itk==5.4.7 numpy==2.4.6
venv/bin/python - <<'PYTHON'
import itk, numpy as np
from itk import RTK as rtk

IMAGE = itk.Image[itk.F, 3]

def integral(layers, aside=0.0):
    """Through `layers` voxels of 1 mm (9 x 9 of 10 mm each), at `aside` mm from the middle of the volume."""
    # Source and detector at 1000 and 500 mm from there, so that the detector shows 1.5 times the size.
    volume = itk.image_from_array(np.ones((layers, 9, 9), np.float32))
    volume.SetSpacing((10.0, 10.0, 1.0))
    volume.SetOrigin((-40.0, -40.0, -(layers - 1) / 2))
    geometry = rtk.ThreeDCircularProjectionGeometry.New()
    geometry.AddProjection(1000.0, 1500.0, 0.0)
    pixel = rtk.ConstantImageSource[IMAGE].New()
    pixel.SetOrigin((1.5 * aside, 0.0, 0.0))
    pixel.SetSpacing((1.0, 1.0, 1.0))
    pixel.SetSize((1, 1, 1))
    pixel.SetConstant(0.0)
    projector = rtk.JosephForwardProjectionImageFilter[IMAGE, IMAGE].New()
    projector.SetInput(0, pixel.GetOutput())
    projector.SetInput(1, volume)
    projector.SetGeometry(geometry)
    projector.Update()
    return float(itk.array_from_image(projector.GetOutput()).ravel()[0])

for layers in (1, 2, 5, 20):
    print(f"{layers} voxels: {integral(layers):.3f} mm")
    assert abs(integral(layers) - (layers - 1)) < 1e-3
for aside, expected in ((39.0, 4.0), (41.0, 0.0), (44.0, 0.0)):
    print(f"{aside:g} mm from the middle: {integral(5, aside):.3f}")
    assert abs(integral(5, aside) - expected) < 1e-2
PYTHON
