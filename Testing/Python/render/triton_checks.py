"""Where the Triton engine can be tested: on CUDA, or on the CPU in its interpreter where TRITON_INTERPRET is set.

Triton decides at its import whether it interprets, so a process does one or the other.
"""

from __future__ import annotations

import os

import pytest
import torch

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
PLACE = "cpu" if INTERPRETED or not torch.cuda.is_available() else "cuda"
runs_here = pytest.mark.skipif(
    not (INTERPRETED or torch.cuda.is_available()),
    reason="no CUDA device here; test_triton_interpreted.py runs this in Triton's interpreter",
)
