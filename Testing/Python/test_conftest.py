"""The poison of conftest.py reaches the backend's memory and nobody else's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xrayreg.geometry import poses
from xrayreg.scene import volume


def test_fresh_float_arrays_of_the_backend_hold_nan():
    assert np.isnan(volume.np.empty((3, 2), dtype=np.float32)).all()
    assert np.isnan(volume.np.empty_like(np.ones(3))).all()
    assert poses.torch.empty(2, 3, dtype=torch.float64).isnan().all()
    assert poses.torch.empty_like(torch.ones(3)).isnan().all()


@pytest.mark.parametrize("dtype", [np.int16, np.bool_, np.uint8])
def test_arrays_that_cannot_hold_nan_are_left_alone(dtype):
    assert volume.np.empty(4, dtype=dtype).dtype == dtype


def test_only_the_backend_is_poisoned():
    assert volume.np is not np
    assert np.empty.__module__ == "numpy"
    assert volume.np.ndarray is np.ndarray
