"""Settings of learned similarities: network, target of its gradient, distance of starts from the ground truth."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

SimilarityName = Literal["embedding", "prost", "prost-vit", "correlation", "sopi"]
GradientLossName = Literal["angle", "direction", "geodesic"]
DecompositionForm = Literal["printed", "opposite", "ratio"]
# contrast: attenuation with zero mean and unit variance; local: the same within a window (`input_image.network_input`).
FixedImage = Literal["contrast", "local"]

SIMILARITY_NAMES: tuple[SimilarityName, ...] = get_args(SimilarityName)
GRADIENT_LOSSES: tuple[GradientLossName, ...] = get_args(GradientLossName)
DECOMPOSITIONS: tuple[DecompositionForm, ...] = get_args(DecompositionForm)
FIXED_IMAGES: tuple[FixedImage, ...] = get_args(FixedImage)


def similarity_batch(architecture: SimilarityName) -> int:
    """X-rays per batch; each is compared at several starts, and such a pair takes longer than a predicted pose.

    A pair of points takes next to nothing.
    """
    return 32 if architecture == "embedding" else 8


@dataclass(frozen=True)
class SimilaritySettings:
    """Settings for training a similarity.

    architecture, width, volume_network: of the network, see `model.learned_similarity.SimilarityDescription`. The
    default is this project's own, with the best gradient directions after minutes of training. Published ones are by
    default half as wide, which takes a third of the time per step on CPUs, and without the 3D network, which takes
    seconds per step there.
    decomposition: the decomposition criterion of the correlation-driven network, see `model.correlation`.
    gradient_loss: direction (ProST, MICCAI 2020), geodesic (TMI 2024) or angle (ours), see
    `training.geodesic_gradients`. On CPUs angle achieved in 90 iterations what direction did in 500.
    fixed: the X-ray input of the network. scale_mm: millimetres equivalent to a radian, and the unit of the line
    integrals that the network receives; ProST takes half the edge of the CT.
    starts: poses at which each X-ray of a batch is compared. start_error_mm: least and largest distance of a start from
    the ground truth, log-uniform: mean distance of the corners of the anatomy's box in the camera frame.
    independent: share of the starts drawn from the pose distribution instead, independent of the truth, as in ProST.
    """

    architecture: SimilarityName = field(
        default="embedding", metadata={"help": "network of a similarity", "choices": SIMILARITY_NAMES}
    )
    width: float = field(
        default=0.5, metadata={"help": "factor on the published numbers of channels", "least": 0.05, "most": 8.0}
    )
    volume_network: bool = False
    decomposition: DecompositionForm = field(
        default="printed",
        metadata={
            "help": "of its features, for the correlation network",
            "choices": DECOMPOSITIONS,
        },
    )
    gradient_loss: GradientLossName = field(
        default="angle", metadata={"help": "what a similarity's gradient is to share", "choices": GRADIENT_LOSSES}
    )
    fixed: FixedImage = "contrast"
    scale_mm: float = field(default=128.0, metadata={"least": 1.0, "most": 1e4})
    starts: int = field(default=4, metadata={"least": 1, "most": 1024})
    start_error_mm: tuple[float, float] = (10.0, 120.0)
    independent: float = field(default=0.1, metadata={"least": 0.0, "most": 1.0})
