"""Machine-readable codes of the sentences in a result: of every verdict reason and every note.

The lists are closed. Sentences may be reworded at any time; codes keep their meaning.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class ReasonCode(StrEnum):
    """Why a pose is accepted or not: "reason_code" of result.json, beside the sentence "reason"."""

    ACCEPTED = "accepted"
    NOT_COMPUTED = "not-computed"
    SOURCE_INSIDE = "source-inside"
    BEHIND_SOURCE = "behind-source"
    BEHIND_DETECTOR = "behind-detector"
    OUT_OF_VIEW = "out-of-view"
    MIRRORED = "mirrored"
    WEAK = "weak"
    WEAK_VIEW = "weak-view"
    SYMMETRIC = "symmetric"
    BETTER_ELSEWHERE = "better-elsewhere"
    AMBIGUOUS = "ambiguous"
    IMPRECISE = "imprecise"
    UNCONFIRMED = "unconfirmed"
    ASSUMED = "assumed"
    INTERRUPTED = "interrupted"
    UNJUDGED = "unjudged"


class NoteCode(StrEnum):
    """The subject of a note: "note_codes" of result.json, in the order of "notes"."""

    ASSUMED = "assumed"
    VOLUME = "volume"
    XRAY = "xray"
    SEGMENTATION = "segmentation"
    NETWORK = "network"
    NETWORK_UNFAMILIAR = "network-unfamiliar"
    SIMILARITY = "similarity"
    SIMILARITY_UNFAMILIAR = "similarity-unfamiliar"
    PICTURES = "pictures"


MEANINGS: dict[ReasonCode, str] = {
    ReasonCode.ACCEPTED: "everything speaks for the pose; the only code of an accepted one",
    ReasonCode.NOT_COMPUTED: "the match could not be computed at the pose",
    ReasonCode.SOURCE_INSIDE: "the X-ray source would lie inside the patient",
    ReasonCode.BEHIND_SOURCE: "a part of the anatomy would lie behind the X-ray source",
    ReasonCode.BEHIND_DETECTOR: "a part of the anatomy would lie behind the detector",
    ReasonCode.OUT_OF_VIEW: "too little of the anatomy falls on usable image",
    ReasonCode.MIRRORED: "the mirrored X-ray fits better: the image is probably flipped",
    ReasonCode.WEAK: "the match is too weak: another patient or region, or a start too far off",
    ReasonCode.WEAK_VIEW: "of several X-rays one does not match",
    ReasonCode.SYMMETRIC: "the anatomy is too symmetric to tell left from right",
    ReasonCode.BETTER_ELSEWHERE: "a search found a pose that explains the X-ray better",
    ReasonCode.AMBIGUOUS: "another pose explains the X-ray nearly as well",
    ReasonCode.IMPRECISE: "the images leave the pose open by more than is allowed",
    ReasonCode.UNCONFIRMED: "no search led back to the pose",
    ReasonCode.ASSUMED: "the images match, but the pose depends on numbers that nobody measured",
    ReasonCode.INTERRUPTED: "somebody ended the registration; the best pose so far",
    ReasonCode.UNJUDGED: "there is no verdict: a network's pose as it is, one set by hand, or changed since",
}

NOTE_MEANINGS: dict[NoteCode, str] = {
    NoteCode.ASSUMED: "a number that no file states and the pose depends on; such a pose is not accepted",
    NoteCode.VOLUME: "how the CT or its label map was read",
    NoteCode.XRAY: "how an X-ray was read",
    NoteCode.SEGMENTATION: "what of a segmentation in Slicer a label map cannot hold",
    NoteCode.NETWORK: "how a network and the images fit each other",
    NoteCode.NETWORK_UNFAMILIAR: "the pose lies outside those that the network was trained on",
    NoteCode.SIMILARITY: "what a learned similarity did, and how it and the images fit each other",
    NoteCode.SIMILARITY_UNFAMILIAR: "the pose lies outside those that the learned similarity was trained on",
    NoteCode.PICTURES: "pictures and report were left out",
}


@dataclass(frozen=True)
class Note:
    """A sentence on a finding or decision, and the code of its subject."""

    code: NoteCode
    text: str


def noted(code: NoteCode, texts: Iterable[str]) -> tuple[Note, ...]:
    """The sentences as notes on one subject."""
    return tuple(Note(code, text) for text in texts)
