"""`train`: a network that predicts the C-arm's pose from one X-ray, or a similarity of X-ray and CT."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ..printing import printable
from ..settings import DISTRIBUTIONS, NetworkSettings, SimilaritySettings, TrainingSettings, similarity_batch
from .options import MOST_MM, PROGRAM, add_command, add_settings, add_structures, number, one_of, place, whole
from .terminal import printable_json

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.table import Table

    from ..networks.model.card import MedianAngles, MedianErrors, ModelCard
    from ..networks.training import TrainingOrder
    from ..networks.training.loop import TrainingResult
    from ..networks.training.status import TrainStep

FINISHED, DIVERGED, INTERRUPTED = 0, 3, 130
KINDS = ("pose", "similarity")
# Names of the gradients in a table of angles.
GRADIENT_NAMES = {"network": "network", "zncc": "ZNCC", "gradient_correlation": "gradient correlation"}
# Options whose default depends on the kind, or that only one kind has: left out, they are None.
_OF_POSES = tuple(name for name, field in NetworkSettings.__dataclass_fields__.items() if "help" in field.metadata)
_OF_SIMILARITIES = ("architecture", "width", "decomposition", "gradient_loss", "volume_network")


def add_to(commands: Any) -> None:
    """Add the command to the parser's commands."""
    parser = add_command(
        commands,
        "train",
        run,
        "train a network on X-rays simulated from a CT, to start registrations from or to compare images with",
        (
            "--volume ct.nii.gz --out model.pt --minutes 5",
            "--volume ct.nii.gz --camera case.json --distribution pelvis --out model.pt",
            "--volume folder_of_cts --out pelvis.pt --minutes 2000",
            "--volume ct.nii.gz --finetune pelvis.pt --out patient.pt --minutes 2",
            "--kind similarity --architecture prost --volume ct.nii.gz --out similarity.pt --minutes 30",
        ),
    )
    parser.add_argument(
        "--out", type=place, metavar="FILE", required=True, help="file for the network, such as model.pt"
    )
    parser.add_argument(
        "--volume",
        type=place,
        metavar="CT",
        action="extend",
        nargs="+",
        required=True,
        help="NIfTI, NRRD, MHA, or a DICOM folder; several, or a folder of them, make a network for many patients",
    )
    parser.add_argument(
        "--kind",
        type=one_of(KINDS),
        metavar="|".join(KINDS),
        default="pose",
        help="what the network is to do: predict poses, or compare an X-ray with a CT at any pose (default: pose)",
    )
    add_structures(parser, "; for many patients a folder of maps, or ct_labels.nii.gz beside each ct.nii.gz")
    poses = parser.add_argument_group("X-rays to train on")
    poses.add_argument(
        "--distribution",
        type=one_of(tuple(DISTRIBUTIONS)),
        metavar="|".join(DISTRIBUTIONS),
        default="chen",
        help="where the C-arm may stand (default: chen)",
    )
    poses.add_argument(
        "--camera", type=place, metavar="CASE", help="cover the geometry of the first X-ray of this case"
    )
    length = number(1.0, MOST_MM)
    numbers: tuple[tuple[str, Callable[[str], float], str], ...] = (
        ("--sid", length, "distance from the source to the detector [mm]"),
        ("--field", length, "edge of the square detector [mm]"),
        ("--sod", length, "distance from the source to the isocentre [mm]"),
        ("--pixels", whole(1, 2048), "edge of the network's images [pixels]"),
    )
    for name, kind, text in numbers:
        poses.add_argument(name, type=kind, metavar="N", help=f"{text} (default: the preset's)")
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        "--finetune", type=place, metavar="MODEL", help="begin with this network instead of an untrained one"
    )
    start.add_argument("--resume", action="store_true", help="go on where the last run for --out stopped")
    add_settings(parser, TrainingSettings)
    add_settings(parser.add_argument_group("networks that predict poses"), NetworkSettings)
    similarity = parser.add_argument_group("similarities (--kind similarity)")
    add_settings(similarity, SimilaritySettings)
    similarity.add_argument(
        "--volume-network",
        action="store_true",
        default=None,
        help="refine the CT with a 3D network too, as published; on CPUs a step then takes many times as long",
    )
    parser.set_defaults(batch=None, **dict.fromkeys((*_OF_POSES, *_OF_SIMILARITIES)))
    parser.add_argument("--json", action="store_true", help="print what was trained as JSON instead of a table")
    parser.add_argument("--quiet", action="store_true", help="no progress and no table")
    parser.epilog = (
        f"{parser.epilog}\nBeside the network lies a folder with the learning curve; a file named stop in it ends the"
        "\nrun, as Ctrl-C does, and the best network so far stays. While it lives, a second run for the same --out is"
        "\nrefused; one that was killed is resumed as any other.\n"
        "\nexit codes: 0 trained, 3 stopped because training failed (the best network so far stays), 2 bad input,\n"
        "130 interrupted (the best network so far stays)\n"
    )


