"""python -m xrayreg.worker FOLDER: serves the client that started it."""

import sys
from pathlib import Path

from .process import serve

if __name__ == "__main__":
    sys.exit(serve(Path(sys.argv[1])))
