"""One registration from a case file to a folder of results."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from ..printing import printable
from ..reasons import NoteCode, noted
from ..settings import RegistrationSettings
from .progress import Display

if TYPE_CHECKING:
    from ..io import CaseFile
    from ..registration.results import OnStep, Registration, Step
    from ..scene import Scene

ACCEPTED, REJECTED, INTERRUPTED = 0, 3, 130
LEFT_OUT = "The pictures and the report were left out: Ctrl-C came while they were drawn."


@dataclass(frozen=True)
class CaseOutcome:
    """The content of result.json, its folder, and the exit code."""

    content: dict[str, Any]
    folder: Path
    code: int


@dataclass(frozen=True)
class Keeping:
    """Additional output: the report's title, and the text of the case.json, if any."""

    title: str
    case: str | None


def register_case(
    case: Path | CaseFile,
    out: Path,
    settings: RegistrationSettings,
    display: Display,
    pictures: bool = True,
    title: str = "",
) -> CaseOutcome:
    """Register a case and write its results to the folder `out`, all of them or none.

    case: the path of a case.json, or a case made of files, which is then written beside the result (see `kept_text`).
    Ctrl-C ends it with the best pose so far, flagged as interrupted; before there is one, KeyboardInterrupt is raised.
    Once the registration is done, Ctrl-C only skips the pictures (see `_written`).
    Raises InputError for unusable inputs, with nothing written.
    """
    from ..registration.pipeline import warmed_up
    from ..registration.results import Registration
    from ..render import choose_engine
    from .interrupted import write_interrupted

    _, _, engine = choose_engine(settings.engine, settings.device)
    scene, load_seconds = _loaded(case, out, settings, display)
    keeping = Keeping(title or title_of(case), kept_text(case, out))
    display.stage("loading the render engine (compiled on its first run)")
    compile_seconds = warmed_up(settings)
    started = time.perf_counter()
    result = _followed(scene, settings, load_seconds, display)
    if isinstance(result, Registration):
        if compile_seconds > 0:
            result.seconds["compile"] = compile_seconds
        content = _written(out, scene, result.as_dict(), keeping, settings, display, pictures)
        return CaseOutcome(content, out, ACCEPTED if result.verdict.accepted else REJECTED)
    display.stage("writing the result without pictures")
    seconds = {"load": load_seconds, "total": load_seconds + time.perf_counter() - started}
    return CaseOutcome(write_interrupted(out, scene, result, engine, seconds, keeping.case), out, INTERRUPTED)


def estimate_case(
    case: Path | CaseFile, out: Path, settings: RegistrationSettings, display: Display, pictures: bool = True
) -> CaseOutcome:
    """Write a network's pose for a case to the folder `out`, neither refined nor judged; all files or none.

    Raises InputError for anything that cannot be used, with nothing written.
    """
    from ..registration.pipeline import estimate

    scene, load_seconds = _loaded(case, out, settings, display)
    keeping = Keeping(title_of(case), kept_text(case, out))
    display.stage("running the network")
    found = estimate(scene, settings, load_seconds)
    content = _written(out, scene, found.as_dict(), keeping, settings, display, pictures)
    return CaseOutcome(content, out, REJECTED)


def _written(
    out: Path,
    scene: Scene,
    content: dict[str, Any],
    keeping: Keeping,
    settings: RegistrationSettings,
    display: Display,
    pictures: bool,
) -> dict[str, Any]:
    """Write a finished result to the folder `out`; returns the content of result.json.

    Ctrl-C skips the pictures, which a note then reports: the result of minutes of computation is kept without them.
    A second Ctrl-C is raised as KeyboardInterrupt, with nothing written.
    """
    from ..registration.results import unheeded, with_notes
    from ..report import write_results

    def write(content: dict[str, Any], drawn: bool, on_step: OnStep = unheeded) -> dict[str, Any]:
        return write_results(
            out,
            scene,
            content,
            printable(keeping.title),
            # As "before" the case's initial pose is more informative than the best of a search.
            before=scene.initial,
            pictures=drawn,
            engine=settings.engine,
            device=settings.device,
            case=keeping.case,
            on_step=on_step,
        )

    display.stage("drawing the pictures" if pictures else "writing the result")
    with ctrl_c_noted() as asked_to_stop:

        def on_step(step: Step) -> None:
            if asked_to_stop():
                raise _PicturesLeftOut

        try:
            return write(content, pictures, on_step)
        except _PicturesLeftOut:
            pass
        except KeyboardInterrupt:
            # The second Ctrl-C, unless a library raised the first by itself.
            if asked_to_stop() or not pictures:
                raise
    display.stage("writing the result without pictures")
    return write(with_notes(content, noted(NoteCode.PICTURES, [LEFT_OUT])), False)


class _PicturesLeftOut(Exception):
    """Ctrl-C came while the pictures were drawn."""


def kept_text(case: Path | CaseFile, out: Path) -> str | None:
    """The text of the case.json that belongs beside the result in `out`, so that the run can be repeated, or None.

    A case made of files is written there. One written there by an earlier run and registered again is kept.
    """
    from ..io import case_text
    from ..report import CASE, files_of_earlier

    if not isinstance(case, Path):
        return case_text(case, out.resolve())
    again = case.name == CASE and case.parent.resolve() == out.resolve() and CASE in files_of_earlier(out)
    return case.read_text(encoding="utf-8-sig") if again else None


def title_of(case: Path | CaseFile) -> str:
    """The title of a report."""
    return case.stem if isinstance(case, Path) else f"{case.views[0].image.name} and {case.volume.name}"


def _loaded(case: Path | CaseFile, out: Path, settings: RegistrationSettings, display: Display) -> tuple[Scene, float]:
    """The scene of a case and the seconds it took to read; other required files are checked to exist."""
    from ..checks import require_regular
    from ..io import open_case, parse_case, require_output
    from ..registration.starts import network_file

    require_output(out)
    network_file(settings.init)
    if settings.similarity is not None:
        require_regular(Path(settings.similarity), "similarity")
    display.stage("reading the case")
    started = time.perf_counter()
    scene = open_case(parse_case(case) if isinstance(case, Path) else case)
    return scene, time.perf_counter() - started


def _followed(
    scene: Scene, settings: RegistrationSettings, load_seconds: float, display: Display
) -> Registration | Step:
    """A registration, or the last step with a pose where Ctrl-C ended it."""
    from ..registration.pipeline import register

    last: Step | None = None
    with ctrl_c_noted() as asked_to_stop:

        def on_step(step: Step) -> None:
            nonlocal last
            display.step(step)
            last = step if step.camera_from_volume is not None else last
            if asked_to_stop():
                raise KeyboardInterrupt

        try:
            return register(scene, settings, on_step, load_seconds)
        except KeyboardInterrupt:
            if last is None:
                raise
            return last


@contextmanager
def ctrl_c_noted() -> Iterator[Callable[[], bool]]:
    """Within this context the first Ctrl-C is only recorded, to take effect between steps; the second acts at once.

    Raised within a step it could be lost in a library's callback. Signal handlers can only be set in the main thread.
    """
    noted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield noted.is_set
        return

    def note(number: int, frame: FrameType | None) -> None:
        if noted.is_set():
            raise KeyboardInterrupt
        noted.set()

    before = signal.signal(signal.SIGINT, note)
    try:
        yield noted.is_set
    finally:
        signal.signal(signal.SIGINT, before)
