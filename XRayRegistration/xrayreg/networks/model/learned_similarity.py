"""The interface of learned similarities: a description to build one from, and a module that compares two images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn

from ...checks import InputError
from ...settings import SIMILARITY_NAMES, SimilarityName

# Output channels of the volume network, in all three published systems.
REFINED_CHANNELS = 3
# Smallest image size, which leaves two positions a side after the four halvings of the deepest network.
SMALLEST_PX = 32
# Numbers of channels are multiples of this, so that attention heads, halves and split groups divide them.
_CHANNEL_STEP = 4


@dataclass(frozen=True)
class SimilarityDescription:
    """The configuration of a similarity; with the weights it is the whole network.

    name: the architecture.
    image_px: rows and columns of the images that it compares.
    width: factor on the published numbers of channels.
    volume_network: whether a 3D network refines the CT before projection; otherwise it is projected unchanged.

    Raises InputError for an unknown name, an image below 32 pixels and a width outside 0.05 to 8.
    """

    name: SimilarityName = "prost"
    image_px: int = 128
    width: float = 1.0
    volume_network: bool = True

    def __post_init__(self) -> None:
        if self.name not in SIMILARITY_NAMES:
            raise InputError(
                "architecture of a similarity",
                expected=f"one of {', '.join(SIMILARITY_NAMES)}",
                found=str(self.name),
                remedy="choose one of them",
            )
        if self.image_px < SMALLEST_PX:
            raise InputError(
                "image size of a similarity",
                expected=f"at least {SMALLEST_PX} pixels",
                found=f"{self.image_px}",
                remedy="use 128",
            )
        if not 0.05 <= self.width <= 8:
            raise InputError(
                "width of a similarity", expected="a factor from 0.05 to 8", found=f"{self.width:g}", remedy="use 1"
            )

    @property
    def moving_channels(self) -> int:
        """Channels of the images rendered from the CT."""
        return REFINED_CHANNELS if self.volume_network else 1

    def channels(self, published: int) -> int:
        """A published number of channels scaled by `width`; a multiple of four."""
        return max(_CHANNEL_STEP, _CHANNEL_STEP * round(published * self.width / _CHANNEL_STEP))


def for_each_image(features: Tensor, images: int) -> Tensor:
    """Features (A, ...) of X-rays repeated to (images, ...): each one images / A times in a row."""
    return features.repeat_interleave(images // len(features), 0)


@dataclass(frozen=True, eq=False)
class FeatureComparison:
    """A network's output for B pairs of images.

    similarity: (B,), lower for more similar images.
    decomposition: decomposition loss of global and local features, see `correlation`; None for the other networks.
    """

    similarity: Tensor
    decomposition: Tensor | None = None


class LearnedSimilarity(nn.Module, ABC):
    """A network that compares an X-ray with images rendered from a CT.

    Inputs are the CT as attenuation relative to water and images as line integrals through it in units of about a
    patient's half width, so that all are of the order of one (see `training.pose_gradient`).
    """

    def __init__(self, description: SimilarityDescription, volume_network: nn.Module | None) -> None:
        """volume_network: from (1, 1, nk, nj, ni) to (1, C, nk, nj, ni)."""
        super().__init__()
        self.description = description
        self.volume_network = volume_network

    def refine_volume(self, volume: Tensor) -> Tensor:
        """Maps (C, nk, nj, ni) to project for a volume (nk, nj, ni) of any size.

        Without a 3D network they are the volume itself. They depend only on the CT, so that one call serves all poses.
        """
        if self.volume_network is None:
            return volume[None]
        refined: Tensor = self.volume_network(volume[None, None])[0]
        return refined

    @abstractmethod
    def compare(self, fixed: Tensor, moving: Tensor) -> FeatureComparison:
        """The network's output for X-rays (A, 1, H, W) and rendered images (B, C, H, W); twice differentiable.

        Each X-ray is encoded once and compared with B / A consecutive images. Raises ValueError for images of another
        shape than the description's, and where A does not divide B.
        """

    @property
    def sums_squares(self) -> bool:
        """Whether the similarity is a sum of squares, those of `residuals`."""
        return False

    def residuals(self, fixed: Tensor, moving: Tensor, jacobian: Tensor) -> tuple[Tensor, Tensor]:
        """The residuals (B, N) whose squares the similarity sums up, and their derivatives (B, P, N).

        jacobian: (B, C, P, H, W) derivatives of the images (B, C, H, W).
        Raises ValueError for a network whose similarity is not a sum of squares.
        """
        raise ValueError(f"residuals: {self.description.name} is no sum of squares")

    def similarity(self, fixed: Tensor, moving: Tensor) -> Tensor:
        """Dissimilarity (B,) of X-rays (A, 1, H, W) and rendered images (B, C, H, W).

        See `compare`.
        """
        return self.compare(fixed, moving).similarity

    def require_images(self, fixed: Tensor, moving: Tensor) -> None:
        """Raise ValueError unless the images have the described shape and the number of X-rays divides theirs."""
        pixels, channels = self.description.image_px, self.description.moving_channels
        for name, image, count in (("fixed", fixed, 1), ("moving", moving, channels)):
            if image.ndim != 4 or tuple(image.shape[1:]) != (count, pixels, pixels):
                raise ValueError(f"{name}: expected (B, {count}, {pixels}, {pixels}), found {tuple(image.shape)}")
        if not len(fixed) or len(moving) % len(fixed):
            raise ValueError(f"moving: expected a multiple of {len(fixed)} images, found {len(moving)}")

    @property
    def parameters_count(self) -> int:
        """Number of trainable parameters."""
        return sum(parameter.numel() for parameter in self.parameters())
