"""Rotations as three turns about coordinate axes, against SciPy's and at the locks."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from xrayreg.geometry import euler_axes, eulers_from_rotation, rotation_from_eulers, vector_from_rotation

DOUBLE = torch.float64
ORDERS = ["".join(order) for order in itertools.permutations("xyz")]


def angles(count: int = 200) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    outer = (torch.rand(count, 3, generator=generator, dtype=DOUBLE) * 2 - 1) * math.pi
    outer[:, 1] /= 2
    return outer


@pytest.mark.parametrize("order", ORDERS)
def test_the_rotation_is_scipys(order):
    # Capital letters are turns about moving axes there: the leftmost factor first.
    expected = Rotation.from_euler(order.upper(), angles().numpy()).as_matrix()
    np.testing.assert_allclose(rotation_from_eulers(angles(), order).numpy(), expected, atol=1e-14)


@pytest.mark.parametrize("order", ORDERS)
def test_angles_come_back(order):
    torch.testing.assert_close(
        eulers_from_rotation(rotation_from_eulers(angles(), order), order), angles(), rtol=0, atol=1e-9
    )


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("middle", [math.pi / 2, -math.pi / 2])
@pytest.mark.parametrize("off", [0.0, 1e-16, 1e-12, 1e-8, 1e-4])
def test_at_the_lock_the_rotation_comes_back(order, middle, off):
    locked = angles()
    locked[:, 1] = middle - math.copysign(off, middle)
    rotation = rotation_from_eulers(locked, order)
    found = eulers_from_rotation(rotation, order)
    assert found[:, 1].abs().max() <= math.pi / 2 + 1e-12
    torch.testing.assert_close(rotation_from_eulers(found, order), rotation, rtol=0, atol=1e-14)


@pytest.mark.parametrize("order", ORDERS)
def test_axes_are_those_about_which_it_turns(order):
    step = 1e-6
    for n in range(3):
        moved = torch.zeros(3, dtype=DOUBLE)
        moved[n] = step
        after, before = (rotation_from_eulers(angles() + sign * moved, order) for sign in (1, -1))
        expected = vector_from_rotation(after @ before.mT) / (2 * step)
        torch.testing.assert_close(euler_axes(angles(), order)[..., n], expected, rtol=0, atol=1e-8)
