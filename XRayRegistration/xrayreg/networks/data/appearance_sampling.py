"""Sampling the appearance of a batch: every number from one generator, on the CPU, so that it is reproducible."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...checks import InputError
from ...settings import AppearanceSettings
from .appearance import GAIN_ORDERS, Appearance, Rods, Shapes

# The gain's variation along each axis decays with this power of its order.
_GAIN_DECAY = 1.0
# Largest share of the tonal range clipped at the thin end, where exposure for the densest bone saturates skin and
# limbs, and at the dense end.
_CLIP = (0.45, 0.1)
# Metal: ranges of radius, length (shares of the image's edge) and attenuation, of wires, of rods and screws, of
# balls and screw heads along the beam, and of plates and cushions.
_METAL = torch.tensor(
    [
        [0.001, 0.004, 0.15, 1.2, 0.4, 2.5],
        [0.006, 0.025, 0.08, 0.6, 1.5, 5.0],
        [0.005, 0.030, 0.00, 0.0, 1.5, 5.0],
        [0.030, 0.150, 0.20, 1.2, 0.1, 0.6],
    ]
)
_MOST_RODS = 4
# Surroundings of a part cut out of the body: ranges of number, radius and length (shares of the image's edge), and
# attenuation per radius: that of water and of bone through a field of some 280 mm at the patient.
_FLESH = (1, 3, 0.05, 0.5, 0.1, 1.0, 10.0)
_BONES = (3, 8, 0.008, 0.04, 0.05, 0.5, 20.0)


def sample_appearance(
    settings: AppearanceSettings, count: int, generator: torch.Generator, partial: bool = False
) -> Appearance:
    """The appearance of `count` images; raises InputError for invalid ranges.

    partial: whether they show a part cut out of the body, so that its surroundings have to be synthesised.
    """
    _require_ranges(settings)
    dice = _Dice(generator, count)
    blur = dice.between(*settings.blur_px)
    fields, unseen = _sample_fields(settings, dice)
    erased = dice.numbers_of(settings.erasing)
    size = dice.uniform(0.04, 0.2, len(erased), 2)
    return Appearance(
        low_energy=dice.between(*settings.low_energy),
        bone_contrast=dice.log_between(*settings.bone_contrast),
        scatter=dice.sometimes(settings.chance, dice.between(*settings.scatter), 0.0),
        scatter_width=dice.between(0.05, 0.25),
        gain=_sample_gain(settings, dice),
        blur=blur * blur.abs(),
        noise=dice.log_between(*settings.noise),
        noise_seed=int(torch.randint(2**62, (), generator=generator)),
        gamma=dice.sometimes(settings.chance, dice.log_between(*settings.gamma), 1.0),
        s_curve=dice.sometimes(settings.chance, dice.between(*settings.s_curve), 0.0),
        clip=torch.stack([dice.sometimes(settings.chance, dice.between(0.0, most), 0.0) for most in _CLIP], -1),
        inverted=dice.chosen(settings.inversion),
        fields=fields,
        unseen=unseen,
        patches=Shapes(
            erased,
            dice.uniform(0.0, 1.0, len(erased), 2),
            size,
            dice.uniform(-0.3, 0.3, len(erased)),
            torch.zeros(len(erased)),
        ),
        patch_tone=dice.uniform(0.0, 1.0, len(erased)),
        rods=_sample_rods(settings, dice),
        flesh=_sample_tissue(dice, settings.surroundings if partial else 0.0, _FLESH),
        bones=_sample_tissue(dice, settings.surroundings if partial else 0.0, _BONES),
    )


def _require_ranges(settings: AppearanceSettings) -> None:
    for name in ("bone_contrast", "low_energy", "scatter", "noise", "gamma"):
        low, high = getattr(settings, name)
        drawn_by_logarithm = name in ("bone_contrast", "noise", "gamma")
        if not (0 < low <= high if drawn_by_logarithm else 0 <= low <= high):
            raise InputError(
                f"appearance, {name}",
                expected=f"two rising numbers {'above' if drawn_by_logarithm else 'of at least'} 0",
                found=f"{low:g} and {high:g}",
                remedy="correct the setting",
            )


class _Dice:
    """Draws for `count` images from one generator."""

    def __init__(self, generator: torch.Generator, count: int) -> None:
        self.generator, self.count = generator, count

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=self.generator)

    def between(self, low: float, high: float) -> Tensor:
        """(count,) uniform between two numbers."""
        return self.uniform(low, high, self.count)

    def log_between(self, low: float, high: float) -> Tensor:
        """(count,) log-uniform between two numbers above 0."""
        return self.between(math.log(low), math.log(high)).exp()

    def chosen(self, share: float) -> Tensor:
        """(count,) True for a random share of the images."""
        return torch.rand(self.count, generator=self.generator) < share

    def sometimes(self, share: float, values: Tensor, otherwise: float) -> Tensor:
        """`values` (count,) for a share of the images, `otherwise` for the others."""
        return torch.where(self.chosen(share), values, otherwise)

    def numbers_of(self, share: float) -> Tensor:
        """The indices (N,) of a random share of the images."""
        return self.chosen(share).nonzero()[:, 0]


def _sample_gain(settings: AppearanceSettings, dice: _Dice) -> Tensor:
    order = 1 + torch.arange(GAIN_ORDERS, dtype=torch.float32)
    weight = (order[:, None] * order[None, :]) ** -_GAIN_DECAY
    # A constant factor is not a variation.
    weight[0, 0] = 0.0
    weight = weight / weight.square().sum().sqrt()
    draws = torch.randn(dice.count, GAIN_ORDERS, GAIN_ORDERS, generator=dice.generator)
    strength = dice.sometimes(settings.chance, dice.between(0.0, 2.0 * settings.gain), 0.0)
    return draws * weight * strength[:, None, None]


def _sample_fields(settings: AppearanceSettings, dice: _Dice) -> tuple[Shapes, Tensor]:
    """Collimators, round or with blades, and the borders of X-rays that are smaller than the image."""
    collimated, truncated = dice.numbers_of(settings.collimation), dice.numbers_of(settings.truncation)
    many, few = len(collimated), len(truncated)
    round_field = dice.uniform(0.0, 1.0, many) < 0.5
    half = dice.uniform(0.28, 0.55, many, 2)
    half = torch.where(round_field[:, None], half[:, :1].clamp_min(0.33), half)
    corner = torch.where(round_field, half[:, 0], dice.uniform(0.0, 0.1, many))
    border = Shapes(
        truncated,
        dice.uniform(0.4, 0.6, few, 2),
        dice.uniform(0.3, 0.5, few, 2),
        torch.zeros(few),
        torch.zeros(few),
    )
    collimator = Shapes(
        collimated,
        dice.uniform(0.38, 0.62, many, 2),
        half,
        dice.uniform(-0.5, 0.5, many) * dice.uniform(0.0, 1.0, many).round(),
        corner,
    )
    unseen = dice.uniform(0.0, 1.0, many) < settings.unseen
    pairs = zip(vars(collimator).values(), vars(border).values(), strict=True)
    return Shapes(*(torch.cat(pair) for pair in pairs)), torch.cat([unseen, torch.zeros(few, dtype=torch.bool)])


def _sample_rods(settings: AppearanceSettings, dice: _Dice) -> Rods:
    images = dice.numbers_of(settings.instruments)
    each = torch.randint(1, _MOST_RODS + 1, (len(images),), generator=dice.generator)
    image = images.repeat_interleave(each)
    number = len(image)
    kind = _METAL[torch.randint(len(_METAL), (number,), generator=dice.generator)]
    radius, length, depth = (
        kind[:, low] + (kind[:, low + 1] - kind[:, low]) * dice.uniform(0.0, 1.0, number) for low in (0, 2, 4)
    )
    middle, along = dice.uniform(0.1, 0.9, number, 2), _along(dice, length)
    return Rods(image, middle - along, middle + along, radius, depth)


def _sample_tissue(dice: _Dice, share: float, kind: tuple[int, int, float, float, float, float, float]) -> Rods:
    """Rods of tissue in a share of the images, as thick as they are broad or somewhat thinner."""
    fewest, most, thin, thick, short, long, dense = kind
    images = dice.numbers_of(share)
    image = images.repeat_interleave(torch.randint(fewest, most + 1, (len(images),), generator=dice.generator))
    number = len(image)
    radius = dice.uniform(math.log(thin), math.log(thick), number).exp()
    along = _along(dice, dice.uniform(short, long, number))
    middle = dice.uniform(0.0, 1.0, number, 2)
    return Rods(image, middle - along, middle + along, radius, dense * radius * dice.uniform(0.5, 1.1, number))


def _along(dice: _Dice, length: Tensor) -> Tensor:
    """Half axes (N, 2) of rods of given length in random directions."""
    angle = dice.uniform(0.0, math.pi, len(length))
    return torch.stack([angle.cos(), angle.sin()], -1) * (length / 2)[:, None]
