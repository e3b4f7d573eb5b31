"""Opens a corpus of damaged inputs, and says which of them came to anything but a result or a sentence.

    PYTHONPATH=XRayRegistration .venv/bin/python Testing/Tools/fuzz_corpus.py --xrays 2000 --cts 500 --cases 500

Each input is made in a temporary folder from the seed, opened by a process of its own that is ended when one
takes too long, and removed. `--only ct:37 --keep FOLDER` makes a single one and keeps it.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from fuzz_making import KINDS, Input, make_input

LIMIT_S = 10.0
_TOOLS = Path(__file__).resolve().parent
_PACKAGE = _TOOLS.parents[1] / "XRayRegistration"


@dataclass(frozen=True)
class Outcome:
    """What an input came to: "ok", "sentence", "flaw" (a sentence that is none), "traceback", "ended" or "late".

    text: the sentence or the error; where: the file and line at which an error arose.
    """

    input: Input
    outcome: str
    text: str = ""
    where: str = ""
    seconds: float = 0.0

    @property
    def lawful(self) -> bool:
        """Whether the input was read, or refused in a sentence, in time."""
        return self.outcome in ("ok", "sentence") and self.seconds <= LIMIT_S


class Worker:
    """A process that opens inputs; it is ended, with all that it started, when one takes too long."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end()

    def opened(self, given: Input) -> Outcome:
        """What the input comes to."""
        process = self._started()
        assert process.stdin is not None and process.stdout is not None
        question = {"kind": given.kind, "path": str(given.path), "frame": given.frame}
        process.stdin.write(json.dumps(question) + "\n")
        process.stdin.flush()
        # The process measures the time itself; on a busy machine it may have to wait for its turn.
        answered, _, _ = select.select([process.stdout], [], [], 2 * LIMIT_S)
        if not answered:
            self._end()
            return Outcome(given, "late", f"no answer within {2 * LIMIT_S:g} s", seconds=2 * LIMIT_S)
        line = process.stdout.readline()
        if not line:
            code = process.wait()
            self._end()
            return Outcome(given, "ended", f"the process ended with exit code {code}")
        answer = json.loads(line)
        return Outcome(given, answer["outcome"], answer["text"], answer.get("where", ""), float(answer["seconds"]))

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, str(_TOOLS / "fuzz_worker.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env={**os.environ, "PYTHONPATH": str(_PACKAGE), "OMP_NUM_THREADS": "1"},
                start_new_session=True,
            )
            assert self._process.stdout is not None
            if not self._process.stdout.readline():
                raise RuntimeError(f"fuzz_worker.py ended with exit code {self._process.wait()} before it was ready")
        return self._process

    def _end(self) -> None:
        if self._process is None:
            return
        # Its own session: processes that it started to decode pixels end with it.
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process = None


def run(worker: Worker, kind: str, count: int, seed: int) -> Iterator[Outcome]:
    """Makes and opens the first `count` inputs of a kind, one after the other."""
    for number in range(count):
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            yield worker.opened(make_input(kind, seed, number, Path(folder)))


def report(outcomes: list[Outcome]) -> str:
    """How often each outcome came for each kind, and what is unlawful, grouped by the place where it arose."""
    lines = []
    for kind in KINDS:
        counts = Counter(one.outcome for one in outcomes if one.input.kind == kind)
        slowest = max((one.seconds for one in outcomes if one.input.kind == kind), default=0.0)
        if counts:
            told = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
            lines.append(f"{kind}: {counts.total()} inputs: {told}; slowest {slowest:.1f} s")
    groups: dict[tuple[str, str, str], list[Outcome]] = defaultdict(list)
    for one in outcomes:
        if not one.lawful:
            groups[one.outcome, one.where, one.text.partition(":")[0]].append(one)
        elif one.input.sound and one.outcome != "ok":
            groups["sound input refused", "", one.text].append(one)
    for (outcome, where, error), found in sorted(groups.items(), key=lambda group: -len(group[1])):
        lines.append(f"\n{len(found)} x {outcome} {where} {error}")
        for one in found[:4]:
            name = f"{one.input.kind}:{one.input.number}"
            lines.append(f"    {name} {one.input.what[:110]!r} -> {one.text[:160]} ({one.seconds:.1f} s)")
    return "\n".join(lines)


def main() -> int:
    """The command line; exit code 1 when an input came to anything but a result or a sentence."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for kind, count in zip(KINDS, (120, 40, 40), strict=True):
        parser.add_argument(f"--{kind}s", type=int, default=count, metavar="N", help=f"how many, {count} by default")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", metavar="KIND:N", help="one input")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="with --only: an empty folder to make it in")
    parser.add_argument("--sentences", action="store_true", help="also list the sentences, one of each beginning")
    options = parser.parse_args()
    if options.only:
        return _only(options.only, options.seed, options.keep)
    start, outcomes = time.perf_counter(), []
    with Worker() as worker:
        for kind in KINDS:
            for outcome in run(worker, kind, getattr(options, f"{kind}s"), options.seed):
                outcomes.append(outcome)
                if outcome.input.number % 100 == 99:
                    print(f"{kind} {outcome.input.number + 1}: {time.perf_counter() - start:.0f} s", file=sys.stderr)
    print(report(outcomes))
    if options.sentences:
        firsts = {one.text[:40]: one for one in outcomes if one.outcome == "sentence"}
        print("", *(f"{one.input.kind}:{one.input.number} {one.text}" for one in firsts.values()), sep="\n")
    print(f"\n{time.perf_counter() - start:.0f} s, seed {options.seed}")
    return 0 if all(one.lawful and (one.outcome == "ok" or not one.input.sound) for one in outcomes) else 1


def _only(name: str, seed: int, keep: Path | None) -> int:
    kind, _, number = name.partition(":")
    with tempfile.TemporaryDirectory(prefix="fuzz-") as temporary, Worker() as worker:
        folder = keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        one = worker.opened(make_input(kind, seed, int(number), folder))
    print(f"{one.input.what}\n{one.outcome} {one.where} {one.text} ({one.seconds:.1f} s)")
    return 0 if one.lawful else 1


if __name__ == "__main__":
    sys.exit(main())
