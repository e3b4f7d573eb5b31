"""Tube spectra and attenuation tables against what physics demands of them."""

from __future__ import annotations

import numpy as np
import pytest

from xrayreg.checks import InputError
from xrayreg.simulation.materials import mass_attenuation, partial_densities, relative_attenuation
from xrayreg.simulation.spectrum import single_energy, tube_spectrum


def test_shares_sum_to_one_and_energies_stay_below_the_voltage():
    for kvp in (40.0, 80.0, 120.0):
        spectrum = tube_spectrum(kvp, 4.0)
        assert spectrum.shares.sum() == pytest.approx(1.0)
        assert (spectrum.shares > 0).all() and (np.diff(spectrum.energies_kev) > 0).all()
        assert spectrum.energies_kev[0] > 15 and spectrum.energies_kev[-1] < kvp


def test_voltage_and_filtration_harden_the_beam():
    assert tube_spectrum(60, 3).mean_kev < tube_spectrum(90, 3).mean_kev < tube_spectrum(120, 3).mean_kev
    assert tube_spectrum(80, 1).mean_kev < tube_spectrum(80, 8).mean_kev


def test_an_80_kv_beam_has_a_usual_mean_energy_and_half_value_layer():
    spectrum = tube_spectrum(80, 3.0, bins=40)
    mu = mass_attenuation("aluminium", spectrum.energies_kev) * 2.7
    # Energy fluence stands for air kerma here; published layers at 80 kV lie between 2.5 and 4.5 mm of aluminium.
    weights = spectrum.shares * spectrum.energies_kev
    depths = np.linspace(0, 1, 1001)
    left = (weights * np.exp(-mu * depths[:, None])).sum(axis=1) / weights.sum()
    half = 10 * depths[np.argmax(left < 0.5)]
    assert 40 < spectrum.mean_kev < 50
    assert 2.5 < half < 6.0


def test_ten_bins_stand_for_the_whole_spectrum_behind_a_patient():
    results = []
    for bins in (10, 100):
        spectrum = tube_spectrum(80, 4.0, bins)
        mu = 20 * mass_attenuation("water", spectrum.energies_kev) + 3 * mass_attenuation("bone", spectrum.energies_kev)
        results.append(-np.log(spectrum.shares @ np.exp(-mu)))
    # One per cent of the line integral is far below what scatter and the choice of spectrum change.
    assert results[0] == pytest.approx(results[1], rel=0.01)


def test_tables_give_their_own_entries_and_fall_with_energy():
    assert mass_attenuation("water", 60.0) == pytest.approx(0.2059)
    assert mass_attenuation("bone", 30.0) == pytest.approx(1.331)
    for name in ("water", "bone", "aluminium", "titanium", "iron"):
        assert (np.diff(mass_attenuation(name, np.linspace(10, 150, 200))) < 0).all()


def test_interpolation_is_monotone_between_photoelectric_and_compton():
    # Water at 70 keV from XCOM: 0.1929 cm2/g; log-log interpolation between 60 and 80 keV is good to half a per cent.
    assert mass_attenuation("water", 70.0) == pytest.approx(0.1929, rel=0.01)


@pytest.mark.parametrize("energy", [5.0, 200.0])
def test_energies_off_the_table_are_refused(energy):
    with pytest.raises(InputError, match="keV"):
        mass_attenuation("water", energy)


def test_an_unknown_material_is_refused_with_the_list():
    with pytest.raises(InputError, match="titanium"):
        mass_attenuation("mithril", 60.0)


@pytest.mark.parametrize("kvp", [10.0, 300.0])
def test_a_voltage_out_of_range_is_refused(kvp):
    with pytest.raises(InputError, match="tube voltage"):
        tube_spectrum(kvp, 3)


def test_air_water_and_bone_get_their_densities():
    hounsfield = np.array([-1000, -2000, -950, -100, 0, 149, 400, 1500], np.int16)
    soft, bone = partial_densities(relative_attenuation(hounsfield, -900), (150, 400))
    np.testing.assert_allclose(soft[:6], [0, 0, 0, 0.9, 1.0, 1.149], rtol=1e-5)
    # Nothing is left of the other kind but rounding.
    assert not bone[:6].any() and np.abs(soft[6:]).max() < 1e-6
    # Dense cortical bone is near 1.9 g/cm3.
    assert 1.6 < bone[7] < 2.1


def test_the_mix_reproduces_the_ct_at_its_own_energy():
    hounsfield = np.linspace(-890, 2000, 300)
    soft, hard = partial_densities(relative_attenuation(hounsfield, -900), (150, 400))
    water, bone = mass_attenuation("water", 70.0), mass_attenuation("bone", 70.0)
    np.testing.assert_allclose(soft * water + hard * bone, water * (1 + hounsfield / 1000), rtol=1e-4)


def test_a_single_energy_is_its_own_mean():
    assert single_energy(55.0).mean_kev == 55.0
