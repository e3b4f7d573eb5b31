#!/bin/bash
# A NIfTI file whose slope is 0 beside an intercept: nibabel drops both, SimpleITK (ITK) adds the intercept.
#
# Expected: the standard says that a slope of 0 means "not scaled", so both readers give the stored values.
# Happens: nibabel does so. SimpleITK takes the slope as 1 and still adds the intercept; a slope that is not a number
#   likewise.
# Matters here: exporters that write only the intercept (-1024) give a CT that is 1024 units apart in two programs. In
#   the one air is air, in the other it has the density of water, and DRRs look right enough to be registered.
# Seen: nibabel 5.4.2, SimpleITK 2.5.7 (ITK 5.4), Python 3.11, Linux:
#   slope 0, intercept -1024: nibabel [0, 1, 2], SimpleITK [-1024, -1023, -1022]
#   slope nan, intercept -1024: nibabel [0, 1, 2], SimpleITK [-1024, -1023, -1022]
#   slope 1, intercept -1024: nibabel [-1024, -1023, -1022], SimpleITK [-1024, -1023, -1022]
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check nibabel==5.4.2 SimpleITK==2.5.7 numpy==2.4.6
venv/bin/python - <<'PYTHON'
import struct
from pathlib import Path

import nibabel, numpy as np, SimpleITK as sitk

nibabel.save(nibabel.Nifti1Image(np.arange(60, dtype=np.int16).reshape(5, 4, 3).T.copy(), np.eye(4)), "plain.nii")
plain = Path("plain.nii").read_bytes()
for slope, dropped in ((0.0, True), (float("nan"), True), (1.0, False)):
    # scl_slope and scl_inter stand at bytes 112 and 116.
    Path("ct.nii").write_bytes(plain[:112] + struct.pack("<ff", slope, -1024) + plain[120:])
    ours = nibabel.load("ct.nii").get_fdata()[:, 0, 0].astype(int).tolist()
    itks = sitk.GetArrayFromImage(sitk.ReadImage("ct.nii"))[0, 0].astype(int).tolist()
    print(f"slope {slope:g}, intercept -1024: nibabel {ours}, SimpleITK {itks}")
    assert ours == ([0, 1, 2] if dropped else [-1024, -1023, -1022]) and itks == [-1024, -1023, -1022]
PYTHON
