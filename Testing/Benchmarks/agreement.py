r"""How far line integrals of our engines and of projectors that others wrote lie apart, on a pelvis CT.

They bring a hundred packages, so they get an environment of their own that looks into the project's:

    make venv
    .venv/bin/python -m venv --without-pip .cache/peers
    .venv/bin/python -c "import site; print(site.getsitepackages()[0])" \
        > "$(.cache/peers/bin/python -c "import site; print(site.getsitepackages()[0])")/project.pth"
    .venv/bin/python -m pip --python .cache/peers/bin/python install --no-deps \
        itk-rtk==2.7.0.post1 itk-core==5.4.7 itk-numerics==5.4.7 itk-io==5.4.7 itk-filtering==5.4.7 \
        itk-registration==5.4.7 itk-segmentation==5.4.7 diffdrr==0.6.1 torchio==1.2.1 fastcore==2.2.39 \
        einops==0.8.2 humanize==4.17.0 deprecated==1.3.1 wrapt==2.5.2 jaxtyping==0.3.11 wadler-lindig==0.1.8 \
        tqdm==4.70.1 roma==1.8.0
    PYTHONPATH=XRayRegistration .cache/peers/bin/python Testing/Benchmarks/agreement.py [--ct ct.nii.gz] [--out FILE]

What is not installed is left out with a sentence; in the project's own environment our engines are compared with each
other. Without --ct the CT is the pelvis among the shared data, or a generated one.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import importlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
os.environ.setdefault("NUMBA_CACHE_DIR", str(ROOT / ".cache" / "numba"))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from rich.console import Console  # noqa: E402
from tables import Cell, Table  # noqa: E402

from xrayreg.geometry import Camera, VoxelGrid, camera_from_carm  # noqa: E402
from xrayreg.io import read_volume  # noqa: E402
from xrayreg.render import prepare_picture, render  # noqa: E402
from xrayreg.scene import Attenuation, attenuation_of  # noqa: E402
from xrayreg.settings import RenderSettings  # noqa: E402
from xrayreg.simulation import pelvis_phantom  # noqa: E402

DATA = Path(os.environ.get("XRAYREG_DATA", ROOT.parent / "shared" / "data"))
SIDE_PX, SID_MM, SOD_MM = 120, 1020.0, 700.0
# Primary and secondary angle [degrees] and distance from the source [mm].
POSES = ((20.0, 10.0, 700.0), (-50.0, 25.0, 600.0), (90.0, -15.0, 800.0), (170.0, -30.0, 700.0))
# Rays are compared that meet at least this share of the largest integral.
LEAST_SHARE = 0.1

Image = NDArray[np.float64]
Renderer = Callable[[Camera, Image], Image]


def main() -> None:
    options = _parsed()
    ours, others, missing = _ours(), *_others()
    tables = [_conventions(ours | others, missing), *_agreement(_pelvis(options.ct), ours, others, missing)]
    # A table in a file or a pipe is not cut to 80 columns.
    console = Console() if sys.stdout.isatty() else Console(width=130)
    for table in tables:
        console.print(table.for_terminal())
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps([table.for_json() for table in tables], indent=1) + "\n", encoding="utf-8")


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ct", type=Path, default=DATA / "pelvis" / "ct.nii.gz", help="CT to render")
    parser.add_argument("--out", type=Path, default=None, help="JSON file to write")
    return parser.parse_args()


def _ours() -> dict[str, Callable[[Attenuation], Renderer]]:
    """Our engines by the names that the tables give them."""
    asked = {
        "reference, trilinear": RenderSettings("trilinear", engine="reference", device="cpu"),
        "reference, Siddon": RenderSettings("siddon", engine="reference", device="cpu"),
        "torch": RenderSettings("joseph", engine="torch", device="cpu"),
        "numba": RenderSettings("joseph", engine="numba", device="cpu"),
    }

    def made(settings: RenderSettings, attenuation: Attenuation) -> Renderer:
        projector = prepare_picture(attenuation, settings)
        return lambda camera, pose: render(projector, camera, torch.as_tensor(pose)[None])[0].double().numpy()

    return {name: functools.partial(made, settings) for name, settings in asked.items()}


def _others() -> tuple[dict[str, Callable[[Attenuation], Renderer]], list[str]]:
    """The projectors of others that are installed, and sentences about those that are not."""
    found: dict[str, Callable[[Attenuation], Renderer]] = {}
    missing = []
    for module, makers in (
        ("rtk_peer", {"RTK, Joseph": lambda peer, a: peer.RtkJoseph(a).image}),
        (
            "diffdrr_peer",
            {
                "DiffDRR, trilinear": lambda peer, a: peer.DiffDrr(a, "trilinear").image,
                "DiffDRR, Siddon": lambda peer, a: peer.DiffDrr(a, "siddon").image,
            },
        ),
    ):
        try:
            peer = importlib.import_module(module)
        except ImportError as problem:
            missing.append(f"left out: {', '.join(makers)}: {problem}; see the top of agreement.py")
            continue
        found |= {name: functools.partial(make, peer) for name, make in makers.items()}
    return found, missing


def _pelvis(path: Path) -> tuple[str, Attenuation]:
    """Its name and map."""
    volume = read_volume(path) if path.exists() else pelvis_phantom(3.0)
    name = f"{path.parent.name}/{path.name}" if path.exists() else f"a generated pelvis (there is no {path})"
    return name, attenuation_of(volume)


def _in_air(mu: torch.Tensor, grid: VoxelGrid) -> Attenuation:
    """The map with two voxels of air around: what happens beyond the last voxel is everybody's own."""
    ni, nj, nk = grid.shape
    around = grid.cropped((-2, -2, -2), (ni + 4, nj + 4, nk + 4))
    return Attenuation(torch.nn.functional.pad(mu, (2,) * 6), around)


