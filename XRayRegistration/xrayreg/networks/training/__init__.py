"""Network training: the run from CTs to a validated network, its loop, losses, optimiser, status, curves and lock.

Depends on the rest of `networks` and on the simulation, whose X-rays are used for validation. May be imported by the
command line and by benchmarks; the Slicer module reads a run's progress from its folder (`status`).
"""

from .run import TrainingOrder, train_network
from .validation_images import validation_set

__all__ = ["TrainingOrder", "train_network", "validation_set"]
