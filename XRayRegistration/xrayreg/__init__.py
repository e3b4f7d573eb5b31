"""xrayreg: finds how the C-arm stood relative to a patient's CT when an X-ray was taken."""

import os

# Idle OpenMP threads of torch and numba spin by default. On a busy machine they then wait for each other, and a
# registration of one second was seen to take a hundred. Read when torch is loaded; a user's own choice wins.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
