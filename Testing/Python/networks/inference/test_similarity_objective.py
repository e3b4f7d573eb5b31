"""A learned similarity as a function of the pose: true gradients, means over views, and refusals that say why."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from closed_forms import along_index_axis, blob_map, blobs_around, oblique_grid
from constant_networks import card_for, saying, written
from learned_scenes import Difference, NoNumber, Nothing, Squares, checkpoint, standing_in
from method_scenes import error_mm
from pelvis_scenes import moved, pelvis, scene, truth

from xrayreg.checks import InputError
from xrayreg.geometry import Camera, retract
from xrayreg.networks.inference.similarity_objective import (
    ComparedView,
    LearnedObjective,
    refined_maps,
    require_telling,
)
from xrayreg.networks.inference.similarity_scene import descended, made_ready, scene_similarity
from xrayreg.networks.model.learned_similarity import SimilarityDescription
from xrayreg.networks.model.similarity_table import build
from xrayreg.render import prepare, render
from xrayreg.settings.methods import PROST_SGD_LEARNED

PX = 32
GRID = oblique_grid((24, 25, 26), (3.0, 2.5, 2.8))
CAMERA = Camera.from_sid(500.0, 4.0, PX, PX)


def analytic(views: int = 1, volume_network: bool = False) -> LearnedObjective:
    """A smooth volume, seen obliquely by `views` cameras, and pictures of it from elsewhere."""
    smooth = blob_map(GRID, blobs_around(GRID, 7.0))
    projector = prepare(replace(smooth, mu=smooth.mu.float()), "numba", "cpu")
    torch.manual_seed(2)
    network = (
        build(SimilarityDescription("prost", PX, 0.25))
        if volume_network
        else Difference(SimilarityDescription(image_px=PX))
    )
    elsewhere = retract(poses(1), torch.tensor([[0.1, -0.1, 0.15, 9.0, -7.0, 10.0]]).double(), torch.zeros(3).double())
    seen = []
    for number in range(views):
        turn = torch.tensor([[0.0, 0.0, 0.6, 12.0, 0.0, 5.0]]).double() * number
        view_from_first = retract(torch.eye(4).double()[None], turn, torch.zeros(3).double())[0]
        seen.append(ComparedView(100 * render(projector, CAMERA, view_from_first @ elsewhere), view_from_first))
    pivot = torch.as_tensor(GRID.centre)
    return LearnedObjective(
        network.eval(), projector, CAMERA, tuple(seen), pivot, 40.0, refined_maps(network, projector)
    )


def poses(count: int = 3) -> torch.Tensor:
    """That look along an index axis: where rays change the axis that they run along, an image has steps."""
    generator = torch.Generator().manual_seed(1)
    twists = torch.randn(count, 6, generator=generator).double() * torch.tensor([0, 0, 0.1, 5.0, 5.0, 5.0])
    return retract(along_index_axis(GRID, 2).expand(count, 4, 4), twists, torch.as_tensor(GRID.centre))


# A network of random weights turns the kinks of bilinear reads into edges.
@pytest.mark.parametrize(
    ("views", "volume_network", "alike", "apart"), [(1, False, 0.98, 0.1), (2, False, 0.98, 0.1), (1, True, 0.95, 0.2)]
)
def test_gradients_are_differences_of_scores_between_poses(views, volume_network, alike, apart):
    objective, at = analytic(views, volume_network), poses()
    found = objective.agreement(at)
    torch.testing.assert_close(found.score, objective.scores(at), rtol=1e-5, atol=1e-7)
    steps = torch.tensor([2e-3] * 3 + [0.2] * 3).double()
    differences = torch.zeros_like(found.gradient)
    for column in range(6):
        aside = torch.zeros(6).double()
        aside[column] = steps[column]
        ends = [objective.scores(retract(at, (sign * aside).expand(3, 6), objective.pivot)) for sign in (1, -1)]
        differences[:, column] = -(ends[0] - ends[1]) / 2
    # Reads have kinks between voxels of 3 mm: a difference is no better than this.
    gradient = found.gradient * steps
    assert torch.nn.functional.cosine_similarity(gradient, differences).min() > alike
    assert (gradient.norm(dim=1) / differences.norm(dim=1) - 1).abs().max() < apart


def test_poses_are_scored_each_by_itself_in_any_order():
    objective, at = analytic(), poses(6)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    found, turned = objective.agreement(at), objective.agreement(at[order])
    torch.testing.assert_close(turned.score, found.score[order], rtol=1e-6, atol=0)
    torch.testing.assert_close(turned.gradient, found.gradient[order], rtol=1e-4, atol=1e-7)


def test_several_views_count_as_their_mean():
    both, at = analytic(2), poses()
    alone = [replace(both, views=(view,)).agreement(at) for view in both.views]
    found = both.agreement(at)
    torch.testing.assert_close(found.score, (alone[0].score + alone[1].score) / 2)
    torch.testing.assert_close(found.gradient, (alone[0].gradient + alone[1].gradient) / 2)
    with pytest.raises(ValueError, match="normal"):
        both.agreement(at, normals=True)


def test_a_sum_of_squares_has_normal_matrices_and_the_same_gradient_with_them():
    torch.manual_seed(6)
    points = build(SimilarityDescription("embedding", PX, 0.25, volume_network=False)).eval()
    objective, at = replace(analytic(2), network=points), poses()
    without, found = objective.agreement(at), objective.agreement(at, normals=True)
    torch.testing.assert_close(found.score, without.score)
    torch.testing.assert_close(found.gradient, without.gradient, rtol=1e-4, atol=1e-9)
    assert not without.normal.any()
    torch.testing.assert_close(found.normal, found.normal.mT)
    # A curvature that is not negative anywhere, but for rounding.
    least = torch.linalg.eigvalsh(found.normal)[:, 0] / found.normal.diagonal(dim1=1, dim2=2).amax(1)
    assert (least > -1e-6).all()


@pytest.mark.parametrize(("kind", "why"), [(Nothing, "the same number at 13 poses"), (NoNumber, "none at 13 of 13")])
def test_a_similarity_that_tells_nothing_is_refused_with_the_reason(kind, why):
    objective = replace(analytic(), network=kind(SimilarityDescription(image_px=PX)))
    with pytest.raises(InputError, match=f"similarity sim.pt.*{why}"):
        require_telling(objective, poses(1)[0], "sim.pt")
    require_telling(analytic(), poses(1)[0], "sim.pt")


def test_renders_are_counted():
    objective = analytic(2)
    before = objective.projector.renders
    objective.scores(poses(5))
    objective.agreement(poses(3))
    assert objective.projector.renders - before == 2 * (5 + 3)


def test_a_descent_leads_to_the_truth_of_a_scene():
    given = scene(initial=moved(truth(), (4, 3, -5), (10, -12, 0)))
    with standing_in():
        similarity = made_ready(checkpoint(), "sim.pt", given)
    assert similarity.notes == () and similarity.architecture == "prost"
    start = torch.as_tensor(given.initial)
    found = descended(similarity, start, replace(PROST_SGD_LEARNED, steps=60))
    before, after = (error_mm(given, pose.numpy()) for pose in (start, found.pose))
    assert before > 20 and after < 0.5 * before and found.score > float(similarity.objective.scores(start[None])[0])
    assert similarity.unfamiliar(given, torch.as_tensor(truth())) == ()
    far = torch.as_tensor(moved(truth(), (0, 100, 0)))
    assert "times their range" in similarity.unfamiliar(given, far)[0]


def test_a_sum_of_squares_is_followed_in_a_few_steps():
    given = scene(initial=moved(truth(), (4, 3, -5), (10, -12, 0)))
    start, found = torch.as_tensor(given.initial), {}
    for kind in (Difference, Squares):
        with standing_in(kind):
            similarity = made_ready(checkpoint(), "sim.pt", given)
        descent = descended(similarity, start, replace(PROST_SGD_LEARNED, steps=60))
        found[kind] = descent.score, similarity.objective.projector.renders
    # The same similarity, so the same optimum: momentum circles it, least squares end there.
    assert found[Squares][0] > found[Difference][0]
    assert found[Squares][1] < 0.5 * found[Difference][1]


def test_what_does_not_fit_its_training_is_said_in_a_sentence_each(tmp_path):
    given = scene()
    with standing_in():
        stranger = checkpoint()
        other = replace(stranger.card.subjects[0], name="someone", fingerprint="0" * 16)
        card = replace(stranger.card, subjects=(other,))
        narrow = replace(card.settings, camera=replace(card.settings.camera, field_mm=150.0))
        fine = replace(card.settings, camera=replace(card.settings.camera, image_px=384))
        notes = made_ready(replace(stranger, card=replace(card, settings=narrow)), "sim.pt", given).notes
        assert notes[0] == "The similarity was trained on another CT (someone)."
        assert "the similarity looks at only" in notes[1] and len(notes) == 2
        network = Difference(SimilarityDescription(image_px=384))
        stranger = replace(stranger, card=replace(card, settings=fine), network=network)
        notes = made_ready(stranger, "sim.pt", replace(given, structures=(1, 2))).notes
    assert notes[1].startswith("The similarity was trained on the whole volume and is shown that; this case renders")
    assert "pixels are 2.0 times as wide" in notes[2] and len(notes) == 3


def test_a_network_that_predicts_poses_is_named_as_such(tmp_path):
    file = written(tmp_path / "model.pt", saying(card_for(pelvis(), 1), truth()[None]))
    with pytest.raises(InputError, match="network that predicts poses"):
        scene_similarity(file, scene())
