"""Trained networks that this computer knows: their files, what their cards say in words, and for which CT they are."""

import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

_KNOWN = "XRayRegistration/networks"
_MOST_KNOWN = 40
# Cards that were read, by file and its state; reading one takes a tenth of a second.
_cards = {}


@dataclass(frozen=True)
class Network:
    """A network's file and what is known of it.

    card: xrayreg.networks.model.card.ModelCard, None where the file cannot be read, which `problem` tells.
    fits: whether it was trained on the CT in question. general: whether it was trained on several.
    """

    path: Path
    card: object = None
    fits: bool = False
    problem: str = ""

    @property
    def general(self):
        return self.card is not None and self.card.kind == "agnostic"

    @property
    def described(self):
        """The card in words, or what is wrong with the file."""
        return self.problem or inWords(self.card)


def remember(path):
    """Put a network on the list of those that are known, as the latest."""
    path = str(Path(path).absolute())
    qt.QSettings().setValue(_KNOWN, [path, *(known for known in _listed() if known != path)][:_MOST_KNOWN])


def known():
    """The files of the networks that are known and still there, the latest first."""
    return [path for path in map(Path, _listed()) if path.is_file()]


def stateOf(path):
    """A value that changes whenever the file does; None where there is none."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return str(path), found.st_mtime_ns, found.st_size


def cardOf(path):
    """The card of a network's file (xrayreg.networks.model.card.ModelCard) as `surveySteps` read it; None before."""
    return _cards.get(stateOf(path), (None, ""))[0]


def surveySteps(inputs, volumeNode, paths):
    """Pause, and return a Network for each file, told whether it was trained on the CT.

    inputs: scene.backend.Inputs. Raises InputError for a CT that cannot be used.
    """
    from xrayreg.networks.model.fingerprint import fingerprint

    volume = yield from inputs.volumeSteps(volumeNode)
    yield
    mark = yield from fingerprint.pieces(volume)
    networks = []
    for path in paths:
        yield
        networks.append(_read(path, mark))
    return networks


def inWords(card):
    """What a network was trained on, when, and how well it does, in a few sentences."""
    from xrayreg.io.images import stem_of

    names = [stem_of(Path(subject.name)) for subject in card.subjects]
    where = names[0] if len(names) == 1 else _("{count} CTs").format(count=len(names))
    told = [
        _("Trained on {where}, {when}: {minutes} and {images} images.").format(
            where=where, when=_day(card.created), minutes=duration(card.seconds), images=_counted(card.images)
        )
    ]
    errors = {kind: vars(found) for kind, found in card.validation.items()}
    return " ".join([*told, errorsInWords(errors)]).strip()


def errorsInWords(validation):
    """Errors by kind of image (dicts as xrayreg.networks.model.card.MedianErrors) as a sentence; empty without any."""
    kinds = {"physics": _("on simulated X-rays"), "clean": _("on DRRs")}
    parts = [
        _("{error} {kind}").format(error=inShort(validation[kind]), kind=text)
        for kind, text in kinds.items()
        if validation.get(kind)
    ]
    return _("Median error {parts}.").format(parts=_(", ").join(parts)) if parts else ""


def inShort(errors):
    """Rotation, and shifts to the right, upwards and in depth, in one short text."""
    return _("{degrees:.1f}° and {x:.1f}/{y:.1f}/{depth:.1f} mm").format(
        degrees=errors["rotation_deg"], x=errors["x_mm"], y=errors["y_mm"], depth=errors["depth_mm"]
    )


def duration(seconds):
    """A time as minutes and seconds."""
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d} h" if hours else f"{minutes}:{rest:02d} min"


def _read(path, mark):
    from xrayreg.checks import InputError
    from xrayreg.networks.model.checkpoint import read_card

    state = stateOf(path)
    if state not in _cards:
        try:
            _cards[state] = read_card(path), ""
        except (InputError, OSError) as error:
            _cards[state] = None, str(error)
    card, problem = _cards[state]
    fits = card is not None and any(subject.fingerprint == mark for subject in card.subjects)
    return Network(Path(path), card, fits, problem)


def _listed():
    found = slicer.util.settingsValue(_KNOWN, [])
    # Qt's own programs keep a list of one text as that text.
    return [found] if isinstance(found, str) else list(found or [])


def day(seconds):
    """A moment of the computer's clock, for people."""
    return time.strftime("%d %b %Y %H:%M", time.localtime(seconds))


def _day(created):
    try:
        return day(datetime.fromisoformat(created).timestamp())
    except ValueError:
        return _("at an unknown time")


def _counted(number):
    return f"{number / 1000:.0f} 000" if number >= 10000 else str(number)
