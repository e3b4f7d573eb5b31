"""The photon spectrum of an X-ray tube: Kramers' law for a thick target, filtered by aluminium."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..checks import InputError
from .materials import DENSITY, mass_attenuation

LOWEST_KEV = 15.0


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Photon energies (E,) [keV] and their shares (E,) of the photons, which sum to one."""

    energies_kev: NDArray[np.float64]
    shares: NDArray[np.float64]

    @property
    def mean_kev(self) -> float:
        """Mean photon energy [keV]."""
        return float(self.energies_kev @ self.shares)


def tube_spectrum(kvp: float, aluminium_mm: float, bins: int = 10) -> Spectrum:
    """Spectrum of a tungsten-like tube at `kvp` kilovolts behind `aluminium_mm` of filtration, in `bins` energies.

    Photons per energy follow (kvp / E - 1) exp(-mu_Al(E) d) (H. A. Kramers, Phil. Mag. 46, 1923); characteristic lines
    and the anode's own absorption are left out, the latter may be included in the filtration.
    Each bin has its photons and their mean energy from a fine sum. Raises InputError outside 30 to 150 kV.
    """
    if not 30 <= kvp <= 150:
        raise InputError("tube voltage", expected="30 to 150 kV", found=f"{kvp:g} kV", remedy="check the unit")
    if aluminium_mm < 0 or bins < 1:
        raise InputError(
            "filtration and energy bins",
            expected="at least 0 mm and 1 bin",
            found=f"{aluminium_mm:g} mm and {bins}",
            remedy="correct the settings",
        )
    fine = 40
    width = (kvp - LOWEST_KEV) / (bins * fine)
    energies = LOWEST_KEV + (np.arange(bins * fine) + 0.5) * width
    filtration = mass_attenuation("aluminium", energies) * DENSITY["aluminium"] * aluminium_mm / 10
    photons = ((kvp / energies - 1) * np.exp(-filtration)).reshape(bins, fine)
    total = photons.sum(axis=1)
    return Spectrum((photons * energies.reshape(bins, fine)).sum(axis=1) / total, total / total.sum())


def single_energy(energy_kev: float) -> Spectrum:
    """All photons at one energy [keV]."""
    return Spectrum(np.array([float(energy_kev)]), np.array([1.0]))
