"""Every kernel compiled to machine code for GPUs that need not be here: what the interpreter lets pass is found here.

Triton brings NVIDIA's assembler along, so types, masks and registers are checked as on a machine with such a GPU.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import torch
from closed_forms import camera, looking, plain_grid
from render_checks import noise_map

triton = pytest.importorskip("triton")
if triton.knobs.runtime.interpret:
    pytest.skip("Triton is set to its interpreter, which compiles nothing", allow_module_level=True)

from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

from xrayreg.geometry import twist_tangents  # noqa: E402
from xrayreg.render import (  # noqa: E402
    render,
    render_with_jacobian,
    triton_engine,
    triton_gradients,
    triton_kernels,
)
from xrayreg.scene import Attenuation  # noqa: E402

POINTERS = {
    "occupied": "*u8",
    "boxes": "*i32",
    "gradient": "*i64",
    **dict.fromkeys(("source", "matrix", "partial"), "*fp64"),
    **dict.fromkeys(("scales", "length_mm", "image", "sums", "source_tangents", "matrix_tangents"), "*fp32"),
    **dict.fromkeys(("jacobian", "upstream", "by_length", "weights"), "*fp32"),
    "unit": "fp32",
}
MARCH = {
    "TILE_WIDTH": triton_engine.DEFAULT.tile_width,
    "LANES": triton_engine.DEFAULT.lanes,
    "AT_ONCE": triton_engine.DEFAULT.planes,
}
TILE = {"TILE_WIDTH": MARCH["TILE_WIDTH"], "LANES": MARCH["LANES"]}
KERNELS = {
    "image": (triton_kernels.project, {"FIVE": False, "WIDE": False, **MARCH}),
    "sums": (triton_kernels.project, {"FIVE": True, "WIDE": False, **MARCH}),
    "sums of a huge map": (triton_kernels.project, {"FIVE": True, "WIDE": True, **MARCH}),
    "columns": (triton_gradients.columns, {"LANES": 128}),
    "pull-back": (triton_gradients.pull_back_rays, {"LENGTHS": True, "LANES": 128}),
    "weights": (triton_gradients.ray_weights, {"LANES": 128}),
    "map's pull-back": (triton_gradients.pull_back_maps, {"WIDE": True, **TILE}),
}


def compiled(kernel, constants: dict, capability: int, storage: str = "fp32"):
    """The kernel as the launcher compiles it: with the engine's warps, nothing specialised."""
    types = {"maps": f"*{storage}", **POINTERS}
    signature = {name: "constexpr" if name in constants else types.get(name, "i32") for name in kernel.arg_names}
    marches = "TILE_WIDTH" in constants
    options = {"num_warps": triton_engine.DEFAULT.warps if marches else 4, "enable_fp_fusion": True}
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)


def usage(code, folder: Path) -> dict[str, int]:
    """Registers and bytes of local memory of a thread, as NVIDIA's tool reads them from machine code."""
    binary = folder / "kernel.cubin"
    binary.write_bytes(code.asm["cubin"])
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    if not tool.exists() or not os.access(tool, os.X_OK):
        pytest.skip("this Triton brings no cuobjdump")
    told = subprocess.check_output([tool, "-res-usage", binary], text=True, stderr=subprocess.STDOUT)
    return {name: int(value) for name, value in re.findall(r"\b(REG|STACK|LOCAL):(\d+)", told)}


@pytest.mark.parametrize(("name", "capability"), [*((name, 90) for name in KERNELS), ("image", 80), ("sums", 80)])
def test_kernels_compile_for_a_gpu_and_keep_everything_in_registers(name, capability, tmp_path):
    found = usage(compiled(*KERNELS[name], capability), tmp_path)
    # A thread may hold 255 registers; what does not fit goes to memory, each access as slow as a voxel.
    assert found["STACK"] == found["LOCAL"] == 0
    # 65536 registers for 32 threads of 16 programs or more: enough to wait for memory together.
    assert found["REG"] <= 128


@pytest.mark.parametrize("storage", ["fp16", "bf16"])
def test_maps_in_half_precision_compile_too(storage, tmp_path):
    code = compiled(*KERNELS["sums"], 90, storage)
    assert usage(code, tmp_path)["STACK"] == 0
    # They are read as 16 bits and only then become single precision.
    assert re.search(r"ld\.global\.b16|ld\.global\.u16", code.asm["ptx"])


@pytest.mark.parametrize("name", ["image", "sums"])
def test_the_march_spends_no_double_precision_on_its_way(name):
    ptx = compiled(*KERNELS[name], 90).asm["ptx"]
    # A loop is what a branch to an earlier label jumps over; the loop over planes is the shortest that reads them.
    labels = {match.group(1): match.start() for match in re.finditer(r"^\$(\w+):", ptx, re.MULTILINE)}
    branches = re.finditer(r"bra(?:\.uni)?\s+\$(\w+);", ptx)
    loops = [ptx[labels[match.group(1)] : match.end()] for match in branches if labels[match.group(1)] < match.start()]
    planes = min((loop for loop in loops if loop.count("ld.global") >= 4 * MARCH["AT_ONCE"]), key=len)
    assert "f64" not in planes and "div" not in planes
    # Voxel and weight are bits of one number: only the plane's number is converted, for the levers.
    assert planes.count("cvt.r") == (MARCH["AT_ONCE"] if name == "sums" else 0)


def test_the_maps_gradient_is_added_up_in_integers():
    ptx = compiled(*KERNELS["map's pull-back"], 90).asm["ptx"]
    atomic = re.findall(r"\b(?:red|atom)\.\S+", ptx)
    assert len(atomic) >= 4 and all(name.endswith("add.u64") for name in atomic)


class NoDevice:
    """What Triton asks of a driver before it launches anything, answered for a GPU that is not there."""

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int = 0) -> int:
        return 0


@pytest.fixture
def launches(monkeypatch):
    """The kernels that the engine would launch, compiled by Triton's own launcher as for a GPU of capability 9.0."""
    names: list[str] = []

    def compile_only(kernel, programs, warps, device, *arguments, **constants):
        assert 0 < programs < 1 << 31
        kernel.warmup(*arguments, grid=(programs,), **constants, num_warps=warps, enable_fp_fusion=True)
        names.append(kernel.__name__)

    monkeypatch.setattr(triton_engine, "_launch", compile_only)
    # `reset_active` would look for a GPU.
    monkeypatch.setattr(triton.runtime.driver, "_active", NoDevice())
    return names


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here, which test_triton.py launches on")
@pytest.mark.parametrize("storage", [torch.float32, torch.float16])
def test_the_engine_hands_its_kernels_what_they_were_made_for(storage, launches):
    grid, view = plain_grid((20, 21, 22)), camera(33, 25)
    poses = torch.cat([looking(grid), looking(grid, (0.1, 0.2, 0.3))]).requires_grad_()
    matrix, mu = torch.as_tensor(view.matrix).requires_grad_(), noise_map(grid).mu.requires_grad_()
    projector = triton_engine.TritonProjector(Attenuation(mu, grid), "cpu", storage)
    render(projector, view, poses, matrix).sum().backward()
    assert launches == ["project", "pull_back_rays", "ray_weights", "pull_back_maps"]
    launches.clear()
    tangents = twist_tangents(poses.detach(), torch.zeros(3, dtype=torch.float64))
    render_with_jacobian(projector, view, poses.detach(), tangents)
    with torch.no_grad():
        render(projector, view, poses.detach())
    assert launches == ["project", "columns", "project"]
