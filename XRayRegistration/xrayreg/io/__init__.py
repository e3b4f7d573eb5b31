"""Files: volumes, label maps, X-rays, DICOM geometry, cases, calibrations, poses and results."""

from .case_file import CaseFile, CaseView, case_text, parse_case, write_case
from .case_from_files import case_of_files
from .cases import open_case, read_case
from .dicom import DicomGeometry, camera_from_volume_of, camera_of, geometry_of
from .dicom_pixels import DicomImage, dicom_image
from .dicom_tags import is_dicom, read_dataset
from .labels import read_label_names, read_labelled_volume, read_labels, with_labels
from .mayacam import read_mayacam
from .nifti import write_nifti
from .projections import calibrated_projection, dicom_projection, projection_of, projection_of_view
from .radiographs import read_radiograph
from .results import prepare_output, require_output, safe_name, write_image, write_json
from .series import holds_volume, list_series
from .transforms import read_pose, write_pose
from .volumes import read_volume

__all__ = [
    "CaseFile",
    "CaseView",
    "DicomGeometry",
    "DicomImage",
    "calibrated_projection",
    "camera_from_volume_of",
    "camera_of",
    "case_of_files",
    "case_text",
    "dicom_image",
    "dicom_projection",
    "geometry_of",
    "holds_volume",
    "is_dicom",
    "list_series",
    "open_case",
    "parse_case",
    "prepare_output",
    "projection_of",
    "projection_of_view",
    "read_case",
    "read_dataset",
    "read_label_names",
    "read_labelled_volume",
    "read_labels",
    "read_mayacam",
    "read_pose",
    "read_radiograph",
    "read_volume",
    "require_output",
    "safe_name",
    "with_labels",
    "write_case",
    "write_image",
    "write_json",
    "write_nifti",
    "write_pose",
]
