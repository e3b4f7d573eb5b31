"""Trained networks that this computer knows: their files, what their cards say in words, and for which CT they are."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import qt
import slicer
from slicer.i18n import tr as _

from xrayreg.checks import InputError
from xrayreg.settings import SIMILARITY_NAMES

if TYPE_CHECKING:
    from .mrml.backend import Inputs
    from .worker.client import Worker

if TYPE_CHECKING:
    from xrayreg.networks.model.card import ModelCard

_KNOWN = "XRayRegistration/networks"
_MOST_KNOWN = 40
# Cards that were read, by file and its state; reading one takes a tenth of a second.
_cards: dict[Any, tuple[ModelCard | None, str]] = {}


@dataclass(frozen=True)
class Network:
    """A network's file and what is known of it.

    card: None where the file cannot be read, which `problem` tells.
    fits: whether it was trained on the CT in question. general: whether it was trained on several.
    """

    path: Path
    card: ModelCard | None = None
    fits: bool = False
    problem: str = ""

    @property
    def general(self) -> bool:
        return self.card is not None and self.card.kind == "agnostic"

    def misplaced(self, similarity: bool) -> str:
        """What it is and where it belongs, a sentence, where the other kind is asked for; empty where it is not.

        similarity: whether one is asked for that compares images, rather than one that finds poses.
        """
        return str(_misplaced(self.path, self.card, similarity) or "")

    @property
    def described(self) -> str:
        """The card in words, or what is wrong with the file."""
        return self.problem or ("" if self.card is None else inWords(self.card))


def similarityNames() -> dict[str, Any]:
    """The architectures of similarities that can be trained: name in xrayreg.settings, and what people read."""
    named = {
        "embedding": _("Embedding (ours)"),
        "prost": _("ProST"),
        "prost-vit": _("ProST (transformer)"),
        "correlation": _("Correlation-driven"),
        "sopi": _("SOPI"),
    }
    return {name: named.get(name, name) for name in SIMILARITY_NAMES}


def remember(path: Path | str) -> None:
    """Put a network on the list of those that are known, as the latest."""
    path = str(Path(path).absolute())
    qt.QSettings().setValue(_KNOWN, [path, *(known for known in _listed() if known != path)][:_MOST_KNOWN])


def known() -> list[Path]:
    """The files of the networks that are known and still there, the latest first."""
    return [path for path in map(Path, _listed()) if path.is_file()]


def stateOf(path: Path | str) -> tuple[str, int, int] | None:
    """A value that changes whenever the file does; None where there is none."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return str(path), found.st_mtime_ns, found.st_size


def cardOf(path: Path) -> ModelCard | None:
    """The card of a network's file (xrayreg.networks.model.card.ModelCard) as `surveySteps` read it; None before."""
    state = stateOf(path)
    return None if state is None else _cards.get(state, (None, ""))[0]


def requireSameKindSteps(worker: Worker, path: Path, similarity: str) -> Generator[Any, None, None]:
    """Pause, and raise InputError where a file holds a network of another kind than the one that is to be kept in it.

    similarity: the architecture of one, empty for a network that finds poses.
    """
    card = (yield from _cardSteps(worker, path))[0] if Path(path).is_file() else None
    found = "" if card is None else _architecture(card)
    if card is not None and found != similarity:
        raise InputError(
            Path(path).name,
            expected=_kindInWords(similarity),
            found=_kindInWords(found),
            remedy=_("choose another file"),
        )


def requireKindSteps(worker: Worker, path: str | Path, similarity: bool) -> Generator[Any, None, None]:
    """Pause, and raise InputError, which tells where it belongs, for a file of the other kind; see `Network.misplaced`.

    What is no network at all, or is not there, is left to whoever reads it.
    """
    card, _problem = yield from _cardSteps(worker, path)
    error = _misplaced(path, card, similarity)
    if error is not None:
        raise error


def surveySteps(
    inputs: Inputs, volumeNode: slicer.vtkMRMLScalarVolumeNode, paths: Any
) -> Generator[Any, None, list[Network]]:
    """Pause, and return a Network for each file, told whether it was trained on the CT.

    inputs: mrml.backend.Inputs. Raises InputError for a CT that cannot be used.
    """
    volume = yield from inputs.volumeSteps(volumeNode)
    yield
    mark = (yield from inputs.worker.askSteps("fingerprint", volume=volume.handle.number))["fingerprint"]
    networks = []
    for path in paths:
        yield
        card, problem = yield from _cardSteps(inputs.worker, path)
        fits = card is not None and any(subject.fingerprint == mark for subject in card.subjects)
        networks.append(Network(Path(path), card, fits, problem))
    return networks


