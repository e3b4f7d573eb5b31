"""How far an estimated pose is from a reference, in the measures of the field."""

from .metrics import NOMINAL_SID_MM, PoseError, pose_error

__all__ = ["NOMINAL_SID_MM", "PoseError", "pose_error"]
