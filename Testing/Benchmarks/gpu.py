"""Speed and accuracy on one NVIDIA GPU: our Triton engine beside nanodrr's, and training; see Documentation/gpu.md.

    PYTHONPATH=XRayRegistration python Testing/Benchmarks/gpu.py [--out FILE] [--repeats N] [--minutes N] [--only WORD]

Without a CUDA device it says so and ends well.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from gpu_contestants import PLACE, SAMPLES, Contestant, Nanodrr, Ours, captured, forward, forward_and_backward
from patient import SIZE, oblique_view, pelvis_256
from rich.console import Console
from tables import Cell, Table
from torch import Tensor

from xrayreg.geometry import Camera, retract, twist_tangents
from xrayreg.networks.training.status import TrainStep
from xrayreg.render import available_engines, choose_engine, render_with_jacobian
from xrayreg.scene import Attenuation

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "Testing" / "Python"))
from closed_forms import blob_image, blob_map, blobs_around  # noqa: E402

PIXELS, BATCHES = (200, 256), (1, 32)
# Least time of one measurement [ms]: long beside the clock's grain and the first launch.
LEAST_MS = 200.0
# Width of the smooth phantom's balls [mm].
BLOB_MM = 15.0
# Samples per voxel of the truth; see `oversampled`.
FINE = 16


def main() -> int:
    """Measure, print and write down; 0 also where there is nothing to measure on."""
    options = _parsed()
    missing = available_engines()["triton"]
    if missing or not torch.cuda.is_available():
        print(f"No GPU benchmark here: {missing or 'torch sees no CUDA device'}. It needs one NVIDIA GPU.")
        return 0
    console = Console() if sys.stdout.isatty() else Console(width=150)
    console.print(f"{torch.cuda.get_device_name()}, engine chosen by itself: {choose_engine()[2]}")
    tables = []
    for benchmark in (speed, jacobians, accuracy, training):
        if options.only in benchmark.__name__:
            tables.append(benchmark(options))
            console.print(tables[-1].for_terminal())
    options.out.parent.mkdir(parents=True, exist_ok=True)
    report = {"machine": _machine(), "tables": [table.for_json() for table in tables]}
    options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    console.print(f"written to {options.out}")
    return 0


def speed(options: argparse.Namespace) -> Table:
    """Frames per second, forward alone and with the gradient of the poses, launched one by one and as CUDA graphs."""
    attenuation = pelvis_256()
    rows: list[list[Cell]] = []
    for pixels in PIXELS:
        camera, _ = oblique_view(attenuation, pixels)
        contestants = _contestants(attenuation, camera)
        for batch in BATCHES:
            poses = _poses(attenuation, pixels, batch)
            for contestant in contestants:
                row: list[Cell] = [contestant.name, pixels, batch]
                for make in (forward, forward_and_backward):
                    row.append(1000 * batch / milliseconds(make(contestant, poses), options.repeats))
                    row.append(1000 * batch / milliseconds(captured(make(contestant, poses)), options.repeats))
                rows.append(row)
    return Table(
        f"DRRs of {SIZE}^3 voxels on the GPU [frames/s]",
        ("renderer", "pixels", "batch", "forward", "as a graph", "and backward", "as a graph"),
        rows,
        (
            f"Medians of {options.repeats} measurements of at least {LEAST_MS:g} ms with CUDA events, after a warm-up.",
            "Backward: the gradient of half the images' squared sum with respect to the pose matrices.",
            f"nanodrr: {SAMPLES} samples per ray. A graph starts all kernels of a step by one call.",
            *_absent_peer(),
        ),
    )


def jacobians(options: argparse.Namespace) -> Table:
    """Images with all six derivative images, which least squares need and nobody else's renderer gives."""
    attenuation = pelvis_256()
    rows: list[list[Cell]] = []
    for pixels in (64, *PIXELS):
        camera, _ = oblique_view(attenuation, pixels)
        ours = Ours(attenuation, camera, torch.float32)
        for batch in BATCHES:
            poses = ours.pose(_poses(attenuation, pixels, batch))
            tangents = twist_tangents(poses, torch.as_tensor(attenuation.grid.centre, device=PLACE))

            def step(
                poses: Tensor = poses, tangents: Tensor = tangents, ours: Ours = ours, camera: Camera = camera
            ) -> object:
                return render_with_jacobian(ours.projector, camera, poses, tangents)

            rows.append([pixels, batch, 1000 * batch / milliseconds(step, options.repeats)])
    return Table(
        f"DRRs of {SIZE}^3 voxels with six derivative images each, launched one by one [frames/s]",
        ("pixels", "batch", "image and Jacobian"),
        rows,
    )