def inWords(card: ModelCard) -> str:
    """What a network is and was trained on, when, and how well it does, in a few sentences."""
    from xrayreg.io.images import stem_of

    names = [stem_of(Path(subject.name)) for subject in card.subjects]
    where = names[0] if len(names) == 1 else _("{count} CTs").format(count=len(names))
    told = [
        _("Trained on {where}, {when}: {minutes} and {images} images.").format(
            where=where, when=_day(card.created), minutes=duration(card.seconds), images=_counted(card.images)
        )
    ]
    if card.is_similarity:
        told.insert(0, _("Similarity {name}.").format(name=_named(_architecture(card))))
    errors = {kind: vars(found) for kind, found in (card.angles if card.is_similarity else card.validation).items()}
    return " ".join([*told, errorsInWords(errors)]).strip()


def errorsInWords(validation: dict[Any, Any]) -> str:
    """How well a network does as a sentence; empty without any figures.

    validation: errors by kind of image, or angles by what a gradient is of, as dicts like
    xrayreg.networks.model.card.MedianErrors and MedianAngles.
    """
    if validation.get("network"):
        return _anglesInWords(validation)
    kinds = {"physics": _("on simulated X-rays"), "clean": _("on DRRs")}
    parts = [
        _("{error} {kind}").format(error=inShort(validation[kind]), kind=text)
        for kind, text in kinds.items()
        if validation.get(kind)
    ]
    return _("Median error {parts}.").format(parts=_(", ").join(parts)) if parts else ""


def inShort(errors: dict[str, Any]) -> str:
    """Rotation, and shifts to the right, upwards and in depth, or how well a gradient points, in one short text."""
    if "whole_deg" in errors:
        return _("gradient {degrees:.0f}° from the ideal one").format(degrees=errors["whole_deg"])
    return _("{degrees:.1f}° and {x:.1f}/{y:.1f}/{depth:.1f} mm").format(
        degrees=errors["rotation_deg"], x=errors["x_mm"], y=errors["y_mm"], depth=errors["depth_mm"]
    )


def duration(seconds: float) -> str:
    """A time as minutes and seconds."""
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d} h" if hours else f"{minutes}:{rest:02d} min"


def _cardSteps(worker: Worker, path: Path | str) -> Generator[Any, None, tuple[Any, str]]:
    """Pause, and return the card in a file, None where it cannot be read, and why that is."""
    from xrayreg.networks.model.card import ModelCard

    state = stateOf(path)
    if state is None or state not in _cards:
        answer = yield from worker.askSteps("card", path=str(path))
        card = answer["card"]
        _cards[state] = None if card is None else ModelCard.from_dict(card), answer["problem"]
    return _cards[state]


def _architecture(card: ModelCard) -> str:
    """Of a similarity; empty for a network that finds poses."""
    similarity = card.settings.similarity
    return similarity.architecture if card.is_similarity and similarity is not None else ""


def _named(architecture: str) -> str:
    return similarityNames().get(architecture, architecture)


def _kindInWords(similarity: str) -> str:
    if not similarity:
        return _("a network for the initial pose")
    return _("a network for the similarity {name}").format(name=_named(similarity))


def _misplaced(path: Path | str, card: ModelCard | None, similarity: bool) -> InputError | None:
    """The InputError for a network of the other kind than the one that is asked for; None for any other file."""
    if card is None or card.is_similarity == similarity:
        return None
    if similarity:
        return InputError(
            _("similarity {name}").format(name=Path(path).name),
            expected=_("a trained similarity"),
            found=_("a network that finds poses"),
            remedy=_("choose it in the section Initial pose"),
        )
    return InputError(
        _("network {name}").format(name=Path(path).name),
        expected=_("one that finds poses"),
        found=_("a trained similarity ({name}), which compares images").format(name=_named(_architecture(card))),
        remedy=_("choose it in the section Register"),
    )


def _anglesInWords(validation: dict[str, Any]) -> str:
    """Medians of the angles between a similarity's pose gradient and the ideal one, and those of correlation."""
    told = inShort(validation["network"])
    if validation.get("zncc"):
        other = _(" (zero-mean correlation: {degrees:.0f}°)")
        told += other.format(degrees=validation["zncc"]["whole_deg"])
    return _("Median: {told}.").format(told=told)


def _listed() -> list[str]:
    found = slicer.util.settingsValue(_KNOWN, [])
    # Qt's own programs keep a list of one text as that text.
    return [found] if isinstance(found, str) else list(found or [])


def day(seconds: float) -> str:
    """A moment of the computer's clock, for people."""
    return time.strftime("%d %b %Y %H:%M", time.localtime(seconds))


def _day(created: str) -> str:
    try:
        return day(datetime.fromisoformat(created).timestamp())
    except ValueError:
        return _("at an unknown time")


def _counted(number: int) -> str:
    return f"{number / 1000:.0f} 000" if number >= 10000 else str(number)
