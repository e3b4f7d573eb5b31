"""One run at a time for each network; files left by terminated runs are removed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...io import prepare_output
from ...io.locks import Lock, held
from ...io.results import remove_leftovers
from .status import last_checkpoint, run_folder


def lock_file(out: Path) -> Path:
    """The lock of the run that trains the network `out`."""
    return run_folder(out) / "lock"


@contextmanager
def only_run(out: Path) -> Iterator[str]:
    """Within this context no other run trains the network `out`; partial files of terminated runs are removed.

    Yields a sentence where a terminated run's lock was taken over, else an empty one. Raises InputError naming the
    process while another run is active.
    """
    folder = prepare_output(run_folder(out))
    lock = Lock(
        lock_file(out),
        (folder / "status.json",),
        what=f"network {out.name}",
        expected="no other run that trains it",
        remedy=f"choose another --out, end that run by creating the file {folder / 'stop'}",
    )
    with held(lock) as note:
        names = ("status.json", "settings.json", "curve.csv", "curve.png")
        for path in (out, last_checkpoint(out), *(folder / name for name in names)):
            remove_leftovers(path)
        yield note
