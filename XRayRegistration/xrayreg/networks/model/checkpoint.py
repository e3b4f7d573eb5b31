"""Network files: written atomically, and read without executing any code in them.

Pose networks and learned similarities differ only in the name of their format.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...checks import InputError, require_regular
from ...io.json_text import parse_json
from ...io.results import replace_file
from ...io.temporary import sync_folder
from .archive import problem_of_archive, problem_of_content
from .backbones import PoseNetwork, build_network
from .canonical_frame import CanonicalFrame
from .card import ModelCard
from .learned_similarity import LearnedSimilarity
from .similarity_table import build_for
from .template import Template

FORMAT = "xrayreg pose network"
# 2: networks have local contrast as a third input channel.
VERSION = 2
SIMILARITY_FORMAT = "xrayreg learned similarity"
SIMILARITY_VERSION = 1
# By format: the version written, a description of such files, and their use.
_FORMATS = {
    FORMAT: (VERSION, "a network that predicts poses", "give it with --init"),
    SIMILARITY_FORMAT: (SIMILARITY_VERSION, "a learned similarity", "give it with --similarity"),
}
# Largest length of a card [characters]: enough for thousands of patients.
_MOST_CARD = 4 * 2**20


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A network with its card.

    training_state: optimiser, progress and similar, to resume a run exactly where it stopped; numbers, texts and
    tensors in dictionaries and lists. None in a network for inference only.
    digest: SHA-256 of card, weights and template (not of the training state); empty before the file is written.
    template: the CT in whose frame the network's poses are, to align other patients with; None where there is none.
    """

    card: ModelCard
    network: PoseNetwork
    training_state: dict[str, Any] | None = None
    digest: str = ""
    template: Template | None = None


@dataclass(frozen=True, eq=False)
class SimilarityCheckpoint:
    """A learned similarity with its card; the rest is as in `Checkpoint`.

    The card's settings hold all that inference depends on: `similarity` (architecture, the X-ray's input channel,
    scale_mm), `camera` and `poses`; see `inference.similarity_inputs`.
    """

    card: ModelCard
    network: LearnedSimilarity
    training_state: dict[str, Any] | None = None
    digest: str = ""
    template: Template | None = None


AnyCheckpoint = Checkpoint | SimilarityCheckpoint


def save_checkpoint(path: str | Path, checkpoint: AnyCheckpoint) -> str:
    """Write the checkpoint, replacing the file in one step, and return its digest.

    A reader finds either the old file or the new one, also when the disk is full or the power fails. Raises OSError
    when it cannot be written; the old file is then unchanged.
    """
    path = Path(path)
    card = json.dumps(checkpoint.card.as_dict(), allow_nan=False)
    # Contiguous copies, so that the file depends on the values alone.
    weights = {name: value.detach().cpu().contiguous() for name, value in checkpoint.network.state_dict().items()}
    template = None if checkpoint.template is None else checkpoint.template.as_tensors()
    form = SIMILARITY_FORMAT if isinstance(checkpoint, SimilarityCheckpoint) else FORMAT
    content = {
        "format": form,
        "version": _FORMATS[form][0],
        "card": card,
        "digest": digest_of({"card": card, "network": weights, "template": template}),
        "network": weights,
        "template": template,
        "training": checkpoint.training_state,
        "training_digest": digest_of(checkpoint.training_state),
    }
    replace_file(path, lambda temporary: _write(temporary, content))
    sync_folder(path.parent)
    return str(content["digest"])


def load_checkpoint(path: str | Path, device: str | torch.device = "cpu") -> Checkpoint:
    """The checkpoint in a file, its network in evaluation mode on `device`.

    Only numbers, texts and tensors are read; nothing in the file is executed. Raises InputError for a file that is not
    a checkpoint, is damaged or modified, is of a newer version, or would take far more memory than its size.
    """
    path, content, card, template = _opened(path, FORMAT)
    with _fitting(path):
        frame = CanonicalFrame.from_dict(asdict(card.frame))
        network = build_network(card.settings.network, card.settings.camera, frame)
        network.load_state_dict(content["network"])
    return Checkpoint(card, network.to(device).eval(), content.get("training"), content["digest"], template)


def load_similarity(path: str | Path, device: str | torch.device = "cpu") -> SimilarityCheckpoint:
    """The learned similarity in a file, in evaluation mode on `device`; raises InputError as `load_checkpoint` does."""
    path, content, card, template = _opened(path, SIMILARITY_FORMAT)
    with _fitting(path):
        network = build_for(card.settings)
        network.load_state_dict(content["network"])
    return SimilarityCheckpoint(card, network.to(device).eval(), content.get("training"), content["digest"], template)


def load_any(path: str | Path, device: str | torch.device = "cpu") -> AnyCheckpoint:
    """The network of either kind in a file; raises InputError as `load_checkpoint` does."""
    return load_similarity(path, device) if read_card(path).is_similarity else load_checkpoint(path, device)


