"""Networks that give the same poses for every X-ray: what becomes of an answer can be tested without any training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike

from xrayreg.networks.data.pose_sampling import nominal_rotation
from xrayreg.networks.model.backbones import build_network
from xrayreg.networks.model.canonical_frame import CanonicalFrame, canonical_poses
from xrayreg.networks.model.card import FrameCard, ModelCard, SubjectCard
from xrayreg.networks.model.checkpoint import Checkpoint, save_checkpoint
from xrayreg.networks.model.fingerprint import fingerprint
from xrayreg.networks.model.heads import sixd_from_rotation
from xrayreg.scene import Volume, rendered_grid
from xrayreg.settings import NetworkCamera, NetworkSettings, PoseDistribution, TrainingSettings

FRONTAL = PoseDistribution((0.0,), sod_mm=700.0)


def card_for(
    volume: Volume,
    hypotheses: int,
    camera: NetworkCamera | None = None,
    poses: PoseDistribution = FRONTAL,
    structures: tuple[int, ...] = (),
) -> ModelCard:
    """The card of a small network trained on a volume."""
    settings = TrainingSettings(
        camera=camera or NetworkCamera(32), poses=poses, network=NetworkSettings(hypotheses=hypotheses, width=8)
    )
    rows = tuple(tuple(row) for row in nominal_rotation(poses).tolist())
    isocentre = tuple(rendered_grid(volume, structures).centre.tolist())
    subject = SubjectCard("ct", fingerprint(volume), isocentre)
    return ModelCard("patient", settings, FrameCard(rows, poses.sod_mm), (subject,), structures)  # type: ignore[arg-type]


def checkpoint_for(card: ModelCard, seed: int = 0) -> Checkpoint:
    """A network as `card` says, with random weights in every layer: it answers to what it sees."""
    torch.manual_seed(seed)
    frame = CanonicalFrame(nominal_rotation(card.settings.poses), card.settings.poses.sod_mm)
    network = build_network(card.settings.network, card.settings.camera, frame).eval()
    torch.nn.init.normal_(network.head.last.weight, std=0.02)
    return Checkpoint(card, network)


def saying(card: ModelCard, poses: ArrayLike, beliefs: Sequence[float] | None = None) -> Checkpoint:
    """A network that answers with the poses camera_from_volume (K, 4, 4) to every X-ray.

    beliefs: (K,) in them; falling by default.
    """
    made = checkpoint_for(card)
    head, frame = made.network.head, made.network.frame
    isocentre = torch.tensor(card.subjects[0].isocentre, dtype=torch.float64)
    told = canonical_poses(torch.as_tensor(np.asarray(poses, dtype=np.float64)), isocentre)
    ray = told[:, :3, 3] / told[:, 2:3, 3]
    turn = told[:, :3, :3] @ frame.nominal_rotation.mT
    # The inverse of the head's own numbers for depth: SOD exp(tanh(c / 5)).
    depth = torch.atanh(torch.log(told[:, 2:3, 3] / frame.sod_mm)) / 0.2
    logits = torch.tensor(beliefs or [1.0 / 2**n for n in range(len(told))], dtype=torch.float64).log()
    numbers = torch.cat([sixd_from_rotation(turn), ray[:, :2] / head.half_field, depth, logits[:, None]], dim=1)
    with torch.no_grad():
        head.last.weight.zero_()
        head.last.bias.copy_(numbers.flatten())
    return made


def written(path: Path, checkpoint: Checkpoint) -> str:
    """The name of a file with the network, as a start of a registration."""
    save_checkpoint(path, checkpoint)
    return str(path)
