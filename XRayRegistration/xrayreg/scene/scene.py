"""A registration problem, independent of the method: one volume, its views, and known poses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..checks import InputError, require_array, require_rigid
from ..geometry import camera_doubts
from ..reasons import Note, NoteCode, noted
from .radiograph import Radiograph
from .standing import require_rig, require_standing
from .volume import Volume


@dataclass(frozen=True, eq=False)
class Scene:
    """One patient and the X-ray views that share a world.

    structures: labels to register; empty for the whole volume.
    initial, reference: world_from_volume (4, 4) [mm], where known.
    targets: points (N, 3) in the volume frame [mm] at which errors are measured; default the corners of the box
        around the rendered voxels, excluding surrounding air.
    Raises InputError for a scene without views, for views from different directions with coinciding sources, and for
    poses that are not rigid or place the patient impossibly (see `standing`).
    """

    volume: Volume
    views: tuple[Radiograph, ...]
    structures: tuple[int, ...] = ()
    initial: NDArray[np.float64] | None = None
    reference: NDArray[np.float64] | None = None
    targets: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if not self.views:
            raise InputError("views", expected="at least one X-ray", found="none", remedy="add one to the case")
        if len(self.views) > 1:
            require_rig(self.views)
        for name in ("initial", "reference"):
            pose = getattr(self, name)
            if pose is not None:
                pose = require_rigid(pose, f"{name}.world_from_volume")
                require_standing(self.views, self.volume, pose, name)
                object.__setattr__(self, name, pose)
        if self.targets is not None:
            count = len(self.targets) if np.ndim(self.targets) == 2 else 1
            object.__setattr__(self, "targets", require_array(self.targets, "reference.targets", (count, 3)))

    @property
    def notes(self) -> tuple[str, ...]:
        """Findings and decisions from reading volume and views, one sentence each, assumptions first."""
        return tuple(note.text for note in self.coded_notes)

    @property
    def coded_notes(self) -> tuple[Note, ...]:
        """`notes`, each with its subject."""
        views = [f"{view.name}: {note}" for view in self.views for note in view.notes]
        return (
            *noted(NoteCode.ASSUMED, self.assumed),
            *noted(NoteCode.VOLUME, self.volume.notes),
            *noted(NoteCode.XRAY, views),
        )

    @property
    def assumed(self) -> tuple[str, ...]:
        """Numbers that the pose depends on and that no file states or whose unit is doubtful; one sentence each."""
        views = [(view.name, text) for view in self.views for text in (*view.assumed, *camera_doubts(view.camera))]
        return (*self.volume.assumed, *(f"{name}: {text}" for name, text in views))

    def target_points(self) -> NDArray[np.float64]:
        """The points (N, 3) in the volume frame [mm] at which errors are measured (design.md, file contract)."""
        if self.targets is not None:
            return self.targets
        from .attenuation import rendered_grid

        return rendered_grid(self.volume, self.structures).corners()


def require_different_views(views: tuple[Radiograph, ...]) -> None:
    """Raise InputError where two views hold the same X-ray, which would be counted twice."""
    for number, view in enumerate(views):
        for place, earlier in enumerate(views[:number], start=1):
            if np.array_equal(earlier.recorded, view.recorded):
                raise InputError(
                    "views",
                    expected="a different X-ray for each",
                    found=f"the same pixels in views {place} ({earlier.name}) and {number + 1} ({view.name})",
                    remedy="leave one of them out, or name the file that belongs to it",
                )
