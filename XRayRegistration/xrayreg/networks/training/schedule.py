"""Progress of a run by time or iterations, and the learning rate at that point."""

from __future__ import annotations

import math

from ...checks import InputError
from ...settings import SimilaritySettings, TrainingSettings
from ..model.similarity_table import description_for


def require_sound(settings: TrainingSettings) -> None:
    """Raise InputError for settings with which a run would never start or end, or cannot learn."""
    limits = settings.minutes, settings.iterations
    if min(limits) < 0 or not any(limits) or not all(math.isfinite(limit) for limit in limits):
        raise InputError(
            "length of training",
            expected="minutes or iterations above 0",
            found=f"{settings.minutes:g} minutes and {settings.iterations} iterations",
            remedy="give --minutes or --iterations",
        )
    least = {"batch": 1, "accumulate": 1, "validation_poses": 1, "validation_xrays": 0, "patience": 0, "seed": 0}
    for name, lowest in least.items():
        if getattr(settings, name) < lowest:
            raise InputError(
                name, expected=f"at least {lowest}", found=f"{getattr(settings, name)}", remedy="give a larger number"
            )
    camera = settings.camera
    numbers = {
        "learning rate": settings.learning_rate,
        "SID of the network's camera": camera.sid_mm,
        "field of the network's camera": camera.field_mm,
        "edge of the network's images": camera.image_px,
        "SOD": settings.poses.sod_mm,
    }
    for name, number in numbers.items():
        if not 0 < number < math.inf:
            raise InputError(name, expected="a number above 0", found=f"{number:g}", remedy="correct it")
    if settings.similarity is not None:
        description_for(settings)
        _require_starts(settings.similarity)


def _require_starts(settings: SimilaritySettings) -> None:
    low, high = settings.start_error_mm
    if settings.starts < 1 or not 0 < low <= high < math.inf:
        raise InputError(
            "starts of a similarity",
            expected="at least one, at distances above 0 mm, the smaller one first",
            found=f"{settings.starts}, at {low:g} to {high:g} mm",
            remedy="correct the settings",
        )
    if not 0 < settings.scale_mm < math.inf:
        raise InputError(
            "scale of a similarity", expected="mm above 0", found=f"{settings.scale_mm:g}", remedy="use 128"
        )


def fraction_done(settings: TrainingSettings, seconds: float, iteration: int) -> float:
    """Fraction of the run done, 0 to 1, by time or by iterations, whichever is larger."""
    shares = [0.0]
    if settings.minutes:
        shares.append(seconds / (60.0 * settings.minutes))
    if settings.iterations:
        shares.append(iteration / settings.iterations)
    return min(1.0, max(shares))


def seconds_left(settings: TrainingSettings, seconds: float, iteration: int) -> float | None:
    """Estimated remaining seconds of the run; None before there is an estimate."""
    limits = []
    if settings.minutes:
        limits.append(60.0 * settings.minutes - seconds)
    if settings.iterations and iteration:
        limits.append(seconds / iteration * (settings.iterations - iteration))
    return max(0.0, min(limits)) if limits else None


def learning_rate(settings: TrainingSettings, fraction: float) -> float:
    """Cosine decay from the peak to zero after a linear warm-up over the first `warm_up` of the run."""
    if fraction < settings.warm_up:
        # Not from zero, so that the first step has an effect.
        return settings.learning_rate * (0.05 + 0.95 * fraction / settings.warm_up)
    fallen = (fraction - settings.warm_up) / max(1e-9, 1.0 - settings.warm_up)
    return settings.learning_rate * 0.5 * (1.0 + math.cos(math.pi * min(1.0, fallen)))
