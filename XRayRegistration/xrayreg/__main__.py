"""`python -m xrayreg`: see xrayreg.cli."""

import os
import sys

from .cli import main

# Torch and numba take turns on the same cores. Threads that spin while they wait keep the others from working: on a
# busy machine a registration then takes four times as long or more (measured). Read when the libraries are loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if __name__ == "__main__":
    sys.exit(main())
