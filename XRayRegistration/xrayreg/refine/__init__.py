"""Optimisers: asked for candidates, told how good they are; they know poses and scores, never images."""

from .descent import best_first, descend, falling
from .levenberg_marquardt import State, ask, start, tell

__all__ = ["State", "ask", "best_first", "descend", "falling", "start", "tell"]
