"""An X-ray image with its camera: every operation transforms both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..checks import InputError
from ..geometry import Camera
from ..geometry.projection import ASSUMED
from .size_remedy import size_remedy


@dataclass(frozen=True, eq=False)
class Radiograph:
    """One X-ray view, as the pinhole camera sees it (never mirrored).

    recorded: float32 (height, width), the image as recorded, for display.
    attenuation: float32 (height, width), line integrals up to an affine map: bright = dense.
    valid: bool (height, width), pixels that hold image: not collimator, border or saturation.
    camera: the pinhole camera, its size equal to the images'.
    name: the view's name, used for output files.
    origins: the source of each number of the geometry, for display ("SID": "DICOM (0018,1110)").
    notes: findings and decisions on reading, one sentence each.
    reflected: whether the stored image was mirrored on reading to become a pinhole image.
    assumed: numbers of its geometry that no file states and the pose depends on, one sentence each; a pose found with
        them is not accepted (see `verdict.unless_assumed`).
    """

    recorded: NDArray[np.float32]
    attenuation: NDArray[np.float32]
    valid: NDArray[np.bool_]
    camera: Camera
    name: str = "view"
    origins: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    reflected: bool = False
    assumed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        size = (self.camera.height, self.camera.width)
        for what, image in (("X-ray", self.recorded), ("line integrals", self.attenuation), ("mask", self.valid)):
            if image.shape != size:
                raise InputError(
                    f"{what} of {self.name}",
                    expected=f"the camera's size {size[1]} x {size[0]}",
                    found=f"{' x '.join(map(str, image.shape[::-1]))} pixels",
                    remedy=size_remedy(self.camera, image.shape[1], image.shape[0])
                    if image.ndim == 2 and min(image.shape) > 0
                    else "give one grey image",
                )

    @property
    def stated_sid_mm(self) -> float | None:
        """Source to detector [mm]; None where it is unknown or marked as assumed in `origins`."""
        return None if self.origins.get("SID", "").startswith(ASSUMED) else self.camera.sid_mm

    def cropped(self, left: int, top: int, width: int, height: int) -> Radiograph:
        """The rectangle of the view that starts at column `left`, row `top`; ValueError if it leaves the image."""
        # Negative indices would count from the far side, and the camera would not follow.
        if left < 0 or top < 0 or left + width > self.camera.width or top + height > self.camera.height:
            raise ValueError(
                f"the window of {width} x {height} pixels at ({left}, {top}) leaves the image of "
                f"{self.camera.width} x {self.camera.height}"
            )
        window = np.s_[top : top + height, left : left + width]
        return replace(
            self,
            recorded=self.recorded[window],
            attenuation=self.attenuation[window],
            valid=self.valid[window],
            camera=self.camera.cropped(left, top, width, height),
        )

    def reduced(self, factor: int) -> Radiograph:
        """The view averaged over blocks of `factor` x `factor` pixels, excluding invalid pixels from the means."""
        if factor == 1:
            return self
        if not 1 <= factor <= min(self.camera.width, self.camera.height):
            raise ValueError(f"factor {factor} leaves nothing of {self.camera.width} x {self.camera.height} pixels")
        weight = _block_sum(self.valid.astype(np.float32), factor)
        attenuation = _block_sum(np.where(self.valid, self.attenuation, 0), factor) / np.maximum(weight, 1)
        return replace(
            self,
            recorded=_block_sum(self.recorded, factor) / np.float32(factor**2),
            attenuation=attenuation.astype(np.float32),
            # The mean of a block that is less than half image would not be representative.
            valid=weight >= factor**2 / 2,
            camera=self.camera.resized(factor),
        )

    def mirrored(self) -> Radiograph:
        """The view with its columns reversed; the camera follows and the reflection is recorded."""
        return replace(
            self,
            # Copies, because torch does not accept arrays with negative strides.
            recorded=np.ascontiguousarray(self.recorded[:, ::-1]),
            attenuation=np.ascontiguousarray(self.attenuation[:, ::-1]),
            valid=np.ascontiguousarray(self.valid[:, ::-1]),
            camera=self.camera.mirrored_columns(),
            reflected=not self.reflected,
        )


def _block_sum(image: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    height, width = image.shape[0] // factor, image.shape[1] // factor
    blocks = image[: height * factor, : width * factor].reshape(height, factor, width, factor)
    return blocks.sum(axis=(1, 3), dtype=np.float32)
