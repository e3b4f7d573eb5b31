"""Runs a paper's table once for each moment, killed then: a program of its own, which has no threads when it forks.

python -m study.killed_tables CT OUT      leaves OUT/MOMENT for each of MOMENTS
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from benchmark.study.conftest import make_coarse
from benchmark.study.table_standins import method, order, train

from xrayreg.benchmark.study.runner import StudyStep
from xrayreg.benchmark.tables.table_study import Listener, run_table
from xrayreg.networks.training.status import TrainStep

MOMENTS = ("making", "preparing", "training", "row of a network")


def killed_at(moment: str, ct: Path, out: Path) -> None:
    """Run xvr's table on one case until that moment, and then no further."""

    def studied(arm: str, step: StudyStep) -> None:
        of_network = step.row is not None and step.row.method == "network"
        end("row of a network" if of_network else "making" if step.stage == "make" else "")

    def trained(name: str, step: TrainStep) -> None:
        end(step.state)

    def end(now: str) -> None:
        if now == moment:
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.MonkeyPatch.context() as patch:
        make_coarse(patch)
        run_table(order(ct, out, "xvr"), Listener(studied, trained), method, train)


def main() -> None:
    """See the module."""
    ct, out = map(Path, sys.argv[1:])
    for moment in MOMENTS:
        pid = os.fork()
        if pid == 0:
            killed_at(moment, ct, out / moment)
            os._exit(0)
        status = os.waitpid(pid, 0)[1]
        assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, moment


if __name__ == "__main__":
    main()
