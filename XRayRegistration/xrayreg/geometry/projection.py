"""The projection parameters of one view, each with its origin, for the user to check and correct."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks import InputError
from .cameras import NOMINAL_SID_MM, Camera

# Side of the detector [mm] assumed where the pixel pitch is unknown: between the common 300 and 400 mm panels.
NOMINAL_DETECTOR_MM = 350.0
# Prefix of the origin of a number that was not measured.
ASSUMED = "assumed"
BY_HAND = "entered by hand"
# Key in `origins` for the source of this ratio, where only the ratio of its two numbers is calibrated.
RATIO = "SID / pixel pitch"

_IDENTITY = ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))
# Numbers on which the overlay and its depth depend; the others are hints.
_DECISIVE = ("SID", "pixel pitch")


@dataclass(frozen=True)
class Projection:
    """The projection geometry of one view, as editable numbers.

    sid_mm: source to detector. pixel_mm: pitch (between columns, between rows) at the detector.
    size: (width, height) and principal_px: (column, row) of the upright pinhole image.
    skew_px: the camera matrix's skew. camera_from_world: rigid (4, 4) [mm], rows as tuples.
    quarter_turns, mirrored: how to obtain the pinhole image: the stored one rotated counter-clockwise, then mirrored.
    primary_deg, secondary_deg, sod_mm: the C-arm's position as recorded by it (LAO, CRAN positive), where known.
    intensity: "transmission", "attenuation" or "auto". origins: sources of the numbers, by name ("SID", "pixel pitch",
        "central ray", "SOD", "angles", "place" for camera_from_world, RATIO where only that is calibrated).
    """

    sid_mm: float
    pixel_mm: tuple[float, float]
    size: tuple[int, int]
    principal_px: tuple[float, float]
    skew_px: float = 0.0
    camera_from_world: tuple[tuple[float, ...], ...] = _IDENTITY
    quarter_turns: int = 0
    mirrored: bool = False
    primary_deg: float | None = None
    secondary_deg: float | None = None
    sod_mm: float | None = None
    intensity: str = "auto"
    origins: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def assumed(cls, width: int, height: int) -> Projection:
        """A typical C-arm, for an image of which only the size is known."""
        pitch = NOMINAL_DETECTOR_MM / max(width, height)
        origins = {name: f"{ASSUMED}: the image does not tell" for name in (*_DECISIVE, "central ray")}
        return cls(
            NOMINAL_SID_MM, (pitch, pitch), (width, height), ((width - 1) / 2, (height - 1) / 2), origins=origins
        )

    @classmethod
    def of_camera(cls, camera: Camera, origin: str) -> Projection:
        """The numbers of a calibrated camera; without a pixel pitch any SID gives the same image, so one is assumed."""
        (fx, skew, column), (_, fy, row) = camera.matrix[:2].tolist()
        sid = camera.sid_mm or NOMINAL_SID_MM
        origins = dict.fromkeys((*_DECISIVE, "central ray", "place"), origin)
        if camera.pixel_mm is None:
            origins |= dict.fromkeys(_DECISIVE, f"{ASSUMED}: {origin} tells only {RATIO}")
            origins[RATIO] = origin
        world = tuple(tuple(line) for line in camera.camera_from_world.tolist())
        size = (camera.width, camera.height)
        return cls(sid, (sid / fx, sid / fy), size, (column, row), skew, world, origins=origins)

    def camera(self) -> Camera:
        """The pinhole camera; raises InputError for invalid numbers."""
        for name, value in (("SID", self.sid_mm), ("pixel pitch", self.pixel_mm[0]), ("pixel pitch", self.pixel_mm[1])):
            if not (np.isfinite(value) and value > 0):
                raise InputError(name, expected="millimetres above 0", found=f"{value:g}", remedy="correct it")
        (pitch_u, pitch_v), (column, row) = self.pixel_mm, self.principal_px
        matrix = np.array([[self.sid_mm / pitch_u, self.skew_px, column], [0.0, self.sid_mm / pitch_v, row], [0, 0, 1]])
        return Camera(matrix, *self.size, np.array(self.camera_from_world), pitch_u)

    def changed(self, origin: str, **values: Any) -> Projection:
        """A copy with other values, whose origin becomes `origin`."""
        names = {"sid_mm": "SID", "pixel_mm": "pixel pitch", "principal_px": "central ray", "sod_mm": "SOD"}
        names |= dict.fromkeys(("primary_deg", "secondary_deg"), "angles")
        told = {names.get(name, name): origin for name in values}
        return replace(self, **values, origins={**self.origins, **told})

    @property
    def scale_is_open(self) -> bool:
        """Whether only the ratio of SID to pixel pitch is calibrated: any detector distance gives the same image."""
        return RATIO in self.origins

    def rescaled(self, sid_mm: float, origin: str) -> Projection:
        """The same image on a detector at another distance, with proportional pixel pitch; both get `origin`."""
        pitch_u, pitch_v = (side * sid_mm / self.sid_mm for side in self.pixel_mm)
        return self.changed(origin, sid_mm=sid_mm, pixel_mm=(pitch_u, pitch_v))

    def oriented(self, quarter_turns: int, mirrored: bool, origin: str) -> Projection:
        """A copy for another rotation and mirroring of the stored image: size, pitch and central ray follow the pixels.

        Raises InputError for rotating a camera with skew, whose rows and columns cannot be exchanged.
        """
        turns = (quarter_turns - self.quarter_turns) % 4
        if turns and self.skew_px:
            raise InputError(
                "quarter turns",
                expected="the image as it was calibrated",
                found="a camera with skew",
                remedy="turn the image before calibrating it",
            )
        changes = {"quarter_turns": quarter_turns % 4, "mirrored": mirrored}
        told = {name: origin for name, value in changes.items() if value != getattr(self, name)}
        flipped = mirrored != self.mirrored
        after = replace(
            self,
            size=self.size[::-1] if turns % 2 else self.size,
            pixel_mm=self.pixel_mm[::-1] if turns % 2 else self.pixel_mm,
            skew_px=-self.skew_px if flipped else self.skew_px,
            quarter_turns=quarter_turns % 4,
            mirrored=mirrored,
            origins={**self.origins, **told},
        )
        column, row = after.upright_pixels(self.stored_pixels(self.principal_px)).tolist()
        return replace(after, principal_px=(column, row))

    def upright_pixels(self, stored: ArrayLike) -> NDArray[np.float64]:
        """Pixels (..., 2) as (column, row) of the upright pinhole image at those of the stored one."""
        column, row = np.moveaxis(np.asarray(stored, dtype=np.float64), -1, 0)
        width, height = self.size[::-1] if self.quarter_turns % 2 else self.size
        for _ in range(self.quarter_turns % 4):
            column, row = row, width - 1 - column
            width, height = height, width
        return np.stack([width - 1 - column if self.mirrored else column, row], axis=-1)

    def stored_pixels(self, upright: ArrayLike) -> NDArray[np.float64]:
        """Pixels (..., 2) as (column, row) of the stored image: the inverse of `upright_pixels`."""
        column, row = np.moveaxis(np.asarray(upright, dtype=np.float64), -1, 0)
        width, height = self.size
        column = width - 1 - column if self.mirrored else column
        for _ in range(-self.quarter_turns % 4):
            column, row = row, width - 1 - column
            width, height = height, width
        return np.stack([column, row], axis=-1)

    @property
    def assumptions(self) -> tuple[str, ...]:
        """Names of the decisive numbers that were not measured; a calibrated ratio of the two counts as both."""
        if self.scale_is_open:
            return ()
        return tuple(name for name in _DECISIVE if self.origins.get(name, ASSUMED).startswith(ASSUMED))

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; `Projection.from_dict` reads them back."""
        return {**vars(self), "origins": dict(self.origins)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Projection:
        """The inverse of `as_dict`, also after a round trip through JSON."""
        tuples = {name: tuple(content[name]) for name in ("pixel_mm", "size", "principal_px")}
        world = tuple(tuple(row) for row in content["camera_from_world"])
        return cls(**{**content, **tuples, "camera_from_world": world})
