"""Appearance of X-rays of one pose: the parameters of a batch of images, and their effect on line integrals.

The images are attenuation as `scene.Radiograph` gives it for a real X-ray: line integrals recovered from a recording,
correct up to a monotonic tone curve, with a mask of the pixels known to be image.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from . import effects

# Cosine orders of the slowly varying gain along each axis: constant, tilt and two curvatures.
GAIN_ORDERS = 4
# Transmission of a closed collimator (2 mm of lead, and scatter behind it).
_LEAKAGE = 0.002
# Line integral below which pixels count as air, and mean line integral of a trunk outside air.
_THIN, _TRUNK = 0.05, 3.0


@dataclass(frozen=True, eq=False)
class Rods:
    """Rods of metal or tissue in some images of a batch.

    image: (N,) index of its image. start, end, radius: see `effects.rods`. depth: (N,) attenuation of the longest
    path through it.
    """

    image: Tensor
    start: Tensor
    end: Tensor
    radius: Tensor
    depth: Tensor


@dataclass(frozen=True, eq=False)
class Shapes:
    """Rounded rectangles in some images of a batch: fields of collimators, borders of X-rays, patches.

    image: (N,) index of its image. centre, half, angle, corner: see `effects.opening`.
    """

    image: Tensor
    centre: Tensor
    half: Tensor
    angle: Tensor
    corner: Tensor


@dataclass(frozen=True, eq=False)
class Appearance:
    """Sampled appearance of a batch of B square images; tensors are (B,) unless stated otherwise.

    low_energy, bone_contrast, scatter, noise, gamma, s_curve, inverted: see `settings.AppearanceSettings`.
    scatter_width: share of the image. gain: (B, 4, 4) coefficients of `effects.slow_field`.
    blur: variance [pixels squared], below 0 to sharpen. noise_seed: of the photon noise, drawn where it is used.
    clip: (B, 2) shares of the tonal range clipped at its thin and at its dense end.
    fields: exposed regions. unseen: (N,) which of the fields do not reduce the valid mask. patches: regions overwritten
    with patch_tone (N,), a share of the tonal range; at most one per image. rods: metal. flesh, bones: surroundings of
    a part that was cut out of the body.
    """

    low_energy: Tensor
    bone_contrast: Tensor
    scatter: Tensor
    scatter_width: Tensor
    gain: Tensor
    blur: Tensor
    noise: Tensor
    noise_seed: int
    gamma: Tensor
    s_curve: Tensor
    clip: Tensor
    inverted: Tensor
    fields: Shapes
    unseen: Tensor
    patches: Shapes
    patch_tone: Tensor
    rods: Rods
    flesh: Rods
    bones: Rods

    def summary(self) -> dict[str, float]:
        """Means over the batch, and the shares of its images with fields, patches and rods, for a log."""
        count = max(1, len(self.noise))
        numbers = ("low_energy", "bone_contrast", "scatter", "blur", "noise", "gamma", "s_curve", "inverted")
        told = {name: float(getattr(self, name).double().mean()) for name in numbers}
        told["gain"] = float(self.gain.double().square().sum((1, 2)).mean().sqrt())
        for name in ("fields", "patches", "rods", "flesh", "bones"):
            told[name] = len(getattr(self, name).image.unique()) / count
        return told


def no_appearance(count: int) -> Appearance:
    """The identity for `count` images: attenuation is the sum of both parts and everything is image."""
    zeros, ones = torch.zeros(count), torch.ones(count)
    nowhere, none = torch.zeros(0, dtype=torch.long), torch.zeros(0)
    nothing = Shapes(nowhere, torch.zeros(0, 2), torch.zeros(0, 2), none, none)
    no_rods = Rods(nowhere, torch.zeros(0, 2), torch.zeros(0, 2), none, none)
    return Appearance(
        low_energy=zeros,
        bone_contrast=ones,
        scatter=zeros,
        scatter_width=ones,
        gain=torch.zeros(count, GAIN_ORDERS, GAIN_ORDERS),
        blur=zeros,
        noise=zeros,
        noise_seed=0,
        gamma=ones,
        s_curve=zeros,
        clip=torch.zeros(count, 2),
        inverted=torch.zeros(count, dtype=torch.bool),
        fields=nothing,
        unseen=torch.zeros(0, dtype=torch.bool),
        patches=nothing,
        patch_tone=none,
        rods=no_rods,
        flesh=no_rods,
        bones=no_rods,
    )


@torch.no_grad()
def apply_appearance(appearance: Appearance, integrals: Tensor) -> tuple[Tensor, Tensor]:
    """Attenuation (B, H, W) as recovered from X-rays, and the valid mask (B, H, W), 0 or 1.

    integrals: soft and bony part (B, 2, H, W) of square images. The results are on the integrals' device.
    """
    here = _on_device(appearance, integrals.device)
    px = integrals.shape[-1]
    if len(here.flesh.image) or len(here.bones.image):
        soft, bone = integrals.unbind(1)
        integrals = torch.stack([_with(soft, here.flesh), _with(bone, here.bones)], 1)
    arriving = effects.transmission(integrals, here.low_energy, here.bone_contrast)
    if len(here.rods.image):
        arriving *= _with(torch.zeros_like(arriving), here.rods).neg_().exp_()
    lit, valid = _lit(here, arriving)
    arriving *= lit
    arriving += effects.scattered(arriving, here.scatter * _thickness(integrals), here.scatter_width)
    arriving *= effects.slow_field(here.gain, px).exp_()
    arriving = effects.blurred(arriving, here.blur)
    recorded = _read_back(_noisy(arriving, here), arriving)
    low, high = _range(recorded, valid)
    span = high - low
    image = effects.tone(
        recorded, low + span * here.clip[:, 0], high - span * here.clip[:, 1], here.gamma, here.s_curve
    )
    image = torch.where(here.inverted[:, None, None], (low + high)[:, None, None] - image, image)
    return _painted(image, here, low, span), valid


def _with(image: Tensor, rods: Rods) -> Tensor:
    """Line integrals (B, H, W) plus those through the rods."""
    paths = rods.depth[:, None, None] * effects.rods(rods.start, rods.end, rods.radius, image.shape[-1])
    return image.index_add(0, rods.image, paths)


def _lit(appearance: Appearance, like: Tensor) -> tuple[Tensor, Tensor]:
    """Share of the beam that reaches each pixel (B, H, W), and the valid mask."""
    shapes = appearance.fields
    if not len(shapes.image):
        return torch.ones_like(like), torch.ones_like(like)
    openings = effects.opening(shapes.centre, shapes.half, shapes.angle, shapes.corner, like.shape[-1])
    # The edge of a field is masked with the region beyond it, as in scene.find_field.
    hidden = ((openings < 1) & ~appearance.unseen[:, None, None]).to(like)
    closed = torch.zeros_like(like).index_add_(0, shapes.image, 1 - openings).clamp_max_(1)
    unknown = torch.zeros_like(like).index_add_(0, shapes.image, hidden)
    return 1 - (1 - _LEAKAGE) * closed, (unknown == 0).to(like)


def _thickness(integrals: Tensor) -> Tensor:
    """Relative patient thickness (B,), 0 to 1 for a trunk: a hand scatters little."""
    depth = integrals.sum(1)
    behind = depth > _THIN
    mean = (depth * behind).sum((1, 2)) / behind.sum((1, 2)).clamp_min(1)
    return (mean / _TRUNK).clamp_max(1)


def _noisy(arriving: Tensor, appearance: Appearance) -> Tensor:
    """Photon noise: its variance grows with the intensity."""
    generator = torch.Generator(arriving.device).manual_seed(appearance.noise_seed)
    draws = torch.randn(arriving.shape, generator=generator, device=arriving.device)
    return arriving + draws * arriving.clamp_min(0).sqrt_() * appearance.noise[:, None, None]


def _read_back(recorded: Tensor, noiseless: Tensor) -> Tensor:
    """Attenuation of a recording; values below half of the darkest tissue's are treated as noise."""
    floor = 0.5 * noiseless.amin((1, 2), keepdim=True).clamp_min(1e-6)
    return torch.maximum(recorded, floor).log_().neg_()


