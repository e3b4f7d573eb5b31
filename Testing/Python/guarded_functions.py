"""Harmless stand-ins for decoders, which a process of its own loads by this file's path."""

import time

import numpy as np


def doubled(values: list[int]) -> np.ndarray:
    """Twice the values."""
    return 2 * np.array(values)


def slow(seconds: float) -> np.ndarray:
    """Nothing, after a while."""
    time.sleep(seconds)
    return np.zeros(1)


def large(size: int) -> np.ndarray:
    """So many bytes."""
    return np.ones(size, np.uint8)


def failing() -> np.ndarray:
    """An error of two lines."""
    raise ValueError("two\nlines")
