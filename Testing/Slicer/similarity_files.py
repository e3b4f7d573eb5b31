"""Files of trained similarities and networks for tests of the panel: all that a file has, but nothing learned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any


def write_similarity(path: Path, architecture: Any = "prost", volume: Any = None) -> Path:
    """Write an untrained similarity; its card says that it knows a CT (xrayreg.scene.Volume), where one is given."""
    import torch
    from training_scenes import SETTINGS, card_of

    from xrayreg.networks.model.card import MedianAngles, SubjectCard
    from xrayreg.networks.model.checkpoint import SimilarityCheckpoint, save_checkpoint
    from xrayreg.networks.model.fingerprint import fingerprint
    from xrayreg.networks.model.similarity_table import build_for
    from xrayreg.settings import SimilaritySettings

    settings = replace(SETTINGS, similarity=SimilaritySettings(architecture, width=0.25))
    angles = {"network": MedianAngles(32.2, 30.0, 40.0, 64), "zncc": MedianAngles(61.3, 60.0, 62.0, 64)}
    card = replace(card_of(settings), angles=angles, seconds=1800.0, images=9600, created="2026-11-30T09:00:00+00:00")
    if volume is not None:
        card = replace(card, subjects=(SubjectCard("ct", fingerprint(volume), (0.0, 0.0, 0.0)),))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        save_checkpoint(path, SimilarityCheckpoint(card, build_for(settings)))
    return path


def write_network(path: Path, volume: Any) -> Path:
    """A file of a network for the initial pose that knows a CT (xrayreg.scene.Volume) and has learned nothing."""
    from training_scenes import card_of, new_network

    from xrayreg.networks.model.card import SubjectCard
    from xrayreg.networks.model.checkpoint import Checkpoint, save_checkpoint
    from xrayreg.networks.model.fingerprint import fingerprint

    card = replace(card_of(), subjects=(SubjectCard("ct", fingerprint(volume), (0.0, 0.0, 0.0)),))
    save_checkpoint(path, Checkpoint(card, new_network()))
    return path
