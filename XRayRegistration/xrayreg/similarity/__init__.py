"""Similarity of an X-ray and a DRR: correlations as scores, as gradients and as least squares."""

from ..settings import Filter, Term
from .gram import Agreement, agreement_from_gram
from .masks import eroded, support_mask
from .scores import Target
from .terms import Similarity

__all__ = [
    "Agreement",
    "Filter",
    "Similarity",
    "Target",
    "Term",
    "agreement_from_gram",
    "eroded",
    "support_mask",
]
