"""Reading a case: its volume, labels and views are opened and combined into one scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..checks import InputError, require_file, require_regular
from ..scene import Radiograph, Scene
from .case_file import CaseFile, CaseView, parse_case
from .dicom import camera_from_volume_of, geometry_of
from .dicom_tags import is_dicom, read_dataset
from .images import stem_of
from .labels import read_labelled_volume
from .radiographs import read_radiograph

_BY_ANGLES = (
    "Its place among the views was assumed from the C-arm's nominal angles about one isocentre, the patient at "
    'rest; give each view a calibrated "camera" to have the pose accepted.'
)


def read_case(path: str | Path) -> Scene:
    """The scene of the case file at `path` (file contract: design.md 5); see `parse_case` and `open_case`."""
    return open_case(parse_case(path))


def open_case(case: CaseFile) -> Scene:
    """The scene of a case, its files read.

    Views are named by their image's stem, numbered where stems repeat. Several DICOM views without cameras share the
    first one's camera frame as world, by their C-arm angles about a common isocentre; `assumed` states this, since it
    was not measured. Raises InputError for anything missing or wrong, before slow files are opened where possible.
    """
    if not case.views:
        raise InputError("views", expected="at least one X-ray", found="none", remedy="add one to the case")
    if case.structures and case.labels is None:
        raise InputError(
            "structures",
            expected="a label map to take them from",
            found="none",
            remedy='name one under "labels" or leave out "structures"',
        )
    require_file(case.volume, "volume")
    for file, what in _files(case):
        require_regular(file, what)
    # Views first: they open quickly, so their errors are reported before a large CT is read.
    views = _views(case.views)
    volume = read_labelled_volume(case.volume, case.labels, case.series)
    return Scene(
        views=views,
        volume=volume,
        structures=case.structures,
        initial=case.initial,
        reference=case.reference,
        targets=case.targets,
    )


def unique_names(files: Sequence[Path]) -> tuple[str, ...]:
    """One name per file: its stem, with a number appended where an earlier file has the same (ignoring case)."""
    names: list[str] = []
    taken: set[str] = set()
    for file in files:
        stem = name = stem_of(file)
        number = 2
        while name.casefold() in taken:
            name, number = f"{stem}_{number}", number + 1
        taken.add(name.casefold())
        names.append(name)
    return tuple(names)


def _files(case: CaseFile) -> list[tuple[Path, str]]:
    """The files of a case besides its volume, which may be a folder."""
    images = [(view.image, "X-ray") for view in case.views]
    return images if case.labels is None else [*images, (case.labels, "label map")]


def _views(views: Sequence[CaseView]) -> tuple[Radiograph, ...]:
    names, poses, opened = unique_names([view.image for view in views]), _poses(views), []
    for view, name, pose in zip(views, names, poses, strict=True):
        radiograph = read_radiograph(
            view.image,
            camera=view.camera,
            intensity=view.intensity,
            frame=view.frame,
            name=name,
            mirrored=view.mirrored,
            camera_from_world=pose,
        )
        opened.append(radiograph)
    if len(opened) > 1:
        # The first one's frame is the world; the others are placed in it by their angles.
        opened[1:] = [
            view if pose is None else replace(view, assumed=(*view.assumed, _BY_ANGLES))
            for view, pose in list(zip(opened, poses, strict=True))[1:]
        ]
    return tuple(opened)


def _poses(views: Sequence[CaseView]) -> list[NDArray[np.float64] | None]:
    """camera_from_world (4, 4) of the views whose camera comes from DICOM, None where it is given or world = camera."""
    bare = [view.camera is None and is_dicom(view.image) for view in views]
    if len(views) == 1 or not any(bare):
        return [None] * len(views)
    if not all(bare):
        raise InputError(
            "views",
            expected="a camera in each view, or in none",
            found="some with and some without",
            remedy='add "camera" to the DICOM views too: their place among the others is not known',
        )
    isocentre = np.zeros(3)
    poses = [camera_from_volume_of(geometry_of(read_dataset(view.image), view.frame), isocentre) for view in views]
    world_from_isocentre = poses[0]
    return [pose @ np.linalg.inv(world_from_isocentre) for pose in poses]
