"""The pictures that can be asked for by name, and those that no engine makes."""

from __future__ import annotations

import pytest
import torch
from closed_forms import camera, looking, oblique_grid
from render_checks import noise_map

from xrayreg.checks import InputError
from xrayreg.render import prepare, prepare_picture, render
from xrayreg.render.reference import ReferenceProjector
from xrayreg.settings import RenderSettings

GRID = oblique_grid((11, 12, 13), (4.0, 4.5, 5.0))
VIEW = camera(7, 6, 8.0)


def picture(**asked) -> torch.Tensor:
    return render(prepare_picture(noise_map(GRID), RenderSettings(device="cpu", **asked)), VIEW, looking(GRID))


@pytest.mark.parametrize("name", ["trilinear", "siddon", "mip"])
@pytest.mark.parametrize("engine", ["auto", "reference"])
def test_the_reference_makes_what_only_it_can(name, engine):
    expected = render(ReferenceProjector(noise_map(GRID), pixel=name), VIEW, looking(GRID))
    assert torch.equal(picture(picture=name, engine=engine), expected)


@pytest.mark.parametrize("engine", ["torch", "numba", "reference"])
def test_nothing_asked_is_what_the_engine_does_by_itself(engine):
    expected = render(prepare(noise_map(GRID), engine, "cpu"), VIEW, looking(GRID))
    assert torch.equal(picture(engine=engine), expected)


@pytest.mark.parametrize("engine", ["auto", "torch", "numba"])
def test_josephs_integrals_come_from_the_fast_engines(engine):
    assert torch.equal(picture(picture="joseph", engine=engine), picture(engine=engine))


def test_the_pictures_differ():
    names = ("joseph", "trilinear", "siddon", "mip")
    images = [picture(picture=name).double() for name in names]
    for n, image in enumerate(images):
        assert all((image - other).abs().max() > 1e-3 for other in images[:n])


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        ({"picture": "siddon", "engine": "numba"}, "engine numba"),
        ({"picture": "mip", "engine": "torch"}, "engine torch"),
        ({"beam": "parallel", "engine": "numba"}, "engine numba"),
        ({"picture": "joseph", "engine": "reference"}, "picture joseph"),
        ({"picture": "joseph", "beam": "parallel"}, "picture joseph"),
    ],
)
def test_what_no_engine_makes_is_refused(asked, word):
    with pytest.raises(InputError, match=word):
        prepare_picture(noise_map(GRID), RenderSettings(**asked))
