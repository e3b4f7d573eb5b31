#!/bin/bash
# OpenCV's projectPoints gives ordinary pixels for points behind the camera, and for points in its very plane.
#
# Expected: NaN, or an error, for what no ray from the camera reaches.
# Happens: a point behind the camera gets the pixel of its mirror image through the source; a point at depth 0 gets that
#   of the same point at depth 1. solvePnP minimises the distance between such pixels.
# Matters here: a pose that puts the patient behind the X-ray source has small reprojection errors, so that landmarks
#   seem to be met exactly by a pose that cannot be.
# Seen: opencv-python-headless 5.0.0.93, Python 3.11, Linux (focal length 1000, principal point (50, 50)):
#   (10, 5, 500) -> (70, 60)
#   (-10, -5, -500) -> (70, 60)
#   (10, 5, 0) -> (10050, 5050)
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check opencv-python-headless==5.0.0.93 numpy==2.4.6
venv/bin/python - <<'PYTHON'
import cv2, numpy as np

K = np.array([[1000.0, 0, 50], [0, 1000, 50], [0, 0, 1]])
for point, expected in (((10, 5, 500), (70, 60)), ((-10, -5, -500), (70, 60)), ((10, 5, 0), (10050, 5050))):
    pixels, _ = cv2.projectPoints(np.array([[point]], np.float64), np.zeros(3), np.zeros(3), K, None)
    print(point, "->", tuple(pixels.ravel().round(6).tolist()))
    assert np.allclose(pixels.ravel(), expected)
PYTHON
