"""Optimisers: they request scores and derivatives at poses and never see images."""

from .bobyqa import bobyqa
from .descent import best_first, descend, falling
from .evolution import cma_es, differential_evolution
from .first_order import adam, sgd
from .grid import grid
from .levenberg_marquardt import levenberg_marquardt
from .lm_batch import State, ask, start, tell
from .objective import PoseObjective
from .optimiser import Answer, Objective, OnProgress, Optimiser, OptimiserProgress, Optimum, Query, optimise
from .parameterisation import AP_AXES, EulerZXY, MultiObject, Parameterisation, PartlyFixed, RotVec, SE3Log, span
from .penalties import EulerPenalty, LandmarkPenalty, ObjectPenalty, Penalty
from .plane_parallax import PlaneParallax, Rendered, rendered
from .quasi_newton import lbfgs
from .surrogate_lm import RenderedPose, surrogate_lm

__all__ = [
    "AP_AXES",
    "Answer",
    "EulerPenalty",
    "EulerZXY",
    "LandmarkPenalty",
    "MultiObject",
    "ObjectPenalty",
    "Objective",
    "OnProgress",
    "Optimiser",
    "OptimiserProgress",
    "Optimum",
    "Parameterisation",
    "PartlyFixed",
    "Penalty",
    "PlaneParallax",
    "PoseObjective",
    "Query",
    "Rendered",
    "RenderedPose",
    "RotVec",
    "SE3Log",
    "State",
    "adam",
    "ask",
    "best_first",
    "bobyqa",
    "cma_es",
    "descend",
    "differential_evolution",
    "falling",
    "grid",
    "lbfgs",
    "levenberg_marquardt",
    "optimise",
    "rendered",
    "sgd",
    "span",
    "start",
    "surrogate_lm",
    "tell",
]
