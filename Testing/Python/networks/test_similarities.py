"""Architectures of learned similarities: published shapes and numbers of weights, invertibility, any size."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from xrayreg.checks import InputError
from xrayreg.networks.model import cross_vit, prost, sopi
from xrayreg.networks.model.affine_coupling import AffineCoupling, InvertibleBranch
from xrayreg.networks.model.correlation import CorrelationSimilarity, decomposition
from xrayreg.networks.model.feature_measures import mean_square, normalised_correlation
from xrayreg.networks.model.fourier_mixing import FourierBlock, SpectralMixing
from xrayreg.networks.model.global_pooling import pooling_encoder
from xrayreg.networks.model.learned_similarity import SimilarityDescription
from xrayreg.networks.model.similarity_table import SIMILARITIES, build
from xrayreg.networks.model.sopi_regressor import PoseRanges, SopiRegressor
from xrayreg.networks.model.split_attention import SplitAttention
from xrayreg.networks.model.volume_network import CORRELATION_CHANNELS, PROST_CHANNELS, VolumeNetwork
from xrayreg.settings import DECOMPOSITIONS, SIMILARITY_NAMES


def weights(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def conv(before: int, after: int, taps: int) -> int:
    return taps * before * after + after


def linear(before: int, after: int) -> int:
    return before * after + after


def convs3d(*channels: int) -> int:
    return sum(conv(one, two, 27) for one, two in itertools.pairwise(channels))


def test_volume_networks_have_the_published_weights_and_keep_any_size():
    mine = VolumeNetwork(PROST_CHANNELS, batch_norm=False)
    assert weights(mine) == convs3d(1, 4, 8, 16, 8, 3) == 8571
    # A scale and a shift for each of 4 + 8 + 16 + 8 channels.
    assert weights(VolumeNetwork(PROST_CHANNELS, batch_norm=True)) == 8571 + 2 * 36
    assert weights(VolumeNetwork(CORRELATION_CHANNELS, batch_norm=False)) == convs3d(1, 4, 8, 16, 8, 4, 3)
    volume = torch.rand(1, 1, 5, 9, 1)
    assert mine(volume).shape == (1, 3, 5, 9, 1)
    with torch.no_grad():
        mine.layers[-1].weight.zero_()
        mine.layers[-1].bias.zero_()
    assert torch.equal(mine(volume), volume.expand(1, 3, 5, 9, 1))


def test_prosts_encoders_have_the_published_stages():
    description = SimilarityDescription("prost")
    network = build(description)

    def bottleneck(channels: int) -> int:
        return (
            conv(channels, channels // 4, 1) + conv(channels // 4, channels // 4, 9) + conv(channels // 4, channels, 1)
        )

    def encoder(inputs: int) -> int:
        steps = [(inputs, 16), (16, 64), (64, 128)]
        return sum(conv(*step, 9) + bottleneck(step[1]) for step in steps) + conv(128, 64, 9)

    assert weights(prost.encoder(1, description)) == encoder(1)
    assert weights(network) == encoder(1) + encoder(3) + 8571
    assert network.moving_encoder(torch.rand(2, 3, 128, 128)).shape == (2, 64, 16, 16)


def test_the_cross_vit_has_the_published_sizes():
    network = build(SimilarityDescription("prost-vit"))

    def attention(dim: int) -> int:
        return 2 * dim + dim * dim + 2 * dim * dim + linear(dim, dim)

    def transformer(dim: int, depth: int) -> int:
        return depth * (attention(dim) + 2 * dim + linear(dim, 256) + linear(256, dim)) + 2 * dim

    def cross(dim: int, other: int) -> int:
        return linear(dim, other) + linear(other, dim) + 2 * attention(other)

    def tokens(patch: int, dim: int) -> int:
        pixels = 2 * patch**2
        return 2 * pixels + linear(pixels, dim) + 2 * dim + dim + ((128 // patch) ** 2 + 1) * dim

    rounds = 3 * (transformer(16, 2) + transformer(64, 3) + cross(16, 64) + cross(64, 16))
    heads = 2 * 16 + linear(16, 1000) + 2 * 64 + linear(64, 1000)
    expected = tokens(8, 16) + tokens(64, 64) + rounds + heads
    assert weights(network.transformer) == expected
    assert weights(network) == expected + conv(3, 1, 9) + linear(1000, 1) + 8571 + 2 * 36
    assert network.transformer(torch.rand(2, 2, 128, 128)).shape == (2, 1000)
    small = network.transformer.small_tokens(torch.rand(2, 2, 128, 128))
    assert small.shape == (2, 257, 16)


def test_attention_is_torchs_own():
    torch.manual_seed(0)
    mine, tokens, others = cross_vit.Attention(16), torch.randn(2, 5, 16), torch.randn(2, 7, 16)
    theirs = nn.MultiheadAttention(16, 4, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([mine.query.weight, mine.key_value.weight]))
        theirs.in_proj_bias.zero_()
        theirs.out_proj.load_state_dict(mine.out.state_dict())
    expected, _ = theirs(mine.norm(tokens), others, others)
    torch.testing.assert_close(mine(tokens, others), expected)


def test_the_shared_encoder_has_the_published_channels_and_sizes():
    encoder = pooling_encoder(256, 3, 8, (16, 32, 64, 64))

    def block(channels: int, side: int) -> int:
        perceptron = conv(channels, 2 * channels, 1) + conv(2 * channels, channels, 1)
        return 4 * channels + linear(1, side**2) + perceptron

    expected, before = conv(3, 8, 9) + conv(8, 8, 9), 8
    for channels, side in ((16, 128), (32, 64), (64, 32), (64, 16)):
        expected += conv(before, channels, 4) + 2 * block(channels, side)
        before = channels
    assert weights(encoder) == expected
    assert encoder(torch.rand(1, 3, 256, 256)).shape == (1, 64, 16, 16)


def test_local_blocks_can_be_inverted():
    torch.manual_seed(1)
    branch, features = InvertibleBranch(64, 3).double(), torch.randn(2, 64, 8, 6, dtype=torch.float64)
    torch.testing.assert_close(branch.inverse(branch(features)), features)
    torch.testing.assert_close(branch(branch.inverse(features)), features)
    # The 1 x 1 mixing, and three bottlenecks of 32 channels that expand twice.
    bottleneck = conv(32, 64, 1) + (9 * 64 + 64) + conv(64, 32, 1)
    assert weights(branch) == 3 * (64 * 64 + 3 * bottleneck)


def test_a_coupling_is_the_published_formula():
    torch.manual_seed(2)
    block, features = AffineCoupling(8), torch.randn(1, 8, 4, 4)
    with torch.no_grad():
        block.mix.copy_(torch.eye(8))
    one, other = features.chunk(2, 1)
    other = other + block.phi(one)
    expected = torch.cat([one * torch.exp(block.rho(other)) + block.eta(other), other], 1)
    torch.testing.assert_close(block(features), expected)


def test_mixing_frequencies_mixes_the_whole_image():
    torch.manual_seed(3)
    mixing, features = SpectralMixing(4, 4).eval(), torch.randn(1, 4, 8, 10)
    leaf = features.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(mixing(leaf)[0, 0, 0, 0], leaf)
    # One pixel of the result hears of every pixel.
    assert (gradient[0].abs().sum(0) > 0).all()
    assert FourierBlock(64)(torch.randn(2, 64, 8, 7)).shape == (2, 64, 8, 7)


def test_split_attention_weighs_its_groups_to_one():
    torch.manual_seed(4)
    block, features = SplitAttention(8), torch.randn(2, 8, 5, 6)
    groups = block.split(features).unflatten(1, (2, -1))
    low, high = groups.amin(1), groups.amax(1)
    found = block(features)
    assert found.shape == features.shape and (found >= low - 1e-6).all() and (found <= high + 1e-6).all()


def test_sopis_levels_have_the_published_channels_and_only_the_projection_counts():
    network = build(SimilarityDescription("sopi"))
    levels = network.fixed_encoder(torch.rand(1, 1, 128, 128))
    assert [tuple(level.shape[1:]) for level in levels] == [(64, 64, 64), (128, 32, 32), (256, 16, 16)]
    one, other = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8)
    mask = torch.zeros(2, 1, 16, 16)
    mask[:, :, :8] = 1
    found = sopi.masked_mean_square(one, other, mask)
    torch.testing.assert_close(found, mean_square(one[:, :, :4], other[:, :, :4]))
    moving = torch.zeros(2, 3, 4, 4)
    moving[0, 1, 2, 2] = -1
    shown = sopi.projected_mask(moving)
    assert shown[0].sum() == 1 and shown[1].all()


def test_sopis_regressor_stays_in_its_ranges_and_takes_any_volume():
    torch.manual_seed(5)
    regressor = SopiRegressor(width=0.05, side=16)
    assert SopiRegressor().stages[0].in_channels == 128 + 128
    found = regressor(100 * torch.randn(3, 1, 70, 50), torch.rand(3, 1, 9, 40, 20))
    degrees = torch.cat([found[:, :3].rad2deg(), found[:, 3:]], 1)
    ranges = PoseRanges()
    assert found.shape == (3, 6)
    assert (degrees >= torch.tensor(ranges.lowest) - 1e-4).all()
    assert (degrees <= torch.tensor(ranges.highest) + 1e-4).all()
    with pytest.raises(InputError, match="lowest value below"):
        PoseRanges(highest=(0.0,) * 6)
    with pytest.raises(InputError, match="multiple of 8"):
        SopiRegressor(side=12)


@pytest.mark.parametrize("volume_network", [True, False])
@pytest.mark.parametrize("name", SIMILARITY_NAMES)
def test_any_image_size_and_any_ct_give_one_number_a_pair(name, volume_network):
    assert set(SIMILARITIES) == set(SIMILARITY_NAMES)
    for pixels in (32, 71):
        network = build(SimilarityDescription(name, pixels, 0.25, volume_network)).eval()
        channels = 3 if volume_network else 1
        fixed, moving = torch.rand(3, 1, pixels, pixels), torch.rand(3, channels, pixels, pixels)
        together = network.similarity(fixed, moving)
        assert together.shape == (3,) and together.isfinite().all()
        # No pair knows of another.
        alone = torch.cat([network.similarity(fixed[n : n + 1], moving[n : n + 1]) for n in range(3)])
        torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
        volume = torch.rand(6, 11, 7)
        maps = network.refine_volume(volume)
        assert maps.shape == (channels, 6, 11, 7)
        assert volume_network or torch.equal(maps[0], volume)
        with pytest.raises(ValueError, match="moving: expected"):
            network.similarity(fixed, moving[:, :, 1:])


@pytest.mark.parametrize("name", SIMILARITY_NAMES)
def test_an_xray_for_several_images_is_compared_as_its_copies_would_be(name):
    network = build(SimilarityDescription(name, 32, 0.25, False)).eval()
    fixed, moving = torch.rand(2, 1, 32, 32), torch.rand(6, 1, 32, 32)
    together = network.compare(fixed, moving)
    apart = network.compare(fixed.repeat_interleave(3, 0), moving)
    torch.testing.assert_close(together.similarity, apart.similarity)
    torch.testing.assert_close(together.decomposition, apart.decomposition)
    with pytest.raises(ValueError, match="multiple of 2"):
        network.compare(fixed, moving[:5])


@pytest.mark.parametrize("name", SIMILARITY_NAMES)
def test_every_weight_is_reached_by_a_loss_on_the_gradient(name):
    torch.manual_seed(7)
    network = build(SimilarityDescription(name, 32, 0.25))
    moving = network.refine_volume(torch.rand(32, 32, 32)).sum(1)[None].repeat(2, 1, 1, 1) / 32
    comparison = network.compare(torch.rand(2, 1, 32, 32), moving)
    (gradient,) = torch.autograd.grad(comparison.similarity.sum(), moving, create_graph=True)
    loss = gradient.square().sum() + comparison.similarity.sum()
    loss = loss if comparison.decomposition is None else loss + comparison.decomposition.sum()
    reached = torch.autograd.grad(loss, [*network.parameters()], allow_unused=True)
    missed = [key for (key, _), one in zip(network.named_parameters(), reached, strict=True) if one is None]
    assert not missed
    assert all(one is not None and one.isfinite().all() for one in reached)


@pytest.mark.parametrize("form", DECOMPOSITIONS)
def test_decompositions_have_the_sign_of_their_names_and_are_finite(form):
    steps = torch.linspace(-1, 1, 9)
    far, near = torch.meshgrid(steps, steps, indexing="ij")
    values = decomposition(far, near, form)
    assert values.isfinite().all()
    if form == "ratio":
        assert values[6, 8].item() == pytest.approx(steps[6].item() / steps[8].item() + 0.01)
        return
    sign = 1 if form == "printed" else -1
    assert (sign * values.diff(dim=0) >= 0).all() and (sign * values.diff(dim=1) <= 0).all()


def test_the_form_of_the_decomposition_can_be_chosen():
    description = SimilarityDescription("correlation", 32, 0.25, volume_network=False)
    fixed, moving, values = torch.rand(2, 1, 32, 32), torch.rand(2, 1, 32, 32), {}
    for form in DECOMPOSITIONS:
        torch.manual_seed(8)
        values[form] = CorrelationSimilarity(description, form).eval().compare(fixed, moving).decomposition
        assert values[form].shape == (2,)
    assert not torch.equal(values["printed"], values["opposite"])


def test_a_published_head_of_the_correlation_network_is_impractical_and_ours_is_not():
    first, second = linear(64 * 16 * 16, 8192), linear(8192, 4096)
    number = linear(4096, 1024) + linear(1024, 256) + linear(256, 1)
    assert round((first + second + 2 * number) / 1e6) == 177
    network = build(SimilarityDescription("correlation"))
    ours = linear(64, 128) + linear(128, 64) + 2 * (linear(64, 32) + linear(32, 16) + linear(16, 1))
    assert weights(network.global_head) == weights(network.local_head) == ours


def test_correlation_is_one_of_equals_and_nothing_of_constants():
    features = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(normalised_correlation(features, 3 * features + 2), torch.ones(2))
    torch.testing.assert_close(normalised_correlation(features, -features), -torch.ones(2))
    flat = torch.ones(2, 3, 4, 4, requires_grad=True)
    found = normalised_correlation(flat, features)
    (gradient,) = torch.autograd.grad(found.sum(), flat)
    assert found.abs().max() < 1e-3 and gradient.isfinite().all()


def test_descriptions_that_describe_nothing_are_refused():
    for wrong in ({"name": "vgg"}, {"image_px": 16}, {"width": 0.0}, {"width": float("nan")}):
        with pytest.raises(InputError):
            SimilarityDescription(**wrong)
