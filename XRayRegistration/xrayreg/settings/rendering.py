"""Settings of a rendered picture."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from .registration import DEVICES, ENGINES, DeviceName, EngineName

# Quantity that the reference engine computes along a ray.
PixelName = Literal["trilinear", "siddon", "mip"]
PictureName = Literal["auto", "joseph", "trilinear", "siddon", "mip"]
BeamName = Literal["cone", "parallel"]

PICTURES: tuple[str, ...] = get_args(PictureName)
BEAMS: tuple[str, ...] = get_args(BeamName)


@dataclass(frozen=True)
class RenderSettings:
    """One picture of a CT.

    picture: line integrals by Joseph's method (the fast engines), through trilinear samples or through uniform voxels
        (Siddon), or the largest attenuation along each ray; all but the first by the reference engine. auto is the
        engine's default.
    beam: cone, from a point source, or parallel (orthographic, by the reference engine).
    """

    picture: PictureName = field(
        default="auto",
        metadata={
            "help": "line integrals by joseph (fast), trilinear samples or siddon (exact through uniform voxels), or "
            "mip, the largest attenuation along each ray",
            "choices": PICTURES,
        },
    )
    beam: BeamName = field(
        default="cone",
        metadata={
            "help": "cone, or parallel: orthographic, at the scale of the cone beam in the middle of the anatomy",
            "choices": BEAMS,
        },
    )
    engine: EngineName = field(default="auto", metadata={"help": "render engine", "choices": ENGINES})
    device: DeviceName = field(default="auto", metadata={"help": "where to compute", "choices": DEVICES})
