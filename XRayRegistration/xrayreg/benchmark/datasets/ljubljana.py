"""The Ljubljana angiograms (Mitrovic et al., IEEE TMI 2013): ten patients' 3D DSA and two 2D DSA each, in one HDF5.

Layout (as DiffDRR-Datasets distributes it): `subject01/{proj-ap, proj-lat}/{pixels, intrinsic, extrinsic, col-spacing,
row-spacing}`, `proj-ap-max` and `proj-lat-max` alike, `subject01/volume/{pixels, spacing, origin}` and
`subject01/points` (N, 3). A point of the volume's frame has the camera coordinates extrinsic @ point; see `projective`.

Two conventions are not stated in the file: the volume's pixels are stored [i, j, k] with i opposite to x, as in the
published loader, and the frame's axes are assumed to be RAS. If they were LPS, only the names of the sides would
change: the two differ by a rotation, which does not affect registration.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...checks import InputError, require_rigid
from ...geometry import VoxelGrid
from ...scene import Radiograph, Scene, Volume, radiograph_from_array
from .dataset import CaseExtras, moved, require_case, shown_in
from .hdf5 import Group, opened
from .projective import StoredProjection, pinhole_of
from .subtraction import subtracted

Array = NDArray[np.float64]

_VIEWS = ("ap", "lat")
_PREFIX = "subject"
# Below this value the reconstruction holds background and noise, no vessels (as in the published loader).
LEAST_VESSEL = 1000
_KEPT_SUBJECTS = 1


class Ljubljana:
    """The HDF5 file; cases are named "subject01/ap" and "subject01/lat".

    A scene of both views, which share the volume's frame, has the name "subject01/ap+lat". The images at maximum
    contrast are "subject01/ap-max" and "subject01/lat-max". Neither are listed, so that no image counts twice.
    """

    name = "Ljubljana"
    left_out: tuple[str, ...] = ()

    def __init__(self, path: Path) -> None:
        """Raises InputError for another kind of file."""
        self.path = path
        with opened(path) as root:
            subjects = [name for name in root.names() if name.startswith(_PREFIX)]
            found = {name: root.group(name) for name in subjects}
            self._views = {
                name: tuple(view.removeprefix("proj-") for view in group.names() if view.startswith("proj-"))
                for name, group in found.items()
            }
            self.cases = tuple(f"{name}/{view}" for name in subjects for view in _VIEWS if view in self._views[name])
            if not self.cases:
                raise root.wrong('groups "subject01" with "proj-ap" and "proj-lat"', ", ".join(root.names()))
        self._subject = lru_cache(maxsize=_KEPT_SUBJECTS)(self._read_subject)

    def scene(self, case: str) -> Scene:
        """The case's views with the fiducials as targets; the world is the first view's camera."""
        subject, names = self._named(case)
        views = [self._view(subject, name) for name in names]
        volume, points = self._subject(subject)
        world_from_volume = views[0][1]
        placed = tuple(
            replace(
                view,
                camera=replace(
                    view.camera,
                    camera_from_world=camera_from_volume @ np.linalg.inv(world_from_volume),
                ),
            )
            for view, camera_from_volume in views
        )
        return Scene(volume, placed, reference=world_from_volume, targets=points if len(points) else None)

    def extras(self, case: str) -> CaseExtras:
        """The fiducials and their projections into the images by the ground truth."""
        subject, names = self._named(case)
        with opened(self.path) as root:
            points = root.group(subject).numbers("points", (None, 3))
            seen = []
            for name in names:
                projection, camera_from_volume = _geometry(root.group(subject).group(f"proj-{name}"))
                pixels = projection.camera.project(moved(camera_from_volume, points))
                seen.append(shown_in(pixels, projection.width, projection.height))
        labels = tuple(f"point {number + 1}" for number in range(len(points)))
        return CaseExtras(labels, points, np.array(seen))

    def _named(self, case: str) -> tuple[str, list[str]]:
        subject, _, wanted = case.partition("/")
        names = wanted.split("+")
        if subject not in self._views or not set(names) <= set(self._views[subject]):
            require_case(case, self.cases, self.name)
        return subject, names

    def _view(self, subject: str, name: str) -> tuple[Radiograph, Array]:
        with opened(self.path) as root:
            group = root.group(subject).group(f"proj-{name}")
            projection, camera_from_volume = _geometry(group)
            image = group.array("pixels", (None, None))
        view = radiograph_from_array(
            image,
            projection.camera,
            intensity="attenuation",
            negated=True,
            mirrored=projection.mirrored,
            name=f"{subject}_{name}",
            origins={"camera": f"the dataset's proj-{name}"},
        )
        return subtracted(view), camera_from_volume

    def _read_subject(self, subject: str) -> tuple[Volume, Array]:
        """A patient's vessels and fiducials, cached for the next cases."""
        with opened(self.path) as root:
            group = root.group(subject)
            stored = group.group("volume")
            values = stored.array("pixels", (None, None, None)).T
            spacing, origin = stored.numbers("spacing", (3,)), stored.numbers("origin", (3,))
            points = group.numbers("points", (None, 3))
        if values.max() < LEAST_VESSEL:
            raise InputError(
                f"dataset {self.path.name}, {subject}/volume",
                expected=f"vessels, of values from {LEAST_VESSEL} on",
                found=f"values up to {values.max():g}",
                remedy="download the dataset again",
            )
        nk, nj, ni = values.shape
        matrix = np.diag([-spacing[0], spacing[1], spacing[2], 1.0])
        matrix[:3, 3] = origin + [spacing[0] * (ni - 1), 0.0, 0.0]
        # Contiguous, and without the background of the reconstruction.
        vessels = np.where(values >= LEAST_VESSEL, values, 0).astype(
            np.float32 if values.dtype.kind == "f" or values.dtype.itemsize > 2 else values.dtype
        )
        return Volume(np.ascontiguousarray(vessels), VoxelGrid((ni, nj, nk), matrix)), points


def _geometry(group: Group) -> tuple[StoredProjection, Array]:
    """The conversion of one view's stored image to a pinhole image, and its camera_from_volume."""
    width, height = group.image_size("pixels")
    projection = pinhole_of(
        group.numbers("intrinsic", (3, 3)),
        width,
        height,
        group.number("col-spacing"),
        f"{group.place}, intrinsic",
    )
    camera_from_volume = require_rigid(group.numbers("extrinsic", (4, 4)), f"{group.place}, extrinsic")
    return projection, projection.camera_from_file @ camera_from_volume
