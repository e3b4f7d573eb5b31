"""DeepFluoro's preprocessed files: upright, cropped, logarithmic, downsampled images, made for training networks.

Layout by the dataset's documentation: `land-names/{num-lands, land-00 ...}` and for each specimen `01` to `06`
`projs` (N, rows, columns), `segs` alike, and `lands` (N, 2, L) as (column, row). They hold neither CTs nor poses: those
come from the full-resolution file in the same folder. The half-pixel convention of the downsampling is not documented,
so scale and offset are estimated from the landmarks, which both files have.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...checks import InputError
from ...geometry import Camera
from ...scene import Scene, radiograph_from_array
from .dataset import QUESTIONABLE, CaseExtras, require_case, shown_in
from .deepfluoro import DeepFluoro
from .hdf5 import Group, opened

Array = NDArray[np.float64]

# The specimens of the preprocessed files, in the order of their numbers (the dataset's README).
SPECIMENS = {
    "01": "17-1882",
    "02": "18-1109",
    "03": "18-0725",
    "04": "18-2799",
    "05": "18-2800",
    "06": "17-1905",
}
# Largest distance [pixels] between corresponding landmarks of the two files after scaling.
_MOST_OFF_PX = 1.0


class DeepFluoroSmall:
    """A preprocessed file and the full-resolution one in the same folder; cases are named "01/003"."""

    name = "DeepFluoro, preprocessed"

    def __init__(self, path: Path, full: DeepFluoro | None, questionable: bool = False) -> None:
        """full: where CTs and poses come from; without it there are images and 2D landmarks, but no scenes."""
        self.path, self._full = path, full
        with opened(path) as root:
            names = root.group("land-names")
            count = round(names.number("num-lands"))
            self.landmarks = tuple(names.text(f"land-{number:02d}") for number in range(count))
            specimens = [name for name in root.names() if name in SPECIMENS]
            if not specimens:
                raise root.wrong("specimens " + ", ".join(SPECIMENS), ", ".join(root.names()))
            counts = {name: _stack(root.group(name)).shape[0] for name in specimens}
        found = [(name, f"{number:03d}") for name in counts for number in range(counts[name])]
        doubtful = [] if questionable else [each for each in found if (SPECIMENS[each[0]], each[1]) in QUESTIONABLE]
        self.cases = tuple("/".join(each) for each in found if each not in doubtful)
        self.left_out = tuple("/".join(each) for each in doubtful)
        self._scaling = lru_cache(maxsize=len(SPECIMENS))(self._measured)

    def scene(self, case: str) -> Scene:
        """The case with its CT, reference and targets; raises InputError if the full-resolution file is missing."""
        specimen, number = self._named(case)
        full = self._required()
        with opened(self.path) as root:
            image = np.asarray(_stack(root.group(specimen))[int(number)])
        scale, offset = self._scaling(specimen)
        frame = full.frame(SPECIMENS[specimen], number)
        given = frame.projection.camera
        matrix = np.array([[scale[0], 0, offset[0]], [0, scale[1], offset[1]], [0, 0, 1]]) @ given.matrix
        pitch = None if given.pixel_mm is None else float(given.pixel_mm / scale[0])
        camera = Camera(matrix, image.shape[1], image.shape[0], np.eye(4), pitch)
        subject = full.subject(SPECIMENS[specimen])
        view = radiograph_from_array(
            image,
            # These images are already upright, but not mirrored back.
            camera,
            intensity="attenuation",
            mirrored=True,
            name=f"{specimen}_{number}",
            origins={"camera": "DeepFluoro's proj-params, scaled as the landmarks were"},
        )
        targets = np.array(list(subject.landmarks.values())) if subject.landmarks else None
        return Scene(subject.volume, (view,), subject.structures, reference=frame.camera_from_pelvis, targets=targets)

    def extras(self, case: str) -> CaseExtras:
        """The landmarks; their 3D positions are NaN if the full-resolution file is missing."""
        specimen, number = self._named(case)
        with opened(self.path) as root:
            group = root.group(specimen)
            _, height, width = _stack(group).shape
            stored = self._lands(specimen)[int(number)].T.copy()
        stored[:, 0] = width - 1 - stored[:, 0]
        pixels = shown_in(stored, width, height)[None]
        if self._full is None:
            return CaseExtras(self.landmarks, np.full((len(self.landmarks), 3), np.nan), pixels)
        known = self._full.extras(f"{SPECIMENS[specimen]}/{number}")
        places = dict(zip(known.landmarks, known.points, strict=True))
        points = np.array([places.get(name, np.full(3, np.nan)) for name in self.landmarks]).reshape(-1, 3)
        return CaseExtras(self.landmarks, points, pixels, known.others)

    def _named(self, case: str) -> tuple[str, str]:
        specimen, number = require_case(case, self.cases, self.name, self.left_out).split("/")
        return specimen, number

    def _required(self) -> DeepFluoro:
        if self._full is None:
            raise InputError(
                f"dataset {self.path.name}",
                expected="the full-resolution file beside it, which has the CTs and poses",
                found="none",
                remedy="put ipcai_2020_full_res_data.h5 into the same folder",
            )
        return self._full

    def _lands(self, specimen: str) -> Array:
        with opened(self.path) as root:
            return root.group(specimen).array("lands", (None, 2, len(self.landmarks))).astype(np.float64)

    def _measured(self, specimen: str) -> tuple[Array, Array]:
        """Scale and offset (2,) from the full pinhole image's pixels to the small one's, estimated over all frames."""
        full = self._required()
        names = SPECIMENS[specimen]
        lands = self._lands(specimen)
        with opened(self.path) as root:
            width = _stack(root.group(specimen)).shape[2]
        from_full, from_small = [], []
        for number in range(len(lands)):
            frame = full.frame(names, f"{number:03d}")
            for index, name in enumerate(self.landmarks):
                if name in frame.landmarks_px:
                    column, row = lands[number, :, index]
                    from_full.append(frame.projection.upright(frame.landmarks_px[name]))
                    from_small.append((width - 1 - column, row))
        before, after = np.array(from_full).reshape(-1, 2), np.array(from_small).reshape(-1, 2)
        known = np.isfinite(after).all(axis=1)
        fits = [
            np.linalg.lstsq(np.stack([before[known, axis], np.ones(known.sum())], 1), after[known, axis], rcond=None)[0]
            for axis in (0, 1)
        ]
        scale, offset = np.array(fits).T
        off = np.abs(before[known] * scale + offset - after[known])
        if known.sum() < 4 or min(scale) <= 0 or off.max() > _MOST_OFF_PX:
            found = f"up to {off.max():.1f} pixels apart" if off.size else "none"
            raise InputError(
                f"dataset {self.path.name}, specimen {specimen}",
                expected=f"the landmarks of {names} in {full.path.name}, scaled down",
                found=found,
                remedy="use files of one release: their frames must come in the same order",
            )
        return scale, offset


def _stack(specimen: Group) -> Any:
    """The images (N, rows, columns) of a specimen, not read yet; raises InputError."""
    stack = specimen.node.get("projs")
    shape = getattr(stack, "shape", ())
    if len(shape) != 3:
        found = f"one of {len(shape)} axes" if shape else ", ".join(specimen.names())
        raise specimen.wrong('the dataset "projs" of images x rows x columns', found or "nothing")
    return stack
