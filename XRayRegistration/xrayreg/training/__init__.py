"""Training a network: the story from CTs to a judged network."""

from .images import validation_set
from .story import TrainingOrder, train_network

__all__ = ["TrainingOrder", "train_network", "validation_set"]
