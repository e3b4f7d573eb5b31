"""Parsing DICOM files: every parser failure becomes a one-sentence error, and the size of unpacked data is limited."""

from __future__ import annotations

import io
import os
import stat
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.filereader import read_dataset as read_elements
from pydicom.filereader import read_preamble
from pydicom.uid import DeflatedExplicitVRLittleEndian

from ..checks import InputError, require_file

# A deflated file that unpacks to more counts as damaged: it would be a run of 250 frames of 1024 x 1024 pixels.
MOST_INFLATED_BYTES = 1 << 29
_AT_ONCE = 1 << 20


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Suppress pydicom's warnings on values within this context: the terminal shows only this project's own line."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def parsed(path: Path, what: str) -> pydicom.Dataset:
    """The data set of a DICOM file, large values on demand; raises InputError naming `what` for any damage."""
    require_file(path, what)
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise InputError(what, expected="a file", found=f"{path}, which is none", remedy="name a DICOM file")
        with quiet_pydicom(), open(path, "rb") as file:
            inflated = _inflated(file, path, what)
            if inflated is not None:
                return inflated
            file.seek(0)
            return pydicom.dcmread(path, force=True, defer_size="1 MB")
    except InputError:
        raise
    except Exception as error:
        # Damage raises many errors in the parser: struct.error, KeyError, RecursionError, LookupError, zlib.error, ...
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        printable = "".join(letter if letter.isprintable() else "?" for letter in reason)
        raise InputError(
            what, expected="a DICOM image", found=f"{path} ({printable})", remedy="check the file"
        ) from error


def _inflated(file: BinaryIO, path: Path, what: str) -> pydicom.Dataset | None:
    """The data set of a deflated file, unpacked with a size limit before parsing; None for any other file."""
    read_preamble(file, force=True)
    meta = _file_meta(file)
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return None
    unpacking, unpacked = zlib.decompressobj(-zlib.MAX_WBITS), io.BytesIO()
    while packed := file.read(_AT_ONCE):
        while packed:
            unpacked.write(unpacking.decompress(packed, _AT_ONCE))
            packed = unpacking.unconsumed_tail
            if unpacked.tell() > MOST_INFLATED_BYTES:
                raise InputError(
                    what,
                    expected=f"a deflated file that unpacks to at most {MOST_INFLATED_BYTES >> 20} MiB",
                    found=f"more in {path}",
                    remedy="store it without compression",
                )
    if not unpacking.eof:
        raise InputError(what, expected="a DICOM image", found=f"{path} (cut off)", remedy="export the image again")
    unpacked.seek(0)
    dataset = read_elements(unpacked, is_implicit_VR=False, is_little_endian=True)
    whole = pydicom.FileDataset(path, dataset, file_meta=meta)
    whole.set_original_encoding(False, True)
    return whole


def _file_meta(file: BinaryIO) -> FileMetaDataset:
    """The file's meta information, found as pydicom finds it, so that both see the same transfer syntax."""
    start = file.tell()
    meta = FileMetaDataset()
    for implicit in (False, True):
        file.seek(start)
        elements = read_elements(
            file, is_implicit_VR=implicit, is_little_endian=True, stop_when=lambda tag, _kind, _length: tag >> 16 != 2
        )
        meta = FileMetaDataset(elements)
        try:
            first = min(meta.keys(), default=None)
            if first is not None:
                meta[first]
            break
        except NotImplementedError:
            # The value representation is unknown: the header may have been written without it.
            continue
    return meta
