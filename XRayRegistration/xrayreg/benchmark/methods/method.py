"""Interface of registration methods: their inputs and outcomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...checks import InputError
from ...registration.results import OnStep
from ...scene import Scene
from ...settings import DeviceName, EngineName
from ...settings.plain import as_plain, from_plain

Settings = TypeVar("Settings")

# Options that belong to a case and not to a method's settings; methods that do not need them ignore them.
ANGLES, LANDMARKS, NETWORK, SIMILARITY = "angles", "landmarks", "network", "similarity"
CASE_OPTIONS = (ANGLES, LANDMARKS, NETWORK, SIMILARITY)


@dataclass(frozen=True)
class MethodContext:
    """What every method is given besides its scene.

    seed: of all random numbers. engine, device: for rendering the DRRs.
    options: individual settings of the method by name, as plain values, and data of the case:
        angles: (primary [deg], secondary [deg], source-to-isocentre distance [mm]) of the first view's C-arm.
        landmarks: a table with points (N, 3) in the volume frame [mm], pixels: for each view (N, 2) as (column, row),
            NaN where not marked, and optionally names.
        network: the file of a trained network that predicts poses.
        similarity: the file of a learned similarity.
    """

    seed: int = 0
    engine: EngineName = "auto"
    device: DeviceName = "auto"
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class TracePoint:
    """The best pose so far.

    seconds, renders: spent until then. camera_from_volume: (4, 4) of the first view.
    level: number of changes to another similarity until then; scores are comparable, and increase, within a level only.
    """

    seconds: float
    renders: int
    similarity: float
    camera_from_volume: NDArray[np.float64]
    level: int = 0


@dataclass(frozen=True, eq=False)
class MethodOutcome:
    """Result of a method.

    camera_from_volume: (4, 4) of the first view. similarity: at that pose, by the method's last measure; NaN without
    one. renders: images rendered. reason: why it ended, a sentence. accepted: its verdict, None if it gives none.
    trace: best poses so far, a few dozen points. others: names and poses (4, 4) of further objects.
    reason_code: of our own verdict (see `reasons`), empty from other methods.
    """

    camera_from_volume: NDArray[np.float64]
    similarity: float
    renders: int
    seconds: float
    reason: str
    accepted: bool | None = None
    trace: tuple[TracePoint, ...] = ()
    others: tuple[tuple[str, NDArray[np.float64]], ...] = ()
    reason_code: str = ""


Run = Callable[[Scene, MethodContext, OnStep], MethodOutcome]


@dataclass(frozen=True, eq=False)
class Method:
    """A registration method.

    name: for the command line and tables; title: for display; source: the paper or program it follows.
    needs: what the scene or context must contain: "initial", "structures", "angles", "landmarks", "network",
        "similarity".
    run: runs the method, and calls `OnStep` with each step.
    """

    name: str
    title: str
    source: str
    needs: tuple[str, ...]
    run: Run


_REMEDIES = {
    "initial": 'add "initial" (world_from_volume) to the case',
    "structures": "name the labels of the bones to register",
    ANGLES: "give the first view's C-arm angles and source-to-isocentre distance",
    LANDMARKS: "give points in the volume and where they are seen in the views",
    NETWORK: "give the file of a trained network (model.pt)",
    SIMILARITY: "give the file of a learned similarity (sim.pt)",
}


def require_needs(method: Method, scene: Scene, context: MethodContext) -> None:
    """Raise InputError naming the first input that the method needs and that is missing."""
    given = {"initial": scene.initial is not None, "structures": bool(scene.structures)}
    for need in method.needs:
        if not given.get(need, context.options.get(need) is not None):
            raise InputError(
                f"method {method.name}", expected=f'"{need}"', found="none", remedy=_REMEDIES.get(need, "give it")
            )


def settings_with_options(preset: Settings, context: MethodContext) -> Settings:
    """The preset with its values replaced by the context's options.

    Raises InputError for options that the method does not have and for values of another type.
    """
    changes = {name: value for name, value in context.options.items() if name not in CASE_OPTIONS}
    known = as_plain(preset)
    unknown = [name for name in changes if name not in known]
    if unknown:
        expected = f"any of {', '.join(known)}" if known else "none"
        raise InputError("method options", expected=expected, found=", ".join(unknown), remedy="correct the names")
    try:
        return from_plain(type(preset), {**known, **changes}, "method options") if changes else preset
    except InputError as error:
        remedy = "correct the option (a list is written [1, 2])"
        raise InputError(error.what, expected=error.expected, found=error.found, remedy=remedy) from error


def require_no_options(context: MethodContext) -> None:
    """Raise InputError if options are given to a method that has none."""
    settings_with_options(_Nothing(), context)


@dataclass(frozen=True)
class _Nothing:
    """No settings."""
