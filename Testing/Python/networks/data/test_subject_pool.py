"""Many patients in one training: in the template's frame, a few in memory, the same ones for the same batch."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pelvis_scenes
import pytest
import torch

from xrayreg.checks import InputError
from xrayreg.geometry import VoxelGrid
from xrayreg.io import write_nifti
from xrayreg.networks.data.sources import Source, sources_of
from xrayreg.networks.data.subject_pool import (
    AT_ONCE,
    BATCHES_EACH,
    SubjectPool,
    align_members,
    pool_of_members,
    subject_in_template,
    volume_of_batch,
)
from xrayreg.networks.data.subjects import DrrSubject, prepare_subject
from xrayreg.scene import Volume

NO_GENERATOR = torch.Generator()


class Shelf:
    """Makes subjects that know their number, and counts how many of them are still held by anybody."""

    def __init__(self) -> None:
        self.made: list[int] = []
        self.threads: set[str] = set()

    def load(self, index: int) -> DrrSubject:
        self.made.append(index)
        self.threads.add(threading.current_thread().name)
        return DrrSubject(None, None, torch.full((3,), float(index)), torch.zeros(8, 3), name=str(index))


def run(pool: SubjectPool, batches: range) -> list[int]:
    return [int(pool.subject(number, NO_GENERATOR).name) for number in batches]


def test_fifty_volumes_take_the_memory_of_a_few():
    shelf = Shelf()
    with SubjectPool(shelf.load, 50, seed=3, capacity=AT_ONCE + 2) as pool:
        most = 0
        for number in range(400):
            pool.subject(number, NO_GENERATOR)
            most = max(most, len(pool._kept))
    assert most == AT_ONCE + 2
    # Each change of the volumes costs one load; a few more where the next was made and then pushed out.
    assert len(shelf.made) < AT_ONCE + 2 * 400 / BATCHES_EACH


def test_which_volume_a_batch_shows_depends_on_seed_and_number_alone():
    with (
        SubjectPool(Shelf().load, 50, 7, 20) as one,
        SubjectPool(Shelf().load, 50, 7, 2) as small,
        SubjectPool(Shelf().load, 50, 8, 20) as other,
    ):
        ahead = run(one, range(60))
        # Another memory, another order, begun in the middle: the same volumes.
        assert run(small, range(59, 29, -1)) == ahead[59:29:-1]
        assert run(other, range(60)) != ahead


@pytest.mark.parametrize("count", [1, 2, 5, 8, 50])
def test_all_volumes_have_their_turn(count):
    batches = BATCHES_EACH * (count + AT_ONCE) * 2
    shown = np.bincount([volume_of_batch(0, number, count) for number in range(batches)], minlength=count)
    assert shown.min() > 0
    assert shown.max() < 4 * shown.mean()


def test_the_next_volume_is_made_before_it_is_asked_for():
    shelf = Shelf()
    # The volume that joins the others in the second round of batches, of which none is asked for.
    newcomer = volumes_of_step(1) - volumes_of_step(0)
    with SubjectPool(shelf.load, 50, 0, 20) as pool:
        run(pool, range(BATCHES_EACH))
        run(pool, range(BATCHES_EACH))
        pool._worker.submit(lambda: None).result()
        assert newcomer <= set(shelf.made)
    assert len(newcomer) == 1
    assert threading.main_thread().name not in shelf.threads


def volumes_of_step(step: int) -> set[int]:
    """All volumes a round's batches may show: rounds of many batches with the same order of volumes show them all."""
    many = 1000
    return {volume_of_batch(0, step * many + number, 50, batches_each=many) for number in range(many)}


def test_a_volume_that_fails_to_load_is_an_error_of_its_batch():
    def load(index: int) -> DrrSubject:
        raise InputError("volume", expected="a file", found="none", remedy="put it back")

    with SubjectPool(load, 3, 0, 3) as pool, pytest.raises(InputError, match="put it back"):
        pool.subject(0, NO_GENERATOR)


@pytest.fixture(scope="module")
def phantom() -> Volume:
    return replace(pelvis_scenes.phantom(6.0), label_names={})


def shifted(volume: Volume, shift_mm: tuple[float, float, float]) -> Volume:
    matrix = volume.grid.volume_from_index.copy()
    matrix[:3, 3] += shift_mm
    return replace(volume, grid=VoxelGrid(volume.grid.shape, matrix))


