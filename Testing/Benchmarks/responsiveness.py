"""How long a window stands still while a registration runs in it: the time of each step that a timer would advance."""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

import numpy as np
import torch
from accuracy import DATA, SIMULATED, WRIST
from tables import Cell, Table

from xrayreg.cli.demo import make_case
from xrayreg.cli.progress import Display
from xrayreg.geometry import VoxelGrid
from xrayreg.io import read_case
from xrayreg.overlay import prepare_anatomy, prepare_live
from xrayreg.pieces import Story
from xrayreg.registration.pipeline import register
from xrayreg.render import warm_up
from xrayreg.scene import Scene, Volume
from xrayreg.settings import EFFORTS, registration_settings

# A step that takes longer is felt.
LONGEST_MS = 100
# A CT of a usual clinical size; its values do not matter for how long it takes to prepare.
CLINICAL = (512, 512, 400)


@dataclass(frozen=True)
class Steps:
    """Times of all steps of a piece of work [ms], and what the slowest one led to."""

    milliseconds: np.ndarray
    slowest: str

    @property
    def seconds(self) -> float:
        """All steps together."""
        return float(self.milliseconds.sum()) / 1000


def responsiveness(repeats: int) -> Table:
    """The longest step, the 99th percentile and the number of steps of whole registrations and preparations."""
    warm_up("auto", "auto")
    rows: list[list[Cell]] = []
    for name, scene, init in _scenes():
        for effort in EFFORTS:
            settings = registration_settings(effort, init=init)  # type: ignore[arg-type]
            runs = [_timed(register(scene, settings)) for _ in range(min(repeats, 2))]
            rows.append(_row(f"{name}, {init}, {effort}", runs))
    volume = _clinical_ct()
    size = " x ".join(map(str, CLINICAL))
    rows.append(_row(f"CT of {size}: live DRR", [_timed(prepare_live.pieces(volume)) for _ in range(2)]))
    rows.append(_row(f"CT of {size}: overlay", [_timed(prepare_anatomy.pieces(volume))]))
    return Table(
        "Steps of work that runs in a window",
        ("work", "steps", "longest [ms]", "99th percentile [ms]", f"over {LONGEST_MS} ms", "seconds", "slowest"),
        rows,
        (
            f"On {torch.get_num_threads()} threads. Each step at its fastest of up to two runs; compiled code loaded.",
            f"The goal is no step over {LONGEST_MS} ms.",
        ),
    )


def _row(name: str, runs: list[Steps]) -> list[Cell]:
    if len({len(run.milliseconds) for run in runs}) == 1:
        times = np.min([run.milliseconds for run in runs], axis=0)
    else:
        times = min(runs, key=lambda run: run.milliseconds.max()).milliseconds
    slowest = min(runs, key=lambda run: run.milliseconds.max()).slowest
    over = int((times > LONGEST_MS).sum())
    longest, percentile = (round(float(value), 1) for value in (times.max(), np.quantile(times, 0.99)))
    return [name, len(times), longest, percentile, over, round(min(run.seconds for run in runs), 2), slowest]


def _timed(story: Iterator[object] | Story[object, object]) -> Steps:
    """All steps of a story, none of them interrupted by the collection of other people's garbage."""
    gc.collect()
    times: list[float] = []
    told: list[str] = []
    while True:
        started = time.perf_counter()
        try:
            news = next(story)
        except StopIteration:
            return Steps(np.array(times), told[int(np.argmax(times))])
        times.append(1000 * (time.perf_counter() - started))
        told.append(getattr(news, "message", ""))


def _scenes() -> Iterator[tuple[str, Scene, str]]:
    """The generated demo case and, where they are, the external test cases."""
    # The demo tells on standard output what it makes.
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()), Display(shown=False) as display:
        demo = read_case(make_case(Path(folder), display))
    yield "demo phantom", demo, "search"
    yield "its left hip", replace(demo, structures=(1,)), "auto"
    if DATA.exists():
        for pattern, start, _ in SIMULATED:
            path = sorted(DATA.glob(pattern))[0]
            yield path.stem, read_case(path), start
        wrist = read_case(DATA / WRIST)
        yield "wrist", wrist, "auto"
        yield "wrist", wrist, "search"


def _clinical_ct() -> Volume:
    ni, nj, nk = CLINICAL
    values = np.full((nk, nj, ni), -1000, dtype=np.int16)
    values[:, 60:450, 40:470] = np.random.default_rng(0).integers(-50, 900, (390, 430)).astype(np.int16)
    return Volume(values, VoxelGrid.from_spacing(CLINICAL, (0.7, 0.7, 1.0)))
