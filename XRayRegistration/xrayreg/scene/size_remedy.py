"""Remedies for an image whose size differs from its camera's: the camera numbers to change, and their new values."""

from __future__ import annotations

import json
from typing import Any

from ..geometry import Camera

# Number of digits that keeps projections accurate to a millionth of a pixel.
_DIGITS = 10


def size_remedy(camera: Camera, width: int, height: int) -> str:
    """The remedy for an image of `width` x `height` pixels whose camera in the case has another size.

    Changing only the size is never suggested: cropping at the left and top moves the principal point, resampling
    scales the whole matrix (see `Camera.scaled`). Numbers are written as for case.json; a MayaCam file has the same
    ones under "camera matrix" and "image size".
    """
    if (width, height) == (camera.height, camera.width):
        return (
            'write "size" as [width, height] if only that was exchanged; if the image was turned after calibration, '
            "turn it back"
        )
    resampled = _resampled(camera, width, height)
    cut = _cut(camera, width, height)
    where = "in the case, or the same in the MayaCam calibration file"
    if resampled is None:
        return f"the size alone is not all that changes: {cut} ({where})"
    small, ratio = resampled
    numbers: dict[str, Any] = {"matrix": _rounded(small.matrix.tolist()), "size": [width, height]}
    if small.pixel_mm is not None:
        numbers["pixel_mm"] = _rounded(small.pixel_mm)
    numbers_text = ", ".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in numbers.items())
    return (
        f"the size alone is not all that changes: if the image was resampled after calibration, by {ratio}, write "
        f"{numbers_text} ({where}); if {cut}"
    )


def _resampled(camera: Camera, width: int, height: int) -> tuple[Camera, str] | None:
    """The camera of an image resampled to this size, and its scale; None where the sides have no common scale."""
    block = camera.width // width if width else 0
    if block > 1 and (camera.width // block, camera.height // block) == (width, height):
        # Means over blocks of pixels, with a remainder cut off at the right and bottom.
        return camera.resized(block), f"1/{block}"
    across, down = width / camera.width, height / camera.height
    # Sides are rounded to whole pixels, each by less than one.
    if abs(across * camera.height - height) >= 1 and abs(down * camera.width - width) >= 1:
        return None
    return camera.scaled(width, height), f"{max(across, down):.6g}"


def _cut(camera: Camera, width: int, height: int) -> str:
    """How the principal point moves where the image was cropped or padded."""
    column, row = _rounded(float(camera.matrix[0, 2])), _rounded(float(camera.matrix[1, 2]))
    if width <= camera.width and height <= camera.height:
        columns, rows = camera.width - width, camera.height - height
        return (
            f"cropped ({columns} columns and {rows} rows less), subtract what was cut off at the left and top from the "
            f"principal point: matrix[0][2] = {column} - columns cut off at the left, matrix[1][2] = {row} - rows cut "
            f'off at the top, then "size": [{width}, {height}]'
        )
    if width >= camera.width and height >= camera.height:
        return (
            "margins were added, add those at the left and top to the principal point: matrix[0][2] = "
            f"{column} + columns added at the left, matrix[1][2] = {row} + rows added at the top, then "
            f'"size": [{width}, {height}]'
        )
    return "cut and padded, use the image that the camera was calibrated for, or calibrate it again"


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(entry) for entry in value]
    return float(f"{value:.{_DIGITS}g}")
