#!/bin/bash
# TIFF with white as zero: Pillow and OpenCV invert 8 bits but not 16; SimpleITK and tifffile invert neither.
#
# Expected: PhotometricInterpretation 0 (white is zero) is either heeded at every depth or at none.
# Happens: Pillow 13 and OpenCV give 255 - v for 8-bit files and the stored values for 16-bit ones. SimpleITK and
#   tifffile give the stored values for both.
# Matters here: film scanners write radiographs that way. Whether bone is bright depends on the reader and on the depth,
#   and a negative is registered as attenuation where it is transmission.
# Seen: SimpleITK 2.5.7 (ITK 5.4), tifffile 2026.3.3, pillow 13.0.0, opencv-python-headless 5.0.0.93, Python 3.11, Linux:
#   8 bits: stored [0, 3, 200], Pillow [255, 252, 55], OpenCV [255, 252, 55], SimpleITK and tifffile [0, 3, 200]
#   16 bits: stored [0, 3, 200], Pillow, OpenCV, SimpleITK and tifffile [0, 3, 200]
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check SimpleITK==2.5.7 tifffile==2026.3.3 pillow==13.0.0 opencv-python-headless==5.0.0.93 numpy==2.4.6
venv/bin/python - <<'PYTHON'
import cv2, numpy as np, SimpleITK as sitk, tifffile
from PIL import Image

for depth, turned in ((np.uint8, [255, 252, 55]), (np.uint16, [0, 3, 200])):
    tifffile.imwrite("x.tif", np.array([[0, 3, 200]] * 4, depth), photometric="miniswhite")
    read = {
        "Pillow": np.asarray(Image.open("x.tif"))[0].tolist(),
        "OpenCV": cv2.imread("x.tif", cv2.IMREAD_UNCHANGED)[0].tolist(),
        "SimpleITK": sitk.GetArrayFromImage(sitk.ReadImage("x.tif"))[0].tolist(),
        "tifffile": tifffile.imread("x.tif")[0].tolist(),
    }
    print(depth.__name__, read)
    assert read["Pillow"] == read["OpenCV"] == turned and read["SimpleITK"] == read["tifffile"] == [0, 3, 200]
PYTHON
