"""Where a patient lies in the frame of a network that was trained on others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from ...checks import InputError
from ...ct_alignment.alignment import align
from ...pieces import Pieces, divisible
from ...scene import Volume
from ..data.subjects import Subject
from ..model.checkpoint import Checkpoint
from ..model.fingerprint import fingerprint
from ..model.heads import Hypotheses
from ..model.reframing import centred_from_patient
from .calibration import calibrated

# Correlation of two CTs of one patient; those of two patients reach 0.5 to 0.75.
_SAME_BODY = 0.8


@divisible
def placed_by(
    network: Checkpoint,
    volume: Volume,
    isocentre: NDArray[np.float64],
    prepare: Callable[[Volume], Subject],
    same_patient: bool = False,
) -> Pieces[tuple[NDArray[np.float64], tuple[str, ...]]]:
    """Rigid (4, 4) from the frame centred on the patient's isocentre to the network's [mm], and what to say about it.

    isocentre: (3,) of the patient, middle of what is rendered [volume frame, mm]. prepare: makes its subject.
    A CT that the network knows lies where its card says. Another is aligned with its template; where there is none or
    that fails, the network itself is asked. Raises InputError where it does not know this anatomy either.
    same_patient: the network knows nobody else, so that another CT must be so like the template that it shows the same
    body; raises InputError where it does not.
    """
    mark = yield from fingerprint.pieces(volume)
    for card in network.card.subjects:
        if card.fingerprint == mark:
            return np.array(card.placed), ()
    volume_from_own = np.linalg.inv(centred_from_patient(isocentre))
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
            centred_from_volume = centred_from_patient(template.isocentre, found.template_from_patient)
            note = f"The CT was aligned with the network's own: {found.note}."
            return np.asarray(centred_from_volume @ volume_from_own), (note,)
    yield
    place = next(network.network.parameters()).device

    def ask(inputs: torch.Tensor) -> Hypotheses:
        told: Hypotheses = network.network(inputs.to(place))
        return told

    settings = network.card.settings
    answer = yield from calibrated.pieces(ask, prepare(volume), settings.camera, settings.poses)
    note = (
        f"The network was asked where it finds this patient, because {refusal}; its answers to {answer.images} DRRs "
        f"lay {answer.rotation_deg:.0f} degrees and {answer.distance_mm:.0f} mm apart."
    )
    return answer.centred_from_patient.numpy() @ volume_from_own, (note,)


def _another_patient(quality: float) -> InputError:
    return InputError(
        "network",
        expected="a CT of the patient it was trained on",
        found=f"another body (similarity {quality:.2f})",
        remedy="finetune it on this CT, or use --init search",
    )
