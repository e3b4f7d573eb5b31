"""One row of a study: the numerical result of a method on a case."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...checks import InputError

NAN = math.nan


@dataclass(frozen=True)
class StudyRow:
    """Result of a method on a case. Lengths [mm], angles [degrees]; NaN or None for unknown numbers.

    method, arm, case: names; case is also the folder of its files. variant: disturbance of the case, where an arm
    has several. initial_mtre_mm: error of the pose that the method was given.
    mtre_mm to dgeo_mm: see `PoseError`; mtre_mm at landmarks or the corners of a box, mtre_surface_mm at points of the
    bones' surface. mtre_far_mm, mtre_xvr_mm, mtre_diffpose_mm: see `published`.
    accepted: the method's own verdict, None where it has none. similarity: at the pose; comparable within a method.
    error: a sentence if the method failed to give a pose, else empty.
    camera_from_volume: (4, 4) of the first view. reason: why the method ended; reason_code: of our own verdicts (see
    `reasons`). trace: best poses so far during the run.
    """

    method: str
    arm: str
    case: str
    variant: str = ""
    initial_mtre_mm: float = NAN
    mtre_mm: float = NAN
    mtre_surface_mm: float = NAN
    mtre_in_plane_mm: float = NAN
    mtre_depth_mm: float = NAN
    mpd_mm: float = NAN
    mrpd_mm: float = NAN
    rotation_deg: float = NAN
    rotation_in_plane_deg: float = NAN
    rotation_out_of_plane_deg: float = NAN
    translation_mm: tuple[float, float, float] | None = None
    dgeo_mm: float = NAN
    mtre_far_mm: float = NAN
    mtre_xvr_mm: float = NAN
    mtre_diffpose_mm: float = NAN
    accepted: bool | None = None
    similarity: float = NAN
    seconds: float = NAN
    renders: int = 0
    error: str = ""
    camera_from_volume: list[list[float]] | None = None
    reason: str = ""
    reason_code: str = ""
    trace: list[dict[str, Any]] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        """Whether the run gave no pose."""
        return bool(self.error) or not math.isfinite(self.mtre_mm)

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, for JSON; non-finite numbers become None."""
        return {name: _finite(value) for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> StudyRow:
        """The row from the content of `as_dict`; unknown names are ignored.

        Raises InputError if a name is missing or a value that should be a number is not one.
        """
        given: dict[str, Any] = {}
        for known in fields(cls):
            value = content.get(known.name)
            if known.type == "float":
                value = NAN if value is None else value
                if isinstance(value, bool) or not isinstance(value, int | float):
                    raise _unreadable(known.name, value)
                value = float(value)
            elif known.type == "str" and (known.name in content or known.name in ("method", "arm", "case")):
                if not isinstance(value, str):
                    raise _unreadable(known.name, value)
            elif known.name not in content:
                continue
            given[known.name] = value
        if given.get("translation_mm") is not None:
            given["translation_mm"] = tuple(given["translation_mm"])
        return cls(**given)


def errors_of(rows: Sequence[StudyRow], metric: str) -> NDArray[np.float64]:
    """Values of a field of the rows (N,), infinite where a run failed or the number is missing."""
    values = np.array([math.inf if row.failed else getattr(row, metric) for row in rows], dtype=np.float64)
    return np.where(np.isnan(values), math.inf, values)


def _unreadable(name: str, value: Any) -> InputError:
    return InputError(
        f"result {name}", expected="what this version writes", found=repr(value)[:60], remedy="use another folder"
    )


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
