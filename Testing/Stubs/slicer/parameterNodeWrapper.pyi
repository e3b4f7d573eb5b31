"""Typed parameters in a node; the wrapper adds what the class itself does not say."""

from typing import Any, TypeVar

_T = TypeVar("_T")

class WithinRange:
    def __init__(self, minimum: float, maximum: float) -> None: ...

# The class gets an __init__(node, prefix=None), parameterNode and more.
def parameterNodeWrapper(cls: type[_T]) -> Any: ...
