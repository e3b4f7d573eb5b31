"""Writing results: atomic file replacement and checks that the output folder is writable."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from ..checks import InputError
from .temporary import create_neighbour, left_behind, neighbours

# Compresses nearly as well as ITK's default, in half the time.
_PNG_LEVEL = 4
_NOT_IN_NAMES = re.compile(r'[\\/:*?"<>|\x00-\x1f]')
# File systems allow names of 255 bytes; prefixes and suffixes are added.
_NAME_BYTES = 180
# Bytes written at a time to a file that probes for system errors.
_PROBE_BYTES = 1 << 20
# The last bytes of every PNG.
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"


def require_output(path: str | Path) -> None:
    """Raise InputError when `path` cannot become a writable folder; nothing is created."""
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
    """`text` as the name of a file or folder: without characters that some file systems reject, and not too long."""
    plain = _NOT_IN_NAMES.sub("_", text).encode("utf-8", "replace")[:_NAME_BYTES].decode("utf-8", "ignore")
    return plain.strip(" .") or "_"


def write_json(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write `content` as JSON, replacing the file in one step; NaN and infinity become null, arrays lists."""
    text = json_text(content)
    replace_file(Path(path), lambda temporary: temporary.write_text(text, encoding="utf-8"))


def json_text(content: Mapping[str, Any]) -> str:
    """`content` as the JSON that `write_json` writes."""
    return json.dumps(_plain(content), indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def write_image(path: str | Path, image: NDArray) -> None:
    """Write an image, replacing the file in one step.

    .png takes uint8 or uint16 (height, width) or uint8 RGB (height, width, 3); .tif and .tiff these and float32.
    Raises ValueError for anything else, and OSError, with the file's name, where it cannot be written whole.
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
    replace_file(path, lambda temporary: _write_image(picture, temporary))


def _write_image(picture: sitk.Image, path: Path) -> None:
    """Write an image to a file and verify that it is complete.

    SimpleITK (2.5.7) raises a RuntimeError on a full disk, or fails silently where the last bytes do not fit.
    """
    is_png, said = path.suffix.lower() == ".png", "it is not whole"
    with write_checked(path, picture.GetNumberOfPixels() * picture.GetNumberOfComponentsPerPixel() * 4):
        sitk.WriteImage(picture, str(path), is_png, _PNG_LEVEL)
        if is_png:
            with path.open("rb") as file:
                file.seek(-len(_PNG_END), os.SEEK_END)
                whole = file.read() == _PNG_END
        else:
            written = sitk.ReadImage(str(path))
            values, given = sitk.GetArrayViewFromImage(written), sitk.GetArrayViewFromImage(picture)
            whole = np.array_equal(values, given, equal_nan=values.dtype.kind == "f")
        if not whole:
            raise RuntimeError(said)


@contextmanager
def write_checked(path: Path, size: int) -> Iterator[None]:
    """Within this context a RuntimeError of SimpleITK that writes `path` becomes an OSError with its cause.

    size: an upper bound of the file's [bytes]. SimpleITK does not report system errors, so the cause is determined by
    writing the same number of bytes.
    """
    try:
        yield
    except (RuntimeError, OSError) as error:
        with path.open("wb") as file:
            for _ in range(0, max(size, 1), _PROBE_BYTES):
                file.write(bytes(min(size, _PROBE_BYTES)))
            file.flush()
            os.fsync(file.fileno())
        said = (str(error).strip().splitlines() or ["it is not whole"])[-1]
        raise OSError(errno.EIO, f"an error while writing ({said})", str(path)) from error


def _no_output(found: str) -> InputError:
    return InputError(
        "output folder", expected="a folder that can be written to", found=found, remedy="choose another folder"
    )


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Have `write` create a temporary file beside `path` and rename it, so that readers never see a partial file.

    Leftovers of earlier attempts by killed processes are removed. Raises OSError with the name of `path`.
    """
    with replacing(path) as temporary:
        write(temporary)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """An empty temporary file beside `path`, which replaces it if the work within this context succeeds.

    As `replace_file`, for work that takes several steps.
    """
    for neighbour in left_behind(path):
        with suppress(OSError):
            neighbour.unlink()
    temporary = create_neighbour(path)
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.errno is not None and error.filename in (None, str(temporary)):
            # The caller does not know the temporary file's name.
            error.filename = str(path)
        raise


def remove_leftovers(path: Path) -> None:
    """Remove temporary files beside `path` left by processes that were killed while replacing it.

    Only to be called while no other process replaces it.
    """
    for neighbour in neighbours(path):
        neighbour.unlink(missing_ok=True)


def _plain(value: Any) -> Any:
    """`value` converted to JSON types."""
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
