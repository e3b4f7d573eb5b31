"""An X-ray of a CT volume by physics: spectrum, materials, scatter, noise, blur and tone curve (methods.md D6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ..checks import InputError, require_rigid
from ..geometry import Camera
from ..scene import Volume
from .detector import Collimator, detect, recorded, scatter_field
from .materials import DENSITY, mass_attenuation, partial_densities, relative_attenuation
from .metal import Metal
from .patient import Patient
from .projector import line_integrals, pixel_rays
from .spectrum import Spectrum, single_energy, tube_spectrum


@dataclass(frozen=True)
class XraySettings:
    """Settings of the simulated X-ray machine.

    kvp: tube voltage [kV]. aluminium_mm: filtration [mm Al]. energy_bins: energies the spectrum is summed over.
    energy_kev: a single photon energy [keV] instead of the spectrum.
    air_hu, bone_hu: HU below which attenuation is zero; HU range of the transition from soft tissue to bone.
    scatter_to_primary: scattered over unscattered energy behind the patient. scatter_mm: sigma of its spread at the
        detector [mm]; where the camera's pixel pitch is unknown the spread is a tenth of the image's width.
    photons: unattenuated photons per pixel; None for no noise at all.
    electronic_noise: RMS in photons per pixel. blur_px: sigma of the detector's blur [pixels].
    collimator: the opening, or None. metal: rods and balls in the volume frame.
    exposure: level of the unattenuated beam as a share of full scale; above 1 the bare detector saturates.
    gamma: exponent of the tone curve, 1 for a linear detector.
    rays_per_side: rays along each side of a pixel. step_voxels: distance of the samples on a ray [voxels].
    """

    kvp: float = 80.0
    aluminium_mm: float = 4.0
    energy_bins: int = 10
    energy_kev: float | None = None
    air_hu: float = -900.0
    bone_hu: tuple[float, float] = (150.0, 400.0)
    scatter_to_primary: float = 0.3
    scatter_mm: float = 40.0
    photons: float | None = 2e5
    electronic_noise: float = 3.0
    blur_px: float = 0.5
    collimator: Collimator | None = None
    metal: tuple[Metal, ...] = ()
    exposure: float = 0.92
    gamma: float = 1.0
    rays_per_side: int = 2
    step_voxels: float = 0.5

    def __post_init__(self) -> None:
        lowest = {
            "scatter_to_primary": 0.0,
            "scatter_mm": 1e-3,
            "electronic_noise": 0.0,
            "blur_px": 0.0,
            "exposure": 1e-6,
            "gamma": 1e-3,
            "rays_per_side": 1,
            "step_voxels": 1e-3,
        }
        for name, least in lowest.items():
            if not getattr(self, name) >= least:
                raise InputError(
                    name, expected=f"at least {least:g}", found=f"{getattr(self, name):g}", remedy="correct the setting"
                )
        if self.photons is not None and not self.photons > 0:
            raise InputError(
                "photons", expected="above 0", found=f"{self.photons:g}", remedy="leave it out for a noise-free image"
            )
        if not self.bone_hu[0] < self.bone_hu[1]:
            raise InputError(
                "bone_hu", expected="two rising HU values", found=str(self.bone_hu), remedy="swap or separate them"
            )

    def spectrum(self) -> Spectrum:
        """The emitted photons."""
        if self.energy_kev is not None:
            return single_energy(self.energy_kev)
        return tube_spectrum(self.kvp, self.aluminium_mm, self.energy_bins)


@dataclass(frozen=True, eq=False)
class SimulatedXray:
    """A simulated X-ray and its ground truth.

    transmission: uint16 (height, width), the image as recorded: bright = unattenuated.
    primary: float32 (height, width), energy that arrives unscattered over what was sent, without blur, noise or
        collimator; its negative logarithm is the effective line integral.
    valid: bool (height, width), pixels inside the collimator's opening.
    camera, camera_from_volume, settings, seed: with which it was simulated.
    """

    transmission: NDArray[np.uint16]
    primary: NDArray[np.float32]
    valid: NDArray[np.bool_]
    camera: Camera
    camera_from_volume: NDArray[np.float64]
    settings: XraySettings
    seed: int


def simulate_xray(
    volume: Volume | Patient,
    camera: Camera,
    camera_from_volume: NDArray[np.float64],
    settings: XraySettings | None = None,
    seed: int = 0,
) -> SimulatedXray:
    """The X-ray of `volume` that `camera` records.

    volume: a CT, or a patient made ready once for many X-rays, which is faster and needs numba; the settings' air_hu
    then plays no part.
    camera_from_volume: rigid (4, 4) from RAS mm to the camera frame (source at the origin; the ray of pixel (u, v) runs
    along K^-1 (u, v, 1)); the camera's own camera_from_world plays no part. seed: of all noise.
    Metal adds to the tissue whose place it takes; an implant therefore absorbs slightly too much.
    Raises InputError for a pose that is not rigid and for settings out of range.
    """
    settings = settings or XraySettings()
    pose = require_rigid(camera_from_volume, "camera_from_volume")
    spectrum = settings.spectrum()
    passed = transmitted(volume, camera, pose, spectrum, settings)
    weights = spectrum.energies_kev * spectrum.shares / spectrum.mean_kev
    primary = np.tensordot(weights, passed, axes=1)

    size = camera.width, camera.height
    opening = settings.collimator.opening(*size) if settings.collimator else np.ones(size[::-1])
    sigma_px = settings.scatter_mm / camera.pixel_mm if camera.pixel_mm else camera.width / 10
    scatter = _scatter_through(primary, opening, settings.scatter_to_primary, sigma_px)
    signal = detect(
        passed * opening + scatter,
        spectrum,
        settings.photons,
        settings.blur_px,
        settings.electronic_noise,
        np.random.default_rng(seed),
    )
    return SimulatedXray(
        recorded(signal, settings.exposure, settings.gamma),
        primary.astype(np.float32),
        opening > 0.5,
        camera,
        pose,
        settings,
        seed,
    )


def transmitted(
    volume: Volume | Patient,
    camera: Camera,
    camera_from_volume: NDArray[np.float64],
    spectrum: Spectrum,
    settings: XraySettings,
) -> NDArray[np.float64]:
    """Share (E, H, W) of each energy's photons that cross the patient unscattered, averaged over each pixel's area."""
    water, bone = (mass_attenuation(name, spectrum.energies_kev) for name in ("water", "bone"))
    paths = volume.material_paths if isinstance(volume, Patient) else _sampled(volume, settings.air_hu)
    total = np.zeros((len(spectrum.energies_kev), camera.height * camera.width))
    for directions in pixel_rays(camera, settings.rays_per_side):
        soft_path, bone_path = paths(camera_from_volume, directions, settings.bone_hu, settings.step_voxels)
        metal = _metal_depth(settings.metal, camera_from_volume, directions, spectrum.energies_kev)
        # Paths are g/cm3 times mm; mass attenuation needs g/cm2.
        for row in range(len(total)):
            total[row] += np.exp(-(water[row] * soft_path + bone[row] * bone_path) / 10 - metal[row])
    return (total / settings.rays_per_side**2).reshape(-1, camera.height, camera.width)


Paths = Callable[[NDArray[np.float64], NDArray[np.float64], tuple[float, float], float], NDArray[np.float64]]


def _sampled(volume: Volume, air_hu: float) -> Paths:
    """The paths through soft matter and bone of a CT, without compiled code; see `Patient.material_paths`."""
    relative = relative_attenuation(volume.values, air_hu)

    def paths(
        camera_from_volume: NDArray[np.float64],
        directions: NDArray[np.float64],
        bone_hu: tuple[float, float],
        step_voxels: float,
    ) -> NDArray[np.float64]:
        split = partial(partial_densities, bone_hu=bone_hu)
        return line_integrals(relative, volume.grid, camera_from_volume, directions, step_voxels, split)

    return paths


def _metal_depth(
    metal: tuple[Metal, ...],
    camera_from_volume: NDArray[np.float64],
    directions: NDArray[np.float64],
    energies_kev: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Attenuation exponents (E, N) of all metal along the rays; a single row of zeros where there is none."""
    depth = np.zeros((len(energies_kev), 1))
    if not metal:
        return depth
    volume_from_camera = np.linalg.inv(camera_from_volume)
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    in_volume = unit @ volume_from_camera[:3, :3].T
    for piece in metal:
        path_cm = piece.path_mm(volume_from_camera[:3, 3], in_volume) / 10
        mu = mass_attenuation(piece.material, energies_kev) * DENSITY[piece.material]
        depth = depth + mu[:, None] * path_cm
    return depth


def _scatter_through(
    primary: NDArray[np.float64], opening: NDArray[np.float64], ratio: float, sigma_px: float
) -> NDArray[np.float64]:
    """Scatter (height, width) from the lit part of the patient; the collimator's shadow is kept free of it."""
    lit = opening > 0.5
    if not lit.any():
        return np.zeros_like(primary)
    source = np.where(lit, primary, 1.0)
    return scatter_field(source, ratio, sigma_px) * opening
