#!/bin/bash
# DiffDRR: a camera matrix goes in and comes out mirrored about the picture's middle, and it counts pixels by their edges.
#
# Expected: parse_intrinsic_matrix(K) gives the detector's offsets, a Detector made with them has its central ray at K's
#   principal point, and its `intrinsic` is K again. Pixel centres lie at whole numbers, as in OpenCV.
# Happens: 64 x 48 pixels, K with the principal point (22, 20). The offsets are (-10, -4), and the detector's central
#   ray meets the picture at (21.5, 19.5) with the default reverse_x_axis=True of `DRR`, but at (41.5, 19.5), on the
#   other side of the middle, with that of `Detector` itself, False. Its `intrinsic` says (42, 28) each time. The half
#   pixel is there because K counts from the picture's corner: the middle of 64 pixels is 32, not 31.5.
# Matters here: a K calibrated with OpenCV (XMALab, MayaCam) is half a pixel off in DiffDRR and in everything built on it,
#   and copying `detector.intrinsic` into another program mirrors the principal point.
# Seen: diffdrr 0.6.1, torch 2.13.0, Python 3.11, Linux:
#   reverse_x_axis=True: central ray (21.5, 19.5), intrinsic (42.0, 28.0)
#   reverse_x_axis=False: central ray (41.5, 19.5), intrinsic (42.0, 28.0)
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check torch==2.13.0 scipy==1.17.1 numpy==2.4.6
# DiffDRR's own dependencies draw pictures and notebooks; its detector needs few of them.
venv/bin/pip install -q --disable-pip-version-check --no-deps diffdrr==0.6.1 fastcore==2.2.39 jaxtyping==0.3.11 wadler-lindig==0.1.8 roma==1.8.0 torchio==1.2.1 einops==0.8.2
venv/bin/python - <<'PYTHON'
import numpy as np, torch
from diffdrr.detector import Detector, parse_intrinsic_matrix
from diffdrr.pose import RigidTransform

WIDTH, HEIGHT = 64, 48
K = torch.tensor([[1000.0, 0, 22], [0, 1000, 20], [0, 0, 1]])
focal, x0, y0 = parse_intrinsic_matrix(K, HEIGHT, WIDTH, 1.0, 1.0)
assert (focal, x0, y0) == (1000, -10, -4)

def zero(along):
    """At which index (a fraction) values that run evenly pass 0."""
    return float(np.polyfit(along.numpy(), np.arange(len(along)), 1)[1])

for reversed_x, column in ((True, 21.5), (False, 41.5)):
    detector = Detector(focal, HEIGHT, WIDTH, 1.0, 1.0, x0, y0, torch.eye(4), reverse_x_axis=reversed_x)
    _, pixels = detector(RigidTransform(torch.eye(4)[None]), None)
    pixels = pixels.reshape(HEIGHT, WIDTH, 3)
    ray = zero(pixels[0, :, 0]), zero(pixels[:, 0, 1])
    stated = tuple(detector.intrinsic[:2, 2].tolist())
    print(f"reverse_x_axis={reversed_x}: central ray ({ray[0]:.1f}, {ray[1]:.1f}), intrinsic {stated}")
    assert np.allclose(ray, (column, 19.5), atol=1e-3) and stated == (42.0, 28.0)
PYTHON
