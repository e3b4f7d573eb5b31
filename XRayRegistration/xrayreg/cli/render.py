"""`render`: a DRR of a CT."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..printing import printable
from ..settings import RenderSettings
from .options import add_carm, add_command, add_settings, add_volume, carm_of, place

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..geometry import Camera
    from ..scene import Attenuation, Radiograph, Scene, Volume

SUFFIXES = (".png", ".tif", ".tiff")


def add_to(commands: Any) -> None:
    """Add the command to the parser's commands."""
    parser = add_command(
        commands,
        "render",
        run,
        "render a DRR of a CT, by C-arm angles or for a view of a case",
        (
            "--volume ct.nii.gz --primary 30 --secondary -10 --out drr.png",
            "--volume ct.nii.gz --labels labels.nii.gz --structures 1,2 --size 512 512 --pixel 0.6 --out hips.png",
            "--case case.json --pose result/result.json --out drr.tif",
            "--volume ct.nii.gz --picture mip --beam parallel --out mip.png",
        ),
    )
    parser.add_argument("--out", type=place, metavar="FILE", required=True, help=".png to look at, .tif for numbers")
    add_volume(parser, required=False)
    case = parser.add_argument_group("case (instead of --volume and the C-arm)")
    case.add_argument("--case", type=place, metavar="CASE", help="a case, which brings CT, structures and camera")
    case.add_argument("--view", metavar="NAME", help="which of its views (default: the first)")
    case.add_argument(
        "--pose",
        type=place,
        default="initial",
        metavar="initial|reference|FILE",
        help="of the case, or a file (default: initial)",
    )
    add_carm(parser)
    add_settings(parser, RenderSettings)


def run(arguments: argparse.Namespace) -> int:
    """Render one image and write it."""
    from ..io import require_output, write_image
    from ..scene import attenuation_of

    out = Path(arguments.out)
    _require_suffix(out)
    require_output(out.parent)
    volume, structures, camera, pose = _from_case(arguments) if arguments.case else _from_options(arguments)
    drr = _picture(attenuation_of(volume, structures), camera, pose, _settings(arguments))
    _require_something(drr)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_image(out, drr if out.suffix.lower() != ".png" else as_picture(drr))
    print(printable(f"{out}: {camera.width} x {camera.height} pixels"))
    return 0


def _settings(arguments: argparse.Namespace) -> RenderSettings:
    return RenderSettings(**{field.name: getattr(arguments, field.name) for field in fields(RenderSettings)})


def _picture(
    attenuation: Attenuation, camera: Camera, camera_from_volume: NDArray[np.float64], settings: RenderSettings
) -> NDArray[np.float32]:
    """The image (H, W) specified by the settings."""
    import numpy as np
    import torch

    from ..overlay import rendered
    from ..render import prepare_picture, render_parallel

    projector = prepare_picture(attenuation, settings)
    if settings.beam == "cone":
        return rendered(projector, camera, camera_from_volume)
    middle = camera_from_volume[:3, :3] @ attenuation.grid.centre + camera_from_volume[:3, 3]
    if middle[2] <= 0:
        return np.zeros((camera.height, camera.width), dtype=np.float32)
    pose = torch.as_tensor(camera_from_volume, device=projector.mu.device)[None]
    image: NDArray[np.float32] = render_parallel(projector, camera, pose, float(middle[2]))[0].float().cpu().numpy()
    return image


def as_picture(drr: NDArray[np.float32]) -> NDArray[np.uint8]:
    """An image (H, W) as grey tones: bone bright, nothing black."""
    import numpy as np

    return np.rint(np.clip(drr / max(float(np.quantile(drr, 0.999)), 1e-6), 0, 1) * 255).astype(np.uint8)


def read_labelled(arguments: argparse.Namespace) -> Volume:
    """The CT and label map that `add_volume`'s options name; raises InputError."""
    from ..io import read_labelled_volume

    return read_labelled_volume(arguments.volume, arguments.labels)


def _from_options(
    arguments: argparse.Namespace,
) -> tuple[Volume, tuple[int, ...], Camera, NDArray[np.float64]]:
    from ..checks import InputError

    if arguments.volume is None:
        raise InputError("options", expected="--volume or --case", found="neither", remedy="name a CT or a case")
    volume = read_labelled(arguments)
    camera, pose, _ = carm_of(arguments, volume.grid.centre)
    return volume, arguments.structures, camera, pose


def _from_case(
    arguments: argparse.Namespace,
) -> tuple[Volume, tuple[int, ...], Camera, NDArray[np.float64]]:
    from ..checks import InputError
    from ..io import read_case

    if arguments.volume is not None:
        raise InputError("options", expected="--volume or --case", found="both", remedy="leave one out")
    scene = read_case(arguments.case)
    camera = _chosen(scene, arguments.view).camera
    structures = arguments.structures or scene.structures
    return scene.volume, structures, camera, camera.camera_from_world @ _pose(scene, arguments.pose)


def _pose(scene: Scene, name: str) -> NDArray[np.float64]:
    """world_from_volume (4, 4) of a case by name, or from a file."""
    from ..checks import InputError
    from ..io import read_pose

    if name not in ("initial", "reference"):
        return read_pose(name)
    pose = scene.initial if name == "initial" else scene.reference
    if pose is None:
        raise InputError(
            f"pose {name}",
            expected=f'"{name}" in the case',
            found="none",
            remedy="name another, or a file such as result.json with --pose",
        )
    return pose


def _chosen(scene: Scene, name: str | None) -> Radiograph:
    from ..checks import InputError

    names = [view.name for view in scene.views]
    if name is not None and name not in names:
        raise InputError("view", expected=f"one of {', '.join(names)}", found=name, remedy="choose one of them")
    return scene.views[0 if name is None else names.index(name)]


def _require_suffix(out: Path) -> None:
    from ..checks import InputError

    if out.suffix.lower() not in SUFFIXES:
        raise InputError(
            "--out", expected=f"a name that ends in {', '.join(SUFFIXES)}", found=str(out), remedy="rename it"
        )


def _require_something(drr: NDArray[np.float32]) -> None:
    from ..checks import InputError

    if not (drr > 0).any():
        raise InputError(
            "pose",
            expected="one that puts the volume into the image",
            found="a volume entirely outside the view",
            remedy="check the angles, the distances and the isocentre",
        )