def folder_of_patients(tmp_path, phantom):
    """Two patients, the second elsewhere and with a label map, and a file that is no image."""
    write_nifti(tmp_path / "a.nii.gz", phantom.values, phantom.grid.volume_from_index)
    other = shifted(phantom, (100.0, -50.0, 30.0))
    write_nifti(tmp_path / "b.nii.gz", other.values, other.grid.volume_from_index)
    write_nifti(tmp_path / "b_labels.nii.gz", other.labels, other.grid.volume_from_index)
    (tmp_path / "c.nii.gz").write_bytes(b"no image")
    return tmp_path


def prepare(volume: Volume, name: str) -> DrrSubject:
    return prepare_subject(volume, voxel_mm=8.0, name=name)


def test_patients_are_read_aligned_and_moved_to_the_template(tmp_path, phantom):
    gathering = align_members(sources_of([folder_of_patients(tmp_path, phantom)]))
    assert [member.source.name for member in gathering.members] == ["a.nii.gz", "b.nii.gz"]
    assert len(gathering.left_out) == 1 and "c.nii.gz is left out" in gathering.left_out[0]
    shift = gathering.members[1].template_from_patient[:3, 3]
    np.testing.assert_allclose(shift, (-100.0, 50.0, -30.0), atol=0.5)
    subjects = [
        subject_in_template(member, gathering.template, member.source.read(), prepare) for member in gathering.members
    ]
    torch.testing.assert_close(subjects[0].points, subjects[1].points, atol=1.0, rtol=0)
    torch.testing.assert_close(subjects[0].isocentre, subjects[1].isocentre)


def test_a_pool_of_one_is_the_patient_himself(tmp_path, phantom):
    write_nifti(tmp_path / "a.nii.gz", phantom.values, phantom.grid.volume_from_index)
    with pool_of_members(align_members([Source(tmp_path / "a.nii.gz")]), prepare, seed=0) as pool:
        subjects = [pool.subject(number, NO_GENERATOR) for number in (0, 5, 99)]
    assert subjects[0] is subjects[1] is subjects[2]
    torch.testing.assert_close(subjects[0].isocentre, prepare(phantom, "a").isocentre)
    assert subjects[0].name == "a.nii.gz"


def test_patients_without_the_structures_are_left_out(tmp_path, phantom):
    gathering = align_members(sources_of([folder_of_patients(tmp_path, phantom)]), (1, 2))
    assert [member.source.name for member in gathering.members] == ["b.nii.gz"]
    assert len(gathering.left_out) == 2


def test_where_no_patient_remains_the_reasons_are_told(tmp_path):
    (tmp_path / "c.nii.gz").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"c\.nii\.gz is left out"):
        align_members([Source(tmp_path / "c.nii.gz")])


def test_label_maps_are_found_beside_their_cts_and_in_a_folder(tmp_path):
    for name in ("one.nii.gz", "one-labels.nii.gz", "two.nrrd", "two.seg.nrrd", "three_labels.nii.gz", "notes.txt"):
        (tmp_path / name).touch()
    found = sources_of([tmp_path])
    # A label map without its CT cannot be told from a CT by its name, and is refused when it is read.
    assert [(source.name, source.labels and source.labels.name) for source in found] == [
        ("one.nii.gz", "one-labels.nii.gz"),
        ("three_labels.nii.gz", None),
        ("two.nrrd", "two.seg.nrrd"),
    ]
    apart = tmp_path / "maps"
    apart.mkdir()
    (apart / "two.nii.gz").touch()
    (apart / "one_labels.nii.gz").touch()
    found = sources_of([tmp_path / "one.nii.gz", tmp_path / "two.nrrd"], apart)
    assert [source.labels and source.labels.name for source in found] == ["one_labels.nii.gz", "two.nii.gz"]


def test_one_label_map_for_several_cts_is_refused(tmp_path):
    for name in ("one.nii.gz", "two.nii.gz", "map.nii.gz"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match="a label map for each"):
        sources_of([tmp_path / "one.nii.gz", tmp_path / "two.nii.gz"], tmp_path / "map.nii.gz")


def test_a_folder_with_a_dicom_series_is_one_ct(tmp_path):
    series = tmp_path / "patient"
    series.mkdir()
    for number in range(3):
        (series / f"IM{number:04d}").touch()
    assert [source.path for source in sources_of([series])] == [series]
    assert [source.path for source in sources_of([tmp_path])] == [series]
