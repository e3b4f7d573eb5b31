"""Optimisers: asked for candidates, told how good they are; they know poses and scores, never images."""

from .levenberg_marquardt import State, ask, start, tell

__all__ = ["State", "ask", "start", "tell"]
