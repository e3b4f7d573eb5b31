"""The pose of a patient in the canonical frame of a network: by its card, by alignment of CTs or by calibration."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...checks import InputError
from ...ct_alignment.alignment import align
from ...scene import Scene, Volume, rendered_grid
from ...settings import DeviceName, EngineName
from ..data.subjects import DrrSubject, prepare_subject
from ..model.canonical_frame import canonical_from_patient
from ..model.card import ModelCard
from ..model.checkpoint import Checkpoint
from ..model.fingerprint import fingerprint, require_fit
from ..model.heads import Hypotheses
from .calibration import calibrate

# Correlation of two CTs of one patient; those of two patients reach 0.5 to 0.75.
_SAME_BODY = 0.8


def locate_scene(
    checkpoint: Checkpoint, scene: Scene, engine: EngineName = "auto", device: DeviceName = "auto"
) -> tuple[Tensor, tuple[str, ...]]:
    """canonical_from_volume (4, 4) of the scene's volume, and notes on how it was determined, one sentence each.

    engine, device: for rendering the volume where calibration is needed (see `locate_patient`). Raises InputError for
    another patient's CT where the network is for one patient, and for anatomy that it does not know.
    """
    card, volume = checkpoint.card, scene.volume
    for_others = card.kind == "agnostic" or checkpoint.template is not None
    fit = require_fit(card, volume, scene.structures, for_others)
    notes = (f"{fit[:1].upper()}{fit[1:]}.",) if fit else ()
    isocentre = _isocentre(card, volume)

    def prepared(patient: Volume) -> DrrSubject:
        voxel_mm = card.settings.pixel_at_patient_mm
        return prepare_subject(patient, card.structures, voxel_mm=voxel_mm, engine=engine, device=device)

    alone = card.kind != "agnostic"
    placed, found = locate_patient(checkpoint, volume, isocentre.numpy(), prepared, same_patient=alone)
    return torch.as_tensor(placed @ canonical_from_patient(isocentre.numpy())), (*notes, *found)


def locate_patient(
    network: Checkpoint,
    volume: Volume,
    isocentre: NDArray[np.float64],
    prepare: Callable[[Volume], DrrSubject],
    same_patient: bool = False,
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Rigid (4, 4) from the frame centred on the patient's isocentre to the network's [mm], and notes on its origin.

    isocentre: (3,) of the patient, centre of what is rendered [volume frame, mm]. prepare: makes its subject.
    For a CT of the training set the pose is in the card. Another CT is aligned with the template; where there is none
    or that fails, `calibration` estimates the pose. Raises InputError where that fails too.
    same_patient: the network is for one patient, so that another CT must correlate with the template closely enough to
    show the same body; raises InputError where it does not.
    """
    mark = fingerprint(volume)
    for card in network.card.subjects:
        if card.fingerprint == mark:
            return np.array(card.placed), ()
    volume_from_own = np.linalg.inv(canonical_from_patient(isocentre))
    template, refusal = network.template, "the network brings no template"
    if template is not None:
        try:
            found = align(template.volume, volume)
        except InputError as error:
            if same_patient:
                raise
            refusal = f"the CTs could not be aligned ({error.found})"
        else:
            if same_patient and found.quality < _SAME_BODY:
                raise _another_patient(found.quality)
            canonical_from_volume = canonical_from_patient(template.isocentre, found.template_from_patient)
            note = f"The CT was aligned with the network's own: {found.note}."
            return np.asarray(canonical_from_volume @ volume_from_own), (note,)
    place = next(network.network.parameters()).device

    def predict(inputs: Tensor) -> Hypotheses:
        found: Hypotheses = network.network(inputs.to(place))
        return found

    settings = network.card.settings
    answer = calibrate(predict, prepare(volume), settings.camera, settings.poses)
    note = (
        f"The network was asked where it finds this patient, because {refusal}; its answers to {answer.images} DRRs "
        f"lay {answer.rotation_deg:.0f} degrees and {answer.distance_mm:.0f} mm apart."
    )
    return answer.canonical_from_patient.numpy() @ volume_from_own, (note,)


def _isocentre(card: ModelCard, volume: Volume) -> Tensor:
    """The centre (3,) of the structures of the volume that the network was trained on [mm].

    Computed from the volume and not read from the card: the same CT may have another origin, moved or anonymised.
    """
    try:
        return torch.as_tensor(rendered_grid(volume, card.structures).centre)
    except InputError:
        # A case may lack labels of the structures; their position in training is known.
        mark = fingerprint(volume)
        for subject in card.subjects:
            if subject.fingerprint == mark:
                return torch.tensor(subject.isocentre, dtype=torch.float64)
        raise


def _another_patient(quality: float) -> InputError:
    return InputError(
        "network",
        expected="a CT of the patient it was trained on",
        found=f"another body (similarity {quality:.2f})",
        remedy="finetune it on this CT, or use --init search",
    )
