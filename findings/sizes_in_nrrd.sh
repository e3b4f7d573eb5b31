#!/bin/bash
# NRRD with "axis mins" and "axis maxs": SimpleITK takes a spacing of 1 mm, yet shifts the origin as if it knew another.
#
# Expected: the NRRD format lets a file state its samples' places by mins and maxs of each axis; with 4 samples that are
#   cells from 0 to 8 they are 2 mm apart, the first at 1 mm. A reader that does not know these fields ignores both.
# Happens: SimpleITK gives a spacing of 1 and an origin of 1 (cells) or 0 (nodes): the mins and maxs went into the
#   origin, not into the spacing. pynrrd hands both fields over and computes nothing. "spacings" together with
#   "axis mins" is right for both kinds. Units ("space units": cm) are ignored by SimpleITK, and so are those of a
#   MetaImage (DistanceUnits = cm).
# Matters here: volumes of such tools (teem, some converters) are read in the wrong size, in millimetres that the file
#   never stated, and nothing tells a made-up 1 mm from a real one.
# Seen: SimpleITK 2.5.7 (ITK 5.4), pynrrd 1.1.3, Python 3.11, Linux:
#   cells, mins 0, maxs 8: spacing (1.0, 1.0, 1.0), origin (1.0, 1.0, 1.0)
#   nodes, mins 0, maxs 6: spacing (1.0, 1.0, 1.0), origin (0.0, 0.0, 0.0)
#   cells, mins 0, spacings 2: spacing (2.0, 2.0, 2.0), origin (1.0, 1.0, 1.0)
#   space units cm, directions of 2: spacing (2.0, 2.0, 2.0)
#   MetaImage, DistanceUnits cm, ElementSpacing 2: spacing (2.0, 2.0, 2.0)
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check SimpleITK==2.5.7 pynrrd==1.1.3 numpy==2.4.6
venv/bin/python - <<'PYTHON'
from pathlib import Path

import nrrd, numpy as np, SimpleITK as sitk

VOXELS = np.arange(64, dtype="<i2").tobytes()

def opened(lines):
    head = ["NRRD0004", "type: short", "dimension: 3", "sizes: 4 4 4", "encoding: raw", "endian: little", *lines]
    Path("x.nrrd").write_bytes("\n".join(head).encode() + b"\n\n" + VOXELS)
    return sitk.ReadImage("x.nrrd")

def three(name, value):
    return f"{name}: {value} {value} {value}"

for name, lines, spacing, origin in (
    ("cells, mins 0, maxs 8", [three("axis mins", 0), three("axis maxs", 8), three("centerings", "cell")], 1, 1),
    ("nodes, mins 0, maxs 6", [three("axis mins", 0), three("axis maxs", 6), three("centerings", "node")], 1, 0),
    ("cells, mins 0, spacings 2", [three("axis mins", 0), three("spacings", 2), three("centerings", "cell")], 2, 1),
):
    image = opened(lines)
    print(f"{name}: spacing {image.GetSpacing()}, origin {image.GetOrigin()}")
    assert image.GetSpacing() == (spacing,) * 3 and image.GetOrigin() == (origin,) * 3
    assert nrrd.read_header("x.nrrd")["axis mins"].tolist() == [0, 0, 0]
axes = ["space: left-posterior-superior", "space directions: (2,0,0) (0,2,0) (0,0,2)", 'space units: "cm" "cm" "cm"']
image = opened(axes)
print(f"space units cm, directions of 2: spacing {image.GetSpacing()}")
assert image.GetSpacing() == (2, 2, 2)
head = ["ObjectType = Image", "NDims = 3", "DistanceUnits = cm", "ElementSpacing = 2 2 2", "DimSize = 4 4 4"]
lines = [*head, "ElementType = MET_SHORT", "ElementDataFile = LOCAL", ""]
Path("x.mha").write_bytes("\n".join(lines).encode() + VOXELS)
image = sitk.ReadImage("x.mha")
print(f"MetaImage, DistanceUnits cm, ElementSpacing 2: spacing {image.GetSpacing()}")
assert image.GetSpacing() == (2, 2, 2)
PYTHON
