"""The architectures of learned similarities by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...checks import InputError
from ...settings import DecompositionForm, SimilarityName, SimilaritySettings, TrainingSettings
from .correlation import CorrelationSimilarity
from .cross_vit import ProstVitSimilarity
from .embedding import EmbeddingSimilarity
from .learned_similarity import LearnedSimilarity, SimilarityDescription
from .prost import ProstSimilarity
from .sopi import SopiSimilarity

SIMILARITIES: Mapping[SimilarityName, Callable[[SimilarityDescription], LearnedSimilarity]] = {
    "embedding": EmbeddingSimilarity,
    "prost": ProstSimilarity,
    "prost-vit": ProstVitSimilarity,
    "correlation": CorrelationSimilarity,
    "sopi": SopiSimilarity,
}


def build(description: SimilarityDescription, decomposition: DecompositionForm = "printed") -> LearnedSimilarity:
    """An untrained similarity, on the CPU and in float32.

    decomposition: of the correlation-driven network; the others have none.
    Weights are drawn from torch's global generator; seed it for reproducibility.
    """
    network = SIMILARITIES[description.name](description)
    if isinstance(network, CorrelationSimilarity):
        network.form = decomposition
    return network


def build_for(settings: TrainingSettings) -> LearnedSimilarity:
    """The untrained similarity specified by training settings; raises InputError as `description_for` does."""
    return build(description_for(settings), _wanted(settings).decomposition)


def description_for(settings: TrainingSettings) -> SimilarityDescription:
    """The description by training settings; raises InputError for another kind of network and invalid numbers."""
    wanted = _wanted(settings)
    return SimilarityDescription(wanted.architecture, settings.camera.image_px, wanted.width, wanted.volume_network)


def _wanted(settings: TrainingSettings) -> SimilaritySettings:
    if settings.similarity is None:
        raise InputError(
            "settings of a similarity", expected="an architecture", found="none", remedy="use --kind similarity"
        )
    return settings.similarity
