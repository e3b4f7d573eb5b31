"""Networks from an X-ray to poses: a small one for the CPU, and residual networks of MONAI."""

from __future__ import annotations

import importlib.util

import torch
from torch import Tensor, nn

from ...checks import InputError
from ...settings import BACKBONES, NORMS, ROTATION_HEADS, NetworkCamera, NetworkSettings, Norm
from .canonical_frame import CanonicalFrame
from .heads import Hypotheses, PoseHead

# Channels of a network's input: the X-ray, where it is valid, and its local contrast.
INPUT_CHANNELS = 3

# Stride of the small network's last stage; the image size must be a multiple.
SMALL_STRIDE = 16
# Features are kept per cell of a grid of at most this many cells a side, which preserves their position in the image.
_MOST_PLACES = 8
_HIDDEN = 256


class PoseNetwork(nn.Module):
    """A backbone from an X-ray to features, and a head from features to poses.

    settings, camera, frame: what it was built with; they and the weights are the whole network.
    """

    def __init__(
        self,
        backbone: nn.Module,
        features: int,
        settings: NetworkSettings,
        camera: NetworkCamera,
        frame: CanonicalFrame,
    ) -> None:
        super().__init__()
        self.settings, self.camera, self.frame = settings, camera, frame
        self.backbone = backbone
        self.hidden = nn.Sequential(nn.Linear(features, _HIDDEN), nn.ReLU(inplace=True))
        self.head = PoseHead(_HIDDEN, settings, camera, frame)

    def forward(self, inputs: Tensor) -> Hypotheses:
        """Hypotheses for inputs (B, 3, H, W) as `view.network_input` makes them."""
        hypotheses: Hypotheses = self.head(self.hidden(self.backbone(inputs)))
        return hypotheses

    @property
    def parameters_count(self) -> int:
        """Number of trainable parameters."""
        return sum(parameter.numel() for parameter in self.parameters())


def build_network(settings: NetworkSettings, camera: NetworkCamera, frame: CanonicalFrame) -> PoseNetwork:
    """An untrained network for images of `camera` and poses about `frame`, on the CPU.

    Weights are drawn from torch's global generator; seed it for reproducibility.
    Raises InputError for unknown names, counts below one, an image size the backbone cannot take, and for a ResNet
    without MONAI.
    """
    _require_settings(settings, camera)
    if settings.backbone == "small":
        backbone, features = _small(settings.width, camera.image_px, settings.norm)
    else:
        backbone, features = _resnet(settings.backbone)
    network = PoseNetwork(backbone, features, settings, camera, frame)
    # Convolutions on the CPU and on CUDA are fastest with the channels last.
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _require_settings(settings: NetworkSettings, camera: NetworkCamera) -> None:
    for what, value, choices in (
        ("network", settings.backbone, BACKBONES),
        ("rotation head", settings.rotation, ROTATION_HEADS),
        ("normalisation", settings.norm, NORMS),
    ):
        if value not in choices:
            raise InputError(what, expected=f"one of {', '.join(choices)}", found=value, remedy="choose one of them")
    for what, count in (("hypotheses", settings.hypotheses), ("width of the network", settings.width)):
        if count < 1:
            raise InputError(what, expected="at least 1", found=f"{count}", remedy="give a positive number")
    for what, length in (("field of the network's camera", camera.field_mm), ("its SID", camera.sid_mm)):
        if not length > 0:
            raise InputError(what, expected="millimetres above 0", found=f"{length:g}", remedy="check the geometry")


def _norm(kind: Norm, channels: int) -> nn.Module:
    """Normalisation with one group: on the CPU in bfloat16 its backward pass takes a third of the time of several."""
    return nn.BatchNorm2d(channels) if kind == "batch" else nn.GroupNorm(1, channels)


class _Residual(nn.Module):
    """Two 3 x 3 convolutions beside a short cut; the first halves the image where `stride` is 2."""

    def __init__(self, before: int, after: int, stride: int, norm: Norm) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.first_norm = _norm(norm, after)
        self.second = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.second_norm = _norm(norm, after)
        self.stride = stride
        self.short = nn.Identity() if (before, stride) == (after, 1) else nn.Conv2d(before, after, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        inside = torch.relu(self.first_norm(self.first(inputs)))
        # Equals a strided convolution, whose backward pass on one CPU thread, for few channels in channels-last layout,
        # writes out of bounds in torch 2.13.
        kept = inputs[..., :: self.stride, :: self.stride].contiguous(memory_format=torch.channels_last)
        return torch.relu(self.second_norm(self.second(inside)) + self.short(kept))


def _small(width: int, image_px: int, norm: Norm) -> tuple[nn.Module, int]:
    """Backbone and its number of features."""
    if image_px < SMALL_STRIDE or image_px % SMALL_STRIDE:
        raise InputError(
            "image size of the network",
            expected=f"a multiple of {SMALL_STRIDE} pixels for the small network",
            found=f"{image_px}",
            remedy=f"use {max(1, round(image_px / SMALL_STRIDE)) * SMALL_STRIDE}, or a ResNet",
        )
    return residual_backbone(INPUT_CHANNELS, width, min(_MOST_PLACES, image_px // SMALL_STRIDE), norm)


def residual_backbone(inputs: int, width: int, places: int, norm: Norm) -> tuple[nn.Module, int]:
    """From images (B, inputs, H, W) to features (B, N), and N: a grid of `places` a side of 8 `width` channels.

    A stem that halves the image and four stages of `width` to 8 `width` channels, all but the first halving.
    """
    channels = [width, width, 2 * width, 4 * width, 8 * width]
    stages = [_Residual(channels[n], channels[n + 1], 1 if n == 0 else 2, norm) for n in range(4)]
    backbone = nn.Sequential(
        nn.Conv2d(inputs, width, 5, 2, padding=2, bias=False),
        _norm(norm, width),
        nn.ReLU(inplace=True),
        *stages,
        nn.AdaptiveAvgPool2d(places),
        nn.Flatten(),
    )
    return backbone, channels[-1] * places**2


# Grid cells a side of a ResNet's features: 128 pixels at a stride of 32; other sizes are averaged to it.
_RESNET_PLACES = 4
_RESNET_CHANNELS = 512
_RESNET_GROUPS = 16


def _resnet(name: str) -> tuple[nn.Module, int]:
    """Backbone and its number of features: MONAI's two-dimensional ResNet with group normalisation."""
    if importlib.util.find_spec("monai") is None:
        raise InputError(
            f"network {name}",
            expected="the package MONAI",
            found="that it is not installed",
            remedy="pip install monai, or use the network small",
        )
    from monai.networks.nets.resnet import resnet18, resnet34

    make = {"resnet18": resnet18, "resnet34": resnet34}[name]
    whole = make(
        spatial_dims=2,
        n_input_channels=INPUT_CHANNELS,
        conv1_t_stride=2,
        feed_forward=False,
    )
    _replace_batch_norms(whole)
    backbone = nn.Sequential(
        *(whole.conv1, whole.bn1, whole.act, whole.maxpool),
        *(whole.layer1, whole.layer2, whole.layer3, whole.layer4),
        # MONAI's mean over the whole image would discard positions.
        nn.AdaptiveAvgPool2d(_RESNET_PLACES),
        nn.Flatten(),
    )
    return backbone, _RESNET_CHANNELS * _RESNET_PLACES**2


def _replace_batch_norms(module: nn.Module) -> None:
    """Replace every batch normalisation by group normalisation; MONAI's own option replaces only the first."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, nn.GroupNorm(_RESNET_GROUPS, child.num_features))
        else:
            _replace_batch_norms(child)
