"""Output of `info` for a network: its card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .train import GRADIENT_NAMES

if TYPE_CHECKING:
    from ..networks.model.card import ModelCard
    from ..settings import PoseDistribution, TrainingSettings

# A value and its origin.
Entry = tuple[str, str]

_KINDS = {
    "patient": "trained on one CT",
    "agnostic": "trained on several CTs",
    "finetuned": "trained on one CT, beginning with another network",
}
_IMAGES = {"clean": "DRRs", "physics": "simulated X-rays"}


def of_network(path: Path) -> dict[str, dict[str, Entry]]:
    """The card of a network by object and name; raises InputError for a file that is not a network."""
    from ..networks.model.checkpoint import load_any

    checkpoint = load_any(path)
    card, network = checkpoint.card, checkpoint.network
    settings = card.settings
    weights = f"{network.parameters_count / 1e6:.2f} million weights"
    entries = {
        "kind": (_KINDS[card.kind], "card"),
        "trained on": (", ".join(subject.name for subject in card.subjects), "card"),
        "structures": (", ".join(map(str, card.structures)) or "the whole volume", "card"),
        "created": (card.created, "card"),
        "training": (f"{card.images} images, {card.seconds / 60:.1f} minutes, seed {settings.seed}", "card"),
        "purpose": ("compares an X-ray with a CT" if card.is_similarity else "predicts poses", "card"),
        "network": (f"{_network(settings)}, {weights}", "settings"),
        "camera": (_camera(card), "settings"),
        "poses": (_poses(settings.poses), "settings"),
        "number type": (settings.precision, "settings"),
        "digest": (checkpoint.digest[:16], "card and weights"),
    }
    if card.parent:
        entries["begun with"] = (card.parent[:16], "digest of that network")
    for kind, errors in card.validation.items():
        entries[_IMAGES.get(kind, kind)] = (
            f"rotation {errors.rotation_deg:.1f} degrees, x {errors.x_mm:.1f}, y {errors.y_mm:.1f}, "
            f"depth {errors.depth_mm:.1f} mm, mTRE {errors.mtre_mm:.1f} mm",
            f"median error on {errors.images} new poses",
        )
    for kind, angles in card.angles.items():
        entries[f"gradient of {GRADIENT_NAMES.get(kind, kind)}"] = (
            f"{angles.whole_deg:.0f} degrees from the geodesic one, rotation {angles.rotation_deg:.0f}, "
            f"translation {angles.translation_deg:.0f}",
            f"median over {angles.poses} new poses, 20 to 100 mm away",
        )
    notes: dict[str, Entry] = {f"note {number}": (note, "") for number, note in enumerate(card.notes, 1)}
    return {f"network {path.name}": entries | notes}


def _network(settings: TrainingSettings) -> str:
    """The architecture in words."""
    wanted = settings.similarity
    if wanted is None:
        return f"{settings.network.backbone}, {settings.network.hypotheses} hypotheses"
    volume = "with" if wanted.volume_network else "without"
    form = f", decomposition {wanted.decomposition}" if wanted.architecture == "correlation" else ""
    return (
        f"{wanted.architecture}{form}, {volume} a volume network, width {wanted.width:g}, {wanted.gradient_loss} loss, "
        f"{wanted.scale_mm:g} mm to a radian"
    )


def _camera(card: ModelCard) -> str:
    camera = card.settings.camera
    return f"{camera.image_px} x {camera.image_px} pixels, field {camera.field_mm:.0f} mm, SID {camera.sid_mm:.0f} mm"


def _poses(poses: PoseDistribution) -> str:
    views = ", ".join(f"{angle:g}" for angle in poses.primaries_deg)
    turns, shifts = (
        ", ".join(f"{value:g}" for value in spread) for spread in (poses.rotation_deg, poses.translation_mm)
    )
    return (
        f"about primary angle {views} degrees, SOD {poses.sod_mm:g} mm; "
        f"{poses.law} {poses.coordinates}: {turns} degrees, {shifts} mm"
    )