def _variants(attenuation: Attenuation) -> Iterator[tuple[str, Attenuation]]:
    """The patient on grids of every sort."""
    mu, grid = attenuation.mu, attenuation.grid
    yield "as scanned", _in_air(mu, grid)
    mirror = np.diag([-1.0, 1.0, 1.0, 1.0])
    mirror[0, 3] = grid.shape[0] - 1
    yield "mirrored index", _in_air(mu.flip(2), VoxelGrid(grid.shape, grid.volume_from_index @ mirror))
    shape = (grid.shape[0] // 2, grid.shape[1], grid.shape[2] // 3)
    whole = mu[: 3 * shape[2], :, : 2 * shape[0]]
    thick = torch.nn.functional.avg_pool3d(whole[None, None], (3, 1, 2))[0, 0]
    yield "anisotropic 2:1:3", _in_air(thick, VoxelGrid(shape, grid.coarsened((2, 1, 3)).volume_from_index))
    angle = np.deg2rad(25.0)
    turn = np.eye(4)
    turn[:3, :3] = [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    turn[:3, :3] @= np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])
    yield "turned", _in_air(mu, VoxelGrid(grid.shape, turn @ grid.volume_from_index))


def _views(grid: VoxelGrid) -> Iterator[tuple[Camera, Image]]:
    """A camera with an off-centre principal point and pixels that are no squares, at each pose camera_from_volume."""
    field_mm = 1.1 * float(np.ptp(grid.corners(), axis=0).max()) * SID_MM / SOD_MM
    camera = Camera.from_sid(SID_MM, field_mm / SIDE_PX, SIDE_PX, SIDE_PX - 17)
    matrix = camera.matrix.copy()
    matrix[1, 1] *= 0.9
    matrix[:2, 2] += (4.3, -6.1)
    camera = dataclasses.replace(camera, matrix=matrix)
    for primary, secondary, sod in POSES:
        yield camera, camera_from_carm(primary, secondary, sod, grid.centre)


def _conventions(makers: Mapping[str, Callable[[Attenuation], Renderer]], missing: list[str]) -> Table:
    """How far each projector shows small balls, one at a time, from the pixels where the camera says that they are."""
    grid = VoxelGrid.from_spacing((30, 32, 34), (1.0, 1.3, 0.8))
    worst = dict.fromkeys(makers, 0.0)
    for index in ((9, 22, 21), (20, 7, 24), (13, 10, 9)):
        k, j, i = np.meshgrid(*(np.arange(size) for size in grid.shape[::-1]), indexing="ij")
        squared = sum((axis - place) ** 2 for axis, place in zip((i, j, k), index, strict=True))
        ball = Attenuation(torch.from_numpy(np.exp(-squared / 4.5).astype(np.float32)), grid)
        for _, attenuation in (pair for pair in _variants(ball) if "anisotropic" not in pair[0]):
            place = attenuation.grid.volume_from_index @ _densest(attenuation)
            for name, maker in makers.items():
                renderer = maker(attenuation)
                for camera, pose in _views(attenuation.grid):
                    shown = _centroid(renderer(camera, pose))
                    away = np.abs(shown - camera.project((pose @ place)[:3])).max()
                    # An empty image has no centroid, and is never to pass for a right one.
                    worst[name] = float(np.maximum(worst[name], away))
    return Table(
        f"Conventions: balls shown off their place [pixels], worst of {3 * 3 * len(POSES)}",
        ("projector", "off by"),
        [*worst.items()],
        (
            "a ball at three places without symmetry, on plain, mirrored and turned grids of 1 x 1.3 x 0.8 mm",
            f"pixels are {_pixel_at_isocentre(grid):.2f} mm wide there: uniform voxels shift by a tenth of a voxel",
            *missing,
        ),
    )


