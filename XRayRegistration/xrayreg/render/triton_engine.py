"""The CUDA engine: the Triton kernels behind the Projector contract and torch's autograd.

Nothing here reads from the device or waits for it, and the results do not depend on the order in which it works: what
is rendered or differentiated twice is bitwise the same, and rendering may be captured in a CUDA graph, once the
kernels have been compiled by a first call (see Documentation/gpu.md).
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import triton
from torch import Tensor

from ..checks import InputError
from ..geometry import VoxelGrid
from ..scene import Attenuation
from . import triton_gradients as gradients
from . import triton_kernels as kernels
from .rays import Rays, RayTangents
from .triton_maps import RIM, STORAGES, RimmedMaps, rimmed_maps, whole_boxes

# Whether Triton computes in its interpreter, on the CPU and slowly.
INTERPRETED = bool(triton.knobs.runtime.interpret)
# Lanes and warps of the kernels that do not march.
_FLAT = 128
_FLAT_WARPS = 4


@dataclass(frozen=True)
class Tuning:
    """How the march is laid out; it changes the speed, and results only by the order of additions.

    tile_width, lanes: pixels of a program's tile in a row and altogether, powers of two.
    warps: of 32 threads for each program. planes: read before the first value is used.
    busy: rays below which the planes of each are dealt out to up to eight programs.
    """

    tile_width: int = 8
    lanes: int = 32
    warps: int = 1
    planes: int = 4
    busy: int = 1 << 17


# The interpreter pays for programs, not for pixels.
DEFAULT = Tuning(64, 4096, 1, 16, 0) if INTERPRETED else Tuning()


class TritonProjector:
    """Parallel compiled GPU projector; see `projector.Projector` for the contract.

    Keeps a rimmed copy of the map on the device. The copy is refreshed when `mu` takes part in autograd, so that a map
    that is being learned is always the one rendered. Images and Jacobians are float32 on the device of the map,
    wherever the rays are.
    """

    name = "triton"

    def __init__(
        self,
        attenuation: Attenuation,
        device: str,
        storage: torch.dtype = torch.float32,
        tuning: Tuning = DEFAULT,
    ) -> None:
        """storage: what voxels are kept in; float16 and bfloat16 take half the memory, and a part in 2000 or 250."""
        self.grid: VoxelGrid = attenuation.grid
        self.mu = attenuation.mu.to(device)
        self.renders = 0
        self._core = _Core(self.mu[None], storage, tuning)

    def project(self, rays: Rays) -> Tensor:
        """Line integrals (B, H, W) in float32."""
        return self._core.project(rays, self.mu[None])[:, 0]

    def project_with_jacobian(self, rays: Rays, tangents: RayTangents) -> tuple[Tensor, Tensor]:
        """Line integrals (B, H, W) and their derivatives (B, P, H, W) in float32."""
        image, jacobian = self._core.project_with_jacobian(rays, tangents, self.mu[None])
        return image[:, 0], jacobian[:, 0]


class TritonChannelProjector:
    """Several maps of one grid, rendered in one launch; see `channels.ChannelProjector` for the contract."""

    name = "triton"

    def __init__(
        self,
        attenuations: Sequence[Attenuation],
        device: str,
        storage: torch.dtype = torch.float32,
        tuning: Tuning = DEFAULT,
    ) -> None:
        """attenuations: at least one, all on one grid. storage: see `TritonProjector`."""
        self.grid: VoxelGrid = attenuations[0].grid
        self.mu = torch.stack([attenuation.mu.to(device) for attenuation in attenuations])
        self.channels = len(attenuations)
        self.renders = 0
        self._core = _Core(self.mu, storage, tuning)

    def project(self, rays: Rays) -> Tensor:
        """Line integrals (B, C, H, W) in float32, differentiable with respect to the rays and the maps."""
        return self._core.project(rays, self.mu)

    def project_with_jacobian(self, rays: Rays, tangents: RayTangents) -> tuple[Tensor, Tensor]:
        """Line integrals (B, C, H, W) and their derivatives (B, C, P, H, W) in float32."""
        return self._core.project_with_jacobian(rays, tangents, self.mu)


class _Core:
    """Prepared maps (C, k, j, i), and the two ways to render them."""

    def __init__(self, mu: Tensor, storage: torch.dtype, tuning: Tuning) -> None:
        if storage not in STORAGES:
            raise InputError(
                "storage of the map",
                expected="float32, float16 or bfloat16",
                found=str(storage).removeprefix("torch."),
                remedy="choose one of them",
            )
        self._storage, self._tuning = storage, tuning
        self._maps = rimmed_maps(mu, storage)

    def project(self, rays: Rays, mu: Tensor) -> Tensor:
        given = (rays.source, rays.matrix, rays.length_mm)
        learns = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in given)
        return _Project.apply(*given, mu, self._current(mu), self._tuning, learns)

    @torch.no_grad()
    def project_with_jacobian(self, rays: Rays, tangents: RayTangents, mu: Tensor) -> tuple[Tensor, Tensor]:
        maps = self._current(mu)
        placed = _Placed.of(rays, maps)
        image, sums = _marched(placed, maps, self._tuning, five=True)
        assert sums is not None
        poses, channels, height, width = image.shape
        count = tangents.source.shape[1]
        jacobian = torch.empty((poses, channels, count, height, width), dtype=torch.float32, device=image.device)
        along = [_on(given, image.device, torch.float32) for given in (tangents.source, tangents.matrix)]
        if jacobian.numel():
            _launch_flat(
                gradients.columns, placed, maps,
                (sums, placed.source, placed.matrix, placed.length_mm, *along, jacobian), (count,),
            )  # fmt: skip
        return image, jacobian

    def _current(self, mu: Tensor) -> RimmedMaps:
        return rimmed_maps(mu, self._storage) if mu.requires_grad else self._maps


@dataclass(frozen=True, eq=False)
class _Placed:
    """Rays where and as the kernels read them: contiguous, on the maps' device, with more digits for places."""

    source: Tensor
    matrix: Tensor
    length_mm: Tensor

    @classmethod
    def of(cls, rays: Rays, maps: RimmedMaps) -> _Placed:
        device = maps.values.device
        return cls(
            _on(rays.source, device, torch.float64),
            _on(rays.matrix, device, torch.float64),
            _on(rays.length_mm, device, torch.float32),
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Poses, rows and columns."""
        return self.source.shape[0], self.length_mm.shape[0], self.length_mm.shape[1]


def _on(tensor: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    return tensor.detach().to(device=device, dtype=dtype).contiguous()


def _launch(kernel: Any, programs: int, warps: int, device: torch.device, *arguments: Any, **constants: Any) -> None:
    """Run a kernel on the current stream of a device, which need not be the current one."""
    with torch.cuda.device(device) if device.type != "cpu" else contextlib.nullcontext():
        kernel[(programs,)](*arguments, **constants, num_warps=warps, enable_fp_fusion=True)


def _launch_flat(
    kernel: Any,
    placed: _Placed,
    maps: RimmedMaps,
    tensors: tuple[Tensor, ...],
    more: tuple[int, ...] = (),
    **flags: bool,
) -> None:
    """Run a kernel over blocks of _FLAT pixels of every image."""
    poses, height, width = placed.shape
    channels = len(maps.values)
    blocks = triton.cdiv(height * width, _FLAT)
    _launch(
        kernel, poses * channels * blocks, _FLAT_WARPS, maps.values.device,
        *tensors, width, height * width, blocks, *more, channels, *maps.size, LANES=_FLAT, **flags,
    )  # fmt: skip


def _tiles(height: int, width: int, tuning: Tuning) -> tuple[int, int]:
    """Tiles side by side, and tiles altogether."""
    across = triton.cdiv(width, tuning.tile_width)
    return across, across * triton.cdiv(height, tuning.lanes // tuning.tile_width)


def _is_wide(maps: RimmedMaps) -> bool:
    """Whether a place in one map needs 64 bits."""
    return maps.values[0].numel() >= 1 << 31


def _parts(rays: int, tuning: Tuning) -> int:
    parts = 1
    while parts < 8 and rays * parts < tuning.busy:
        parts *= 2
    return parts


def _marched(placed: _Placed, maps: RimmedMaps, tuning: Tuning, *, five: bool) -> tuple[Tensor, Tensor | None]:
    """Line integrals (B, C, H, W) and, when asked for, the five sums (B, C, 5, H, W)."""
    poses, height, width = placed.shape
    channels, device = len(maps.values), maps.values.device
    parts = _parts(poses * channels * height * width, tuning)
    image = torch.empty((parts, poses, channels, height, width), dtype=torch.float32, device=device)
    sums = torch.empty((parts, poses, channels, 5 if five else 0, height, width), dtype=torch.float32, device=device)
    across, tiles = _tiles(height, width, tuning)
    if image.numel():
        _launch(
            kernels.project, poses * channels * tiles * parts, tuning.warps, device,
            maps.values, maps.occupied, maps.boxes, maps.scales,
            placed.source, placed.matrix, placed.length_mm, image, sums if five else image,
            width, height, across, tiles, poses * channels, channels, parts, *maps.size,
            FIVE=five, WIDE=_is_wide(maps), TILE_WIDTH=tuning.tile_width, LANES=tuning.lanes, AT_ONCE=tuning.planes,
        )  # fmt: skip
    if parts == 1:
        return image[0], sums[0] if five else None
    return image.sum(0), sums.sum(0) if five else None


class _Project(torch.autograd.Function):
    """Line integrals with hand-written gradients for the rays, the lengths and the maps.

    Where rays learn, the march leaves the five sums behind, so that the way back does not read the map again.
    """

    @staticmethod
    def forward(
        ctx: Any,
        source: Tensor,
        matrix: Tensor,
        length_mm: Tensor,
        mu: Tensor,
        maps: RimmedMaps,
        tuning: Tuning,
        learns: bool,
    ) -> Tensor:
        placed = _Placed.of(Rays(source, matrix, length_mm), maps)
        image, sums = _marched(placed, maps, tuning, five=learns)
        ctx.save_for_backward(source, matrix, length_mm, mu, sums)
        ctx.maps, ctx.tuning = maps, tuning
        return image

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        pulled = _PullBack.apply(upstream, *ctx.saved_tensors, ctx.maps, ctx.tuning, ctx.needs_input_grad)
        return (*pulled, None, None, None)


class _PullBack(torch.autograd.Function):
    """The gradients of `_Project`; a separate function, so that a second derivative is refused and never wrong."""

    @staticmethod
    def forward(
        ctx: Any,
        upstream: Tensor,
        source: Tensor,
        matrix: Tensor,
        length_mm: Tensor,
        mu: Tensor,
        sums: Tensor | None,
        maps: RimmedMaps,
        tuning: Tuning,
        needed: tuple[bool, ...],
    ) -> tuple[Tensor | None, ...]:
        placed = _Placed.of(Rays(source, matrix, length_mm), maps)
        above = _on(upstream, maps.values.device, torch.float32)
        by_source = by_matrix = by_length = by_map = None
        if any(needed[:3]):
            assert sums is not None
            found, lengths = _pulled_back_rays(placed, maps, sums, above, lengths=needed[2])
            by_source = found[:, :3].to(source)
            # The kernel leaves the columns of d/dmatrix one after another.
            by_matrix = found[:, 3:].reshape(-1, 3, 3).mT.to(matrix)
            by_length = lengths.sum((0, 1)).to(length_mm) if needed[2] else None
        if needed[3]:
            by_map = _pulled_back_maps(placed, maps, above, tuning).to(mu)
        return by_source, by_matrix, by_length, by_map

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:
        raise RuntimeError("the triton engine has no second derivatives: render with the torch engine")


def _pulled_back_rays(
    placed: _Placed, maps: RimmedMaps, sums: Tensor, above: Tensor, *, lengths: bool
) -> tuple[Tensor, Tensor]:
    """Gradients (B, 12) of source and matrix columns in float64, and of the lengths (B, C, H, W) where asked for."""
    poses, height, width = placed.shape
    blocks = triton.cdiv(height * width, _FLAT)
    partial = torch.empty(
        (poses, len(maps.values) * blocks, gradients.NUMBERS), dtype=torch.float64, device=above.device
    )
    by_length = torch.empty_like(above) if lengths else above
    if above.numel():
        _launch_flat(
            gradients.pull_back_rays, placed, maps,
            (sums, placed.source, placed.matrix, placed.length_mm, above, partial, by_length), LENGTHS=lengths,
        )  # fmt: skip
    return partial.sum(1), by_length


def _pulled_back_maps(placed: _Placed, maps: RimmedMaps, above: Tensor, tuning: Tuning) -> Tensor:
    """Gradient (C, k, j, i) with respect to the maps.

    Added up in integers, which any order of additions leaves the same: of 63 bits as many are kept for the number of
    rays as it takes to never overflow, the others resolve the largest weight.
    """
    poses, height, width = placed.shape
    gradient = torch.zeros(maps.values.shape, dtype=torch.int64, device=above.device)
    bits = 62 - (poses * height * width).bit_length()
    peak = above.new_ones(())
    if above.numel():
        weights = torch.empty_like(above)
        _launch_flat(
            gradients.ray_weights, placed, maps, (placed.source, placed.matrix, placed.length_mm, above, weights)
        )
        peak = weights.abs().amax()
        weights /= torch.where(peak == 0, torch.ones_like(peak), peak)
        across, tiles = _tiles(height, width, tuning)
        _launch(
            gradients.pull_back_maps, poses * len(maps.values) * tiles, tuning.warps, above.device,
            gradient, whole_boxes(maps), placed.source, placed.matrix, weights, float(1 << bits),
            width, height, across, tiles, len(maps.values), *maps.size,
            WIDE=_is_wide(maps), TILE_WIDTH=tuning.tile_width, LANES=tuning.lanes,
        )  # fmt: skip
    tissue = slice(RIM, -RIM)
    return gradient[:, tissue, tissue, tissue].to(torch.float32) * 2.0**-bits * peak
