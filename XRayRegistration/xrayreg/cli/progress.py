"""Progress of a command: a bar on standard error, removed when it is done."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ..printing import printable

if TYPE_CHECKING:
    from rich.progress import ProgressColumn

    from ..registration.results import Step


class Bar:
    """A progress bar on standard error where that is a terminal; nothing elsewhere, so that logs stay clean.

    fields: names of the texts beside the bar, shown in that order. left: the column with the time left.
    options: of rich's Progress.
    """

    def __init__(self, shown: bool, fields: tuple[str, ...], left: ProgressColumn, **options: Any) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

        console = Console(stderr=True)
        *plain, last = fields
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", style="bold", markup=False),
            BarColumn(bar_width=28),
            *(TextColumn(f"{{task.fields[{name}]}}", markup=False) for name in plain),
            TextColumn(f"{{task.fields[{last}]}}", style="cyan", markup=False),
            left,
            console=console,
            transient=True,
            disable=not (shown and console.is_terminal),
            **options,
        )
        empty: dict[str, Any] = dict.fromkeys(fields, "")
        self._task = self._progress.add_task("", total=None, **empty)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


class Display(Bar):
    """The bar of a registration."""

    def __init__(self, shown: bool = True) -> None:
        from rich.progress import TimeRemainingColumn

        super().__init__(shown, ("similarity",), TimeRemainingColumn(compact=True))

    def stage(self, message: str) -> None:
        """Show a stage of unknown duration."""
        self._progress.remove_task(self._task)
        self._task = self._progress.add_task(printable(message), total=None, similarity="")

    def step(self, step: Step) -> None:
        """Show a step of a registration."""
        similarity = "" if step.similarity is None else f"similarity {step.similarity:.3f}"
        self._progress.update(
            self._task, total=1.0, completed=step.fraction, description=printable(step.message), similarity=similarity
        )
