#!/bin/bash
# Halving a picture shifts it by another quarter or half pixel in each function of OpenCV, SciPy, scikit-image, Pillow.
#
# Expected: what lies at pixel u (centres at whole numbers) lies at (u + 0.5) / 2 - 0.5 afterwards, so that the camera
#   matrix of the small picture follows from one formula, and a "pyramid" halves as a "resize" does.
# Happens: a stripe at 20 should come to 9.75. cv2.resize (linear, area), scikit-image's resize and pyramid_reduce and
#   Pillow's filters do that. cv2.pyrDown and cv2.resize with INTER_NEAREST put it at 10 (they keep pixels 0, 2, 4, ...:
#   u / 2), cv2.INTER_NEAREST_EXACT and Pillow's NEAREST at 9.5 (pixels 1, 3, 5, ...), scipy.ndimage.zoom at 9.84 (it
#   lays the outer pixels' centres onto each other, so that its factor is 31 / 63; grid_mode=True gives 9.75).
# Matters here: a camera matrix scaled by the wrong rule has its principal point a quarter or half a small pixel off at
#   each level of a pyramid; masks by NEAREST do not lie on pictures by AREA.
# Seen: opencv-python-headless 5.0.0.93, scipy 1.17.1, scikit-image 0.26.0, pillow 13.0.0, Python 3.11, Linux.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check opencv-python-headless==5.0.0.93 scipy==1.17.1 scikit-image==0.26.0 pillow==13.0.0 numpy==2.4.6
venv/bin/python - <<'PYTHON'
import cv2, numpy as np
from PIL import Image
from scipy import ndimage
from skimage import transform

columns = np.arange(64.0)
picture = np.tile(np.exp(-((columns - 20) ** 2) / 30), (64, 1)).astype(np.float32)
HALF = (32, 32)

def opencv(way):
    return cv2.resize(picture, HALF, interpolation=way)

def pillow(way):
    return np.asarray(Image.fromarray(picture).resize(HALF, way))

for name, small, expected in (
    ("cv2.resize, INTER_LINEAR", opencv(cv2.INTER_LINEAR), 9.75),
    ("cv2.resize, INTER_AREA", opencv(cv2.INTER_AREA), 9.75),
    ("cv2.resize, INTER_NEAREST", opencv(cv2.INTER_NEAREST), 10.0),
    ("cv2.resize, INTER_NEAREST_EXACT", opencv(cv2.INTER_NEAREST_EXACT), 9.5),
    ("cv2.pyrDown", cv2.pyrDown(picture), 10.0),
    ("scipy.ndimage.zoom", ndimage.zoom(picture, 0.5, order=1), 20 * 31 / 63),
    ("scipy.ndimage.zoom, grid_mode", ndimage.zoom(picture, 0.5, order=1, grid_mode=True, mode="nearest"), 9.75),
    ("skimage resize", transform.resize(picture, HALF), 9.75),
    ("skimage pyramid_reduce", transform.pyramid_reduce(picture, 2), 9.75),
    ("Pillow BILINEAR", pillow(Image.Resampling.BILINEAR), 9.75),
    ("Pillow NEAREST", pillow(Image.Resampling.NEAREST), 9.5),
):
    place = float((small * np.arange(32)).sum() / small.sum())
    print(f"{name:32s} {place:.2f}")
    assert small.shape == HALF and abs(place - expected) < 0.02, (name, place, expected)
PYTHON
