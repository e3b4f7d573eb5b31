"""Opens inputs of the fuzz corpus one after the other, in a process that can be ended: what each of them came to.

Reads a line of JSON for each input from stdin, and writes a line of JSON for each outcome to stdout.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import traceback
import unicodedata
import warnings
from pathlib import Path

import numpy as np

from xrayreg.checks import InputError
from xrayreg.io import read_case, read_radiograph, read_volume

# What an input may ask for beyond what the process holds once it is warm.
_MEMORY = 4 << 30
# Control characters, unseen ones that turn text round, halves of letters, ends of lines.
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")


def open_input(kind: str, path: str, frame: int | None) -> None:
    """Opens an input through the door that the program opens it through; raises what that raises."""
    if kind == "xray":
        view = read_radiograph(path, camera=None, frame=frame)
        if not np.isfinite(view.attenuation).all():
            raise ArithmeticError("line integrals that are not finite")
    elif kind == "ct":
        volume = read_volume(path)
        if not np.isfinite(volume.grid.volume_from_index).all():
            raise ArithmeticError("a grid that is not finite")
    else:
        read_case(path)


def flaw_of(sentence: str) -> str | None:
    """What is wrong with an error's sentence; None for one line that says what was expected and what was found."""
    # Cc: control characters; Cf: unseen ones that turn text round; Cs: halves of letters; Zl, Zp: ends of lines.
    odd = sorted(
        {character for character in sentence if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    )
    if odd:
        return f"holds {', '.join(ascii(character) for character in odd[:4])}"
    if "expected" not in sentence or "found" not in sentence:
        return "does not say what was expected and found"
    if len(sentence) > 2000:
        return f"is {len(sentence)} characters long"
    return None


def outcome_of(kind: str, path: str, frame: int | None) -> dict[str, str]:
    """What opening an input came to: "ok", "sentence" with its text, "flaw" or "traceback" with where it arose."""
    try:
        open_input(kind, path, frame)
    except InputError as error:
        flaw = flaw_of(str(error))
        if flaw is None:
            return {"outcome": "sentence", "text": str(error)}
        return {"outcome": "flaw", "text": f"{flaw}: {ascii(str(error))[:300]}", "where": _where(error)}
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        return {
            "outcome": "traceback",
            "text": f"{type(error).__name__}: {ascii(str(error))[:200]}",
            "where": _where(error),
        }
    return {"outcome": "ok", "text": ""}


def _where(error: BaseException) -> str:
    """The last line of the program, and that of whatever library it called, at which an error arose."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames if "xrayreg" in frame.filename]
    last = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"
    place = own[-1] if own else last
    return place if place == last else f"{place} (in {last})"


def main() -> None:
    """Answers inputs until stdin ends."""
    warnings.simplefilter("ignore")
    # What libraries print belongs to no outcome.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + _MEMORY, held + _MEMORY))
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        given = json.loads(line)
        start = time.perf_counter()
        outcome = outcome_of(given["kind"], given["path"], given["frame"])
        print(json.dumps({**outcome, "seconds": f"{time.perf_counter() - start:.3f}"}), file=answers, flush=True)


if __name__ == "__main__":
    main()
