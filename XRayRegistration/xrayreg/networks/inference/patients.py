"""Where a patient lies in the frame that a network speaks of."""

from __future__ import annotations

import torch
from torch import Tensor

from ...checks import InputError
from ...pieces import Pieces, divisible
from ...scene import Scene, Volume, rendered_grid
from ...settings import DeviceName, EngineName
from ..data.subjects import Subject, subject_of
from ..model.card import ModelCard
from ..model.checkpoint import Checkpoint
from ..model.fingerprint import fingerprint, require_fit
from ..model.reframing import centred_from_patient
from .locate import placed_by


@divisible
def patient_in_frame(
    checkpoint: Checkpoint, scene: Scene, engine: EngineName = "auto", device: DeviceName = "auto"
) -> Pieces[tuple[Tensor, tuple[str, ...]]]:
    """centred_from_volume (4, 4) of the scene's volume, and what there is to say about it, one sentence each.

    engine, device: render the volume where the network has to be asked (see `locate`). Raises InputError for another
    patient's CT where the network knows only its own, and where it does not know this anatomy.
    """
    card, volume = checkpoint.card, scene.volume
    for_others = card.kind == "agnostic" or checkpoint.template is not None
    fit = yield from require_fit.pieces(card, volume, scene.structures, for_others)
    notes = (f"{fit[:1].upper()}{fit[1:]}.",) if fit else ()
    isocentre = yield from _isocentre(card, volume)

    def prepared(patient: Volume) -> Subject:
        voxel_mm = card.settings.pixel_at_patient_mm
        return subject_of(patient, card.structures, voxel_mm=voxel_mm, engine=engine, device=device)

    alone = card.kind != "agnostic"
    placed, told = yield from placed_by.pieces(checkpoint, volume, isocentre.numpy(), prepared, same_patient=alone)
    return torch.as_tensor(placed @ centred_from_patient(isocentre.numpy())), (*notes, *told)


def _isocentre(card: ModelCard, volume: Volume) -> Pieces[Tensor]:
    """The middle (3,) of what the network was shown of such a volume [mm].

    Looked for in the volume rather than in the card: the same CT may lie elsewhere now, moved or anonymised.
    """
    try:
        return torch.as_tensor((yield from rendered_grid.pieces(volume, card.structures)).centre)
    except InputError:
        # A case may come without labels of the structures; the place they had in training is known.
        mark = yield from fingerprint.pieces(volume)
        for subject in card.subjects:
            if subject.fingerprint == mark:
                return torch.tensor(subject.isocentre, dtype=torch.float64)
        raise
