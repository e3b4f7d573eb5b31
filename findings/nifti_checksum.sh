#!/bin/bash
# nibabel reads a .nii.gz whose checksum says that it is damaged, and gives the damaged voxels.
#
# Expected: gzip ends with a checksum so that damage is noticed, and Python's gzip raises BadGzipFile for it. nibabel
#   uses that module, so it raises too.
# Happens: nibabel reads just as many bytes as there are voxels and never comes to the checksum. One bit turned on the
#   way (a copy from a bad disk) changes voxels in silence. SimpleITK refuses the same file, in words that lead astray:
#   "Unable to determine ImageIO reader".
# Matters here: a CT with wrong voxels is registered as if it were the patient's.
# Seen: nibabel 5.4.2, SimpleITK 2.5.7 (ITK 5.4), Python 3.11, Linux:
#   gzip: BadGzipFile: CRC check failed
#   nibabel: read, 1 voxel differs by 64
#   SimpleITK: RuntimeError: Unable to determine ImageIO reader
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check nibabel==5.4.2 SimpleITK==2.5.7 numpy==2.4.6
venv/bin/python - <<'PYTHON'
import gzip
from pathlib import Path

import nibabel, numpy as np, SimpleITK as sitk

values = np.random.default_rng(0).integers(-1000, 1000, (20, 20, 20)).astype(np.int16)
whole = nibabel.Nifti1Image(values, np.eye(4)).to_bytes()
# Stored, not compressed, so that one bit of the file is one bit of one voxel.
packed = bytearray(gzip.compress(whole, compresslevel=0))
place = packed.index(values.tobytes(order="F")[8000:8032])
packed[place] ^= 64
Path("ct.nii.gz").write_bytes(packed)
try:
    gzip.decompress(packed)
    raise AssertionError("gzip accepts it")
except gzip.BadGzipFile as error:
    print(f"gzip: BadGzipFile: {error}")
read = np.asarray(nibabel.load("ct.nii.gz").dataobj)
differing = np.abs(read.astype(int) - values)
print(f"nibabel: read, {np.count_nonzero(differing)} voxel differs by {differing.max()}")
assert np.count_nonzero(differing) == 1 and differing.max() == 64
try:
    sitk.ReadImage("ct.nii.gz")
    raise AssertionError("SimpleITK accepts it")
except RuntimeError as error:
    print(f"SimpleITK: RuntimeError: {str(error).strip().splitlines()[-1][-80:]}")
    assert "ImageIO" in str(error)
PYTHON
