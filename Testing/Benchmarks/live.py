"""How many pictures a second a live DRR gives while somebody turns the C-arm, beside the full picture."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from accuracy import DATA
from numpy.typing import NDArray
from speed import medians
from tables import Cell, Table

from xrayreg.geometry import Camera, camera_from_carm
from xrayreg.io import read_volume
from xrayreg.overlay import LIVE_PX, pose_edges, prepare_anatomy, prepare_live, rendered, stroke
from xrayreg.render import warm_up
from xrayreg.scene import Volume
from xrayreg.simulation import pelvis_phantom

TARGET_PER_SECOND = 15
# A flat detector's picture of the pelvis.
DETECTOR_PX, PITCH_MM, SID_MM, SOD_MM = 1024, 0.4, 1020.0, 700.0
# Of the full picture's edges [pixels].
_WIDTH_PX = 2.0


def live_pictures(repeats: int) -> Table:
    """Times of the live picture with edges and of the full one, and their ratio."""
    warm_up("auto", "auto")
    rows: list[list[Cell]] = []
    for name, volume in _volumes():
        full, live = prepare_anatomy(volume), prepare_live(volume)
        camera = Camera.from_sid(SID_MM, PITCH_MM, DETECTOR_PX, DETECTOR_PX)
        poses = _turning(volume)

        def full_picture(full=full, camera=camera, poses=poses) -> object:
            pose = next(poses)
            lines = pose_edges(full, camera, pose)
            return rendered(full.whole, camera, pose), stroke(lines, (camera.height, camera.width), _WIDTH_PX)

        times = medians(
            {
                "full": full_picture,
                "both": lambda live=live, poses=poses, camera=camera: live.grey_and_edges(camera, next(poses)),
                "grey": lambda live=live, poses=poses, camera=camera: live.grey(camera, next(poses)),
                "edges": lambda live=live, poses=poses, camera=camera: live.edges(camera, next(poses)),
            },
            repeats,
        )
        rows.append(
            [name, times["full"], times["both"], times["full"] / times["both"], 1000 / times["both"], times["grey"],
             times["edges"]]
        )  # fmt: skip
    return Table(
        f"Live DRR with edges at {LIVE_PX} pixels",
        (
            "volume",
            f"full picture [ms], {DETECTOR_PX} px",
            "live [ms]",
            "ratio",
            f"live per second (target {TARGET_PER_SECOND})",
            "DRR alone [ms]",
            "edges alone [ms]",
        ),
        rows,
        (
            f"Medians of {repeats} runs on {torch.get_num_threads()} threads, the C-arm turned by 2 degrees each time.",
            "Both pictures: DRR of everything and edges of bone, drawn.",
        ),
    )


def _volumes() -> list[tuple[str, Volume]]:
    volumes = [("generated pelvis, 1.5 mm", pelvis_phantom(1.5))]
    if (DATA / "pelvis").exists():
        volumes.append(("pelvis CT, 3 mm", read_volume(DATA / "pelvis" / "ct.nii.gz")))
    return volumes


def _turning(volume: Volume) -> Iterator[NDArray[np.float64]]:
    """Poses of a C-arm that is turned to and fro for ever."""
    angle = 0
    while True:
        yield camera_from_carm(30 * np.sin(np.radians(angle)), 10.0, SOD_MM, volume.grid.centre)
        angle += 2
