"""The protocol's arms (methods.md E1): poses, geometry and images as data, one JSON file each in the folder arms."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, Literal

from ...checks import InputError
from ...settings import PoseDistribution
from ...settings.plain import from_plain

Start = Literal["nominal", "drawn"]
Field = Literal["open", "collimated"]
Polarity = Literal["transmission", "inverse"]
Metric = Literal["mtre_mm", "mtre_far_mm"]

# The distance of this cube's corners from its centre equals the RMS distance of the points of a 256 mm cube, which is
# the volume of Chen et al. and ProST.
TARGET_EDGE_MM = 148.0


@dataclass(frozen=True)
class ArmCamera:
    """A square detector: source to image [mm], pixel pitch [mm], edge [pixels]."""

    sid_mm: float
    pixel_mm: float
    size_px: int


@dataclass(frozen=True)
class ArmImage:
    """How the X-rays are made; see `simulation.XraySettings` for the numbers.

    physics: spectrum, scatter, noise and blur; otherwise monoenergetic without these.
    field: open, or collimated to 70 % of the image by blades or a circle, at random for each case.
    metal: screws, wires and balls, at random for each case. polarity: inverse stores dense as bright without saying so.
    """

    physics: bool = True
    photons: float = 2e5
    scatter_to_primary: float = 0.3
    blur_px: float = 0.5
    exposure: float = 0.92
    gamma: float = 1.0
    field: Field = "open"
    metal: bool = False
    polarity: Polarity = "transmission"
    rays_per_side: int = 2
    step_voxels: float = 1.0


@dataclass(frozen=True)
class Variant:
    """One way to make an arm's cases.

    image: how the X-rays are made. told_sid: ratio of the SID stated in the case to the true one.
    told_principal_mm: error of the principal point stated in the case [mm on the detector].
    """

    name: str = ""
    image: ArmImage = field(default_factory=ArmImage)
    told_sid: float = 1.0
    told_principal_mm: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Cine:
    """Image sequences along smooth paths: frames per sequence (1: single images), mean distance of consecutive ones."""

    frames: int = 1
    step_deg: float = 0.0
    step_mm: float = 0.0


@dataclass(frozen=True)
class Arm:
    """One arm of the protocol.

    cases: number of images of the whole arm; a subset consists of its first ones. seed: of all random numbers.
    poses: distribution of true poses about the nominal view. start: the nominal view, or drawn like the true pose.
    variants: ways to make the cases, in turn; cases that differ only in the variant share their pose.
    bones_alone: whether the X-rays show only the named structures, cut out of the CT.
    views_deg: C-arm angles of the views of one case, about the patient's axis, relative to the first.
    cine: for arms whose cases are frames of sequences; each frame is started from the last pose that the method found
        and did not itself reject.
    target_edge_mm: edge of the cube about the volume's centre whose corners are the targets if no bones are named.
    lever_mm, metric: the far lever of `mtre_far_mm`, and the error that the arm's tables report.
    """

    name: str
    title: str
    description: str
    cases: int
    camera: ArmCamera
    poses: PoseDistribution
    seed: int = 2024
    start: Start = "nominal"
    variants: tuple[Variant, ...] = (Variant(),)
    bones_alone: bool = False
    views_deg: tuple[float, ...] = (0.0,)
    cine: Cine = Cine()
    target_edge_mm: float = TARGET_EDGE_MM
    lever_mm: float = 520.0
    metric: Metric = "mtre_mm"

    def __post_init__(self) -> None:
        wrong = {
            "cases": self.cases < 1,
            "camera.sid_mm": not self.camera.sid_mm > self.poses.sod_mm,
            "camera.pixel_mm": not self.camera.pixel_mm > 0,
            "camera.size_px": self.camera.size_px < 16,
            "variants": not self.variants or len({variant.name for variant in self.variants}) < len(self.variants),
            "views_deg": not self.views_deg or self.views_deg[0] != 0,
            "cine": self.cine.frames < 1 or (self.cine.frames > 1 and len(self.variants) > 1),
            "target_edge_mm": not self.target_edge_mm > 0,
        }
        for name, is_wrong in wrong.items():
            if is_wrong:
                raise InputError(
                    f"arm {self.name}: {name}",
                    expected="a value that describes cases",
                    found=str(_value(self, name))[:80],
                    remedy="correct the arm's file",
                )


def arm_names() -> tuple[str, ...]:
    """The names of all arms, in the protocol's order."""
    return tuple(_files())


@cache
def arm_named(name: str) -> Arm:
    """The arm of that name; raises InputError, naming all, where there is none."""
    files = _files()
    if name not in files:
        raise InputError("arm", expected=f"one of {', '.join(files)}", found=name, remedy="choose one of them")
    return arm_from(json.loads(files[name]), name)


def arm_from(content: Mapping[str, Any], name: str) -> Arm:
    """The arm from a JSON file's content. A variant's image lists only the differences from the arm's "image".

    Raises InputError for unknown names, values of the wrong type and impossible numbers.
    """
    image = content.get("image", {})
    given = {key: value for key, value in content.items() if key != "image"}
    given["variants"] = [
        {**variant, "image": {**image, **variant.get("image", {})}} for variant in content.get("variants", [{}])
    ]
    missing = [key for key in ("name", "title", "description", "cases", "camera", "poses") if key not in given]
    if missing:
        raise InputError(f"arm {name}", expected=f'"{missing[0]}"', found="none", remedy="add it to the arm's file")
    return from_plain(Arm, given, f"arm {name}")


def _files() -> dict[str, str]:
    """The text of each arm's file by the arm's name."""
    folder = resources.files(__package__) / "arms"
    entries = sorted(
        (entry for entry in folder.iterdir() if entry.name.endswith(".json")), key=lambda entry: entry.name
    )
    return {entry.name.removesuffix(".json"): entry.read_text(encoding="utf-8") for entry in entries}


def _value(arm: Arm, path: str) -> Any:
    value: Any = arm
    for part in path.split("."):
        value = getattr(value, part)
    return value
