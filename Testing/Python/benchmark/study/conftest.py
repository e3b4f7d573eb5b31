"""A patient on the disk, once for all tests of studies, and arms small enough for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from benchmark.study.standins import write_patient

from xrayreg.benchmark import plotting
from xrayreg.benchmark.study import runner as conduct_module
from xrayreg.benchmark.study.protocol import Arm, ArmCamera, arm_named

_RESAMPLED = conduct_module.resampled_patient


@pytest.fixture(scope="session")
def ct(tmp_path_factory) -> Path:
    """The CT of a phantom; labels.nii.gz lies beside it."""
    return write_patient(tmp_path_factory.mktemp("patient"))


@pytest.fixture
def coarse_arms(monkeypatch) -> None:
    """The arms with few pixels and rays, and the patient on large voxels."""
    make_coarse(monkeypatch)


def make_coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for as long as `monkeypatch` lasts."""

    def coarse(name: str) -> Arm:
        arm = arm_named(name)
        edge = arm.camera.size_px * arm.camera.pixel_mm
        variants = tuple(replace(v, image=replace(v.image, rays_per_side=1)) for v in arm.variants)
        cine = replace(arm.cine, frames=min(arm.cine.frames, 6))
        return replace(arm, camera=ArmCamera(arm.camera.sid_mm, edge / 32, 32), variants=variants, cine=cine)

    monkeypatch.setattr(conduct_module, "arm_named", coarse)
    monkeypatch.setattr(conduct_module, "VOXEL_MM", 5.0)
    monkeypatch.setattr(
        conduct_module,
        "resampled_patient",
        lambda volume, file: _RESAMPLED(volume, file, 5.0),
    )


@pytest.fixture(autouse=True, scope="session")
def quick_fonts() -> Iterator[None]:
    """PDF figures take fonts as they are: cutting them down takes a third of a figure's time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(plotting._LOOK, "pdf.fonttype", 3)
        yield
