"""Terms as published systems define them, against those definitions written out, and their exact gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import convolve1d, gaussian_filter
from torch import Tensor

from xrayreg.settings import Term
from xrayreg.similarity import Similarity, Target, banded, eroded

DOUBLE = torch.float64
HEIGHT, WIDTH = 21, 26
EPSILON = 1e-5
GLOBAL = Term(epsilon=EPSILON)
LOCAL = Term(window=9, floor=0.0, epsilon=EPSILON)
SOBEL = Term("sobel", window=11, floor=0.0, epsilon=EPSILON, padded=True)
WHOLE = Term("sobel", floor=0.0, epsilon=EPSILON, padded=True)
XREG = Term("smooth_sobel", sigma=2.0, window=7, floor=0.0)
PUBLISHED = {
    "global": GLOBAL,
    "local": LOCAL,
    "sobel": SOBEL,
    "whole": WHOLE,
    "patches": XREG,
    "smooth": Term("smooth_sobel", 0.7),
}


@pytest.fixture(params=PUBLISHED)
def term(request) -> Term:
    return PUBLISHED[request.param]


def image(seed: int, *leading: int) -> Tensor:
    """Random structures some pixels wide (*leading, HEIGHT, WIDTH)."""
    raw = np.random.default_rng(seed).normal(size=(*leading, HEIGHT, WIDTH))
    return torch.from_numpy(gaussian_filter(raw, (0,) * len(leading) + (1.5, 1.5)))


def pair() -> tuple[Tensor, Tensor, Tensor]:
    """An X-ray (H, W), two DRRs somewhat like it, and their Jacobians (2, 6, H, W)."""
    xray = image(0)
    return xray, 3 * xray + 2 * image(1, 2) + 5, image(2, 2, 6)


def everything(xray: Tensor) -> Target:
    return Target(xray, torch.ones_like(xray))


def unit(pixels: np.ndarray) -> np.ndarray:
    return (pixels - pixels.min()) / (pixels.max() - pixels.min())


def zncc(a: np.ndarray, b: np.ndarray, epsilon: float = EPSILON) -> np.ndarray:
    """sum((a - ma)(b - mb)) / (N sd_a sd_b) over the last two axes, biased, epsilon within each root."""
    a, b = (x - x.mean(axis=(-2, -1), keepdims=True) for x in (a, b))
    over = ((x**2).mean(axis=(-2, -1)) + epsilon for x in (a, b))
    return (a * b).mean(axis=(-2, -1)) / np.sqrt(np.prod(list(over), axis=0))


def windows(pixels: np.ndarray, size: int) -> np.ndarray:
    return sliding_window_view(pixels, (size, size)).reshape(-1, size, size)


def sobel(pixels: np.ndarray) -> list[np.ndarray]:
    """Derivatives along the columns and along the rows by the 3 x 3 operator, zero beyond the border."""
    smooth, slope = (lambda x, axis, k=k: convolve1d(x, k, axis=axis, mode="constant") for k in ([1, 2, 1], [1, 0, -1]))
    return [smooth(slope(pixels, 1), 0), smooth(slope(pixels, 0), 1)]


def test_the_global_correlation_is_as_written_down():
    xray, drrs, _ = pair()
    found = Similarity((GLOBAL,)).score(everything(xray), drrs)
    np.testing.assert_allclose(found, [zncc(unit(xray.numpy()), unit(d)) for d in drrs.numpy()], atol=1e-9)


def test_the_local_correlation_is_the_mean_over_all_windows_inside():
    xray, drrs, _ = pair()
    found = Similarity((LOCAL,)).score(everything(xray), drrs)
    expected = [zncc(windows(unit(xray.numpy()), 9), windows(unit(d), 9)).mean() for d in drrs.numpy()]
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_the_gradient_correlation_takes_zeros_beyond_the_border():
    xray, drrs, _ = pair()
    found = Similarity((SOBEL,)).score(everything(xray), drrs)
    expected = [
        np.mean(
            [
                zncc(windows(x, 11), windows(y, 11)).mean()
                for x, y in zip(sobel(unit(xray.numpy())), sobel(unit(d)), strict=True)
            ]
        )
        for d in drrs.numpy()
    ]
    np.testing.assert_allclose(found, expected, atol=1e-9)
    cut = Similarity((Term("sobel", window=11, floor=0.0, epsilon=EPSILON),)).score(everything(xray), drrs)
    assert (cut - found).abs().min() > 1e-3


def test_the_gradient_correlation_of_whole_images_is_one_window():
    xray, drrs, _ = pair()
    found = Similarity((WHOLE,)).score(everything(xray), drrs)
    expected = [
        np.mean([zncc(x, y) for x, y in zip(sobel(unit(xray.numpy())), sobel(unit(d)), strict=True)])
        for d in drrs.numpy()
    ]
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_patches_of_smoothed_gradients_count_alike():
    xray, drrs, _ = pair()
    found = Similarity((XREG,)).score(everything(xray), drrs)
    # A kernel of radius 5, and only pixels whose whole neighbourhood lies inside: radius 6 with the operator's own.
    at = np.arange(-5, 6)
    kernel = np.exp(-0.5 * (at / 2.0) ** 2)
    kernel /= kernel.sum()

    def channels(pixels: np.ndarray) -> list[np.ndarray]:
        smoothed = pixels
        for axis in (0, 1):
            smoothed = convolve1d(smoothed, kernel, axis=axis, mode="constant")
        return sobel(smoothed)

    # Windows count that are at least half inside, with their inner pixels alone.
    usable = np.zeros((HEIGHT, WIDTH))
    usable[6:-6, 6:-6] = 1
    inside = windows(usable, 7) > 0
    expected = []
    for drr in drrs.numpy():
        scores = []
        for x, y in zip(channels(xray.numpy()), channels(drr), strict=True):
            parts = zip(windows(x, 7), windows(y, 7), inside, strict=True)
            values = [zncc(a[part][None], b[part][None], 0.0) for a, b, part in parts if part.mean() >= 0.5]
            scores.append(np.mean(values))
        expected.append(np.mean(scores))
    # The guard against division by zero, 1e-12, over variances of 1e-2.
    np.testing.assert_allclose(found, expected, atol=1e-8)


def test_the_gradient_is_that_of_the_score_by_two_ways(term):
    xray, drrs, jacobian = pair()
    similarity, target = Similarity((term,)), everything(xray)

    def score(amounts: Tensor) -> Tensor:
        return similarity.score(target, drrs + torch.einsum("bp,bphw->bhw", amounts, jacobian))

    amounts = torch.zeros(2, 6, dtype=DOUBLE, requires_grad=True)
    (slope,) = torch.autograd.grad(score(amounts).sum(), amounts)
    found = similarity.agreement(target, drrs, jacobian)
    torch.testing.assert_close(found.gradient, -slope, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(found.score, score(amounts).detach(), rtol=1e-12, atol=1e-12)
    steps = 1e-6 * torch.eye(6, dtype=DOUBLE)
    ahead, behind = (
        torch.stack([score(sign * step.expand(2, 6)).detach() for step in steps], dim=1) for sign in (1, -1)
    )
    # Central differences in double precision: 1e-6 squared of curvature and 1e-16 / 1e-6 of rounding. The floor of
    # patches is held fixed on purpose (see test_terms), so only terms without one are as exact.
    torch.testing.assert_close(found.gradient, (behind - ahead) / 2e-6, rtol=1e-6, atol=1e-8)


def test_brightness_and_contrast_of_either_image_do_not_matter(term):
    xray, drrs, jacobian = pair()
    expected = Similarity((term,)).agreement(everything(xray), drrs, jacobian)
    found = Similarity((term,)).agreement(everything(0.2 * xray + 7), 5 * drrs - 3, 5 * jacobian)
    # Filters sum to zero, but for what they see beyond the border where that is not brought to zero first.
    torch.testing.assert_close(found.score, expected.score, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.gradient, expected.gradient, rtol=1e-8, atol=1e-9)


def test_unusable_pixels_take_no_part_in_the_range_and_spoil_nothing(term):
    xray, drrs, jacobian = pair()
    mask = torch.ones_like(xray)
    mask[:3], mask[9:12, 20:23] = 0, 0
    spoilt = torch.where(mask > 0, xray, torch.nan)
    black = torch.where(mask > 0, xray, -1e4)
    found, other = (Similarity((term,)).agreement(Target(x, mask), drrs, jacobian) for x in (spoilt, black))
    for name in ("score", "gradient", "normal"):
        assert torch.isfinite(getattr(found, name)).all()
        torch.testing.assert_close(getattr(found, name), getattr(other, name))
    assert found.score.abs().min() > 0.05


def test_flat_images_score_zero_and_pull_nowhere(term):
    xray, _, jacobian = pair()
    flat = torch.full((2, HEIGHT, WIDTH), 2.0, dtype=DOUBLE)
    found = Similarity((term,)).agreement(everything(xray), flat, 0 * jacobian)
    for part in (found.score, found.gradient, found.normal):
        assert torch.isfinite(part).all() and part.abs().max() < 1e-6


@pytest.mark.parametrize("window", [1, 4, 7])
def test_windows_are_the_same_added_up_or_multiplied(window, monkeypatch):
    images = image(5, 2, 3)
    multiplied = banded.window_means(images, window, 1)
    monkeypatch.setattr(banded, "_LARGE", 1)
    added = banded.window_means(images, window, 1)
    assert added.shape == (2, 3, HEIGHT - window + 1, WIDTH - window + 1)
    # The same sums in another order.
    torch.testing.assert_close(added, multiplied, rtol=1e-12, atol=1e-13)
    assert banded.window_means(images.clone().requires_grad_(), window, 1).requires_grad


def test_the_border_may_stay_while_what_is_unusable_goes():
    mask = torch.ones(7, 8)
    mask[3, 4] = 0
    kept = eroded(mask, 1, border=False)
    assert not kept[2:5, 3:6].any() and kept.sum() == 7 * 8 - 9
    assert torch.equal(eroded(torch.ones(7, 8), 2, border=False), torch.ones(7, 8))
