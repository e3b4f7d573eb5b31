"""Networks take the images they promise to take, predict the nominal view before training, and learn."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from torch import Tensor

from xrayreg.checks import InputError
from xrayreg.geometry import rigid
from xrayreg.networks.model.backbones import PoseNetwork, build_network
from xrayreg.networks.model.canonical_frame import CanonicalFrame
from xrayreg.networks.model.heads import best
from xrayreg.networks.model.input_image import network_input
from xrayreg.networks.training.pose_loss import geodesic_mm, pose_loss
from xrayreg.settings import BACKBONES, LossSettings, NetworkCamera, NetworkSettings

FRAME = CanonicalFrame(torch.tensor([[-1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, -1.0, 0.0]]), 700.0)
needs_monai = pytest.mark.skipif(importlib.util.find_spec("monai") is None, reason="MONAI is not installed")
RESNETS = [pytest.param(name, marks=needs_monai) for name in BACKBONES if name != "small"]


def network(backbone: str = "small", image_px: int = 64, seed: int = 0, **settings) -> PoseNetwork:
    torch.manual_seed(seed)
    return build_network(NetworkSettings(backbone=backbone, **settings), NetworkCamera(image_px, 400.0, 1000.0), FRAME)


def stirred(made: PoseNetwork) -> PoseNetwork:
    """The network with a last layer that lets something through, as after training."""
    torch.nn.init.normal_(made.head.last.weight, std=0.1)
    return made


def inputs(count: int, image_px: int, seed: int = 0) -> Tensor:
    image = torch.rand(count, image_px, image_px, generator=torch.Generator().manual_seed(seed))
    return network_input(image, torch.ones_like(image))


@pytest.mark.parametrize("image_px", [16, 32, 48, 64, 128, 256])
@pytest.mark.parametrize("width", [4, 12, 16])
def test_small_network_takes_every_multiple_of_sixteen(image_px, width) -> None:
    said = network(image_px=image_px, width=width)(inputs(2, image_px))
    assert said.poses.shape == (2, 4, 4, 4)
    assert said.logits.shape == (2, 4)


@pytest.mark.parametrize("image_px", [0, 8, 24, 100, -16])
def test_small_network_refuses_other_sizes_and_names_one_that_fits(image_px) -> None:
    with pytest.raises(InputError, match=r"multiple of 16.*use \d+"):
        network(image_px=image_px)


@pytest.mark.parametrize("image_px", [64, 100, 129])
@pytest.mark.parametrize("backbone", RESNETS)
def test_resnets_take_images_of_any_size(backbone, image_px) -> None:
    assert network(backbone, image_px)(inputs(2, image_px)).poses.shape == (2, 4, 4, 4)


@pytest.mark.parametrize("rotation", ["sixd", "quaternion"])
@pytest.mark.parametrize("backbone", ["small", *RESNETS])
def test_untrained_network_says_the_nominal_view_first(backbone, rotation) -> None:
    said = network(backbone, rotation=rotation, hypotheses=3)(inputs(2, 64))
    torch.testing.assert_close(best(said), FRAME.nominal_pose.float().expand(2, 4, 4), atol=1e-3, rtol=0)


@pytest.mark.parametrize("backbone", ["small", *RESNETS])
def test_every_weight_answers_to_the_loss(backbone) -> None:
    made = stirred(network(backbone))
    pose_loss(made(inputs(4, 64)), FRAME.nominal_pose.expand(4, 4, 4), LossSettings(), made.camera)[0].backward()
    silent = [name for name, weight in made.named_parameters() if weight.grad is None or not bool(weight.grad.any())]
    assert silent == []


@pytest.mark.parametrize("backbone", ["small", *RESNETS])
def test_an_image_means_the_same_in_training_in_use_and_in_any_company(backbone) -> None:
    made = stirred(network(backbone))
    images = inputs(5, 64)
    in_training = made.train()(images).poses
    torch.testing.assert_close(made.eval()(images).poses, in_training)
    torch.testing.assert_close(made(images[3:4]).poses, in_training[3:4], atol=1e-2, rtol=1e-4)


def test_batch_normalisation_in_use_answers_to_each_image_alone() -> None:
    made = stirred(network(norm="batch")).train()
    images = inputs(6, 64)
    made(images)
    made.eval()
    torch.testing.assert_close(made(images[3:4]).poses, made(images).poses[3:4], atol=1e-2, rtol=1e-4)


def test_normalisation_suits_who_trains() -> None:
    """Statistics of a batch are those of one patient and of one process: only then are they those of all images."""
    assert NetworkSettings().settled(patients=1, processes=1).norm == "batch"
    assert NetworkSettings().settled(patients=3, processes=1).norm == "group"
    assert NetworkSettings().settled(patients=1, processes=2).norm == "group"
    assert NetworkSettings(norm="group").settled(1, 1).norm == "group"


@pytest.mark.parametrize("backbone", ["small", *RESNETS])
def test_network_and_its_weights_are_all_there_is(backbone) -> None:
    made = stirred(network(backbone))
    again = network(backbone, seed=1)
    again.load_state_dict(made.state_dict())
    torch.testing.assert_close(again(inputs(2, 64)).poses, made(inputs(2, 64)).poses)
    assert made.parameters_count == sum(value.numel() for value in made.state_dict().values())


def test_valid_pixels_are_seen() -> None:
    made = stirred(network())
    image = inputs(1, 64)
    hidden = image.clone()
    hidden[:, 1, :, 32:] = 0
    with torch.no_grad():
        assert float((made(image).poses - made(hidden).poses).abs().max()) > 1e-3


def test_small_network_learns_where_a_blob_is() -> None:
    """Shifts of the image are shifts of the patient: the simplest of all views."""
    made = network(image_px=32, width=4, hypotheses=1)
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")

    def views(count: int) -> tuple[Tensor, Tensor]:
        shift = 8 * torch.rand(count, 2) - 4
        place = shift[:, :, None, None] + 15.5
        image = torch.exp(-((columns - place[:, 0]) ** 2 + (rows - place[:, 1]) ** 2) / 18)
        # Pixels of 12.5 mm at 1000 mm, seen at 700 mm.
        at = torch.cat([shift * 12.5 * 0.7, torch.full((count, 1), 700.0)], 1)
        return network_input(image, torch.ones_like(image)), rigid(FRAME.nominal_rotation.float(), at)

    optimiser = torch.optim.Adam(made.parameters(), lr=3e-3)
    for _ in range(60):
        optimiser.zero_grad()
        images, poses = views(32)
        pose_loss(made(images), poses, LossSettings(), made.camera)[0].backward()
        optimiser.step()
    images, poses = views(64)
    with torch.no_grad():
        errors = geodesic_mm(best(made(images)), poses, 1000.0)
    # Untrained, the median is 27 mm: the mean distance of the shifts from their middle.
    assert float(errors.median()) < 9


@pytest.mark.parametrize(
    ("settings", "camera", "named"),
    [
        (NetworkSettings(backbone="vgg"), NetworkCamera(), "network"),  # type: ignore[arg-type]
        (NetworkSettings(rotation="euler"), NetworkCamera(), "rotation head"),  # type: ignore[arg-type]
        (NetworkSettings(hypotheses=0), NetworkCamera(), "hypotheses"),
        (NetworkSettings(width=0), NetworkCamera(), "width"),
        (NetworkSettings(), NetworkCamera(field_mm=-1.0), "field"),
        (NetworkSettings(), NetworkCamera(sid_mm=float("nan")), "SID"),
    ],
)
def test_impossible_networks_are_refused(settings, camera, named) -> None:
    with pytest.raises(InputError, match=named):
        build_network(settings, camera, FRAME)


def test_missing_monai_is_told_with_the_way_to_get_it(monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install monai"):
        network("resnet18")
    network("small")