def _range(image: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Minimum and maximum (B,) of each image over its valid pixels; over all pixels where none is valid."""
    hidden = (valid == 0) & valid.any(1).any(1)[:, None, None]
    low = image.masked_fill(hidden, torch.inf).amin((1, 2))
    return low, image.masked_fill(hidden, -torch.inf).amax((1, 2))


def _painted(image: Tensor, appearance: Appearance, low: Tensor, span: Tensor) -> Tensor:
    shapes = appearance.patches
    if not len(shapes.image):
        return image
    masks = effects.opening(shapes.centre, shapes.half, shapes.angle, shapes.corner, image.shape[-1])
    tones = low[shapes.image] + span[shapes.image] * appearance.patch_tone
    return image.index_copy(0, shapes.image, image[shapes.image].lerp_(tones[:, None, None].expand_as(masks), masks))


Held = TypeVar("Held", bound=Appearance | Shapes | Rods)


def _on_device(held: Held, device: torch.device) -> Held:
    """A copy with its tensors on another device."""
    moved: dict[str, Any] = {}
    for item in fields(held):
        value = getattr(held, item.name)
        if isinstance(value, Tensor):
            moved[item.name] = value.to(device)
        elif isinstance(value, Shapes | Rods):
            moved[item.name] = _on_device(value, device)
    return replace(held, **moved)
