"""How long a DRR takes, alone and with all six pose derivatives, beside nanodrr on the same machine in the same run."""

from __future__ import annotations

import ctypes
import ctypes.util
import statistics
import time
from collections.abc import Callable, Mapping

import numba
import torch
from patient import SIZE, oblique_view, pelvis_256
from tables import Cell, Table
from torch import Tensor

from xrayreg.geometry import twist_tangents
from xrayreg.networks.data.pose_sampling import sample_poses
from xrayreg.networks.data.subjects import prepare_subject, render_soft_and_bone
from xrayreg.networks.model.network_camera import pinhole
from xrayreg.render import (
    Projector,
    StackedProjector,
    available_engines,
    prepare,
    prepare_channels,
    render,
    render_channels,
    render_with_jacobian,
)
from xrayreg.scene import Attenuation
from xrayreg.settings import DISTRIBUTIONS, NetworkCamera
from xrayreg.simulation import pelvis_phantom

TARGET_IMAGE, TARGET_JACOBIAN = 40, 120
PIXELS = (32, 64, 128, 256, 512)
# The batch of a training: poses, the network's camera, and the voxels that it asks for.
BATCH, NETWORK, VOXEL_MM = 64, NetworkCamera(64, 396.8, 1020.0), 4.3
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def use_threads(count: int) -> None:
    """Let torch and numba compute on `count` threads each."""
    # In this order: numba starts its threads here, and may tell OpenMP, which torch uses too, how many there are.
    numba.set_num_threads(min(count, numba.get_num_threads()))
    torch.set_num_threads(count)


def keep_freed_memory() -> str:
    """Let the C library keep what was freed instead of faulting it in again at every step; returns what was done.

    It favours whoever allocates most, which is not us.
    """
    library = ctypes.util.find_library("c")
    mallopt = getattr(ctypes.CDLL(library), "mallopt", None) if library else None
    if mallopt and mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, -1):
        return "freed memory is kept by the process for all contestants (glibc mallopt)"
    return "the platform's allocator with its own settings for all contestants"


