"""Registration from Python: `xrayreg.register` and `xrayreg.register_case`, their arguments and results.

import xrayreg

result = xrayreg.register("ct.nii.gz", "image.dcm")
print(result.verdict.accepted, result.expected_error_mm, result.verdict.reason)
print(result.views[0].camera_from_volume)
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from numpy.typing import ArrayLike

from .checks import InputError, require_regular
from .io import CaseFile, case_of_files, open_case, parse_case
from .registration.pipeline import register as register_scene
from .registration.results import OnStep, Registration, Step, unheeded
from .registration.starts import network_file
from .settings import (
    DEVICES,
    EFFORTS,
    ENGINES,
    MOST_SEED,
    DeviceName,
    Effort,
    EngineName,
    RegistrationSettings,
    registration_settings,
)

__all__ = ["InputError", "Registration", "Step", "register", "register_case"]


def register(
    volume: str | Path,
    xray: str | Path | Iterable[str | Path],
    *,
    labels: str | Path | None = None,
    structures: Iterable[int] = (),
    series: str | None = None,
    sid_mm: float | None = None,
    pixel_mm: float | None = None,
    frame: int | None = None,
    mirrored: bool | None = None,
    intensity: str = "auto",
    initial: ArrayLike | None = None,
    init: str | Path = "auto",
    similarity: str | Path | None = None,
    effort: Effort = "standard",
    engine: EngineName = "auto",
    device: DeviceName = "auto",
    seed: int = 0,
    on_step: OnStep = unheeded,
) -> Registration:
    """Find the pose of the C-arm for a CT and an X-ray, and validate it. No file is written.

    volume: NIfTI, NRRD, MHA, or DICOM (a folder, with `series` selecting the CT, or one file), in Hounsfield units.
    xray: DICOM, TIFF, PNG, NIfTI or NRRD; several only where DICOM gives the C-arm's angles and distances for each.
    labels: label map in the frame of the CT; structures: register these labels only.
    sid_mm, pixel_mm: source to detector and pixel pitch at the detector [mm], in place of DICOM's.
    frame: image of a run, from 0. mirrored: whether left and right are exchanged in the stored image (default: as DICOM
        states, else not). intensity: "transmission" (air is bright), "attenuation" (bone is bright) or "auto".
    initial: initial pose world_from_volume (4, 4) [mm]; for one X-ray its camera is the world.
    init: "auto" (the initial pose, then a search), "case" (only that), "search", or the file of a trained network.
    similarity: file of a learned similarity. effort: "fast", "standard" or "thorough". engine, device: for rendering.
        seed: of all random numbers.
    on_step: called with each `Step` (current stage, fraction done, best pose so far) between two renders; an exception
        that it raises ends the registration and is passed to the caller.

    Returns the `Registration`: `world_from_volume` (4, 4) [mm], for each X-ray `views[n].camera_from_volume` (4, 4)
    [mm], `verdict` (accepted, and the reason), and `expected_error_mm` where it is accepted. Frames are volume: RAS
    millimetres, as in Slicer; camera: origin at the source, x along image columns, y along rows, z towards the
    detector, of the pinhole image (un-mirrored where it was stored mirrored); world: the first X-ray's camera.

    Raises InputError, one sentence that names the input and the remedy, for input that cannot be used.
    """
    settings = _settings(init, similarity, effort, engine, device, seed)
    case = case_of_files(
        volume,
        xray,
        labels=labels,
        structures=structures,
        series=series,
        sid_mm=sid_mm,
        pixel_mm=pixel_mm,
        frame=frame,
        mirrored=mirrored,
        intensity=intensity,
        initial=initial,
    )
    return _registered(case, settings, on_step)


def register_case(
    case: str | Path,
    *,
    init: str | Path = "auto",
    similarity: str | Path | None = None,
    effort: Effort = "standard",
    engine: EngineName = "auto",
    device: DeviceName = "auto",
    seed: int = 0,
    on_step: OnStep = unheeded,
) -> Registration:
    """`register` for the case.json at `case`, which holds the CT, the X-rays, their cameras and their common world.

    The other arguments, the result and the errors are those of `register`.
    """
    settings = _settings(init, similarity, effort, engine, device, seed)
    return _registered(parse_case(case), settings, on_step)


def _settings(
    init: str | Path, similarity: str | Path | None, effort: Effort, engine: EngineName, device: DeviceName, seed: int
) -> RegistrationSettings:
    """The settings for `register`'s arguments; raises InputError for a value that is not one of the choices."""
    choices = (("effort", effort, EFFORTS), ("engine", engine, ENGINES), ("device", device, DEVICES))
    for name, value, known in choices:
        if value not in known:
            raise InputError(name, expected=f"one of {', '.join(known)}", found=repr(value), remedy="choose one")
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MOST_SEED:
        raise InputError(
            "seed", expected=f"a whole number from 0 to {MOST_SEED}", found=repr(seed), remedy="choose one"
        )
    network_file(str(init))
    file = None if similarity is None else str(require_regular(Path(similarity), "similarity"))
    return registration_settings(effort, init=str(init), similarity=file, engine=engine, device=device, seed=seed)


def _registered(case: CaseFile, settings: RegistrationSettings, on_step: OnStep) -> Registration:
    started = time.perf_counter()
    scene = open_case(case)
    return register_scene(scene, settings, on_step, time.perf_counter() - started)
