"""The architectures of learned similarities by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .correlation import CorrelationSimilarity
from .cross_vit import ProstVitSimilarity
from .learned_similarity import LearnedSimilarity, SimilarityDescription, SimilarityName
from .prost import ProstSimilarity
from .sopi import SopiSimilarity

SIMILARITIES: Mapping[SimilarityName, Callable[[SimilarityDescription], LearnedSimilarity]] = {
    "prost": ProstSimilarity,
    "prost-vit": ProstVitSimilarity,
    "correlation": CorrelationSimilarity,
    "sopi": SopiSimilarity,
}


def build(description: SimilarityDescription) -> LearnedSimilarity:
    """An untrained similarity, on the CPU and in float32.

    Weights come from torch's global generator; seed it for a network that can be made again.
    """
    return SIMILARITIES[description.name](description)