def medians(contestants: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median milliseconds of each contestant; one untimed run each, then `repeats` rounds in which everybody runs."""
    for run in contestants.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: 1000 * statistics.median(times) for name, times in seconds.items()}


def _engines() -> list[str]:
    return [name for name in ("numba", "torch") if not available_engines()[name]]


def _difference(found: Tensor, expected: Tensor) -> float:
    """Root-mean-square difference relative to the root-mean-square image."""
    return float((found.double() - expected.double()).norm() / expected.double().norm())


def beside_nanodrr(repeats: int) -> Table:
    """DRR 256^2 of 256^3: times, ratios with their targets, and how far the images agree."""
    from peer import SAMPLES, Peer

    allocator = keep_freed_memory()
    attenuation = pelvis_256()
    camera, pose = oblique_view(attenuation, SIZE)
    tangents = twist_tangents(pose, torch.as_tensor(attenuation.grid.centre))
    peer = Peer(attenuation, camera, pose)
    projectors = {name: prepare(attenuation, name, "cpu") for name in _engines()}  # type: ignore[arg-type]
    contestants: dict[str, Callable[[], object]] = {"nanodrr image": peer.image, "nanodrr gradient": peer.gradient}
    for name, projector in projectors.items():
        contestants[f"{name} image"], contestants[f"{name} jacobian"] = _tasks(projector, attenuation, SIZE)
    times = medians(contestants, repeats)
    peer_image, peer_gradient = peer.gradient()
    rows: list[list[Cell]] = [
        ["nanodrr 0.1.7", times["nanodrr image"], None, times["nanodrr gradient"], None, None, None]
    ]
    for name, projector in projectors.items():
        image, jacobian = render_with_jacobian(projector, camera, pose, tangents)
        rows.append(
            [
                f"xrayreg {name}",
                times[f"{name} image"],
                times["nanodrr image"] / times[f"{name} image"],
                times[f"{name} jacobian"],
                times["nanodrr gradient"] / times[f"{name} jacobian"],
                _difference(image, peer_image),
                _difference((jacobian * image[:, None]).sum((-2, -1)), peer_gradient),
            ]
        )
    return Table(
        f"DRR {SIZE} x {SIZE} of {SIZE}^3 voxels on the CPU",
        (
            "engine",
            "image [ms]",
            f"ratio (target {TARGET_IMAGE})",
            "with derivatives [ms]",
            f"ratio (target {TARGET_JACOBIAN})",
            "image differs by",
            "gradient differs by",
        ),
        rows,
        (
            f"Medians of {repeats} interleaved runs on {torch.get_num_threads()} threads; {allocator}.",
            f"nanodrr: {SAMPLES} samples per ray, one gradient of half the image's squared sum.",
            "It keeps one core busy: torch deals out the images of a batch to threads, not the rays of one image.",
            "xrayreg: all six derivative images.",
            "Differences are root-mean-square, relative to nanodrr's image and gradient.",
        ),
    )


def by_image_size(repeats: int) -> Table:
    """Times of our engines from search size to full size."""
    attenuation = pelvis_256()
    rows: list[list[Cell]] = []
    for name in _engines():
        start = time.perf_counter()
        projector = prepare(attenuation, name, "cpu")  # type: ignore[arg-type]
        preparation = 1000 * (time.perf_counter() - start)
        for pixels in PIXELS:
            image, jacobian = _tasks(projector, attenuation, pixels)
            times = medians({"image": image, "jacobian": jacobian}, repeats)
            rows.append([name, pixels, times["image"], times["jacobian"], preparation])
    return Table(
        f"One DRR of {SIZE}^3 voxels by image size",
        ("engine", "pixels", "image [ms]", "with derivatives [ms]", "prepare the map [ms]"),
        rows,
    )


def training_batches(repeats: int) -> Table:
    """Images a second for a network's training: soft tissue and bone, in one pass and one after the other."""
    rows: list[list[Cell]] = []
    for name in _engines():
        subject = prepare_subject(pelvis_phantom(2.0), voxel_mm=VOXEL_MM, engine=name, device="cpu")  # type: ignore[arg-type]
        maps = [part for part in (subject.soft, subject.bone) if part is not None]
        stacked = StackedProjector([prepare(part, name, "cpu") for part in maps])  # type: ignore[arg-type]
        four = prepare_channels([*maps, *maps], name, "cpu")  # type: ignore[arg-type]
        poses = sample_poses(DISTRIBUTIONS["chen"], subject.isocentre, BATCH, torch.Generator().manual_seed(1))
        camera = pinhole(NETWORK)
        times = medians(
            {
                "both parts in one pass": lambda: render_soft_and_bone(subject, camera, poses),  # noqa: B023
                "one part after the other": lambda: render_channels(stacked, camera, poses),  # noqa: B023
                "soft tissue alone": lambda: render(stacked.projectors[0], camera, poses),  # noqa: B023
                "four maps": lambda: render_channels(four, camera, poses),  # noqa: B023
            },
            repeats,
        )
        rows += [
            [name, what, milliseconds / BATCH, 1000 * BATCH / milliseconds] for what, milliseconds in times.items()
        ]
    return Table(
        f"A training's batch: {BATCH} poses, {NETWORK.image_px} x {NETWORK.image_px} pixels, {VOXEL_MM} mm voxels",
        ("engine", "what", "an image [ms]", "images a second"),
        rows,
        (f"Medians of {repeats} runs on {torch.get_num_threads()} threads, rays and all; poses as in Chen et al.",),
    )


def _tasks(
    projector: Projector, attenuation: Attenuation, pixels: int
) -> tuple[Callable[[], Tensor], Callable[[], tuple[Tensor, Tensor]]]:
    """Rendering an image, and an image with its Jacobian."""
    camera, pose = oblique_view(attenuation, pixels)
    tangents = twist_tangents(pose, torch.as_tensor(attenuation.grid.centre))
    return (
        lambda: render(projector, camera, pose),
        lambda: render_with_jacobian(projector, camera, pose, tangents),
    )
