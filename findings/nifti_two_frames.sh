#!/bin/bash
# One NIfTI file lies at two places: nibabel follows its sform, SimpleITK (ITK) often its qform.
#
# Expected: a file that holds both an sform and a qform is placed by the sform in every reader; a frame that a reader
#   cannot represent is an error.
# Happens: SimpleITK takes the sform only while its code is 1 (scanner) and its axes are orthogonal. With codes 2 to 4
#   (aligned, Talairach, MNI) beside a qform it takes the qform, and says nothing; with a sheared sform (a tilted gantry)
#   too, with a warning of "unexpected scales". nibabel takes the sform each time. Only a sheared sform without a qform
#   is an error in SimpleITK.
# Matters here: a CT that was aligned to an atlas or to another scan lies elsewhere in Slicer than in Python, and so do
#   label maps drawn in the one and used in the other; a pose is off by the difference, which no overlay shows.
# Source: ITK's maintainers chose the sform only for the scanner code (github.com/InsightSoftwareConsortium/ITK, pull
#   request 1868, 2020); nibabel's rule is get_best_affine().
# Seen: nibabel 5.4.2, SimpleITK 2.5.7 (ITK 5.4), Python 3.11, Linux:
#   sform code 1, qform code 1: origin of nibabel [10, 0, 0], of SimpleITK [10, 0, 0] (RAS)
#   sform code 2, qform code 1: origin of nibabel [10, 0, 0], of SimpleITK [0, 20, 0] (RAS)
#   sheared sform, qform code 1: slice step of nibabel [0, 0.6, 2], of SimpleITK [0, 0, 2] (RAS)
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check nibabel==5.4.2 SimpleITK==2.5.7 numpy==2.4.6
venv/bin/python - <<'PYTHON'
import nibabel, numpy as np, SimpleITK as sitk

FLIP = np.diag([-1.0, -1.0, 1.0])

def written(sform, sform_code, qform, qform_code):
    image = nibabel.Nifti1Image(np.zeros((3, 4, 5), np.int16), sform)
    image.set_qform(qform, qform_code)
    image.set_sform(sform, sform_code)
    nibabel.save(image, "ct.nii")

def frames():
    """ras_from_index (3, 4) by nibabel and by SimpleITK."""
    image = sitk.ReadImage("ct.nii")
    steps = FLIP @ np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    return nibabel.load("ct.nii").affine[:3], np.column_stack([steps, FLIP @ image.GetOrigin()])

sform, qform = np.diag([2.0, 2, 2, 1]), np.diag([2.0, 2, 2, 1])
sform[:3, 3], qform[:3, 3] = (10, 0, 0), (0, 20, 0)
for code, same in ((1, True), (2, False), (3, False), (4, False)):
    written(sform, code, qform, 1)
    ours, itks = frames()
    print(f"sform code {code}, qform code 1: origin of nibabel {ours[:, 3]}, of SimpleITK {itks[:, 3]} (RAS)")
    assert np.allclose(ours, sform[:3]) and np.allclose(itks, sform[:3] if same else qform[:3])
sheared = sform.copy()
sheared[1, 2] = 0.6
written(sheared, 1, sform, 1)
ours, itks = frames()
print(f"sheared sform, qform code 1: slice step of nibabel {ours[:, 2]}, of SimpleITK {itks[:, 2]} (RAS)")
assert np.allclose(ours, sheared[:3]) and np.allclose(itks, sform[:3])
written(sheared, 1, sform, 0)
try:
    frames()
    raise AssertionError("a sheared sform without a qform is read")
except RuntimeError as error:
    assert "orthonormal" in str(error)
PYTHON
