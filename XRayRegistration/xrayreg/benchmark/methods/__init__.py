"""Registration methods behind one interface: ours and the published baselines, each with its published constants."""

from .method import Method, MethodContext, MethodOutcome, TracePoint
from .table import METHODS, method_named, run_method

__all__ = ["METHODS", "Method", "MethodContext", "MethodOutcome", "TracePoint", "method_named", "run_method"]
