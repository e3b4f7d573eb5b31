"""X-ray attenuation of matter: mass attenuation of water, cortical bone and metals, and HU as a mix of the first two.

Source of the table: J. H. Hubbell and S. M. Seltzer, NISTIR 5632 (NIST Standard Reference Database 126), bone as in
ICRU Report 44. Between its energies log(mu/rho) is interpolated over log(energy); no material here has an absorption
edge in the range.
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks import InputError

# Photon energy [keV] and mass attenuation mu/rho [cm2/g] with coherent scattering.
ENERGIES_KEV = (10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 80.0, 100.0, 150.0)
MASS_ATTENUATION = MappingProxyType(
    {
        "water": (5.329, 1.673, 0.8096, 0.3756, 0.2683, 0.2269, 0.2059, 0.1837, 0.1707, 0.1505),
        "bone": (28.51, 9.032, 4.001, 1.331, 0.6655, 0.4242, 0.3148, 0.2229, 0.1855, 0.1480),
        "aluminium": (26.23, 7.955, 3.441, 1.128, 0.5685, 0.3681, 0.2778, 0.2018, 0.1704, 0.1378),
        "titanium": (110.7, 35.87, 15.85, 4.972, 2.214, 1.213, 0.7661, 0.4052, 0.2721, 0.1649),
        "iron": (170.6, 57.08, 25.68, 8.176, 3.629, 1.958, 1.205, 0.5952, 0.3717, 0.1964),
    }
)
# Densities [g/cm3]; implant steel attenuates as iron.
DENSITY = MappingProxyType({"water": 1.0, "bone": 1.92, "aluminium": 2.70, "titanium": 4.54, "iron": 7.87})

# Energy [keV] at which a CT number is taken as water's attenuation times (1 + HU / 1000).
CT_KEV = 70.0


def mass_attenuation(material: str, energies_kev: ArrayLike) -> NDArray[np.float64]:
    """mu/rho [cm2/g] of `material` at energies of 10 to 150 keV, in the shape of `energies_kev`."""
    if material not in MASS_ATTENUATION:
        raise InputError(
            "material",
            expected=f"one of {', '.join(MASS_ATTENUATION)}",
            found=str(material),
            remedy="choose one of the list",
        )
    energies = np.asarray(energies_kev, dtype=np.float64)
    if energies.min() < ENERGIES_KEV[0] or energies.max() > ENERGIES_KEV[-1]:
        raise InputError(
            "photon energy",
            expected=f"{ENERGIES_KEV[0]:g} to {ENERGIES_KEV[-1]:g} keV",
            found=f"{energies.min():g} to {energies.max():g} keV",
            remedy="set another tube voltage",
        )
    return np.exp(np.interp(np.log(energies), np.log(ENERGIES_KEV), np.log(MASS_ATTENUATION[material])))


def relative_attenuation(hounsfield: NDArray, air_hu: float) -> NDArray[np.float32]:
    """Attenuation over water's, 1 + HU / 1000, in the shape of `hounsfield`; zero up to `air_hu` and never negative."""
    values = hounsfield.astype(np.float32)
    return np.where(values > air_hu, np.maximum(1 + values / 1000, 0), np.float32(0))


def partial_densities(
    relative: NDArray[np.float32], bone_hu: tuple[float, float]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Densities [g/cm3] of water-like and of bone-like matter that together have the CT's attenuation at CT_KEV.

    relative: attenuation over water's, any shape. Between the two numbers of `bone_hu` the share of bone grows smoothly
    from 0 to 1; matter of relative attenuation a holds (1 - share) a of water and share a mu_water / mu_bone of bone.
    """
    low, high = (np.float32(1 + hu / 1000) for hu in bone_hu)
    step = np.clip((relative - low) / (high - low), 0, 1)
    hard = step * step * (3 - 2 * step) * relative
    return relative - hard, hard * BONE_PER_WATER


# Density [g/cm3] of bone that attenuates at CT_KEV as water of density 1.
BONE_PER_WATER = np.float32(mass_attenuation("water", CT_KEV) / mass_attenuation("bone", CT_KEV))