def accuracy(options: argparse.Namespace) -> Table:
    """How far images and gradients lie from those of a far finer march in double precision."""
    attenuation = pelvis_256()
    camera, pose = oblique_view(attenuation, SIZE)
    pivot = torch.as_tensor(attenuation.grid.centre)
    expected, slope = oversampled(attenuation, camera, pose, pivot)
    blobs = blobs_around(attenuation.grid, BLOB_MM)
    smooth, formula = blob_map(attenuation.grid, blobs, torch.float32), blob_image(camera, pose, blobs)
    rows: list[list[Cell]] = []
    for contestant, of_blobs in zip(_contestants(attenuation, camera), _contestants(smooth, camera), strict=True):
        twist = torch.zeros(1, 6, dtype=torch.float64, requires_grad=True)
        image = contestant.image(contestant.pose(retract(pose, twist, pivot))).double()
        (gradient,) = torch.autograd.grad(0.5 * image.square().sum(), twist)
        apart = image.detach().cpu() - expected
        blurred = of_blobs.image(of_blobs.pose(pose)).double().cpu()
        rows.append(
            [
                contestant.name,
                float(apart.norm() / expected.norm()),
                float(apart.abs().max() / expected.abs().max()),
                float((gradient - slope).norm() / slope.norm()),
                float((blurred - formula).norm() / formula.norm()),
            ]
        )
    return Table(
        f"Accuracy at {SIZE} x {SIZE} pixels",
        ("renderer", "image: rms", "image: largest", "gradient of the twist", "smooth phantom: rms"),
        rows,
        (
            f"Against the trilinear interpolant sampled {FINE} times per voxel in float64, all relative.",
            f"The smooth phantom, Gaussian balls of {BLOB_MM:g} mm, against its formula, which prefers no interpolant.",
            "Joseph's method interpolates in planes, not cells: a part of ours is another interpolant, not an error.",
            *_absent_peer(),
        ),
    )


def training(options: argparse.Namespace) -> Table:
    """Images per second of `xrayreg train` and how long the GPU had nothing to do meanwhile."""
    from xrayreg.io import write_nifti
    from xrayreg.networks.training import TrainingOrder, train_network
    from xrayreg.settings import NetworkSettings, TrainingSettings
    from xrayreg.simulation import pelvis_phantom

    rows: list[list[Cell]] = []
    with tempfile.TemporaryDirectory() as name:
        volume = Path(name) / "ct.nii.gz"
        phantom = pelvis_phantom(2.0)
        write_nifti(volume, phantom.values, phantom.grid.volume_from_index)
        for backbone in ("small", "resnet18"):
            settings = TrainingSettings(
                minutes=options.minutes, device=PLACE, network=NetworkSettings(backbone=backbone)
            )
            watch: subprocess.Popen[str] | None = None
            images = seconds = 0.0
            last = None

            def on_step(step: TrainStep) -> None:
                nonlocal watch, images, seconds, last
                if step.state == "training":
                    watch = watch or _watch_gpu()
                    images, seconds = float(step.images), step.seconds
                if step.validation:
                    last = statistics.median(errors.mtre_mm for errors in step.validation.values())

            train_network(TrainingOrder((volume,), Path(name) / f"{backbone}.pt", settings), on_step=on_step)
            busy = _busy_share(watch)
            rows.append(
                [
                    backbone,
                    settings.batch,
                    images / seconds if seconds else None,
                    None if busy is None else 100 - busy,
                    last,
                ]
            )
    return Table(
        f"xrayreg train, {options.minutes:g} minutes each on the generated pelvis",
        ("network", "batch", "images/s", "GPU idle [%]", "validation mTRE [mm]"),
        rows,
        (
            "Idle: share of the time without a running kernel, as nvidia-smi tells, preparation left out.",
            "Validation is part of the time. The median over the kinds of image that the network is judged on.",
        ),
    )


def milliseconds(step: Callable[[], object], repeats: int) -> float:
    """Median milliseconds of a step, many of them in a row and timed on the GPU's own clock."""
    for _ in range(3):
        step()
    count = 1
    while (spent := _elapsed(step, count)) < LEAST_MS:
        count = max(2 * count, int(1.1 * count * LEAST_MS / max(spent, 0.01)))
    return statistics.median(_elapsed(step, count) for _ in range(repeats)) / count


def _elapsed(step: Callable[[], object], count: int) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    for _ in range(count):
        step()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end)


