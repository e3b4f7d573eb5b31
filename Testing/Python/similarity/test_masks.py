"""Masks follow the filters, and the support surrounds what is rendered."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation, binary_erosion

from xrayreg.similarity import eroded, support_mask


def spotted(height: int, width: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(4).random((2, height, width)) > 0.05)


@pytest.mark.parametrize("radius", [1, 2, 4])
@pytest.mark.parametrize("shape", [(23, 31), (9, 8), (3, 40)])
def test_erosion_takes_the_square_around_every_unusable_pixel_and_the_border(radius, shape):
    mask = spotted(*shape)
    square = np.ones((2 * radius + 1, 2 * radius + 1), bool)
    expected = np.stack([binary_erosion(m, square, border_value=0) for m in mask.numpy()])
    for dtype in (torch.float32, torch.float64, torch.bool):
        found = eroded(mask.to(dtype), radius)
        assert found.dtype == dtype and found.shape == mask.shape
        np.testing.assert_array_equal(found.numpy() > 0, expected)


def test_erosion_by_nothing_changes_nothing():
    mask = spotted(5, 6)
    assert torch.equal(eroded(mask, 0), mask)


@pytest.mark.parametrize("margin", [1, 3])
def test_the_support_is_the_grown_shadow_whatever_its_brightness(margin):
    generator = np.random.default_rng(5)
    shadow = torch.zeros(2, 30, 40)
    shadow[0, 10:14, 5:9] = torch.from_numpy(generator.random((4, 4)).astype(np.float32)) + 0.5
    shadow[1, 28:30, 39] = 1e-3
    # A hundredth of the brightest pixel is not structure.
    shadow[0, 25, 25] = 0.01
    square = np.ones((2 * margin + 1, 2 * margin + 1), bool)
    expected = np.stack([binary_dilation(s > 0.4 * s.max(), square) for s in shadow.numpy()])
    found = support_mask(shadow, margin)
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found.numpy() > 0, expected)


def test_an_empty_shadow_has_no_support():
    assert not support_mask(torch.zeros(1, 8, 9), 2).any()
