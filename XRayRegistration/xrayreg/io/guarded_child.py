"""The child process of `guarded`: loads one file by its path, calls one of its functions, and saves the result.

It is run as a script with one argument, a folder that holds `request.json`, and imports nothing of xrayreg.
"""

import importlib.util
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

# Allowance for threads and for saving the result, in addition to the function itself.
_RESERVE_BYTES = 64 << 20


def main(folder: Path) -> int:
    """Process the request in `folder`; writes `result.npy`, or `error.txt` with one line."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    request = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    try:
        import numpy as np

        function = _loaded(request["file"], request["function"])
        _limit(request["bytes"], request["seconds"])
        (folder / "ready").touch()
        result = np.asarray(function(**request["arguments"]))
        np.save(folder / "result.npy", result, allow_pickle=False)
    except MemoryError:
        _say(folder, "it needs more memory than it may have")
        return 1
    except Exception as error:
        _say(folder, " ".join(str(error).split()) or type(error).__name__)
        return 1
    return 0


def _loaded(file: str, function: str) -> Any:
    spec = importlib.util.spec_from_file_location("guarded_functions", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return getattr(module, function)


def _limit(most_bytes: int, seconds: float) -> None:
    """Limit memory beyond what is loaded so far, and processor time, where supported (not on Windows)."""
    try:
        import resource
    except ImportError:
        return
    limits = [
        (resource.RLIMIT_AS, _address_space() + most_bytes + _RESERVE_BYTES),
        # The parent enforces the wall-clock limit; this ends the process where the parent is gone.
        (resource.RLIMIT_CPU, int(seconds) + 2 + int(sum(os.times()[:2]))),
        (resource.RLIMIT_CORE, 0),
    ]
    for kind, limit in limits:
        try:
            _, hard = resource.getrlimit(kind)
            most = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
            resource.setrlimit(kind, (most, hard))
        except (ValueError, OSError) as error:
            # macOS defines the address-space limit but rejects setting it; the sizes were checked by the parent.
            sys.stderr.write(f"limit {kind} was not set: {error}\n")


def _address_space() -> int:
    """Bytes of address space in use, 0 where the system does not report it."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 1 << 32


def _end_with_parent() -> None:
    """End this process when the parent, which holds the other end of its standard input, is gone."""
    # Not through sys.stdin, whose lock this thread would hold while Python shuts down.
    while os.read(0, 1024):
        pass
    os._exit(1)


def _say(folder: Path, line: str) -> None:
    (folder / "error.txt").write_text(line[:500], encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