def run(arguments: argparse.Namespace) -> int:
    """Train, and print the network's validation errors."""
    from .session import ctrl_c_noted

    # Started by torchrun, only the first of several processes prints.
    leads = os.environ.get("RANK", "0") == "0"
    order = order_of(arguments)
    with ctrl_c_noted() as interrupted, TrainingDisplay(shown=leads and not arguments.quiet) as display:
        trained = _followed(order, display, interrupted)
    if leads and arguments.json:
        content = {"model": str(order.out), "reason": trained.reason, **trained.card.as_dict()}
        print(printable_json(json.dumps(content, indent=1, ensure_ascii=False)))
    elif leads and not arguments.quiet:
        show_trained(trained)
    return DIVERGED if trained.ending == "diverged" else INTERRUPTED if interrupted() else FINISHED


def order_of(arguments: argparse.Namespace) -> TrainingOrder:
    """The training specified by the options; raises InputError."""
    from ..checks import require_file
    from ..networks.training import TrainingOrder

    return TrainingOrder(
        tuple(require_file(Path(volume), "volume") for volume in arguments.volume),
        Path(arguments.out),
        _settings_of(arguments),
        None if arguments.labels is None else Path(arguments.labels),
        arguments.structures,
        None if arguments.finetune is None else Path(arguments.finetune),
        arguments.resume,
    )


def _settings_of(arguments: argparse.Namespace) -> TrainingSettings:
    given = {name: value for name, value in vars(arguments).items() if value is not None}
    _require_options_of_kind(arguments.kind, given)
    plain = TrainingSettings(
        **{name: given[name] for name in TrainingSettings.__dataclass_fields__ if name in given and name != "camera"}
    )
    network = NetworkSettings(**{name: given[name] for name in _OF_POSES if name in given})
    if arguments.kind == "similarity":
        similarity = SimilaritySettings(**{name: given[name] for name in _OF_SIMILARITIES if name in given})
        plain = replace(
            plain, similarity=similarity, batch=given.get("batch", similarity_batch(similarity.architecture))
        )
    poses, camera = DISTRIBUTIONS[arguments.distribution], plain.camera
    if arguments.pixels is not None:
        camera = replace(camera, image_px=arguments.pixels)
    if arguments.camera is not None:
        from ..io import read_case
        from ..networks.model.network_camera import network_camera_for

        camera = network_camera_for(read_case(arguments.camera).views[0].camera, camera.image_px)
    lengths = {"sid_mm": arguments.sid, "field_mm": arguments.field}
    camera = replace(camera, **{name: length for name, length in lengths.items() if length is not None})
    if arguments.sod is not None:
        poses = replace(poses, sod_mm=arguments.sod)
    return replace(plain, network=network, poses=poses, camera=camera)


def _require_options_of_kind(kind: str, given: dict[str, Any]) -> None:
    """Raise InputError for an option that does not apply to this kind."""
    from ..checks import InputError

    for name in _OF_POSES if kind == "similarity" else _OF_SIMILARITIES:
        if name in given:
            option = f"--{name.replace('_', '-')}"
            raise InputError(
                option,
                expected=f"--kind {'pose' if kind == 'similarity' else 'similarity'} with it",
                found=f"--kind {kind}",
                remedy=f"leave out {option}, or train the other kind",
            )


def _followed(order: TrainingOrder, display: TrainingDisplay, interrupted: Any) -> TrainingResult:
    from ..networks.training import train_network

    def on_step(step: TrainStep) -> None:
        display.step(step)
        if step.state == "preparing" and interrupted():
            # There is no network to keep yet.
            raise KeyboardInterrupt

    return train_network(order, interrupted, on_step)


