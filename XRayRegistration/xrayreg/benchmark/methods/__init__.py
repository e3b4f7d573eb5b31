"""Registration methods under one interface: ours, and what it is compared with, each with its published constants."""

from .method import Method, MethodContext, MethodOutcome, TracePoint
from .table import METHODS, method_named, run_method

__all__ = ["METHODS", "Method", "MethodContext", "MethodOutcome", "TracePoint", "method_named", "run_method"]
