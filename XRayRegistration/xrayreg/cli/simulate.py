"""`simulate`: an X-ray of a CT with its case, whose pose is known."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..printing import printable
from ..settings import MOST_SEED
from .options import MOST_MM, add_carm, add_command, add_volume, carm_of, number, place, whole

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..simulation import SimulatedXray

XRAY, CASE = "xray.tif", "case.json"
XRAY_FILES = (XRAY, CASE)
# Options of the X-ray machine: the field of XraySettings, its bounds and its help; defaults are in XraySettings.
_MACHINE: dict[str, tuple[Callable[[str], float], str]] = {
    "kvp": (number(30.0, 150.0), "tube voltage [kV]"),
    "aluminium_mm": (number(0.0, 50.0), "filtration [mm Al]"),
    "photons": (number(1.0, 1e12), "unattenuated photons per pixel, fewer for more noise"),
    "scatter_to_primary": (number(0.0, 100.0), "scattered over unscattered energy behind the patient"),
    "blur_px": (number(0.0, 100.0), "blur of the detector [pixels]"),
    "exposure": (
        number(1e-6, 1e6),
        "unattenuated beam as a share of full scale; above 1 the bare detector saturates",
    ),
    "gamma": (number(1e-3, 100.0), "exponent of the tone curve, 1 for a linear detector"),
    "rays_per_side": (whole(1, 16), "rays along each side of a pixel"),
}


def add_to(commands: Any) -> None:
    """Add the command to the parser's commands."""
    parser = add_command(
        commands,
        "simulate",
        run,
        "simulate an X-ray of a CT, with a case whose true pose is known",
        (
            "--volume ct.nii.gz --primary 20 --out case1",
            "--volume ct.nii.gz --out case2 --photons 2e4 --collimator circle --offset 5 -3 2 10 0 30",
        ),
    )
    add_volume(parser, required=True)
    parser.add_argument("--out", type=place, metavar="DIR", required=True, help="folder for xray.tif and case.json")
    parser.add_argument(
        "--offset",
        type=number(-MOST_MM, MOST_MM),
        nargs=6,
        default=(10.0, -8.0, 5.0, 10.0, -10.0, 20.0),
        metavar=("RX", "RY", "RZ", "X", "Y", "Z"),
        help="initial pose off by this, about the isocentre in camera axes [degrees, mm] (default: 10 -8 5 10 -10 20)",
    )
    parser.add_argument(
        "--seed", type=whole(0, MOST_SEED), default=0, metavar="N", help="seed of the noise (default: 0)"
    )
    add_carm(parser)
    machine = parser.add_argument_group("X-ray machine")
    for name, (kind, text) in _MACHINE.items():
        machine.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar="N", help=text)
    machine.add_argument("--collimator", choices=("none", "circle", "rectangle"), default="none", help="its opening")


def run(arguments: argparse.Namespace) -> int:
    """Simulate one X-ray and write it with its case."""
    from ..io import require_output
    from ..io.delivery import delivered
    from ..simulation import XraySettings, simulate_xray
    from .progress import Display
    from .render import read_labelled

    out = Path(arguments.out)
    require_output(out)
    with Display() as display:
        display.stage("reading the CT")
        volume = read_labelled(arguments)
        _require_structures(volume, arguments.structures)
        camera, reference, isocentre = carm_of(arguments, volume.grid.centre)
        display.stage("simulating the X-ray")
        given = {name: getattr(arguments, name) for name in _MACHINE if getattr(arguments, name) is not None}
        machine = XraySettings(collimator=_collimator(arguments), **given)
        xray = simulate_xray(volume, camera, reference, machine, arguments.seed)
    initial = displaced(reference, arguments.offset, isocentre)
    labels = None if arguments.labels is None else Path(arguments.labels)
    # Written together, so that an old X-ray never remains with a new pose.
    with delivered(out, lambda _: XRAY_FILES) as (folder, names):
        write_xray(folder, xray, Path(arguments.volume), initial, labels, arguments.structures, home=out)
        names += XRAY_FILES
    print(printable(out / CASE))
    return 0


def write_xray(
    folder: Path,
    xray: SimulatedXray,
    volume: Path,
    initial: NDArray[np.float64],
    labels: Path | None = None,
    structures: tuple[int, ...] = (),
    *,
    home: Path,
) -> None:
    """Write xray.tif and case.json (XRAY_FILES), whose world is the camera, to a folder that exists.

    initial: camera_from_volume (4, 4) to start from; the reference is the pose that made the X-ray. home: the final
    folder of both, to which the case's paths are relative.
    """
    from ..io import CaseFile, CaseView, write_case, write_image

    write_image(folder / XRAY, xray.transmission)
    view = CaseView(home / XRAY, xray.camera, "transmission")
    case = CaseFile(volume, (view,), labels, structures, initial, xray.camera_from_volume)
    write_case(folder / CASE, case, home)


def displaced(
    pose: NDArray[np.float64], offset: tuple[float, ...], isocentre: NDArray[np.float64]
) -> NDArray[np.float64]:
    """camera_from_volume (4, 4) moved by a twist of degrees and mm about the isocentre, in camera axes."""
    import torch

    from ..checks import require_array
    from ..geometry import retract

    twist = torch.as_tensor(require_array(offset, "offset", (6,)))
    twist[:3] = torch.deg2rad(twist[:3])
    return retract(torch.as_tensor(pose), twist, torch.as_tensor(isocentre)).numpy()


def _collimator(arguments: argparse.Namespace) -> Any:
    from ..simulation import Collimator

    if arguments.collimator == "none":
        return None
    width, height = arguments.size
    return Collimator(arguments.collimator, ((width - 1) / 2, (height - 1) / 2), (0.96 * width, 0.96 * height))


def _require_structures(volume: Any, structures: tuple[int, ...]) -> None:
    if structures:
        volume.structure_mask(structures)
