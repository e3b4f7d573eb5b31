"""Several maps in one image: linear, on one grid, with the derivatives of the engine that makes them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from closed_forms import camera, looking, oblique_grid
from render_checks import ENGINES, noise_map, relative

from xrayreg.checks import InputError
from xrayreg.geometry import retract
from xrayreg.render import prepare, prepare_channels, render, render_channels
from xrayreg.scene import Attenuation, Volume, attenuation_by_label, attenuation_of

GRID = oblique_grid((21, 22, 23), (2.1, 1.9, 2.4))
VIEW = camera(13, 10, 5.0)
DOUBLE = torch.float64


def labelled() -> Volume:
    """Noise in Hounsfield units with three labels, 7 in two places."""
    generator = np.random.default_rng(1)
    labels = np.zeros(GRID.shape[::-1], dtype=np.int16)
    labels[4:12, 5:15, 3:9], labels[10:20, 3:12, 11:19] = 2, 5
    labels[13:18, 14:19, 2:8] = labels[1:3, 1:3, 1:3] = 7
    return Volume(generator.integers(-950, 1500, labels.shape).astype(np.int16), GRID, labels)


def two_poses() -> torch.Tensor:
    return torch.cat([looking(GRID), looking(GRID, (-0.9, 0.3, 2.0), 250.0)])


@pytest.mark.parametrize("engine", ENGINES)
def test_the_channels_add_up_to_the_picture_of_their_sum(engine):
    volume, poses = labelled(), two_poses()
    channels = render_channels(prepare_channels(attenuation_by_label(volume), engine, "cpu"), VIEW, poses)
    whole = render(prepare(attenuation_of(volume, (2, 5, 7)), engine, "cpu"), VIEW, poses)
    assert channels.shape == (2, 3, 10, 13)
    assert channels.amax((0, 2, 3)).min() > 0.1
    # float32 sums; numba's 16 bit levels are finer for the smaller maps.
    assert relative(channels.sum(1), whole) < 1e-4


@pytest.mark.parametrize("engine", ENGINES)
def test_each_channel_is_the_picture_of_its_structure_alone(engine):
    volume, poses = labelled(), two_poses()
    projector = prepare_channels(attenuation_by_label(volume, (5, 2)), engine, "cpu")
    channels = render_channels(projector, VIEW, poses)
    assert projector.channels == 2 and projector.name == engine
    for n, label in enumerate((5, 2)):
        alone = render(prepare(attenuation_of(volume, (label,)), engine, "cpu"), VIEW, poses)
        # The structure's own crop: the reference places its samples elsewhere, which noise shows.
        assert relative(channels[:, n], alone) < (0.03 if engine == "reference" else 1e-4)


@pytest.mark.parametrize("engine", ENGINES)
def test_gradients_are_the_sum_of_the_channels_own(engine):
    maps = attenuation_by_label(labelled())
    weights = torch.tensor([0.5, -2.0, 1.0])
    gradients = []
    for together in (True, False):
        twist = torch.zeros(2, 6, dtype=DOUBLE, requires_grad=True)
        poses = retract(two_poses(), twist, torch.as_tensor(GRID.centre))
        if together:
            images = render_channels(prepare_channels(maps, engine, "cpu"), VIEW, poses)
        else:
            images = torch.stack([render(prepare(one, engine, "cpu"), VIEW, poses) for one in maps], 1)
        gradients.append(torch.autograd.grad((weights.to(images)[:, None, None] * images**2).sum(), twist)[0])
    assert gradients[1].abs().min() > 0
    assert relative(gradients[0], gradients[1]) < 1e-5


@pytest.mark.parametrize("engine", ENGINES)
def test_the_map_of_one_channel_is_learned_from_that_channel(engine):
    # The maps of a feature network come out of a graph; each must hear what was said about its own channel alone.
    first, second = (noise_map(GRID, seed).mu.requires_grad_() for seed in (0, 1))
    projector = prepare_channels([Attenuation(first, GRID), Attenuation(second, GRID)], engine, "cpu")
    image = render_channels(projector, VIEW, two_poses())
    by_first, by_second = torch.autograd.grad(image[:, 1].sum(), (first, second), allow_unused=True)
    assert by_first is None or not by_first.any()
    alone = prepare(Attenuation(second, GRID), engine, "cpu")
    (expected,) = torch.autograd.grad(render(alone, VIEW, two_poses()).sum(), second)
    assert relative(by_second, expected) < 1e-5


@pytest.mark.parametrize("engine", ["reference", "torch"])
def test_channels_have_second_derivatives_where_their_engine_has(engine):
    grid = oblique_grid((3, 4, 3), (6.0, 5.0, 7.0))
    maps = [noise_map(grid, seed).mu.double().requires_grad_() for seed in (0, 1)]
    twist = torch.full((1, 6), 0.01, dtype=DOUBLE, requires_grad=True)

    def image(twist, *maps):
        projector = prepare_channels([Attenuation(mu, grid) for mu in maps], engine, "cpu")
        poses = retract(looking(grid), twist, torch.as_tensor(grid.centre))
        return render_channels(projector, camera(2, 2, 10.0), poses)

    assert torch.autograd.gradcheck(image, (twist, *maps))
    assert torch.autograd.gradgradcheck(image, (twist, *maps))


def test_a_render_of_all_channels_counts_once_for_each_pose():
    projector = prepare_channels(attenuation_by_label(labelled()), "torch", "cpu")
    render_channels(projector, VIEW, two_poses())
    assert projector.renders == 2


def test_no_maps_and_maps_on_different_grids_are_refused():
    with pytest.raises(InputError, match="at least one map"):
        prepare_channels([], "torch")
    shifted = GRID.cropped((1, 0, 0), (20, 22, 23))
    with pytest.raises(InputError, match="channel 1: expected the grid of channel 0"):
        prepare_channels([noise_map(GRID), noise_map(shifted)], "torch")
