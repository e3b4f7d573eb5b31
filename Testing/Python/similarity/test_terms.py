"""Similarities against their definitions written out pixel by pixel, and the laws they promise."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d
from torch import Tensor

from xrayreg.settings import Term, patch_gradient
from xrayreg.similarity import Agreement, Similarity, Target

DOUBLE = torch.float64
TERMS = {
    "global": Term(),
    "patches": Term(window=5, stride=2),
    "patches without a stride": Term(window=4, floor=1e-3),
    "gradient correlation": Term("gradient", sigma=0.8),
    "sobel": Term("sobel"),
    "gradient patches": Term("gradient", sigma=1.0, window=6, stride=3, floor=0.05),
    "gradient patches of the settings": patch_gradient(8),
    "a patch larger than the image": Term(window=99),
}
HEIGHT, WIDTH = 23, 27


@pytest.fixture(params=TERMS)
def term(request) -> Term:
    return TERMS[request.param]


def smooth_noise(seed: int, *leading: int, dtype: torch.dtype = DOUBLE) -> Tensor:
    """Random images (*leading, HEIGHT, WIDTH) with some structure over a few pixels."""
    raw = np.random.default_rng(seed).normal(size=(*leading, HEIGHT, WIDTH))
    for axis in (-1, -2):
        raw = correlate1d(raw, [0.25, 0.5, 0.25], axis=axis, mode="nearest")
    return torch.from_numpy(raw).to(dtype)


def holed_mask() -> Tensor:
    mask = torch.ones(HEIGHT, WIDTH, dtype=DOUBLE)
    mask[:2] = 0
    mask[10:12, 20:23] = 0
    return mask


def scene() -> tuple[Target, Tensor, Tensor, Tensor]:
    """A target with unusable pixels, three DRRs somewhat like it, their Jacobians (3, 6, H, W), a support."""
    image = smooth_noise(0)
    moving = 0.7 * image + 0.5 * smooth_noise(1, 3) + 2
    support = torch.ones(3, HEIGHT, WIDTH, dtype=DOUBLE)
    support[1, :, :4] = 0
    support[2, 19:] = 0
    return Target(image, holed_mask()), moving, smooth_noise(2, 3, 6), support


# The definitions, written out in numpy ------------------------------------------------------------------------------


def brute_channels(term: Term, image: np.ndarray) -> list[np.ndarray]:
    """The image, or its derivatives along the columns and along the rows; zero beyond the border."""
    if term.filter == "none":
        return [image]
    if term.filter == "sobel":
        smooth, slope = np.array([1.0, 2, 1]), np.array([-1.0, 0, 1])
    else:
        radius = max(1, math.ceil(2.5 * term.sigma))
        at = np.arange(-radius, radius + 1)
        smooth = np.exp(-0.5 * (at / term.sigma) ** 2)
        smooth /= smooth.sum()
        slope = at * smooth / term.sigma**2

    def along(x: np.ndarray, row_kernel: np.ndarray, column_kernel: np.ndarray) -> np.ndarray:
        return correlate1d(correlate1d(x, row_kernel, axis=1, mode="constant"), column_kernel, axis=0, mode="constant")

    return [along(image, slope, smooth), along(image, smooth, slope)]


def brute_mask(term: Term, mask: np.ndarray) -> np.ndarray:
    """A pixel counts when all pixels that its filter reads are inside the image and usable."""
    radius = 0 if term.filter == "none" else 1 if term.filter == "sobel" else max(1, math.ceil(2.5 * term.sigma))
    result = np.zeros_like(mask)
    for v in range(radius, HEIGHT - radius):
        for u in range(radius, WIDTH - radius):
            result[v, u] = mask[v - radius : v + radius + 1, u - radius : u + radius + 1].all()
    return result


def brute_windows(term: Term, mask: np.ndarray) -> list[np.ndarray]:
    """Boolean masks (H, W) of the usable pixels of each window that is at least half usable."""
    if term.window is None:
        return [mask > 0]
    size, windows = min(term.window, HEIGHT, WIDTH), []
    for v in range(0, HEIGHT - size + 1, term.stride):
        for u in range(0, WIDTH - size + 1, term.stride):
            inside = np.zeros((HEIGHT, WIDTH), bool)
            inside[v : v + size, u : u + size] = mask[v : v + size, u : u + size] > 0
            if inside.sum() >= size * size / 2:
                windows.append(inside)
    return windows


def brute_floors(term: Term, x: np.ndarray, y: np.ndarray, windows: list[np.ndarray]) -> tuple[float, float]:
    if term.window is None:
        return 0.0, 0.0
    return tuple(term.floor * np.mean([image[w].var() for w in windows]) for image in (x, y))  # type: ignore[return-value]


def brute_score(term: Term, x: np.ndarray, y: np.ndarray, mask: np.ndarray, support: np.ndarray) -> float:
    weights = brute_mask(term, mask) * support
    scores = []
    for xc, yc in zip(brute_channels(term, np.where(mask > 0, x, 0)), brute_channels(term, y), strict=True):
        windows = brute_windows(term, weights)
        floor_x, floor_y = brute_floors(term, xc, yc, windows)
        for w in windows:
            a, b = xc[w] - xc[w].mean(), yc[w] - yc[w].mean()
            scores.append((a * b).mean() / np.sqrt(((a * a).mean() + floor_x) * ((b * b).mean() + floor_y)))
    return float(np.mean(scores))


def brute_normal(
    term: Term, x: np.ndarray, y: np.ndarray, columns: np.ndarray, mask: np.ndarray, support: np.ndarray
) -> np.ndarray:
    """J^T J of the residual y^ - x^, whose Jacobian is written out as a matrix for each window."""
    weights = brute_mask(term, mask) * support
    normals = []
    filtered = zip(
        brute_channels(term, np.where(mask > 0, x, 0)),
        brute_channels(term, y),
        zip(*(brute_channels(term, column) for column in columns), strict=True),
        strict=True,
    )
    for xc, yc, jc in filtered:
        windows = brute_windows(term, weights)
        _, floor = brute_floors(term, xc, yc, windows)
        for w in windows:
            b = yc[w] - yc[w].mean()
            j = np.stack([column[w] - column[w].mean() for column in jc], axis=1)
            energy = (b * b).mean() + floor
            # Derivative of b / sqrt(energy); with a floor the unit vector is b / sqrt(mean b^2 + floor).
            unit = np.append(b / np.sqrt(len(b)), np.sqrt(floor)) / np.sqrt(energy)
            residual = np.vstack([j / np.sqrt(len(b)), np.zeros((1, j.shape[1]))]) / np.sqrt(energy)
            residual -= np.outer(unit, unit @ residual)
            normals.append(residual.T @ residual)
    return np.mean(normals, axis=0)


# -------------------------------------------------------------------------------------------------------------------


def test_the_score_is_its_definition(term):
    target, moving, _, support = scene()
    found = Similarity((term,)).score(target, moving, support)
    for n in range(3):
        expected = brute_score(term, *(a.numpy() for a in (target.image, moving[n], target.mask, support[n])))
        # Double precision; the guard against division by zero adds 1e-12 to variances of about 0.1.
        assert found[n].item() == pytest.approx(expected, abs=1e-9)
    assert found.std() > 1e-3


def test_the_normal_matrix_is_that_of_the_residual_written_out(term):
    target, moving, jacobian, support = scene()
    found = Similarity((term,)).agreement(target, moving, jacobian, support).normal
    for n in range(3):
        arrays = (a.numpy() for a in (target.image, moving[n], jacobian[n], target.mask, support[n]))
        np.testing.assert_allclose(found[n].numpy(), brute_normal(term, *arrays), rtol=1e-8, atol=1e-10)


def test_the_gradient_is_the_derivative_of_the_cost(term):
    target, moving, jacobian, support = scene()
    # The floor of patches follows the DRR's mean variance but is held fixed in the derivative: a share of the floor
    # (1e-4 to 0.05) of the gradient is left out on purpose, in score and agreement alike.
    amounts = torch.zeros(3, 6, dtype=DOUBLE, requires_grad=True)
    score = Similarity((term,)).score(target, moving + torch.einsum("bp,bphw->bhw", amounts, jacobian), support)
    (slope,) = torch.autograd.grad(score.sum(), amounts)
    found = Similarity((term,)).agreement(target, moving, jacobian, support)
    # The same numbers by two ways, in double precision.
    torch.testing.assert_close(found.gradient, -slope, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(found.score, score.detach(), rtol=1e-12, atol=1e-12)


def test_the_gradient_alone_is_the_same(term):
    target, moving, jacobian, support = scene()
    similarity = Similarity((term, Term("sobel", weight=0.5)))
    full = similarity.agreement(target, moving, jacobian, support)
    alone = similarity.agreement(target, moving, jacobian, support, normals=False)
    # The same numbers by two ways, in double precision.
    torch.testing.assert_close(alone.gradient, full.gradient, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(alone.score, full.score, rtol=1e-12, atol=1e-12)
    assert full.normal.any() and alone.normal.shape == full.normal.shape and not alone.normal.any()
    assert not (alone.score.requires_grad or alone.gradient.requires_grad)


def test_terms_add_up_by_their_weights():
    target, moving, jacobian, support = scene()
    terms = (Term(weight=2.0), Term("gradient", window=6, stride=3, weight=0.5), Term("sobel", weight=1.5))
    found = Similarity(terms).agreement(target, moving, jacobian, support)
    parts = [Similarity((t,)).agreement(target, moving, jacobian, support) for t in terms]
    for name in ("score", "gradient", "normal"):
        mean = sum(t.weight * getattr(part, name) for t, part in zip(terms, parts, strict=True)) / 4.0
        torch.testing.assert_close(getattr(found, name), mean)
    torch.testing.assert_close(found.score, Similarity(terms).score(target, moving, support))


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_brightness_and_contrast_do_not_matter(term, dtype):
    target, moving, jacobian, support = scene()
    similarity = Similarity((term,))
    expected = similarity.agreement(target, moving, jacobian, support)
    for gain, offset in ((1e-2, 0.0), (30.0, 7.0), (0.2, -100.0 if dtype == DOUBLE else -3.0)):
        bright = Target((gain * target.image + offset).to(dtype), target.mask.to(dtype))
        found = similarity.agreement(
            bright, (moving / gain - offset).to(dtype), (jacobian / gain).to(dtype), support.to(dtype)
        )
        # float32: the offset is up to 3 / 0.2 / 0.5 = 30 times the contrast and leaves 30 * 6e-8 of it uncertain,
        # which the quotients of small patches enlarge; double: the guard of 1e-12 against variances of 1e-6 and less.
        tolerance = 2e-4 if dtype == torch.float32 else 2e-5
        torch.testing.assert_close(found.score.double(), expected.score, rtol=0, atol=tolerance)
        scale = expected.normal.abs().max()
        assert (found.normal.double() - expected.normal).abs().max() < 10 * tolerance * scale


def test_equal_images_score_one_and_negatives_minus_one():
    target, *_ = scene()
    for term in (Term(), Term("gradient"), Term("sobel")):
        similarity = Similarity((term,))
        score = similarity.score(target, torch.stack([3 * target.image + 1, -target.image]))
        torch.testing.assert_close(score, torch.tensor([1.0, -1.0], dtype=DOUBLE), rtol=0, atol=1e-9)


def test_in_patches_equal_images_score_one_but_for_the_floor():
    target, *_ = scene()
    score = Similarity((Term(window=5, floor=1e-6),)).score(target, target.image[None])
    assert 1 - 1e-4 < score.item() < 1


def test_a_perfect_match_has_no_gradient_and_a_positive_normal_matrix(term):
    target, _, jacobian, _ = scene()
    # A floor would leave a pull of its own size towards more contrast.
    similarity = Similarity((replace(term, floor=0.0),))
    found = similarity.agreement(target, target.image[None], jacobian[:1])
    # Where the target was blanked its filtered neighbours stay out, so the match is perfect in every window.
    assert found.gradient.abs().max() < 1e-9
    assert torch.linalg.eigvalsh(found.normal).min() > 0


@pytest.mark.parametrize("anything", [1e9, -1e30, math.nan, math.inf])
def test_unusable_pixels_may_hold_anything(term, anything):
    target, moving, jacobian, support = (
        Target(*(t.float() for t in (scene()[0].image, scene()[0].mask))),
        *(t.float() for t in scene()[1:]),
    )
    spoilt = Target(torch.where(target.mask > 0, target.image, anything), target.mask)
    similarity = Similarity((term,))
    expected = similarity.agreement(target, moving, jacobian, support)
    found = similarity.agreement(spoilt, moving, jacobian, support)
    for name in ("score", "gradient", "normal"):
        assert torch.equal(getattr(found, name), getattr(expected, name))
    assert torch.equal(similarity.score(spoilt, moving, support), similarity.score(target, moving, support))


def test_drr_pixels_outside_the_support_do_not_matter(term):
    target, moving, jacobian, support = scene()
    similarity = Similarity((term,))
    radius = 0 if term.filter == "none" else 3
    far = torch.nn.functional.max_pool2d(support[1:2], 2 * radius + 1, 1, radius) == 0
    assert far.any()
    other = torch.where(far, moving[1:2] + 50, moving[1:2])
    expected = similarity.agreement(target, moving[1:2], jacobian[1:2], support[1:2])
    found = similarity.agreement(target, other, jacobian[1:2], support[1:2])
    for name in ("score", "gradient", "normal"):
        # Centring on the usable mean leaves rounding only.
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("flat", ["target", "drr", "both", "mask", "support"])
def test_flat_images_and_empty_masks_score_zero(term, flat, dtype):
    target, moving, jacobian, support = scene()
    image, mask, moving = target.image.to(dtype), target.mask.to(dtype), moving.to(dtype)
    level = torch.tensor(2.0, dtype=dtype)
    image = level.expand(HEIGHT, WIDTH) if flat in ("target", "both") else image
    moving = (0 * level).expand(3, HEIGHT, WIDTH) if flat in ("drr", "both") else moving
    mask = torch.zeros_like(mask) if flat == "mask" else mask
    support = 0 * support if flat == "support" else support
    jacobian = 0 * jacobian if flat in ("drr", "both") else jacobian
    for normals in (True, False):
        found = Similarity((term,)).agreement(
            Target(image, mask), moving, jacobian.to(dtype), support.to(dtype), normals=normals
        )
        # Rounding of a flat image, 2e-7, over the guard of 1e-6 under the root, times a correlation with noise.
        assert found.score.abs().max() < 1e-2
        for part in (found.score, found.gradient, found.normal):
            assert torch.isfinite(part).all()
        if flat != "target":
            assert not found.gradient.any()


def test_agreements_add_and_scale_like_numbers():
    one = Agreement(torch.tensor([0.5]), torch.ones(1, 6), torch.eye(6)[None])
    total = (one + one).scaled(0.25)
    assert total.score.item() == 0.25 and torch.equal(total.gradient, 0.5 * one.gradient)
    assert torch.equal(total.normal, 0.5 * one.normal)


def test_one_support_serves_a_whole_batch(term):
    target, moving, jacobian, support = scene()
    similarity = Similarity((term,))
    shared = similarity.agreement(target, moving, jacobian, support[1:2])
    repeated = similarity.agreement(target, moving, jacobian, support[1:2].expand(3, -1, -1))
    torch.testing.assert_close(shared.score, repeated.score)
    torch.testing.assert_close(shared.normal, repeated.normal)
