#!/bin/bash
# The unit of length in a NIfTI header is heeded by SimpleITK (ITK) and ignored by nibabel.
#
# Expected: xyzt_units says metres, so both give the same place in millimetres, or both leave it to the caller.
# Happens: SimpleITK multiplies spacing and origin by 1000 (metres) or 0.001 (micrometres); nibabel's affine and zooms
#   hold the numbers as they stand in the file, whatever their unit.
# Matters here: a CT exported in metres is a speck in the one program and right in the other; a pose computed with
#   nibabel's affine is wrong by a factor of 1000 in its translation.
# Seen: nibabel 5.4.2, SimpleITK 2.5.7 (ITK 5.4), Python 3.11, Linux:
#   meter: zooms of nibabel (0.002, 0.002, 0.003), spacing of SimpleITK (2.0, 2.0, 3.0)
#   mm: zooms of nibabel (2.0, 2.0, 3.0), spacing of SimpleITK (2.0, 2.0, 3.0)
#   micron: zooms of nibabel (2000.0, 2000.0, 3000.0), spacing of SimpleITK (2.0, 2.0, 3.0)
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check nibabel==5.4.2 SimpleITK==2.5.7 numpy==2.4.6
venv/bin/python - <<'PYTHON'
import nibabel, numpy as np, SimpleITK as sitk

for unit, in_mm in (("meter", 1e3), ("mm", 1.0), ("micron", 1e-3)):
    affine = np.diag([2 / in_mm, 2 / in_mm, 3 / in_mm, 1])
    image = nibabel.Nifti1Image(np.zeros((3, 4, 5), np.int16), affine)
    image.header.set_xyzt_units(unit)
    nibabel.save(image, "ct.nii")
    zooms = tuple(round(float(zoom), 6) for zoom in nibabel.load("ct.nii").header.get_zooms())
    spacing = tuple(round(step, 6) for step in sitk.ReadImage("ct.nii").GetSpacing())
    print(f"{unit}: zooms of nibabel {zooms}, spacing of SimpleITK {spacing}")
    assert np.allclose(zooms, np.diag(affine)[:3]) and np.allclose(nibabel.load("ct.nii").affine, affine)
    assert np.allclose(spacing, (2, 2, 3))
PYTHON
