"""What is opened as a dataset, and what is told about everything else."""

from __future__ import annotations

import sys

import h5py
import numpy as np
import pytest

from xrayreg.benchmark.datasets import open_dataset
from xrayreg.checks import InputError


def test_nothing_there(tmp_path):
    with pytest.raises(InputError, match="dataset: expected an existing file, found nothing at"):
        open_dataset(tmp_path / "none.h5")


def test_a_file_that_is_no_hdf5(tmp_path):
    path = tmp_path / "data.h5"
    path.write_text("<html>404</html>")
    with pytest.raises(InputError, match=r"data\.h5: expected a whole HDF5 file, found another one"):
        open_dataset(path)
    with pytest.raises(InputError, match="whole HDF5 file"):
        open_dataset(tmp_path)


def test_an_hdf5_file_of_something_else(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["weights"] = np.zeros(3)
    for path in (tmp_path, tmp_path / "other.h5"):
        with pytest.raises(InputError, match=r"expected ipcai_2020_full_res_data\.h5 .*found a file with weights"):
            open_dataset(path)


def test_a_folder_of_something_else(tmp_path):
    (tmp_path / "notes.txt").touch()
    (tmp_path / "ct").mkdir()
    with pytest.raises(InputError, match=r"or with xvr-data, found ct, notes\.txt; Documentation/datasets\.md"):
        open_dataset(tmp_path)


def test_an_empty_folder(tmp_path):
    with pytest.raises(InputError, match="found nothing"):
        open_dataset(tmp_path)


def test_a_folder_of_x_rays_without_poses(tmp_path):
    (tmp_path / "subject01/xrays").mkdir(parents=True)
    (tmp_path / "subject01/xrays/000.dcm").touch()
    with pytest.raises(InputError, match=r"found 1 DICOM files, none with its \.pt"):
        open_dataset(tmp_path)


def test_a_folder_of_several_datasets(tmp_path):
    for name, content in (("a.h5", "proj-params/intrinsic"), ("b.h5", "subject01/points")):
        with h5py.File(tmp_path / name, "w") as file:
            file[content] = np.zeros(3)
    with pytest.raises(InputError, match=r"expected one dataset, found a\.h5, b\.h5"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(("made", "told"), [("proj-params/intrinsic", "projections"), ("subject01/points", "proj-ap")])
def test_a_file_without_cases(tmp_path, made, told):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file[made] = np.zeros(3)
    with pytest.raises(InputError, match=told):
        open_dataset(tmp_path)


def test_without_h5py_the_way_to_get_it_is_told(tmp_path, monkeypatch):
    (tmp_path / "a.h5").touch()
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(InputError, match="pip install h5py"):
        open_dataset(tmp_path)
