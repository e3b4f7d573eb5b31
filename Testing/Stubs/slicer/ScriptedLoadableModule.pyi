"""The base class of a module's logic."""

from typing import Any

class ScriptedLoadableModuleLogic:
    def __init__(self, parent: Any = ...) -> None: ...
    def getParameterNode(self) -> Any: ...