def read_card(path: str | Path) -> ModelCard:
    """The card in a network's file of either kind, for lists: fast, as its checksum is not verified.

    Raises InputError for a file that is not a checkpoint.
    """
    path = require_regular(Path(path), "network")
    content = _read(path, weights=False)
    if content.get("format") not in _FORMATS or not isinstance(content.get("card"), str):
        raise _refused(path, "a network of this program", "another kind of file")
    try:
        return ModelCard.from_dict(_card(content["card"]))
    except (InputError, TypeError, ValueError) as error:
        raise _refused(path, "a card of this version", " ".join(str(error).split())[:200]) from error


def _opened(path: str | Path, form: str) -> tuple[Path, dict[str, Any], ModelCard, Template | None]:
    """Path, content, card and template of a file of the format `form`, its checksums verified; raises InputError."""
    path = require_regular(Path(path), "network")
    content = _read(path)
    found, version = content.get("format"), content.get("version")
    wanted, what, _ = _FORMATS[form]
    if found != form and found in _FORMATS:
        _, other, use = _FORMATS[found]
        raise _refused(path, what, other, use)
    if found != form:
        raise _refused(path, "a network of this program", "another kind of file")
    if not isinstance(version, int) or version > wanted:
        raise _refused(path, f"format version {wanted}", f"version {version}", "update this program")
    if version < wanted:
        raise _refused(path, f"format version {wanted}", f"version {version}", "train it again with this program")
    card, weights, body = content.get("card"), content.get("network"), content.get("template")
    if not isinstance(card, str) or not isinstance(weights, dict):
        raise _refused(path, "a card and weights", "neither or only one of them")
    digests = digest_of({"card": card, "network": weights, "template": body}), digest_of(content.get("training"))
    if digests != (content.get("digest"), content.get("training_digest")):
        raise _refused(path, "content that fits its checksum", "content that was changed or damaged")
    with _fitting(path):
        return path, content, ModelCard.from_dict(_card(card)), None if body is None else Template.from_tensors(body)


@contextmanager
def _fitting(path: Path) -> Iterator[None]:
    """Raise InputError for content whose parts are inconsistent."""
    try:
        yield
    except (InputError, RuntimeError, TypeError, ValueError, KeyError, AttributeError) as error:
        raise _refused(path, "a card and weights that fit each other", " ".join(str(error).split())[:200]) from error


def digest_of(content: Any) -> str:
    """SHA-256 of nested dictionaries and lists of numbers, texts and tensors, whatever the dictionaries' order."""
    digest = hashlib.sha256()
    for part in _encoded(content):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()


def _encoded(content: Any) -> Iterator[bytes]:
    if isinstance(content, Mapping):
        yield f"table of {len(content)}".encode()
        for key in sorted(content, key=lambda key: (type(key).__name__, str(key))):
            yield f"{type(key).__name__} {key}".encode()
            yield from _encoded(content[key])
    elif isinstance(content, list | tuple):
        yield f"list of {len(content)}".encode()
        for entry in content:
            yield from _encoded(entry)
    elif isinstance(content, Tensor):
        plain = content.detach().cpu().contiguous()
        yield f"{plain.dtype} {tuple(plain.shape)}".encode()
        yield plain.reshape(-1).view(torch.uint8).numpy().tobytes()
    else:
        yield f"{type(content).__name__} {content!r}".encode()


def _write(path: Path, content: dict[str, Any]) -> None:
    # Serialised in memory first, as torch masks disk errors by its own.
    whole = io.BytesIO()
    torch.save(content, whole)
    with path.open("wb") as file:
        file.write(whole.getbuffer())
        file.flush()
        # Without this a power failure after the rename could leave an empty file.
        os.fsync(file.fileno())


def _card(text: str) -> Any:
    """The content of a card's JSON; raises InputError."""
    if len(text) > _MOST_CARD:
        raise InputError(
            "card", expected=f"at most {_MOST_CARD:,} characters", found=f"{len(text):,}", remedy="retrain"
        )
    return parse_json(text, "card")


def _read(path: Path, weights: bool = True) -> dict[str, Any]:
    # Older files of torch are bare pickles; everything this program writes is an archive.
    if not zipfile.is_zipfile(path):
        raise _refused(path, "a network of this program", "another kind of file, or only a part of one")
    if problem := problem_of_archive(path):
        raise _refused(path, "numbers, texts and tensors alone, stored as they are", problem)
    try:
        # Mapped into memory, weights are read from the disk when they are accessed.
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=not weights)
    except OSError:
        raise
    except Exception as error:
        # torch raises errors of many kinds for files that are damaged or hold anything other than data.
        raise _refused(path, "numbers, texts and tensors alone", "something else, which was not run") from error
    if not isinstance(content, dict):
        raise _refused(path, "a network of this program", f"a {type(content).__name__}")
    if problem := problem_of_content(content, path.stat().st_size):
        raise _refused(path, "a network of this program", problem)
    return content


def _refused(path: Path, expected: str, found: str, remedy: str = "train it again or take another copy") -> InputError:
    return InputError(f"network {path.name}", expected=expected, found=found, remedy=remedy)
