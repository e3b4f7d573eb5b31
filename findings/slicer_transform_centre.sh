#!/bin/bash
# The numbers at the end of "Parameters" in Slicer's .tfm are not the translation of the transform.
#
# Expected: a linear transform node of Slicer, a quarter turn and 5 mm along R, is written with the inverse of that
#   matrix (from parent, in LPS): nine numbers of the rotation, then three of its last column.
# Happens: the node has a centre of transformation, and the file states its rotation about that centre (FixedParameters)
#   with a translation that belongs to it: (35, 60, 0) where the matrix has (0, -5, 0). ITK and SimpleITK put the two
#   together (GetTranslation() does not: one has to map points), and Slicer reads back what it wrote.
# Matters here: scripts that take the last three parameters as translation are off by tens of millimetres as soon as
#   somebody has turned the node about a centre in Slicer's Transforms module, and right before.
# Seen: slicer-core 5.12.4.0, SimpleITK 2.5.7, Python 3.11, Linux:
#   Parameters: 0 1 0 -1 0 0 0 0 1 35 60 0
#   FixedParameters: -50 -15 7
#   translation of the matrix (LPS): [0, -5, 0]; SimpleITK maps the origin to [0, -5, 0]; GetTranslation() (35, 60, 0)
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check slicer-core==5.12.4.0 SimpleITK==2.5.7 numpy==2.4.6
venv/bin/python - <<'PYTHON'
from pathlib import Path

import numpy as np, SimpleITK as sitk, slicer_core, vtk

parent_from_node = np.array([[0.0, -1, 0, 5], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
matrix = vtk.vtkMatrix4x4()
matrix.DeepCopy(parent_from_node.ravel())
scene, node = slicer_core.vtkMRMLScene(), slicer_core.vtkMRMLLinearTransformNode()
storage = slicer_core.vtkMRMLTransformStorageNode()
scene.AddNode(node)
scene.AddNode(storage)
node.SetCenterOfTransformation(50, 20, 7)
node.SetMatrixTransformToParent(matrix)
storage.SetFileName("pose.tfm")
assert storage.WriteData(node)
lines = dict(line.split(": ", 1) for line in Path("pose.tfm").read_text().splitlines() if ": " in line)
print("Parameters:", lines["Parameters"])
print("FixedParameters:", lines["FixedParameters"])
flip = np.diag([-1.0, -1, 1, 1])
expected = (flip @ np.linalg.inv(parent_from_node) @ flip)[:3, 3] + 0.0
transform = sitk.ReadTransform("pose.tfm")
moved = np.array(transform.TransformPoint((0.0, 0.0, 0.0))) + 0.0
stated = sitk.AffineTransform(transform).GetTranslation()
print(f"translation of the matrix (LPS): {expected}; SimpleITK maps the origin to {moved}; GetTranslation() {stated}")
assert np.allclose(moved, expected) and not np.allclose(stated, expected, atol=20)
assert np.allclose([float(word) for word in lines["Parameters"].split()[9:]], stated)
PYTHON
