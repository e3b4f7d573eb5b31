"""Named kinds of rendered pictures: kind of integral and of beam."""

from __future__ import annotations

from torch import Tensor

from ..checks import InputError
from ..geometry import Camera
from ..scene import Attenuation
from ..settings import PictureName, PixelName, RenderSettings
from .dispatch import choose_engine, prepare
from .projector import Projector
from .rays import cast_parallel_rays
from .reference import ReferenceProjector

# The pictures that the reference engine renders.
_PIXELS: dict[PictureName, PixelName] = {
    "auto": "trilinear",
    "trilinear": "trilinear",
    "siddon": "siddon",
    "mip": "mip",
}


def prepare_picture(attenuation: Attenuation, settings: RenderSettings) -> Projector:
    """The attenuation map prepared for the picture that the settings specify.

    Raises InputError for an engine that cannot make it, and as `choose_engine` does.
    """
    picture, engine = settings.picture, settings.engine
    by_reference = (picture != "auto" and picture in _PIXELS) or settings.beam == "parallel"
    if by_reference and engine not in ("auto", "reference"):
        raise InputError(
            f"engine {engine}",
            expected="the reference engine for pictures other than Joseph's line integrals in a cone beam",
            found=engine,
            remedy="leave the engine to auto, or take picture joseph and beam cone",
        )
    if picture == "joseph" and (settings.beam == "parallel" or engine == "reference"):
        raise InputError(
            "picture joseph",
            expected="a cone beam and an engine that goes plane by plane",
            found=f"beam {settings.beam}, engine {engine}",
            remedy="take picture trilinear, which is the reference engine's",
        )
    if not by_reference:
        return prepare(attenuation, engine, settings.device)
    _, place, _ = choose_engine("reference", settings.device)
    return ReferenceProjector(attenuation, place, pixel=_PIXELS[picture])


def render_parallel(projector: Projector, camera: Camera, camera_from_volume: Tensor, depth_mm: float) -> Tensor:
    """Pictures (B, H, W) in an orthographic beam for poses (B, 4, 4), at the cone beam's scale at `depth_mm`.

    Differentiable with respect to the poses and `projector.mu`; see `cast_parallel_rays`. Raises InputError for an
    engine that has no such beam.
    """
    if not isinstance(projector, ReferenceProjector):
        raise InputError(
            "parallel beam", expected="the reference engine", found=projector.name, remedy="prepare with it, or auto"
        )
    projector.renders += camera_from_volume.shape[0]
    return projector.project(cast_parallel_rays(projector.grid, camera, camera_from_volume, depth_mm))
