"""The input of a network: any X-ray as the network's own camera (`network_camera`) would have taken it.

Two pinhole cameras with the same source and the same axes see the same rays, so the X-ray of one maps to that of the
other by K_old K_new^-1, exactly: the input does not depend on the detector's distance, pitch, skew or principal point.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...geometry import Camera
from ...scene import Radiograph
from ...settings import NetworkCamera
from .network_camera import pinhole

# Standard deviations from the mean beyond which inputs carry no information: metal and bare detector, seldom anatomy.
_MOST_DEVIATIONS = 4.0
# Least valid coverage of a pixel, as one covered by less than half would mostly show its neighbours; with a tolerance
# for rounding.
_LEAST_COVERED = 0.5 - 1e-6
# Share of the X-ray's range below which differences are rounding errors.
_FLAT = 1e-6
# Edge of the window for local contrast, a share of the image, and what is added to the deviation within it, a share of
# the deviation of the whole image: it keeps noise in flat places small.
_LOCAL_SHARE, _LOCAL_FLOOR = 1 / 7, 0.05


def to_network_camera(radiograph: Radiograph, camera: NetworkCamera) -> tuple[Tensor, Tensor]:
    """Attenuation (1, H, W) and valid (1, H, W) of an X-ray in the network's camera, float32 on the CPU.

    Each pixel is the mean of the X-ray's valid pixels over its own area, so nothing aliases; where the X-ray is the
    coarser, it is interpolated linearly. Pixels that the X-ray covers by less than half are not valid and hold 0.
    """
    new = pinhole(camera)
    # Both cameras have the last row 0 0 1, so this takes the pixel (u, v) to scale (u, v) + shift.
    old_from_new = radiograph.camera.matrix @ np.linalg.inv(new.matrix)
    dense = np.where(radiograph.valid, radiograph.attenuation, np.float32(0))
    # Sums of large numbers would cost digits of their small differences.
    offset = np.float32(dense.sum(dtype=np.float64) / max(1, np.count_nonzero(radiograph.valid)))
    np.subtract(dense, offset, out=dense, where=radiograph.valid)
    covered = _box_means(radiograph.valid.astype(np.float32), old_from_new, new)
    total = _box_means(dense, old_from_new, new)
    enough = covered >= _LEAST_COVERED
    attenuation = np.where(enough, total / np.maximum(covered, _LEAST_COVERED) + offset, 0)
    return _as_image(attenuation), _as_image(enough)


def network_input(attenuation: Tensor, valid: Tensor) -> Tensor:
    """The network input (B, 3, H, W) for images (B, H, W) and their valid pixels (B, H, W) of zeros and ones.

    First channel: the attenuation with zero mean and unit variance over the valid pixels, clipped at four standard
    deviations, 0 elsewhere: unchanged by gain and offset. Second channel: the valid pixels. Third channel: the first
    less its mean in a window, over the deviation there; haze, exposure and tone curve, which change slowly over the
    image, hardly change it. An image without valid pixels or without contrast gives zeros.
    """
    mask = valid.to(attenuation.dtype)
    # Invalid pixels may hold any value, even NaN.
    image = torch.where(valid > 0, attenuation, 0)
    count = mask.sum((-2, -1), keepdim=True).clamp(min=1)
    largest = image.abs().amax((-2, -1), keepdim=True)
    centred = (image - image.sum((-2, -1), keepdim=True) / count) * mask
    deviation = (centred.square().sum((-2, -1), keepdim=True) / count).sqrt()
    contrast = deviation > _FLAT * largest
    normal = torch.where(contrast, centred / torch.where(contrast, deviation, 1), 0)
    normal = normal.clamp(-_MOST_DEVIATIONS, _MOST_DEVIATIONS)
    return torch.stack([normal, mask, _local_contrast(normal, mask)], dim=1)


def _local_contrast(image: Tensor, mask: Tensor) -> Tensor:
    """Images (B, H, W) less their mean over the valid pixels of a window, over the deviation there; 0 elsewhere."""
    edge = 2 * round((image.shape[-1] * _LOCAL_SHARE - 1) / 2) + 1

    def means(values: Tensor) -> Tensor:
        # Along rows, then along columns: the same means from 2 instead of `edge` sums of `edge` pixels.
        in_rows = torch.nn.functional.avg_pool2d(values[:, None], (1, edge), stride=1, padding=(0, edge // 2))
        return torch.nn.functional.avg_pool2d(in_rows, (edge, 1), stride=1, padding=(edge // 2, 0))[:, 0]

    share = means(mask).clamp(min=1e-3)
    apart = (image - means(image * mask) / share) * mask
    return apart / ((means(apart.square()) / share).sqrt() + _LOCAL_FLOOR)


def _as_image(image: NDArray) -> Tensor:
    return torch.from_numpy(image.astype(np.float32))[None]


def _box_means(image: NDArray[np.float32], old_from_new: NDArray[np.float64], new: Camera) -> NDArray[np.float64]:
    """Means (H, W) of an image over the areas of the new camera's pixels, the image being 0 outside its border.

    An area is at least one pixel of the image wide: the mean over exactly one pixel is linear interpolation. Skew
    moves each row of areas sideways; the shear within a row, a fraction of a pixel, is neglected.
    """
    rows, columns = np.arange(new.height, dtype=np.float64), np.arange(new.width, dtype=np.float64)
    row_at = old_from_new[1, 1] * rows + old_from_new[1, 2]
    column_at = old_from_new[0, 0] * columns + old_from_new[0, 1] * rows[:, None] + old_from_new[0, 2]
    bands = _shares(row_at, max(1.0, old_from_new[1, 1]), image.shape[0]) @ image
    half = max(1.0, old_from_new[0, 0]) / 2
    # Cumulative sums from the left edge; their differences are sums over intervals.
    edges = np.arange(image.shape[1] + 1) - 0.5
    sums = np.pad(np.cumsum(bands, axis=1, dtype=np.float64), ((0, 0), (1, 0)))
    between = [
        np.interp(at + half, edges, line) - np.interp(at - half, edges, line)
        for at, line in zip(column_at, sums, strict=True)
    ]
    return np.stack(between) / (2 * half)


def _shares(at: NDArray[np.float64], length: float, count: int) -> NDArray[np.float32]:
    """Shares (N, count) of `count` pixels, n from n - 0.5 to n + 0.5, in intervals of a length centred at `at` (N,)."""
    pixels = np.arange(count)
    last = np.minimum(at[:, None] + length / 2, pixels + 0.5)
    first = np.maximum(at[:, None] - length / 2, pixels - 0.5)
    return (np.clip(last - first, 0, None) / length).astype(np.float32)
