"""Measures and prints the benchmarks, and writes them to a file.

python Testing/Benchmarks/run.py [--out FILE] [--repeats N] [--threads N] [--memory] [--only WORD]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Read once, when numba and torch are first imported.
os.environ.setdefault("NUMBA_CACHE_DIR", str(ROOT / ".cache" / "numba"))
# Threads that have nothing to do sleep instead of spinning on the cores of the contestant whose turn it is.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch  # noqa: E402
from accuracy import registrations  # noqa: E402
from live import live_pictures  # noqa: E402
from memory import peak_memory  # noqa: E402
from rich.console import Console  # noqa: E402
from sliding import sliding  # noqa: E402
from speed import beside_nanodrr, by_image_size, training_batches, use_threads  # noqa: E402
from tables import Table  # noqa: E402
from window import window_stalls  # noqa: E402

# Each takes the number of repeats and returns a table. Speed first: memory that later ones keep would slow it down.
BENCHMARKS: tuple[Callable[[int], Table], ...] = (
    beside_nanodrr,
    by_image_size,
    training_batches,
    live_pictures,
    registrations,
    sliding,
    window_stalls,
)
ON_REQUEST: tuple[Callable[[int], Table], ...] = (peak_memory,)


def main() -> None:
    options = _parsed()
    use_threads(options.threads)
    # A table in a file or a pipe is not cut to 80 columns.
    console = Console() if sys.stdout.isatty() else Console(width=130)
    chosen = [*BENCHMARKS, *(ON_REQUEST if options.memory else ())]
    tables = []
    for benchmark in chosen:
        if options.only in benchmark.__name__:
            tables.append(benchmark(options.repeats))
            console.print(tables[-1].for_terminal())
    options.out.parent.mkdir(parents=True, exist_ok=True)
    report = {"machine": _machine(options.threads), "tables": [table.for_json() for table in tables]}
    options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    console.print(f"written to {options.out}")


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--out", type=Path, default=ROOT / ".cache" / "bench" / "latest.json", help="JSON file to write"
    )
    parser.add_argument("--repeats", type=int, default=7, help="timed runs of each contestant")
    parser.add_argument("--threads", type=int, default=_cores(), help="threads for everybody; default all cores")
    parser.add_argument("--memory", action="store_true", help="measure peak memory too (needs 4 GB and a minute)")
    parser.add_argument("--only", default="", metavar="WORD", help="run only benchmarks whose name holds this word")
    return parser.parse_args()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _machine(threads: int) -> dict[str, object]:
    return {
        "when": time.strftime("%Y-%m-%d %H:%M"),
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "threads": threads,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


if __name__ == "__main__":
    main()
