"""From photons at the detector to recorded values: scatter, collimation, quantum and electronic noise, tone curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from ..checks import InputError
from .spectrum import Spectrum

FULL_SCALE = 65535

Image = NDArray[np.float64]


@dataclass(frozen=True)
class Collimator:
    """The opening of the collimator as seen on the image.

    shape: circle (an ellipse where the sizes differ) or rectangle. centre_px: column and row of its centre.
    size_px: full width and height. penumbra_px: width over which the edge fades.
    leakage: transmission of the closed part.
    """

    shape: Literal["circle", "rectangle"]
    centre_px: tuple[float, float]
    size_px: tuple[float, float]
    penumbra_px: float = 1.5
    leakage: float = 0.001

    def __post_init__(self) -> None:
        if self.shape not in ("circle", "rectangle") or min(self.size_px) <= 0 or self.penumbra_px <= 0:
            raise InputError(
                "collimator",
                expected="a circle or rectangle with sizes above 0 pixels",
                found=f"{self.shape} of {self.size_px} with penumbra {self.penumbra_px}",
                remedy="correct the settings",
            )

    def opening(self, width: int, height: int) -> Image:
        """Share of the beam that reaches each pixel (height, width): 1 inside, `leakage` outside."""
        u = np.arange(width)[None, :] - self.centre_px[0]
        v = np.arange(height)[:, None] - self.centre_px[1]
        a, b = self.size_px[0] / 2, self.size_px[1] / 2
        if self.shape == "rectangle":
            beyond = np.maximum(np.abs(u) - a, np.abs(v) - b)
        else:
            level = np.hypot(u / a, v / b)
            beyond = (level - 1) * np.hypot(u, v) / np.maximum(level, 1e-9)
            beyond[level < 1e-9] = -min(a, b)
        passed = np.clip(0.5 - beyond / self.penumbra_px, 0, 1)
        return self.leakage + (1 - self.leakage) * passed


def scatter_field(primary: Image, ratio: float, sigma_px: float) -> Image:
    """Scatter relative to the unattenuated beam: broad, and strongest where about half of the beam is attenuated.

    primary: share of the beam's energy that arrives unscattered. Its source is taken as -P ln P, the potential of
    B. Ohnesorge et al., Eur. Radiol. 9, 1999, spread by a Gaussian and scaled so that over the pixels behind the
    patient (P below 95 %) scatter amounts to `ratio` times the primary.
    """
    source = -primary * np.log(np.maximum(primary, 1e-12))
    behind = primary < 0.95
    if ratio == 0 or not behind.any() or source[behind].sum() <= 0:
        return np.zeros_like(primary)
    spread = gaussian_filter(source, sigma_px, mode="nearest")
    return spread * (ratio * primary[behind].sum() / spread[behind].sum())


def detect(
    arriving: NDArray[np.float64],
    spectrum: Spectrum,
    photons: float | None,
    blur_px: float,
    electronic_noise: float,
    generator: Generator,
) -> Image:
    """Signal of an energy-integrating detector, relative to the unattenuated beam.

    arriving: (E, H, W) share of each energy's photons that arrive, scatter included. photons: unattenuated photons per
    pixel; None for a detector without quantum noise. blur_px: sigma of the scintillator's light spread, which also
    smooths the quantum noise. electronic_noise: RMS added after that, in photons of the beam's mean energy.
    """
    weights = spectrum.energies_kev * spectrum.shares / spectrum.mean_kev
    if photons is None:
        signal = np.tensordot(weights, arriving, axes=1)
    else:
        expected = photons * spectrum.shares[:, None, None] * arriving
        counts = generator.poisson(expected).astype(np.float64)
        signal = np.tensordot(spectrum.energies_kev, counts, axes=1) / (photons * spectrum.mean_kev)
    if blur_px > 0:
        signal = gaussian_filter(signal, blur_px, mode="nearest")
    if electronic_noise > 0 and photons is not None:
        signal = signal + generator.normal(0, electronic_noise / photons, signal.shape)
    return signal


def recorded(signal: Image, exposure: float, gamma: float) -> NDArray[np.uint16]:
    """16-bit values, bright = unattenuated: full scale times (exposure x signal) ^ gamma, clipped at both ends."""
    return np.rint(np.clip(exposure * signal, 0, 1) ** gamma * FULL_SCALE).astype(np.uint16)