class TrainingDisplay:
    """A progress bar on standard error where that is a terminal; nothing elsewhere."""

    def __init__(self, shown: bool = True) -> None:
        self._progress: Progress | None = None
        if not shown:
            # Training works without rich too, as in Slicer's Python.
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

        console = Console(stderr=True)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", style="bold", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.fields[figures]}", style="cyan"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("preparing", total=None, left="", figures="")

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def step(self, step: TrainStep) -> None:
        """Show a step of the run."""
        if self._progress is None:
            return
        preparing = step.state == "preparing"
        self._progress.update(
            self._task,
            description=printable(step.message if preparing else step.state),
            total=None if preparing else 1.0,
            completed=step.fraction,
            left="" if preparing or step.seconds_left is None else f"{_clock(step.seconds_left)} left",
            figures=figures_of(step),
        )


def figures_of(step: TrainStep) -> str:
    """Loss, speed and the latest validation, briefly."""
    told = []
    if step.loss is not None:
        told.append(f"loss {step.loss:.1f}")
    if step.images_per_second is not None:
        told.append(f"{step.images_per_second:.0f} images/s")
    if step.validation:
        told.append(f"validation {_brief(step.validation)}")
    return ", ".join(told)


def _brief(figures: Mapping[str, MedianErrors] | Mapping[str, MedianAngles]) -> str:
    from ..networks.model.card import MedianErrors

    errors = [found.mtre_mm for found in figures.values() if isinstance(found, MedianErrors)]
    if errors:
        return " / ".join(f"{error:.1f}" for error in errors) + " mm"
    return " / ".join(f"{found.whole_deg:.0f}" for found in figures.values() if hasattr(found, "whole_deg")) + " deg"


def show_trained(trained: TrainingResult) -> None:
    """Print the validation errors, the network's file, and how to use it."""
    from rich.console import Console
    from rich.text import Text

    console, card = Console(highlight=False), trained.card
    figures = (
        "Median angles between pose gradient and geodesic gradient, on simulated X-rays, 20 to 100 mm from the truth:"
        if card.is_similarity
        else "Median errors on new poses:"
    )
    said = f"Trained on {card.images} images in {_clock(card.seconds)} ({trained.reason}). {figures}"
    console.print(Text(printable(said)))
    console.print(_angles(card) if card.is_similarity else _errors(card))
    for note in card.notes:
        console.print(Text(printable(f"Note: {note}"), style="dim"))
    # Not wrapped, so that it can be copied.
    console.print(Text(printable(f"Network: {trained.path}")), soft_wrap=True)
    use = f"{'--similarity' if card.is_similarity else '--init'} {trained.path}"
    console.print(Text(printable(f"Use it:  {PROGRAM} register case.json {use} --out result")), soft_wrap=True)


def _errors(card: ModelCard) -> Table:
    from rich.text import Text

    table = _table(("rotation", "x", "y", "depth", "mTRE", "images"))
    for kind, errors in card.validation.items():
        named = {"clean": "DRRs", "physics": "simulated X-rays"}.get(kind, kind)
        table.add_row(Text(printable(named)), *_row(errors))
    return table


def _angles(card: ModelCard) -> Table:
    from rich.text import Text

    table = _table(("whole", "rotation", "translation", "poses"))
    for kind, found in card.angles.items():
        parts = (found.whole_deg, found.rotation_deg, found.translation_deg)
        named = Text(printable(GRADIENT_NAMES.get(kind, kind)))
        table.add_row(named, *(f"{angle:.0f} deg" for angle in parts), str(found.poses))
    return table


def _table(names: tuple[str, ...]) -> Table:
    """An empty table; the last column, a count, is less prominent."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("")
    for name in names:
        table.add_column(name, justify="right", style="dim" if name == names[-1] else "")
    return table


def _row(errors: MedianErrors) -> list[str]:
    values = asdict(errors)
    lengths = [f"{values[name]:.1f} mm" for name in ("x_mm", "y_mm", "depth_mm", "mtre_mm")]
    return [f"{errors.rotation_deg:.1f} deg", *lengths, str(errors.images)]


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} min"
