"""Writing results: whole files or none, and a folder that is known to take them."""

from __future__ import annotations

import json
import math
import os
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from ..checks import InputError

# Nearly as small as ITK's default, in half the time.
_PNG_LEVEL = 4
_NOT_IN_NAMES = re.compile(r'[\\/:*?"<>|\x00-\x1f]')


def require_output(path: str | Path) -> None:
    """Raise InputError when `path` cannot become a folder that takes files; nothing is created."""
    path = Path(path)
    existing = next(folder for folder in (path, *path.absolute().parents) if folder.exists() or folder.is_symlink())
    problem = "" if os.access(existing, os.W_OK | os.X_OK) else "no permission to write"
    problem = problem if existing.is_dir() else "a file, not a folder"
    if problem:
        raise _no_output(f"{existing} ({problem})")


def prepare_output(path: str | Path) -> Path:
    """Make the folder `path` (and its parents) and return it, known to be writable; nothing else is created.

    Raises InputError when it cannot be made or written to.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise _no_output(f"{path} ({error.strerror or error})") from error
    return path


def safe_name(text: str) -> str:
    """`text` as the name of a file or folder: without what some file system does not take."""
    return _NOT_IN_NAMES.sub("_", text).strip(" .") or "_"


def write_json(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write `content` as JSON, replacing the file in one step; NaN and infinity become null, arrays lists."""
    text = json.dumps(_plain(content), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    replace_file(Path(path), lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_image(path: str | Path, image: NDArray) -> None:
    """Write an image, replacing the file in one step.

    .png takes uint8 or uint16 (height, width) or uint8 RGB (height, width, 3); .tif and .tiff these and float32.
    Raises ValueError for anything else.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".png", ".tif", ".tiff"):
        raise ValueError(f"{path}: expected a name that ends in .png or .tif")
    kinds = ["uint8", "uint16"] if suffix == ".png" else ["uint8", "uint16", "float32"]
    colour = image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8
    if str(image.dtype) not in kinds or not (image.ndim == 2 or colour):
        raise ValueError(f"{path}: expected {' or '.join(kinds)}, grey or uint8 RGB, found {image.dtype} {image.shape}")
    picture = sitk.GetImageFromArray(np.ascontiguousarray(image), isVector=colour)
    is_png = suffix == ".png"
    replace_file(path, lambda temporary: sitk.WriteImage(picture, str(temporary), is_png, _PNG_LEVEL))


def _no_output(found: str) -> InputError:
    return InputError(
        "output folder", expected="a folder that can be written to", found=found, remedy="choose another folder"
    )


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a neighbour of `path` and rename it, so that a reader never meets half a file."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    try:
        write(Path(temporary))
        # mkstemp makes files that only the owner may read; results get what any new file gets.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def remove_leftovers(path: Path) -> None:
    """Remove the neighbours of `path` that processes which were killed while they replaced it have left.

    Only to be called while nobody else replaces it.
    """
    # As mkstemp names them above: eight letters, figures or underscores.
    name = re.compile(re.escape(f".{path.stem}-") + "[a-z0-9_]{8}" + re.escape(path.suffix))
    for neighbour in path.parent.iterdir() if path.parent.is_dir() else ():
        if name.fullmatch(neighbour.name) and neighbour.is_file() and not neighbour.is_symlink():
            neighbour.unlink(missing_ok=True)


def _plain(value: Any) -> Any:
    """`value` in JSON's own types."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"no JSON for a {type(value).__name__}")
