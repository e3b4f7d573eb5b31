"""The fuzz corpus: input n of a kind follows from the seed alone, so that no damaged file has to be kept."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fuzz_bytes import damage_bytes, damage_fields, damage_lines
from fuzz_cases import damage_case, sound_case
from fuzz_dicom import EXPLICIT, RUN_LENGTH, Element, written
from fuzz_headers import damage_header
from fuzz_sound import XRAYS, ct_frames, ct_metaimage, ct_nifti, ct_nifti_compressed, ct_nrrd, ct_slices

KINDS = ("xray", "ct", "case")
# One input in this many is left sound, and has to be read.
SOUND_EVERY = 16


@dataclass(frozen=True)
class Input:
    """One input of the corpus: the file or folder to open, and what was done to it ("sound" for nothing).

    frame: which image of a run of X-rays to ask for.
    """

    kind: str
    number: int
    path: Path
    what: str
    frame: int | None = None

    @property
    def sound(self) -> bool:
        """Whether nothing was damaged."""
        return self.what.endswith("sound")


def make_input(kind: str, seed: int, number: int, folder: Path) -> Input:
    """Writes input `number` of a kind into the empty `folder`, the same for the same seed."""
    rng = np.random.default_rng([seed, KINDS.index(kind), number])
    sound = number % SOUND_EVERY == 0
    if kind == "xray":
        return _xray(rng, number, folder, sound)
    if kind == "ct":
        path, what = _ct(rng, number, folder, sound)
        return Input(kind, number, path, what)
    path = sound_case(folder)
    return Input(kind, number, path, "sound" if sound else damage_case(path, rng))


def _xray(rng: np.random.Generator, number: int, folder: Path, sound: bool) -> Input:
    names = list(XRAYS)
    # Sound ones go through all the kinds in turn.
    name = names[number // SOUND_EVERY % len(names)] if sound else names[int(rng.integers(len(names)))]
    make, syntax, frame = XRAYS[name]
    path = folder / "xray.dcm"
    data, what = written(make(), syntax), "sound"
    if not sound:
        data, what = _damaged_dicom(make(), syntax, rng)
    path.write_bytes(data)
    return Input("xray", number, path, f"{name}: {what}", frame)


def _damaged_dicom(elements: list[Element], syntax: str, rng: np.random.Generator) -> tuple[bytes, str]:
    """A DICOM file with one to three damages of its header, or with damaged bytes.

    Bytes of compressed pixels stay as they are: damage to them tries the decoders of other projects.
    """
    compressed = syntax == RUN_LENGTH
    if not compressed and rng.random() < 0.2:
        return damage_bytes(written(elements, syntax), rng, 1600)
    done = [damage_header(elements, rng, not compressed) for _ in range(int(rng.choice([1, 1, 1, 2, 3])))]
    return written(elements, syntax), "; ".join(done)


def _ct(rng: np.random.Generator, number: int, folder: Path, sound: bool) -> tuple[Path, str]:
    makers: dict[str, Callable[[np.random.Generator, Path, bool], tuple[Path, str]]] = {
        "series": _series,
        "frames": _frames,
        "nifti": _nifti,
        "nifti compressed": _nifti_compressed,
        "nrrd": _nrrd,
        "metaimage": _metaimage,
    }
    names = [*makers, "series", "frames"]
    name = names[number // SOUND_EVERY % len(makers)] if sound else names[int(rng.integers(len(names)))]
    path, what = makers[name](rng, folder, sound)
    return path, f"{name}: {what}"


def _series(rng: np.random.Generator, folder: Path, sound: bool) -> tuple[Path, str]:
    slices, what = ct_slices(), "sound"
    files = {f"slice{n:02d}.dcm": written(elements) for n, elements in enumerate(slices)}
    if not sound:
        what = _damage_series(slices, files, folder, rng)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder, what


def _damage_series(slices: list[list[Element]], files: dict[str, bytes], folder: Path, rng: np.random.Generator) -> str:
    names, kind = list(files), int(rng.integers(12))
    n = int(rng.integers(len(names)))
    if kind == 0:
        del files[names[n]]
        return f"slice {n} is missing"
    if kind == 1:
        files["copy.dcm"] = files[names[n]]
        return f"slice {n} is there twice"
    if kind == 2:
        files["notes.txt"], files["empty.dcm"], files["cut.dcm"] = b"notes\n", b"", files[names[n]][:200]
        return "other files beside the slices"
    if kind == 3:
        (folder / "inner.dcm").mkdir()
        del files[names[n]], files[names[(n + 1) % len(names)]]
        return "a folder beside the slices, two slices missing"
    if kind <= 5:
        # The same damage to all slices.
        seed = int(rng.integers(2**31))
        for m, name in enumerate(names):
            what = damage_header(slices[m], np.random.default_rng(seed), True)
            files[name] = written(slices[m])
        return f"all slices: {what}"
    if kind == 6:
        files[names[n]], what = damage_bytes(files[names[n]], rng, 1400)
        return f"slice {n}: {what}"
    what = damage_header(slices[n], rng, True)
    files[names[n]] = written(slices[n])
    return f"slice {n}: {what}"


def _frames(rng: np.random.Generator, folder: Path, sound: bool) -> tuple[Path, str]:
    elements, what = ct_frames(), "sound"
    data = written(elements)
    if not sound:
        data, what = _damaged_dicom(elements, EXPLICIT, rng)
    (folder / "ct.dcm").write_bytes(data)
    return folder, what


def _nifti(rng: np.random.Generator, folder: Path, sound: bool) -> tuple[Path, str]:
    data, what = ct_nifti(), "sound"
    if not sound:
        data, what = damage_fields(data, rng) if rng.random() < 0.7 else damage_bytes(data, rng, 348)
    return _put(folder / "ct.nii", data), what


def _nifti_compressed(rng: np.random.Generator, folder: Path, sound: bool) -> tuple[Path, str]:
    if sound:
        return _put(folder / "ct.nii.gz", ct_nifti_compressed()), "sound"
    if rng.random() < 0.5:
        data, what = damage_bytes(ct_nifti_compressed(), rng, 400)
    else:
        fields, what = damage_fields(ct_nifti(), rng)
        data = gzip.compress(fields, compresslevel=1, mtime=0)
    return _put(folder / "ct.nii.gz", data), what


def _nrrd(rng: np.random.Generator, folder: Path, sound: bool) -> tuple[Path, str]:
    return _texted(ct_nrrd(), folder / "ct.nrrd", rng, sound, ":", b"\n\n")


def _metaimage(rng: np.random.Generator, folder: Path, sound: bool) -> tuple[Path, str]:
    return _texted(ct_metaimage(), folder / "ct.mha", rng, sound, "=", b"LOCAL\n")


def _texted(
    data: bytes, path: Path, rng: np.random.Generator, sound: bool, separator: str, end: bytes
) -> tuple[Path, str]:
    if sound:
        return _put(path, data), "sound"
    if rng.random() < 0.65:
        data, what = damage_lines(data, rng, separator, end)
    else:
        data, what = damage_bytes(data, rng, 330)
    return _put(path, data), what


def _put(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
