"""A patient on the disk, once for all tests of studies."""

from __future__ import annotations

from pathlib import Path

import pytest
from study.standins import write_patient


@pytest.fixture(scope="session")
def ct(tmp_path_factory) -> Path:
    """The CT of a phantom; labels.nii.gz lies beside it."""
    return write_patient(tmp_path_factory.mktemp("patient"))
