"""Whom a run is trained on: where a patient is placed, and that the card locates it there again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pelvis_scenes
import pytest
import torch
from constant_networks import checkpoint_for
from scipy.spatial.transform import Rotation
from training_scenes import card_of

from xrayreg.checks import InputError
from xrayreg.geometry import VoxelGrid
from xrayreg.io import write_nifti
from xrayreg.networks.data.sources import Source
from xrayreg.networks.data.subjects import DrrSubject
from xrayreg.networks.inference import locate
from xrayreg.networks.inference.locate import locate_patient
from xrayreg.networks.model.canonical_frame import canonical_from_patient, moved_to_template
from xrayreg.networks.model.checkpoint import Checkpoint
from xrayreg.networks.model.template import template_of
from xrayreg.networks.training.training_set import TrainingSet, prepare_training_set
from xrayreg.scene import Volume
from xrayreg.settings import NetworkCamera, TrainingSettings

SETTINGS = TrainingSettings(camera=NetworkCamera(image_px=32))
# Not the middle of the phantom: the network's patients may have been scanned further up.
ISOCENTRE = np.array([10.0, -15.0, 60.0])


@pytest.fixture(scope="module")
def phantom() -> Volume:
    return replace(pelvis_scenes.phantom(6.0), labels=None, label_names={})


@pytest.fixture(scope="module")
def patient_from_template() -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_rotvec([7, -5, 10], degrees=True).as_matrix()
    pose[:3, 3] = 120, -40, 300
    return pose


@pytest.fixture
def source(tmp_path: Path, phantom: Volume, patient_from_template: np.ndarray) -> Source:
    """The CT of the template's patient, who lies elsewhere."""
    patient = moved_to_template(phantom, patient_from_template)
    write_nifti(tmp_path / "ct.nii.gz", patient.values, patient.grid.volume_from_index)
    return Source(tmp_path / "ct.nii.gz")


def network_of(phantom: Volume) -> Checkpoint:
    made = checkpoint_for(replace(card_of(), kind="agnostic"))
    return replace(made, template=template_of(phantom, ISOCENTRE))


def the_subject(training_set: TrainingSet) -> DrrSubject:
    return training_set.subjects.subject(0, torch.Generator())


def test_a_patient_from_scratch_stays_where_he_is(source):
    training_set = prepare_training_set((source,), (), SETTINGS, None)
    card, subject = training_set.cards[0], the_subject(training_set)
    assert training_set.kind == "patient"
    np.testing.assert_array_equal(card.placed, np.eye(4))
    np.testing.assert_allclose(subject.isocentre, card.isocentre, atol=1e-9)
    np.testing.assert_allclose(subject.points.mean(0), card.isocentre, atol=1e-6)


def test_finetuning_lays_the_patient_onto_the_template(source, phantom, patient_from_template):
    training_set = prepare_training_set((source,), (), SETTINGS, network_of(phantom))
    assert training_set.kind == "finetuned"
    np.testing.assert_array_equal(the_subject(training_set).isocentre, ISOCENTRE)
    # What the card says leads from the CT as it lies to the network's frame.
    card = training_set.cards[0]
    found = np.array(card.placed) @ canonical_from_patient(card.isocentre)
    true = canonical_from_patient(ISOCENTRE, np.linalg.inv(patient_from_template))
    corners = np.c_[moved_to_template(phantom, patient_from_template).grid.corners(), np.ones(8)]
    # Two copies of one scan at 6 mm: a fifth of a voxel at the ends of the body.
    assert np.linalg.norm((corners @ (found - true).T)[:, :3], axis=1).max() < 1.5
    # It is validated where it is trained: the volume lies there too.
    _, volume = training_set.validated_on[0]()
    np.testing.assert_allclose(volume.grid.corners(), phantom.grid.corners(), atol=1.5)


def test_a_ct_that_the_network_knows_is_not_aligned_again(source, phantom, monkeypatch):
    first = prepare_training_set((source,), (), SETTINGS, network_of(phantom))
    known = network_of(phantom)
    known = replace(known, card=replace(known.card, subjects=first.cards))
    monkeypatch.setattr(locate, "align", None)
    again = prepare_training_set((source,), (), SETTINGS, known)
    np.testing.assert_allclose(again.cards[0].placed, first.cards[0].placed, atol=1e-12)
    torch.testing.assert_close(the_subject(again).points, the_subject(first).points)


@pytest.mark.long
def test_a_network_of_another_patient_is_not_used_but_may_be_finetuned(phantom, source, patient_from_template):
    # A narrower body: the same anatomy, but nobody the network knows.
    matrix = phantom.grid.volume_from_index @ np.diag([0.8, 1.15, 0.85, 1.0])
    other = replace(phantom, grid=VoxelGrid(phantom.grid.shape, matrix))
    network = replace(checkpoint_for(card_of()), template=template_of(other, other.grid.centre))
    patient = moved_to_template(phantom, patient_from_template)
    with pytest.raises(InputError, match="a CT of the patient it was trained on"):
        locate_patient(network, patient, patient.grid.centre, pytest.fail, same_patient=True)
    training_set = prepare_training_set((source,), (), SETTINGS, network)
    assert any("aligned with the network's own" in note for note in training_set.notes)
