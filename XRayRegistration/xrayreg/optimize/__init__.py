"""Optimisers: they ask for scores and derivatives at poses, and never see images."""

from .bobyqa import bobyqa
from .charts import AP_AXES, Chart, EulerZXYChart, HeldChart, ScrewChart, SeveralChart, TwistChart, span
from .damped import levenberg_marquardt
from .descent import best_first, descend, falling
from .evolution import cma_es, differential_evolution
from .first_order import adam, sgd
from .forecast import Forecast, Rendered, rendered
from .foretold import Place, foretold
from .grid import grid
from .levenberg_marquardt import State, ask, start, tell
from .objective import PoseObjective
from .optimiser import Answer, Objective, OnProgress, Optimiser, Optimum, Progress, Query, optimise
from .penalties import EulerPenalty, LandmarkPenalty, ObjectPenalty, Penalty
from .quasi_newton import lbfgs

__all__ = [
    "AP_AXES",
    "Answer",
    "Chart",
    "EulerPenalty",
    "EulerZXYChart",
    "Forecast",
    "HeldChart",
    "LandmarkPenalty",
    "ObjectPenalty",
    "Objective",
    "OnProgress",
    "Optimiser",
    "Optimum",
    "Penalty",
    "Place",
    "PoseObjective",
    "Progress",
    "Query",
    "Rendered",
    "ScrewChart",
    "SeveralChart",
    "State",
    "TwistChart",
    "adam",
    "ask",
    "best_first",
    "bobyqa",
    "cma_es",
    "descend",
    "differential_evolution",
    "falling",
    "foretold",
    "grid",
    "lbfgs",
    "levenberg_marquardt",
    "optimise",
    "rendered",
    "sgd",
    "span",
    "start",
    "tell",
]
