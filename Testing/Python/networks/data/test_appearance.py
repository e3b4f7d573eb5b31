"""The appearance of training images: drawn from a generator, applied without one, and of the kind real X-rays have."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from xrayreg.checks import InputError
from xrayreg.networks.data.appearance import Appearance, apply_appearance, no_appearance
from xrayreg.networks.data.appearance_sampling import sample_appearance
from xrayreg.networks.model.input_image import network_input
from xrayreg.scene import line_integrals
from xrayreg.settings import AppearanceSettings

PX = 64
# Every effect in every image.
EVERYTHING = AppearanceSettings(
    chance=1.0, inversion=0.5, collimation=1.0, unseen=0.5, truncation=1.0, erasing=1.0, instruments=1.0
)
# None but what has no share.
CALM = AppearanceSettings(
    chance=0.0, inversion=0.0, collimation=0.0, unseen=0.0, truncation=0.0, erasing=0.0, instruments=0.0
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def body(count: int) -> torch.Tensor:
    """Soft and bony line integrals (count, 2, PX, PX) of a lump with a dense core, air around it."""
    places = (torch.arange(PX) + 0.5) / PX
    squared = (places[:, None] - 0.5) ** 2 + (places - 0.45) ** 2
    soft, bone = 3.0 * (1 - squared / 0.16).clamp_min(0), 1.5 * (1 - squared / 0.02).clamp_min(0)
    return torch.stack([soft, bone]).expand(count, 2, PX, PX).clone()


def tensors(appearance: Appearance) -> dict[str, torch.Tensor]:
    flat = {}
    for item in fields(appearance):
        value = getattr(appearance, item.name)
        if isinstance(value, torch.Tensor):
            flat[item.name] = value
        elif not isinstance(value, int):
            flat |= {f"{item.name}.{name}": inner for name, inner in vars(value).items()}
    return flat


def test_no_appearance_is_the_sum_of_both_parts():
    integrals = body(3)
    image, valid = apply_appearance(no_appearance(3), integrals)
    torch.testing.assert_close(image, integrals.sum(1), atol=2e-6, rtol=1e-5)
    assert bool((valid == 1).all())


def test_the_same_generator_draws_the_same_and_applying_draws_nothing_anew():
    first, again, other = (sample_appearance(EVERYTHING, 16, generator(seed)) for seed in (3, 3, 4))
    for name, tensor in tensors(first).items():
        assert torch.equal(tensor, tensors(again)[name]), name
    assert first.noise_seed == again.noise_seed != other.noise_seed
    torch.manual_seed(1)
    image, valid = apply_appearance(first, body(16))
    torch.manual_seed(2)
    image_again, valid_again = apply_appearance(first, body(16))
    assert torch.equal(image, image_again) and torch.equal(valid, valid_again)


def test_whatever_is_drawn_the_images_are_finite_and_the_mask_is_one():
    appearance = sample_appearance(EVERYTHING, 256, generator())
    given = body(256)
    image, valid = apply_appearance(appearance, given)
    assert torch.equal(given, body(256)), "the line integrals belong to the caller"
    assert bool(image.isfinite().all()) and set(valid.unique().tolist()) == {0.0, 1.0}
    assert image.shape == valid.shape == (256, PX, PX) and image.dtype == torch.float32
    # Each shows something of the body still.
    assert float(valid.mean((1, 2)).min()) > 0.02


def test_shares_are_those_asked_for():
    settings = replace(
        CALM, chance=0.3, collimation=0.4, truncation=0.0, erasing=0.2, instruments=0.25, inversion=0.1, unseen=0.5
    )
    many = 4000
    drawn = sample_appearance(settings, many, generator())
    told = drawn.summary()
    shares = {
        "scatter": float((drawn.scatter > 0).float().mean()),
        "gamma": float((drawn.gamma != 1).float().mean()),
        "clip": float((drawn.clip[:, 0] > 0).float().mean()),
    }
    expected = {"scatter": 0.3, "gamma": 0.3, "clip": 0.3, "fields": 0.4, "patches": 0.2, "rods": 0.25, "inverted": 0.1}
    for name, share in expected.items():
        # Four standard errors of a share.
        assert abs(shares.get(name, told.get(name, 0)) - share) < 4 * math.sqrt(share * (1 - share) / many), name
    assert abs(float(drawn.unseen.float().mean()) - 0.5) < 4 * math.sqrt(0.25 / len(drawn.unseen))


@pytest.mark.parametrize("name", ["bone_contrast", "low_energy", "noise", "gamma"])
def test_numbers_stay_in_their_ranges_and_fill_them(name):
    low, high = getattr(AppearanceSettings(), name)
    drawn = getattr(sample_appearance(replace(CALM, chance=1.0), 4000, generator()), name)
    assert low - 1e-6 <= float(drawn.min()) < low + 0.02 * (high - low)
    assert high + 1e-6 >= float(drawn.max()) > high - 0.02 * (high - low)


def test_without_its_effects_the_order_of_grey_values_is_that_of_the_body():
    settings = replace(CALM, noise=(1e-9, 1e-9), blur_px=(0.0, 0.0), bone_contrast=(0.9, 1.1), chance=1.0, gain=0.0)
    drawn = replace(sample_appearance(settings, 32, generator()), scatter=torch.zeros(32), clip=torch.zeros(32, 2))
    image, _ = apply_appearance(drawn, body(32))
    column = image[:, PX // 2, : int(0.45 * PX)]
    assert float(column.diff(dim=1).min()) > -1e-4


def test_noise_is_that_of_photons():
    noise = 0.01
    for depth in (0.0, 2.0, 4.0):
        integrals = torch.zeros(4, 2, PX, PX)
        integrals[:, 0] = depth
        image, _ = apply_appearance(replace(no_appearance(4), noise=torch.full((4,), noise), noise_seed=5), integrals)
        # The clip at the ends of the range touches no pixel; relative noise is sigma / sqrt(transmission).
        assert float(image.std()) == pytest.approx(noise * math.exp(depth / 2), rel=0.03)


def test_a_field_is_left_out_of_the_mask_unless_it_goes_unseen():
    settings = replace(CALM, collimation=1.0)
    drawn = sample_appearance(settings, 64, generator())
    integrals = body(64)
    image, valid = apply_appearance(drawn, integrals)
    assert float(valid.mean((1, 2)).max()) < 1
    unseen = replace(drawn, unseen=torch.ones_like(drawn.unseen))
    image_unseen, valid_unseen = apply_appearance(unseen, integrals)
    assert bool((valid_unseen == 1).all())
    # The shadow is dark, that is dense: lead lets 0.2 % through.
    shadow = (valid == 0) & (torch.nn.functional.max_pool2d(valid, 5, 1, 2) == 0)
    assert float(image_unseen[shadow].min()) > float(integrals.sum(1)[:, :4].max()) + 3
    assert float(image[valid == 1].max()) < float(image_unseen[shadow].max())


def test_metal_is_dense_and_a_patch_is_flat():
    integrals = body(64)
    drawn = sample_appearance(replace(CALM, noise=(1e-9, 1e-9), blur_px=(0.0, 0.0), instruments=1.0), 64, generator())
    bare = replace(drawn, rods=no_appearance(64).rods)
    with_metal, without = apply_appearance(drawn, integrals)[0], apply_appearance(bare, integrals)[0]
    assert float((with_metal - without).min()) > -1e-3
    assert float((with_metal - without).amax((1, 2)).median()) > 0.3
    patched = sample_appearance(replace(CALM, erasing=1.0), 1, generator(3))
    patched = replace(patched, patches=replace(patched.patches, centre=torch.tensor([[0.5, 0.5]])))
    image, valid = apply_appearance(patched, body(1))
    half = int(float(patched.patches.half.min()) * PX / 2)
    assert half >= 1
    inside = image[0, PX // 2 - half : PX // 2 + half, PX // 2 - half : PX // 2 + half]
    assert float(inside.max() - inside.min()) < 1e-5
    assert bool((valid == 1).all()), "nobody tells a network where a marker was painted"


def test_an_image_is_what_a_radiograph_of_the_same_beam_gives():
    settings = replace(CALM, noise=(1e-9, 1e-9), blur_px=(0.0, 0.0))
    drawn = sample_appearance(settings, 1, generator())
    image, valid = apply_appearance(drawn, body(1))
    counts = np.rint(60000 * np.exp(-image[0].numpy())).astype(np.float32)
    attenuation, _ = line_integrals(counts, valid[0].numpy() > 0, "transmission")
    real = network_input(torch.from_numpy(attenuation)[None], valid)
    # 16 bits of counts, and the darkest half per cent, which the house takes for noise.
    assert float((real - network_input(image, valid)).abs().max()) < 0.05


def test_a_log_is_told_means_and_shares():
    told = sample_appearance(AppearanceSettings(), 64, generator()).summary()
    assert all(isinstance(value, float) and math.isfinite(value) for value in told.values())
    assert {"noise", "gain", "fields", "rods"} <= set(told)


@pytest.mark.parametrize("change", [{"noise": (0.0, 0.1)}, {"gamma": (1.5, 0.5)}, {"scatter": (-0.1, 0.2)}])
def test_ranges_that_are_none_are_refused(change):
    with pytest.raises(InputError, match="two rising numbers"):
        sample_appearance(replace(CALM, **change), 1, generator())


def test_a_thin_limb_scatters_less_than_a_trunk():
    scattering = replace(no_appearance(1), scatter=torch.tensor([0.8]), scatter_width=torch.tensor([0.1]))
    lost = []
    for thickness in (0.1, 1.0):
        integrals = thickness * body(1)
        lost.append(float((integrals.sum(1) - apply_appearance(scattering, integrals)[0]).max()))
    # Scatter of s times the primary takes log(1 + s) off the attenuation.
    assert lost[0] < 0.15 and lost[1] > 0.4


def test_a_part_cut_out_of_the_body_is_surrounded_by_tissue_and_a_whole_body_is_not():
    whole, part = (sample_appearance(AppearanceSettings(), 400, generator(), partial) for partial in (False, True))
    assert whole.summary()["flesh"] == whole.summary()["bones"] == 0
    # Four standard errors of a share.
    assert abs(part.summary()["flesh"] - 0.7) < 4 * math.sqrt(0.7 * 0.3 / 400)
    calm = replace(CALM, noise=(1e-9, 1e-9), blur_px=(0.0, 0.0), surroundings=1.0)
    drawn = sample_appearance(calm, 16, generator(), partial=True)
    bare = replace(drawn, flesh=no_appearance(16).flesh, bones=no_appearance(16).bones)
    more = apply_appearance(drawn, body(16))[0] - apply_appearance(bare, body(16))[0]
    assert float(more.min()) > -1e-3 and float(more.amax((1, 2)).min()) > 0.1