def oversampled(attenuation: Attenuation, camera: Camera, pose: Tensor, pivot: Tensor) -> tuple[Tensor, Tensor]:
    """Image (1, H, W) of the trilinear interpolant and the derivative (1, 6) of half its squared sum by the twist.

    Row by row in float64, FINE samples per voxel of the map's diagonal, midpoint rule between the faces of the box one
    voxel around; shares nothing with the engines but the map.
    """
    mu = attenuation.mu.to(PLACE, torch.float64)[None, None]
    shape = torch.tensor(attenuation.grid.shape, dtype=torch.float64, device=PLACE)
    index_from_volume = torch.as_tensor(attenuation.grid.index_from_volume, device=PLACE)
    ray_from_pixel = torch.linalg.inv(torch.as_tensor(camera.matrix, device=PLACE))
    steps = FINE * int(shape.norm())
    fractions = (torch.arange(steps, dtype=torch.float64, device=PLACE) + 0.5) / steps
    columns = torch.arange(camera.width, dtype=torch.float64, device=PLACE)
    twist = torch.zeros(1, 6, dtype=torch.float64, device=PLACE, requires_grad=True)
    rows, slope = [], torch.zeros(1, 6, dtype=torch.float64, device=PLACE)
    for v in range(camera.height):
        moved = retract(pose.to(PLACE), twist, pivot.to(PLACE))[0]
        index_from_camera = index_from_volume @ torch.linalg.inv(moved)
        rays = torch.stack([columns, torch.full_like(columns, v), torch.ones_like(columns)], -1) @ ray_from_pixel.mT
        source, along = index_from_camera[:3, 3], rays @ index_from_camera[:3, :3].mT
        at_low, at_high = (-1 - source) / along, (shape - source) / along
        enter = torch.minimum(at_low, at_high).amax(-1).clamp(min=0)
        stretch = (torch.maximum(at_low, at_high).amin(-1) - enter).clamp(min=0)
        t = enter[:, None] + fractions * stretch[:, None]
        places = source + t[..., None] * along[:, None]
        values = torch.nn.functional.grid_sample(
            mu, ((2 * places + 1) / shape - 1)[None, None], padding_mode="zeros", align_corners=False
        )[0, 0, 0]
        row = values.sum(-1) * stretch / steps * rays.norm(dim=-1)
        slope += torch.autograd.grad(0.5 * row.square().sum(), twist)[0]
        rows.append(row.detach())
    return torch.stack(rows)[None].cpu(), slope.cpu()


def _contestants(attenuation: Attenuation, camera: Camera) -> list[Contestant]:
    found: list[Contestant] = [Ours(attenuation, camera, storage) for storage in (torch.float32, torch.float16)]
    return found if _absent_peer() else [*found, Nanodrr(attenuation, camera)]


def _absent_peer() -> tuple[str, ...]:
    """A sentence where nanodrr cannot take part."""
    try:
        import nanodrr.drr  # noqa: F401
    except ImportError as problem:
        return (f"nanodrr did not take part: {problem}; pip install nanodrr==0.1.7",)
    return ()


def _poses(attenuation: Attenuation, pixels: int, batch: int) -> Tensor:
    """Poses (B, 4, 4) some degrees and millimetres around the benchmark's view, the same for everybody."""
    _, pose = oblique_view(attenuation, pixels)
    size = torch.tensor([0.1, 0.1, 0.1, 10.0, 10.0, 10.0], dtype=torch.float64)
    twists = size * torch.randn(batch, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return retract(pose.expand(batch, 4, 4), twists, torch.as_tensor(attenuation.grid.centre))


def _watch_gpu() -> subprocess.Popen[str] | None:
    """nvidia-smi writing down five times a second how busy the GPU is; None where it is not installed."""
    if not shutil.which("nvidia-smi"):
        return None
    device = torch.cuda.get_device_properties(torch.cuda.current_device())
    which = f"--id=GPU-{device.uuid}"
    what = ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--loop-ms=200"]
    return subprocess.Popen(["nvidia-smi", which, *what], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _busy_share(watch: subprocess.Popen[str] | None) -> float | None:
    """Mean percentage that the watch has seen; ends it."""
    if watch is None:
        return None
    watch.terminate()
    told, _ = watch.communicate()
    shares = [float(line) for line in told.split() if line.isdigit()]
    return statistics.mean(shares) if shares else None


def _machine() -> dict[str, object]:
    import triton

    return {
        "when": time.strftime("%Y-%m-%d %H:%M"),
        "gpu": torch.cuda.get_device_name(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "triton": triton.__version__,
    }


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / ".cache" / "bench" / "gpu.json", help="JSON file to write")
    parser.add_argument("--repeats", type=int, default=7, help="measurements of each contestant")
    parser.add_argument("--minutes", type=float, default=1.0, help="minutes to train each network")
    parser.add_argument("--only", default="", metavar="WORD", help="run only benchmarks whose name holds this word")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
