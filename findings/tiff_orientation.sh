#!/bin/bash
# A 16-bit TIFF with an orientation tag comes out of SimpleITK as 8-bit RGBA, and turned; other readers differ.
#
# Expected: the Orientation tag (274) is ignored or applied, and the grey values stay 16 bits as without it.
# Happens: with orientation 2 (columns run to the left) SimpleITK falls back to a reader that makes four 8-bit channels
#   of any picture, its values the upper bytes of the stored ones, and mirrors it; a warning speaks of data loss, not of
#   the mirror, and programs that silence ITK's warnings lose it. tifffile gives the 16 bits as stored;
#   Pillow and OpenCV (asked for the picture unchanged) mirror them and keep 16 bits.
# Matters here: phone and microscope software, and viewers that "rotate" a radiograph without touching its pixels, write
#   the tag. A mirrored X-ray fits the wrong side of the patient, and 256 grey levels are left of 65536.
# Seen: SimpleITK 2.5.7 (ITK 5.4), tifffile 2026.3.3, pillow 13.0.0, opencv-python-headless 5.0.0.93, Python 3.11, Linux
#   (stored 0, 255, 256, 1000, 40000, 65535):
#   SimpleITK: vector of 8-bit unsigned integer, 4 channels: [255, 156, 3, 1, 0, 0]
#   tifffile: [0, 255, 256, 1000, 40000, 65535]
#   Pillow: [65535, 40000, 1000, 256, 255, 0]
#   OpenCV: [65535, 40000, 1000, 256, 255, 0]
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check SimpleITK==2.5.7 tifffile==2026.3.3 pillow==13.0.0 opencv-python-headless==5.0.0.93 numpy==2.4.6
venv/bin/python - <<'PYTHON'
import cv2, numpy as np, SimpleITK as sitk, tifffile
from PIL import Image

stored = [0, 255, 256, 1000, 40000, 65535]
tifffile.imwrite("plain.tif", np.array([stored] * 4, np.uint16))
tifffile.imwrite("turned.tif", np.array([stored] * 4, np.uint16), extratags=[(274, "H", 1, 2, True)])
assert sitk.GetArrayFromImage(sitk.ReadImage("plain.tif"))[0].tolist() == stored
opened = sitk.ReadImage("turned.tif")
itks = sitk.GetArrayFromImage(opened)[0, :, 0].tolist()
print(f"SimpleITK: {opened.GetPixelIDTypeAsString()}, {opened.GetNumberOfComponentsPerPixel()} channels: {itks}")
assert opened.GetNumberOfComponentsPerPixel() == 4 and itks == [255, 156, 3, 1, 0, 0]
theirs = {
    "tifffile": tifffile.imread("turned.tif")[0].tolist(),
    "Pillow": np.asarray(Image.open("turned.tif"))[0].tolist(),
    "OpenCV": cv2.imread("turned.tif", cv2.IMREAD_UNCHANGED)[0].tolist(),
}
print(*(f"{name}: {values}" for name, values in theirs.items()), sep="\n")
assert theirs == {"tifffile": stored, "Pillow": stored[::-1], "OpenCV": stored[::-1]}
PYTHON
