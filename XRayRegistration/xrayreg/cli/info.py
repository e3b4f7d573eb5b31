"""`info`: the geometry found in a file, with the origin of each number; the training data of a network."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..printing import printable
from ..schemas import SCHEMAS, schema_text
from .options import add_command, one_of, place, whole
from .terminal import printable_json

if TYPE_CHECKING:
    from ..scene import Radiograph, Volume

# Image formats without geometry; everything else that is not DICOM is read as a volume.
_PICTURES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp")
# A value and its origin.
Entry = tuple[str, str]


def add_to(commands: Any) -> None:
    """Add the command to the parser's commands."""
    parser = add_command(
        commands,
        "info",
        run,
        "show what was found in an X-ray, a volume, a case or a network, and where each number came from",
        ("xray.dcm", "case.json", "ct.nii.gz --json", "model.pt", "--schema result"),
    )
    parser.add_argument(
        "path", type=place, metavar="PATH", nargs="?", help="X-ray, CT, DICOM folder, case.json or network"
    )
    parser.add_argument("--frame", type=whole(0), metavar="N", help="image of a run, from 0 (default: the first)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--schema",
        type=one_of(SCHEMAS),
        metavar="|".join(SCHEMAS),
        help="print the JSON Schema of case.json or result.json instead",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print what was found, or a schema."""
    import json

    from ..checks import InputError

    if (arguments.path is None) == (arguments.schema is None):
        found = "neither" if arguments.path is None else "both"
        raise InputError("info", expected="a PATH, or --schema", found=found, remedy="give one of the two")
    if arguments.schema is not None:
        print(printable_json(schema_text(arguments.schema)), end="")
        return 0
    told = found_in(Path(arguments.path), arguments.frame)
    if arguments.json:
        entries = {
            title: {name: {"value": value, "origin": origin} for name, (value, origin) in part.items()}
            for title, part in told.items()
        }
        print(printable_json(json.dumps(entries, indent=1, ensure_ascii=False)))
    else:
        _show(told)
    return 0


def found_in(path: Path, frame: int | None = None) -> dict[str, dict[str, Entry]]:
    """The entries found at `path`, by object and name; raises InputError for unreadable files."""
    from ..checks import require_file
    from ..io import holds_volume, is_dicom, read_volume

    require_file(path, "file")
    if path.suffix.lower() == ".json":
        return _of_case(path)
    if path.suffix.lower() == ".pt":
        from .network_info import of_network

        return of_network(path)
    if path.is_file() and is_dicom(path) and not holds_volume(path):
        return _of_dicom(path, frame or 0)
    if path.suffix.lower() in _PICTURES:
        return {f"X-ray {path.name}": _of_picture(path)}
    volume = {f"volume {path.name}": _of_volume(read_volume(path))}
    return volume | _of_series(path) if path.is_dir() else volume


def _of_series(folder: Path) -> dict[str, dict[str, Entry]]:
    """The DICOM series of a folder, where there is more than one."""
    from ..io import list_series

    series = list_series(folder)
    entries = {f"series {n}": (one.text, f"SeriesInstanceUID {one.uid}") for n, one in enumerate(series, 1)}
    return {f"series of {folder.name}": entries} if len(series) > 1 else {}


def _of_case(path: Path) -> dict[str, dict[str, Entry]]:
    from ..io import read_case

    scene = read_case(path)
    poses = {"initial": scene.initial, "reference": scene.reference}
    case = {f"{name} pose": ("given" if pose is not None else "none", "case") for name, pose in poses.items()}
    structures = [_label(scene.volume, label) for label in scene.structures]
    case["structures"] = (", ".join(structures) or "the whole volume", "case")
    return {
        f"case {path.name}": case,
        "volume": _of_volume(scene.volume),
        **{f"X-ray {view.name}": _of_view(view) for view in scene.views},
    }


def _of_dicom(path: Path, frame: int) -> dict[str, dict[str, Entry]]:
    from ..io import geometry_of, read_dataset, read_radiograph

    geometry = geometry_of(read_dataset(path), frame)
    origins = geometry.origins
    entries: dict[str, Entry] = {}
    if geometry.sod_mm is not None:
        entries["SOD"] = (f"{geometry.sod_mm:g} mm", origins.get("SOD", ""))
    if geometry.primary_deg is not None and geometry.secondary_deg is not None:
        primary, secondary = geometry.primary_deg, geometry.secondary_deg
        entries["angles"] = (
            f"{abs(primary):g} degrees {'LAO' if primary >= 0 else 'RAO'}, "
            f"{abs(secondary):g} degrees {'CRAN' if secondary >= 0 else 'CAUD'}",
            origins.get("angles", ""),
        )
    if geometry.patient_position:
        entries["patient position"] = (geometry.patient_position, "DICOM PatientPosition")
    return {f"X-ray {path.name}": {**_of_view(read_radiograph(path, camera=None, frame=frame)), **entries}}


def _of_view(view: Radiograph) -> dict[str, Entry]:
    camera = view.camera
    given = view.origins.get("camera", "")
    column, row = camera.matrix[0, 2], camera.matrix[1, 2]
    entries = {
        "size": (f"{camera.width} x {camera.height} pixels", "image"),
        "focal length": (f"{camera.focal_px:.1f} pixels", given or "SID over pixel pitch"),
        "central ray": (f"column {column:.1f}, row {row:.1f}", view.origins.get("central ray", given)),
    }
    if camera.pixel_mm is not None:
        pitch = view.origins.get("pixel pitch", given)
        entries["pixel pitch"] = (f"{camera.pixel_mm:.4g} mm", pitch)
        entries["SID"] = (f"{camera.sid_mm:.1f} mm", view.origins.get("SID", f"{given}: focal length times pitch"))
    entries["usable"] = (f"{view.valid.mean():.0%} of the pixels", "image: collimator, border and saturation left out")
    if view.reflected:
        entries["reflected"] = ("mirrored once on reading", "the stored image was mirrored")
    return entries | _sentences(view)


def _sentences(read: Radiograph | Volume) -> dict[str, Entry]:
    """Assumptions and notes from reading a file, as entries without an origin."""
    assumed = {f"assumed {number}": (text, "") for number, text in enumerate(read.assumed, 1)}
    return assumed | {f"note {number}": (note, "") for number, note in enumerate(read.notes, 1)}


def _of_volume(volume: Volume) -> dict[str, Entry]:
    grid = volume.grid
    extent = grid.spacing_mm * grid.shape
    low, high = float(volume.values.min()), float(volume.values.max())
    unit = "Hounsfield units" if volume.is_hounsfield else "no Hounsfield units: air is 0"
    entries = {
        "size": (" x ".join(map(str, grid.shape)) + " voxels", "header"),
        "spacing": (_millimetres(grid.spacing_mm), _origin_of_spacing(volume)),
        "extent": (_millimetres(extent), "size times spacing"),
        "centre": ("R {:.1f}, A {:.1f}, S {:.1f} mm".format(*grid.centre), "header"),
        "values": (f"{low:g} to {high:g}", unit),
    }
    if volume.labels is not None:
        import numpy as np

        present = [_label(volume, int(label)) for label in np.unique(volume.labels) if label]
        entries["labels"] = (", ".join(present), "label map")
    return entries | _sentences(volume)


def _origin_of_spacing(volume: Volume) -> str:
    return "assumed: the file has no spacing" if any("spacing" in text for text in volume.assumed) else "header"


def _of_picture(path: Path) -> dict[str, Entry]:
    from ..io.images import open_image

    reader = open_image(path, "X-ray")
    width, height, *frames = reader.GetSize()
    entries = {"size": (f"{width} x {height} pixels" + (f", {frames[0]} frames" if frames else ""), "image")}
    return entries | {"camera": ("none", 'this format holds no geometry: give the view a "camera" in case.json')}


def _label(volume: Volume, label: int) -> str:
    name = volume.label_names.get(label)
    return str(label) if name is None else f"{label} {name}"


def _millimetres(values: Any) -> str:
    return " x ".join(f"{value:.4g}" for value in values) + " mm"


def _show(found: dict[str, dict[str, Entry]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    for title, entries in found.items():
        console.print(Text(printable(title), style="bold"))
        table = Table(box=None, show_header=False, padding=(0, 2))
        for style in ("dim", "", "dim"):
            table.add_column(style=style, overflow="fold")
        for name, (value, origin) in entries.items():
            if origin:
                table.add_row(*(Text(printable(part)) for part in (name, value, origin)))
        console.print(table)
        for value, origin in entries.values():
            if not origin:
                console.print(Text(printable(f"  {value}")))
