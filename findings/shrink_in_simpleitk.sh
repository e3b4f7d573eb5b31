#!/bin/bash
# SimpleITK's Shrink by an even factor gives values that lie half a voxel from where its grid says.
#
# Expected: the value of each voxel of the result is that of the image at the place of this voxel, as it is for odd
#   factors and for BinShrink.
# Happens: the filter takes every second (fourth, ...) sample, and places the grid at the centre of the block instead:
#   half an original voxel off along each axis, whatever the factor. On an image whose values are their own places, of
#   2 mm voxels, the voxel at 10 mm holds 11 mm.
# Matters here: pyramids of CT and X-ray are built with it. Half a voxel of a 2 mm CT is 1 mm of error in each
#   direction at the coarse levels; in the X-ray half a pixel of the principal point.
# Seen: SimpleITK 2.5.7 (ITK 5.4), Python 3.11, Linux:
#   factor 2: Shrink is 1 mm off, BinShrink 0 mm
#   factor 3: Shrink is 0 mm off, BinShrink 0 mm
#   factor 4: Shrink is 1 mm off, BinShrink 0 mm
#   factor 5: Shrink is 0 mm off, BinShrink 0 mm
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check SimpleITK==2.5.7 numpy==2.4.6
venv/bin/python - <<'PYTHON'
import numpy as np, SimpleITK as sitk

image = sitk.GetImageFromArray(np.tile(5 + 2.0 * np.arange(60), (60, 1)))
image.SetSpacing((2.0, 2.0))
image.SetOrigin((5.0, 0.0))

def error(small):
    """How far the value of an inner pixel, which is its own place along x, lies from the pixel's place."""
    return small[3, 3] - small.TransformIndexToPhysicalPoint((3, 3))[0]

for factor in (2, 3, 4, 5):
    shrunk, binned = error(sitk.Shrink(image, [factor] * 2)), error(sitk.BinShrink(image, [factor] * 2))
    print(f"factor {factor}: Shrink is {shrunk:g} mm off, BinShrink {binned:g} mm")
    assert abs(binned) < 1e-9 and abs(shrunk - (1.0 if factor % 2 == 0 else 0.0)) < 1e-9
PYTHON
