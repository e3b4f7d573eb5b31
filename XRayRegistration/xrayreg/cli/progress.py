"""What a user sees while a command works: a bar on standard error, gone when it is done."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from ..results import Step


class Display:
    """A progress bar on standard error where that is a terminal; nothing elsewhere, so that logs stay clean."""

    def __init__(self, shown: bool = True) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", style="bold"),
            BarColumn(bar_width=28),
            TextColumn("{task.fields[similarity]}", style="cyan"),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
            disable=not (shown and console.is_terminal),
        )
        self._task = self._progress.add_task("", total=None, similarity="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def stage(self, message: str) -> None:
        """Something that cannot say how long it takes."""
        self._progress.remove_task(self._task)
        self._task = self._progress.add_task(message, total=None, similarity="")

    def step(self, step: Step) -> None:
        """One moment of a registration."""
        similarity = "" if step.similarity is None else f"similarity {step.similarity:.3f}"
        self._progress.update(
            self._task, total=1.0, completed=step.fraction, description=step.message, similarity=similarity
        )
