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

# The corners of this cube are as far from its centre as the points of a 256 mm cube are in the root mean square: the
# volumes of Chen et al. and ProST.
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

    physics: spectrum, scatter, noise and blur; without, a single energy and none of these.
    field: open, or collimated to 70 % of the image by blades or a circle, drawn for each case.
    metal: screws, wires and balls, drawn for each case. polarity: inverse stores bright for dense and does not say so.
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

    image: how the X-rays are made. told_sid: the SID that the case tells over the true one.
    told_principal_mm: how far the principal point that the case tells is off [mm on the detector].
    """

    name: str = ""
    image: ArmImage = field(default_factory=ArmImage)
    told_sid: float = 1.0
    told_principal_mm: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Cine:
    """Runs of images along smooth paths: frames of each (1: single images), mean distance of neighbouring ones."""

    frames: int = 1
    step_deg: float = 0.0
    step_mm: float = 0.0


@dataclass(frozen=True)
class Arm:
    """One line of the protocol.

    cases: images of the whole arm; a part of them are its first ones. seed: of all that is drawn.
    poses: true poses about the nominal view. start: the nominal view, or drawn as the true pose is.
    variants: ways to make the cases, taken in turn; cases that differ only in this share their pose.
    bones_alone: whether the X-rays are of the named structures alone, cut out of the CT.
    views_deg: C-arm angles of the views of one case, about the patient's axis, from the first.
    cine: for arms whose cases are frames of runs, each frame started from the last pose found that the
        method does not itself reject.
    target_edge_mm: edge of the cube about the volume's centre whose corners are the targets where no bones are named.
    lever_mm, metric: the far lever of `mtre_far_mm`, and which error the tables of the arm are about.
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
    """The arm of a JSON file's content. A variant's image says only what differs from the arm's own "image".

    Raises InputError for unknown names, values of another type and numbers that describe no cases.
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
