"""Live DRRs: the anatomy at any pose, small and fast enough for interactive display."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..geometry import Camera
from ..render import Projector, prepare
from ..scene import Attenuation, Volume, attenuation_of, coarsened
from ..settings import DeviceName, EngineName
from .anatomy import dense_part, edges_in, rendered, wide_drr
from .lines import Lines, stroke
from .tones import Floats

# Longer side of a live picture [pixels].
LIVE_PX = 256
# The middle side of the rendered box has at least this many voxels, where the volume has them.
_VOXELS = 192
# Soft tissue is shown at this share of its attenuation, as bone would otherwise have little contrast.
_SOFT = 0.15
# Share of the frontal and lateral lines through the patient that are shown darker than white.
_WHITE_SHARE = 0.995
# Exponent of the tone curve.
_GAMMA = 0.7
# Width of edges [pixels of the live picture].
_EDGE_PX = 1.5

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class LiveDrr:
    """A volume prepared for display at any pose (4, 4) of any camera; made by `prepare_live`.

    whole: the map whose image is shown. bone: its dense part, whose edges are drawn; the same where there is no bone.
    white: the value shown as white, see `_tones`. longest_px: longer side of the pictures, whose pixels are those of
    `camera(...)` and which cover the field of the given camera.

    A volume out of view gives an empty picture. Non-finite poses raise InputError.
    """

    whole: Projector
    bone: Projector
    white: float
    longest_px: int = LIVE_PX

    def camera(self, camera: Camera) -> Camera:
        """The camera of the live picture: the field of `camera` on the live grid."""
        return camera.fitted(self.longest_px)

    def image(self, camera: Camera, camera_from_volume: NDArray) -> Floats:
        """Line integrals (H, W)."""
        return rendered(self.whole, self.camera(camera), camera_from_volume)

    def grey(self, camera: Camera, camera_from_volume: NDArray) -> Bytes:
        """The DRR (H, W) for display, dense bright, in tones that depend on the volume and not on the pose."""
        image = self.image(camera, camera_from_volume)
        if self.bone is self.whole:
            return self._tones(image, image)
        return self._tones(image, rendered(self.bone, self.camera(camera), camera_from_volume))

    def lines(self, camera: Camera, camera_from_volume: NDArray) -> Lines:
        """The edges of bone, in pixels of the live picture."""
        live = self.camera(camera)
        drr = wide_drr(self.bone, live, camera_from_volume)
        return edges_in(drr, live)

    def grey_and_lines(self, camera: Camera, camera_from_volume: NDArray) -> tuple[Bytes, Lines]:
        """`grey` and `lines` together, in less time than one after the other."""
        live = self.camera(camera)
        drr = wide_drr(self.bone, live, camera_from_volume)
        image = drr.picture
        if self.bone is not self.whole:
            image = self.image(camera, camera_from_volume)
        grey = self._tones(image, drr.picture)
        return grey, edges_in(drr, live)

    def edges(self, camera: Camera, camera_from_volume: NDArray) -> Bytes:
        """Coverage (H, W) of each pixel by the edges of bone, 0 to 255."""
        return self._drawn(self.lines(camera, camera_from_volume), camera)

    def grey_and_edges(self, camera: Camera, camera_from_volume: NDArray) -> tuple[Bytes, Bytes]:
        """`grey` and `edges` together, in less time than one after the other."""
        grey, lines = self.grey_and_lines(camera, camera_from_volume)
        return grey, self._drawn(lines, camera)

    def _tones(self, image: Floats, bone: Floats) -> Bytes:
        shown = np.minimum(_shown(image, bone) / np.float32(self.white), 1) ** np.float32(_GAMMA)
        return np.rint(255 * shown).astype(np.uint8)

    def _drawn(self, lines: Lines, camera: Camera) -> Bytes:
        live = self.camera(camera)
        return np.rint(255 * stroke(lines, (live.height, live.width), _EDGE_PX)).astype(np.uint8)


def prepare_live(
    volume: Volume,
    structures: tuple[int, ...] = (),
    engine: EngineName = "auto",
    device: DeviceName = "auto",
    *,
    longest_px: int = LIVE_PX,
) -> LiveDrr:
    """The volume, or its `structures`, prepared for live pictures; raises as `attenuation_of` and `prepare` do.

    It is averaged down to voxels that match the pictures' pixels.
    """
    fine = attenuation_of(volume, structures)
    sides_mm = np.asarray(fine.grid.shape) * fine.grid.spacing_mm
    voxel_mm = float(np.median(sides_mm)) / (_VOXELS * longest_px / LIVE_PX)
    whole = coarsened(fine, voxel_mm)
    dense = dense_part(volume, fine)
    bone = whole if dense is fine else coarsened(dense, voxel_mm)
    white = _white(whole, bone)
    of_whole = prepare(whole, engine, device)
    of_bone = of_whole if bone is whole else prepare(bone, engine, device)
    return LiveDrr(of_whole, of_bone, white, longest_px)


def _shown(image: Floats, bone: Floats) -> Floats:
    """The values displayed for line integrals through everything and through bone alone."""
    return np.float32(_SOFT) * image + bone


def _white(whole: Attenuation, bone: Attenuation) -> float:
    """The value that few frontal or lateral lines through the patient exceed."""
    direction = np.abs(whole.grid.volume_from_index[:3, :3] / whole.grid.spacing_mm)
    shown = []
    for patient_axis in range(2):
        along = int(direction[patient_axis].argmax())
        # Arrays are stored [k, j, i], axes named (i, j, k).
        image, dense = (float(whole.grid.spacing_mm[along]) * part.mu.sum(2 - along) for part in (whole, bone))
        shown.append(_shown(image.cpu().numpy(), dense.cpu().numpy())[image.cpu().numpy() > 0])
    return float(np.quantile(np.concatenate(shown), _WHITE_SHARE))
