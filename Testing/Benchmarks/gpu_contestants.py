"""Who renders on the GPU: our Triton engine and nanodrr's, each in the way that suits it best.

A contestant renders a batch of poses to images (B, H, W), and gives the derivative of half the images' squared sum with
respect to its own pose matrices. Both may be captured in a CUDA graph: nothing is copied from or to the host.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from xrayreg.geometry import Camera, inverse
from xrayreg.scene import Attenuation

PLACE = "cuda"
# nanodrr's own default.
SAMPLES = 500


class Contestant(Protocol):
    """One renderer with one map and one camera, on the GPU."""

    name: str

    def pose(self, camera_from_volume: Tensor) -> Tensor:
        """The poses (B, 4, 4) as this renderer takes them, on the GPU; differentiable."""

    def image(self, poses: Tensor) -> Tensor:
        """Line integrals (B, H, W) for what `pose` gives; differentiable."""


class Ours:
    """The engine `triton` of this project, the map in float32 or float16."""

    def __init__(self, attenuation: Attenuation, camera: Camera, storage: torch.dtype) -> None:
        from xrayreg.render.casting import ray_caster
        from xrayreg.render.triton_engine import TritonProjector

        self.name = f"xrayreg triton, {str(storage).removeprefix('torch.')}"
        self.projector = TritonProjector(attenuation, PLACE, storage)
        self._caster = ray_caster(attenuation.grid, camera, torch.empty(0, dtype=torch.float64, device=PLACE))

    def pose(self, camera_from_volume: Tensor) -> Tensor:
        """camera_from_volume in double precision."""
        return camera_from_volume.to(PLACE, torch.float64)

    def image(self, poses: Tensor) -> Tensor:
        """Line integrals (B, H, W)."""
        return self.projector.project(self._caster.cast(poses))


class Nanodrr:
    """nanodrr with its rays computed once, as it recommends; conventions matched as in `peer.Peer`."""

    def __init__(self, attenuation: Attenuation, camera: Camera, backend: str = "triton") -> None:
        from nanodrr.data import Subject
        from nanodrr.drr import DRR
        from torchio import ScalarImage

        self.name, self._backend = f"nanodrr 0.1.7 {backend}, float32", backend
        image = ScalarImage(
            tensor=attenuation.mu.permute(2, 1, 0)[None].contiguous(), affine=attenuation.grid.volume_from_index
        )
        self._subject = Subject.from_images(image, convert_to_mu=False).to(PLACE)
        matrix = torch.as_tensor(camera.matrix).clone()
        # Its pixel centres lie at half integers.
        matrix[:2, 2] += 0.5
        # Its rays end at the detector, which only has to lie behind the patient.
        depth = torch.tensor([float(camera.sid_mm or 2000.0)])
        self._drr = DRR(torch.linalg.inv(matrix).float()[None], depth, camera.height, camera.width).to(PLACE)

    def pose(self, camera_from_volume: Tensor) -> Tensor:
        """volume_from_camera in single precision."""
        return inverse(camera_from_volume).to(PLACE, torch.float32)

    def image(self, poses: Tensor) -> Tensor:
        """Line integrals (B, H, W)."""
        return self._drr(self._subject, poses, n_samples=SAMPLES, backend=self._backend)[:, 0]


def forward(contestant: Contestant, poses: Tensor) -> Callable[[], Tensor]:
    """A step that renders the images."""
    placed = contestant.pose(poses)

    def step() -> Tensor:
        with torch.no_grad():
            return contestant.image(placed)

    return step


def forward_and_backward(contestant: Contestant, poses: Tensor) -> Callable[[], Tensor]:
    """A step that renders the images and pulls half their squared sum back to the poses."""
    placed = contestant.pose(poses).requires_grad_()

    def step() -> Tensor:
        loss = 0.5 * contestant.image(placed).square().sum()
        (gradient,) = torch.autograd.grad(loss, placed)
        return gradient

    return step


def captured(step: Callable[[], Tensor]) -> Callable[[], object]:
    """The step as a CUDA graph, which is started by one call to the driver."""
    # As torch asks for: a few runs on a stream of their own first, which also compile what is still to be compiled.
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = step()

    def replay() -> Tensor:
        graph.replay()
        return result

    return replay
