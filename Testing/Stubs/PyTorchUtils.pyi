"""The module of the extension PyTorch."""

from typing import Any

class PyTorchUtilsLogic:
    # The module torch, or None where the user declined.
    def installTorch(self, **wish: Any) -> Any: ...
