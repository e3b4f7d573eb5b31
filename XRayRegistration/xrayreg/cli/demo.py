"""`demo`: the complete workflow from a CT and an X-ray to a judged pose, on a generated patient."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..printing import printable
from ..settings import RegistrationSettings
from .options import add_command, add_settings, place, registration_settings_from

if TYPE_CHECKING:
    from ..simulation import SimulatedXray
    from .progress import Display
    from .session import CaseOutcome

VOXEL_MM = 1.5
SIZE_PX, PIXEL_MM, SID_MM = 512, 0.75, 1000.0
# The C-arm's pose: angles, distance, and how far its isocentre lies from the CT's centre (RAS).
PRIMARY_DEG, SECONDARY_DEG, SOD_MM = 24.0, 14.0, 715.0
SHIFT_MM = (14.0, -8.0, -22.0)
# Three pictures in a row, and the side [pixels] of each.
SIDE_BY_SIDE, PANEL_PX = "before_after.png", 640


def add_to(commands: Any) -> None:
    """Add the command to the parser's commands."""
    parser = add_command(
        commands,
        "demo",
        run,
        "simulate an X-ray of a generated patient, register it from a frontal view, draw the pictures",
        ("--out demo_output",),
    )
    parser.add_argument("--out", type=place, metavar="DIR", default="demo_output", help="folder (default: demo_output)")
    add_settings(parser, RegistrationSettings, ("effort", "engine", "device", "seed"))
    parser.set_defaults(init="search")


def run(arguments: argparse.Namespace) -> int:
    """Generate the data, register them, and report each step."""
    from ..io import require_output
    from .progress import Display
    from .session import INTERRUPTED, register_case
    from .table import show_result

    out = Path(arguments.out)
    require_output(out)
    with Display() as display:
        case = make_case(out / "data", display)
        with _told(display, "Searched for the pose from a frontal view, judged and drew what was found"):
            outcome = register_case(case, out, registration_settings_from(arguments), display, title="Demo: pelvis")
        # Left from an earlier demo.
        (out / SIDE_BY_SIDE).unlink(missing_ok=True)
        if outcome.code != INTERRUPTED:
            with _told(display, "Drew X-ray, frontal start and result side by side"):
                _draw_side_by_side(case, outcome)
    show_result(outcome.content, outcome.folder)
    print(printable(f"Open {outcome.folder / 'report.html'} in a browser; the data are in {case.parent}."))
    print(printable(out.absolute()))
    return outcome.code


def make_case(folder: Path, display: Display) -> Path:
    """Write a generated patient's CT and labels, a simulated X-ray and their case to `folder`; returns the case.

    The case starts from a frontal view, although the C-arm was angled and displaced.
    """
    from ..geometry import nominal_pose, nominal_sod_mm
    from ..io import write_json, write_nifti
    from ..io.delivery import delivered
    from ..simulation import pelvis_phantom
    from .simulate import CASE, XRAY_FILES, write_xray

    with _told(display, "Generated a patient's CT of pelvis and lumbar spine with ten labelled bones"):
        volume = pelvis_phantom(VOXEL_MM)
    with _told(display, f"Simulated an X-ray at {PRIMARY_DEG:g} degrees LAO and {SECONDARY_DEG:g} degrees CRAN"):
        xray = _xray(volume)
    with _told(display, f"Wrote CT, labels, X-ray and case to {folder}"):
        assert volume.labels is not None
        files = ("ct.nii.gz", "labels.nii.gz", "labels.json", *XRAY_FILES)
        with delivered(folder, lambda _: files) as (scratch, names):
            for name, values in (("ct", volume.values), ("labels", volume.labels)):
                write_nifti(scratch / f"{name}.nii.gz", values, volume.grid.volume_from_index)
            write_json(scratch / "labels.json", {str(number): name for number, name in volume.label_names.items()})
            frontal = nominal_pose("pa", volume.grid.centre, nominal_sod_mm(xray.camera))
            write_xray(scratch, xray, folder / "ct.nii.gz", frontal, folder / "labels.nii.gz", home=folder)
            names += files
    return folder / CASE


def _xray(volume: Any) -> SimulatedXray:
    """X-ray of the patient by a flat detector: automatic exposure, tone curve, noise, scatter and blur."""
    from ..geometry import Camera, camera_from_carm
    from ..simulation import XraySettings, simulate_xray

    camera = Camera.from_sid(SID_MM, PIXEL_MM, SIZE_PX, SIZE_PX)
    pose = camera_from_carm(PRIMARY_DEG, SECONDARY_DEG, SOD_MM, volume.grid.centre + SHIFT_MM)
    machine = XraySettings(photons=1e6, scatter_to_primary=0.5, blur_px=0.7, exposure=12.0, gamma=0.5, rays_per_side=1)
    return simulate_xray(volume, camera, pose, machine)


def _draw_side_by_side(case: Path, outcome: CaseOutcome) -> None:
    """Write the X-ray, and the anatomy drawn on it at the initial and at the registered pose."""
    import numpy as np

    from ..io import read_case, write_image
    from ..overlay import Style, draw_overlay, overlay_view, prepare_anatomy, resampled, shown_grey

    scene = read_case(case)
    view = resampled(scene.views[0], PANEL_PX / SIZE_PX)
    anatomy, style = prepare_anatomy(scene.volume), Style(width_px=1.6)
    panels = [draw_overlay(shown_grey(view), None)]
    for world_from_volume in (scene.initial, np.array(outcome.content["world_from_volume"])):
        assert world_from_volume is not None
        panels.append(overlay_view(view, anatomy, view.camera.camera_from_world @ world_from_volume, style))
    gap = np.full((PANEL_PX, PANEL_PX // 50, 3), 255, dtype=np.uint8)
    picture = np.concatenate([panels[0], gap, panels[1], gap, panels[2]], axis=1)
    write_image(outcome.folder / SIDE_BY_SIDE, picture)


@contextmanager
def _told(display: Display, what: str) -> Iterator[None]:
    """Show the current activity, and print it with its duration in seconds when it is done."""
    display.stage(what)
    started = time.perf_counter()
    yield
    print(printable(f"{what} ({time.perf_counter() - started:.1f} s)"), flush=True)
