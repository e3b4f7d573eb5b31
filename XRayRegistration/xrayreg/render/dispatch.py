"""Choice of the render engine, with the reason in a sentence."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping

import torch

from ..checks import InputError
from ..scene import Attenuation
from ..settings import DEVICES, ENGINES, DeviceName, EngineName
from .projector import Projector


def available_engines() -> Mapping[str, str]:
    """Each engine with an empty string if it can run here, otherwise with the reason why not."""
    numba_missing = "" if importlib.util.find_spec("numba") else "the package numba is not installed"
    return {"reference": "", "torch": "", "numba": numba_missing, "triton": _triton_missing()}


def _triton_missing() -> str:
    if not importlib.util.find_spec("triton"):
        return "the package triton is not installed"
    if _is_interpreted() or torch.cuda.is_available():
        return ""
    return "torch sees no CUDA device"


def _is_interpreted() -> bool:
    """Whether Triton is set to its interpreter mode, which runs without a GPU, slowly, for tests."""
    return os.environ.get("TRITON_INTERPRET", "").lower() in ("1", "true", "yes", "on", "y")


def choose_device(device: DeviceName = "auto") -> str:
    """The torch device for `device`: auto takes CUDA, then the CPU. Raises InputError for an unavailable one."""
    if device not in DEVICES:
        raise InputError("device", expected=f"one of {', '.join(DEVICES)}", found=device, remedy="choose one of them")
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return "cuda" if here["cuda"] else "cpu"
    if not here[device]:
        raise InputError(
            "device", expected="a device of this machine", found=f"{device}, which torch cannot see", remedy="use cpu"
        )
    return device


def choose_engine(engine: EngineName = "auto", device: DeviceName = "auto") -> tuple[str, str, str]:
    """Engine, torch device and the reason for the choice, for the names given by the user.

    Raises InputError for an unknown engine or one whose package is missing.
    """
    if engine not in ENGINES:
        raise InputError("engine", expected=f"one of {', '.join(ENGINES)}", found=engine, remedy="choose one of them")
    missing = available_engines()
    if engine == "auto":
        place = choose_device(device)
        if place == "cuda":
            return _choose_on_cuda(place, missing["triton"])
        if place != "cpu":
            return "torch", place, f"torch on {place}"
        if missing["numba"]:
            return "torch", place, f"torch on the CPU, about twenty times slower than numba: {missing['numba']}"
        return "numba", place, "numba on the CPU"
    if engine == "triton":
        return _choose_triton(device, missing["triton"])
    if missing[engine]:
        raise InputError(
            f"engine {engine}",
            expected="its package",
            found=missing[engine],
            remedy=f"pip install {engine}, or use torch",
        )
    if engine == "numba":
        if device not in ("auto", "cpu"):
            raise InputError(
                "device", expected="cpu for the numba engine", found=device, remedy=f"use --engine torch on {device}"
            )
        return "numba", "cpu", "numba as asked"
    place = choose_device(device)
    return engine, place, f"{engine} on {place} as asked"


def _choose_on_cuda(place: str, missing: str) -> tuple[str, str, str]:
    """Triton where it runs, otherwise torch and the reason."""
    if not missing:
        from . import triton_ready

        missing = triton_ready.failure(place)
    if missing:
        return "torch", place, f"torch on {place}, because triton is not to be had: {missing}"
    return "triton", place, f"triton on {place}"


def _choose_triton(device: DeviceName, missing: str) -> tuple[str, str, str]:
    if not missing and not _is_interpreted() and choose_device(device) == "cuda":
        from . import triton_ready

        missing = triton_ready.failure("cuda")
    if missing:
        raise InputError(
            "engine triton",
            expected="its package and a CUDA device that it runs on",
            found=missing,
            remedy="take --engine auto; for tests TRITON_INTERPRET=1 computes without a GPU",
        )
    place = choose_device(device)
    if place == "cuda" or (place == "cpu" and _is_interpreted()):
        return "triton", place, f"triton on {place} as asked" + (", interpreted" if _is_interpreted() else "")
    raise InputError(
        "device", expected="cuda for the triton engine", found=place, remedy=f"use --engine torch on {place}"
    )


def prepare(attenuation: Attenuation, engine: EngineName = "auto", device: DeviceName = "auto") -> Projector:
    """The attenuation map prepared for an engine; see `choose_engine` for the errors."""
    name, place, _ = choose_engine(engine, device)
    if name == "numba":
        from .numba_engine import NumbaProjector
        from .numba_maps import rimmed_map

        return NumbaProjector(attenuation, rimmed_map(attenuation.mu))
    if name == "reference":
        from .reference import ReferenceProjector

        return ReferenceProjector(attenuation, place)
    if name == "triton":
        from .triton_engine import TritonProjector

        return TritonProjector(attenuation, place)
    from .torch_engine import TorchProjector

    return TorchProjector(attenuation, place)


def warm_up(
    engine: EngineName = "auto",
    device: DeviceName = "auto",
    learned_maps: bool = False,
    on_part: Callable[[str], object] = lambda part: None,
) -> float:
    """Load the engine's compiled code in advance, so that no registration has to wait for it.

    learned_maps: also the code for maps from the 3D network of a learned similarity. numba renders these with any
    engine; others do not need it. on_part: called with the name of each part before it is loaded.
    Returns the seconds spent on compiling them, 0 where that was done before. Raises as `choose_engine` does.
    """
    seconds = _warm_up(*choose_engine(engine, device)[:2], on_part)
    if learned_maps and not available_engines()["numba"]:
        from . import kernel_cache

        seconds += kernel_cache.load(on_part, learned=True)
    return seconds


def _warm_up(name: str, place: str, on_part: Callable[[str], object]) -> float:
    """The same for an engine's own code."""
    if name == "triton":
        on_part("triton")
        from . import triton_ready

        return triton_ready.load(place, on_part)
    if name != "numba":
        return 0.0
    on_part("numba")
    from . import kernel_cache

    return kernel_cache.load(on_part)


def kernels_are_cached(engine: EngineName = "auto", device: DeviceName = "auto", learned_maps: bool = False) -> bool:
    """Whether the engine's compiled code is cached from an earlier run, so that `warm_up` has nothing to compile.

    Raises as `choose_engine` does.
    """
    cached = _are_cached(*choose_engine(engine, device)[:2])
    if not cached or not learned_maps or available_engines()["numba"]:
        return cached
    from . import kernel_cache

    return kernel_cache.is_complete(learned=True)


def _are_cached(name: str, place: str) -> bool:
    """The same for an engine's own code."""
    if name == "triton":
        from . import triton_ready

        return triton_ready.is_loaded(place)
    if name != "numba":
        return True
    from . import kernel_cache

    return kernel_cache.is_complete()


def require_kernel_cache(engine: EngineName = "auto", device: DeviceName = "auto") -> None:
    """Raise InputError where compiled code cannot be cached for the next process, and as `choose_engine` does."""
    name, _, _ = choose_engine(engine, device)
    if name == "numba":
        from . import kernel_cache

        kernel_cache.require_folder()
