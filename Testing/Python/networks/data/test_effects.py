"""What may happen to an X-ray, effect by effect, against closed forms and the physics simulator."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from xrayreg.networks.data import effects
from xrayreg.simulation.detector import scatter_field
from xrayreg.simulation.materials import mass_attenuation

PX = 64


def ones(count: int = 1) -> torch.Tensor:
    return torch.ones(count)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_low_energy_attenuates_as_the_tables_say():
    for name, factor in (("water", effects.WATER_40_KEV), ("bone", effects.BONE_40_KEV)):
        low, high = mass_attenuation(name, [40.0, 70.0])
        assert factor == pytest.approx(low / high, rel=2e-3)


def test_one_energy_obeys_beer_and_lambert():
    integrals = 5 * torch.rand(3, 2, 8, 8, generator=generator())
    passed = effects.transmission(integrals, torch.zeros(3), torch.tensor([1.0, 0.5, 2.0]))
    for image, (soft, bone), contrast in zip(passed, integrals, (1.0, 0.5, 2.0), strict=True):
        torch.testing.assert_close(-image.log(), soft + contrast * bone)


def test_two_energies_harden_the_beam():
    thickness = torch.linspace(1e-3, 8, 50)
    integrals = torch.stack([thickness, torch.zeros(50)])[None, :, None].expand(1, 2, 1, 50)
    share = 0.6
    attenuation = -effects.transmission(integrals, share * ones(), ones())[0, 0].log()
    slope = attenuation.diff() / thickness.diff()
    # It starts at the mean of both energies' attenuation and falls towards the higher energy's.
    assert float(slope[0]) == pytest.approx(1 - share + share * effects.WATER_40_KEV, rel=0.02)
    assert bool((slope.diff() < 0).all()) and 1.0 < float(slope[-1]) < 1.1


def test_scatter_has_the_ratio_and_the_shape_that_the_physics_simulator_gives():
    # A body that lets little through, with so much air around it that the borders do not matter.
    places = (np.arange(PX) + 0.5) / PX
    body = 4 * np.exp(-((places[:, None] - 0.45) ** 2 + (places - 0.55) ** 2) / 0.01)
    primary = np.exp(-body)
    expected = scatter_field(primary, 0.7, 0.12 * PX)
    found = effects.scattered(torch.from_numpy(primary).float()[None], 0.7 * ones(), 0.12 * ones())[0].numpy()
    behind = primary < 0.95
    assert found[behind].sum() / primary[behind].sum() == pytest.approx(0.7, rel=1e-3)
    # What differs are the cosines left out and the border.
    assert np.abs(found - expected).max() < 0.02 * expected.max()


def test_a_slow_field_is_a_sum_of_cosines_of_unit_variance():
    coefficients = torch.randn(2, 4, 4, generator=generator())
    coefficients[:, 0, 0] = 0
    field = effects.slow_field(coefficients, PX)
    torch.testing.assert_close(field.mean((1, 2)), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(field.square().mean((1, 2)), coefficients.square().sum((1, 2)))


@pytest.mark.parametrize("variance", [-0.2, 0.0, 0.3, 1.0])
def test_blur_spreads_by_its_variance_and_keeps_the_mass(variance):
    impulse = torch.zeros(1, 21, 21)
    impulse[0, 10, 10] = 1
    spread = effects.blurred(impulse, variance * ones())[0]
    offset = torch.arange(21.0) - 10
    assert float(spread.sum()) == pytest.approx(1, abs=1e-5)
    for axis in (0, 1):
        assert float((spread.sum(axis) * offset**2).sum()) == pytest.approx(variance, abs=1e-5)


def test_blur_leaves_a_constant_image_alone_up_to_its_border():
    torch.testing.assert_close(effects.blurred(3 * torch.ones(1, 9, 9), ones()), 3 * torch.ones(1, 9, 9))


def test_every_tone_curve_rises_from_one_end_to_the_other_and_clips_beyond():
    count = 200
    gamma = 0.5 + 1.5 * torch.rand(count, generator=generator(1))
    s_curve = -0.5 + 1.5 * torch.rand(count, generator=generator(2))
    values = torch.linspace(-1, 5, 601).expand(count, 1, 601)
    curve = effects.tone(values, ones(count), 3 * ones(count), gamma, s_curve)[:, 0]
    inside = (values[:, 0] > 1.02) & (values[:, 0] < 2.98)
    rise = curve.diff(dim=1)
    assert float(rise.min()) >= -1e-6 and float(rise[inside[:, 1:]].min()) > 0
    torch.testing.assert_close(curve[:, [0, 200]], torch.ones(count, 2))
    torch.testing.assert_close(curve[:, [400, 600]], 3 * torch.ones(count, 2))
    same = effects.tone(values[:1], -2 * ones(), 6 * ones(), ones(), torch.zeros(1))
    torch.testing.assert_close(same, values[:1])


def test_an_opening_has_the_area_of_its_rectangle_or_circle_however_it_is_turned():
    half = torch.tensor([[0.3, 0.2], [0.3, 0.2], [0.25, 0.25]])
    openings = effects.opening(
        torch.tensor([[0.5, 0.5], [0.47, 0.55], [0.52, 0.48]]),
        half,
        torch.tensor([0.0, 0.6, 0.0]),
        torch.tensor([0.0, 0.0, 0.25]),
        256,
    )
    area = openings.mean((1, 2))
    # Half a pixel along the boundary at most, of which chance takes most.
    torch.testing.assert_close(area, torch.tensor([0.24, 0.24, math.pi / 16]), rtol=5e-3, atol=0)
    assert openings.min() == 0 and openings.max() == 1
    # A circle's centre of mass tells columns from rows.
    rows, columns = ndimage.center_of_mass(openings[2].numpy())
    assert (columns + 0.5) / 256 == pytest.approx(0.52, abs=1e-3) and (rows + 0.5) / 256 == pytest.approx(
        0.48, abs=1e-3
    )


def test_a_rod_keeps_its_mass_when_it_is_thinner_than_a_pixel():
    start, end = torch.tensor([[0.1, 0.5]]), torch.tensor([[0.9, 0.52]])
    for radius in (0.001, 0.004, 0.03):
        paths = effects.rods(start, end, radius * ones(), 256)[0]
        # Across the rod a half ellipse of width 2 radius and height 1 (or less, when it is spread).
        across = float(paths[:, 100:150].sum(0).mean()) / 256
        assert across == pytest.approx(radius * math.pi / 2, rel=0.05)
        assert float(paths.max()) <= 1
    assert not paths[:100].any()


def test_nothing_depends_on_how_many_pixels_there_are():
    coarse, fine = (
        torch.nn.functional.avg_pool2d(
            effects.opening(torch.tensor([[0.4, 0.6]]), torch.tensor([[0.3, 0.2]]), ones() * 0.4, ones() * 0.05, px)
            + effects.slow_field(torch.tensor([[[0.0, 0.3], [0.2, 0.1]]]), px)
            + effects.rods(torch.tensor([[0.2, 0.2]]), torch.tensor([[0.7, 0.8]]), ones() * 0.04, px),
            px // 16,
        )
        for px in (64, 128)
    )
    assert float((coarse - fine).abs().max()) < 0.1