def _pixel_at_isocentre(grid: VoxelGrid) -> float:
    camera, _ = next(_views(grid))
    return SOD_MM / float(camera.matrix[0, 0])


def _densest(attenuation: Attenuation) -> NDArray[np.float64]:
    k, j, i = np.unravel_index(int(attenuation.mu.argmax()), attenuation.mu.shape)
    return np.array([i, j, k, 1.0])


def _centroid(image: Image) -> NDArray[np.float64]:
    v, u = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([(image * u).sum(), (image * v).sum()]) / image.sum()


def _agreement(
    patient: tuple[str, Attenuation],
    ours: Mapping[str, Callable[[Attenuation], Renderer]],
    others: Mapping[str, Callable[[Attenuation], Renderer]],
    missing: list[str],
) -> Iterator[Table]:
    """Relative differences for every pair over all grids and poses, and by grid."""
    found: dict[tuple[str, str], dict[str, list[NDArray[np.float64]]]] = {}
    for grid_name, attenuation in _variants(patient[1]):
        renderers = {name: maker(attenuation) for name, maker in (*ours.items(), *others.items())}
        for camera, pose in _views(attenuation.grid):
            images = {name: renderer(camera, pose) for name, renderer in renderers.items()}
            for pair in _pairs([*ours], [*others]):
                differences = _relative(images[pair[0]], images[pair[1]])
                found.setdefault(pair, {}).setdefault(grid_name, []).append(differences)
    notes = (
        f"CT: {patient[0]}; {len(POSES)} oblique poses on each of {len(next(iter(found.values())))} grids, "
        f"{SIDE_PX} x {SIDE_PX - 17} rays each",
        f"of rays that meet at least {LEAST_SHARE:.0%} of the largest integral; two voxels of air around the CT",
        "Siddon takes voxels for uniform boxes, all others interpolate between centres: another patient, not an error",
        *missing,
    )
    rows: list[list[Cell]] = []
    by_grid: list[list[Cell]] = []
    for pair, grids in found.items():
        joined = np.concatenate([part for parts in grids.values() for part in parts])
        worst = max(float(np.sqrt((part**2).mean())) for parts in grids.values() for part in parts)
        rows.append([*pair, *_figures(joined), 100 * worst])
        by_grid.append([*pair, *(100 * _rms(np.concatenate(parts)) for parts in grids.values())])
    columns = ("ours", "beside", "mean, signed", "mean", "RMS", "99 %", "largest", "worst pose's RMS")
    yield Table("Differences of line integrals, relative [%]", columns, rows, notes)
    yield Table("The same by grid: RMS [%]", ("ours", "beside", *next(iter(found.values()))), by_grid)


def _pairs(ours: list[str], others: list[str]) -> Iterator[tuple[str, str]]:
    for n, name in enumerate(ours):
        yield from ((name, other) for other in others)
        yield from ((name, other) for other in ours[:n])


def _relative(image: Image, other: Image) -> NDArray[np.float64]:
    """Differences (N,) relative to the other's, of the rays that meet enough."""
    counted = other >= LEAST_SHARE * other.max()
    return np.asarray((image[counted] - other[counted]) / other[counted], dtype=np.float64)


def _figures(differences: NDArray[np.float64]) -> list[Cell]:
    sizes = np.abs(differences)
    values = (differences.mean(), sizes.mean(), _rms(differences), np.quantile(sizes, 0.99), sizes.max())
    return [float(100 * value) for value in values]


def _rms(differences: NDArray[np.float64]) -> float:
    return float(np.sqrt((differences**2).mean()))


if __name__ == "__main__":
    main()
