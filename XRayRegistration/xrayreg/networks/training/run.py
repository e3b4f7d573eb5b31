"""A training run: read and prepare the CTs, make the validation images, train; yields one step at a time.

The run's folder beside the network (see `status`) shows the same to other programs.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ...checks import InputError, require_file
from ...io import prepare_output
from ...pieces import Story, retold
from ...render import choose_engine, warm_up
from ...settings import TrainingSettings
from ...settings.plain import from_plain
from ..data.pose_sampling import nominal_rotation
from ..data.sources import sources_of
from ..model.backbones import PoseNetwork, build_network
from ..model.canonical_frame import CanonicalFrame
from ..model.card import FrameCard, ModelCard, SubjectCard
from ..model.checkpoint import Checkpoint, load_checkpoint
from .distributed import Process, joined
from .lock import only_run
from .logger import RunLogger
from .loop import RunInputs, TrainingResult, train
from .schedule import require_sound
from .status import TrainStep, last_checkpoint
from .training_set import TrainingSet, prepare_training_set
from .validation import ValidationSet
from .validation_images import joined_sets, validation_set


@dataclass(frozen=True)
class TrainingOrder:
    """What is to be trained.

    volumes: one CT (file or DICOM folder) for a network of this patient, several or a folder of them for one of many.
    out: file for the network. settings: of the run. labels: label map, or a folder of them (see `data.sources`).
    structures: labels that are rendered, none for the whole volume.
    finetune: a network to start from; its architecture and camera take the place of the settings'.
    resume: continue where the last run for `out` stopped; all settings but the length are those of that run.
    """

    volumes: tuple[Path, ...]
    out: Path
    settings: TrainingSettings
    labels: Path | None = None
    structures: tuple[int, ...] = ()
    finetune: Path | None = None
    resume: bool = False


def train_network(
    order: TrainingOrder, asked_to_stop: Callable[[], bool] = lambda: False
) -> Story[TrainStep, TrainingResult]:
    """Train a network and keep the best one at `order.out`, a step at a time; see `loop.train`.

    The file `stop` in the run's folder ends it too. Started by torchrun, each process trains on batches of its own;
    the first one alone writes. Raises InputError while another run trains `order.out`, which is left alone, and for
    anything that cannot be used; the status then says failed.
    """
    require_sound(order.settings)
    _require_files(order)
    start = _start_of(order)
    settings = _settings_of(order, start)
    _, device, _ = choose_engine(settings.engine, settings.device)
    prepare_output(order.out.absolute().parent)
    with joined(device) as process, only_run(order.out) if process.leads else nullcontext("") as taken_over:
        logger = RunLogger(order.out, settings, process, start, taken_over)
        try:
            steps = _train(replace(order, settings=settings), start, process, logger, asked_to_stop)
            trained = yield from retold(steps, logger.log)
        except (KeyboardInterrupt, GeneratorExit):
            logger.log_end("stopped", "interrupted")
            raise
        except BaseException as error:
            logger.log_end("failed", " ".join(str(error).split()) or type(error).__name__)
            raise
        logger.log_end("stopped" if trained.ending in ("asked", "diverged") else "done", trained.reason)
        return trained


def _train(
    order: TrainingOrder,
    start: Checkpoint | None,
    process: Process,
    logger: RunLogger,
    asked_to_stop: Callable[[], bool],
) -> Story[TrainStep, TrainingResult]:
    sources = sources_of(order.volumes, order.labels)
    settings = replace(order.settings, network=order.settings.network.settled(len(sources), process.count))
    order = replace(order, settings=settings)
    frame = (
        CanonicalFrame(nominal_rotation(settings.poses), settings.poses.sod_mm)
        if start is None
        else start.network.frame
    )
    network = start.network if start is not None else _new_network(settings, frame)
    yield _preparing("loading the render engine")
    yield from retold(warm_up.pieces(settings.engine, settings.device), lambda part: None)
    training_set = yield from retold(
        prepare_training_set.pieces(sources, order.structures, settings, start), _preparing
    )
    try:
        if order.resume and start is not None and not _same(start.card.subjects, training_set.cards):
            raise _not_resumed("the CTs of the run", f"others ({sources[0].name})")
        validation = (yield from _validation_images(training_set, settings)) if process.leads else {}
        card = _card(order, training_set, frame, start, logger.notes)
        run = RunInputs(card, validation, order.out, start, training_set.template)

        def stop() -> bool:
            return asked_to_stop() or logger.asked_to_stop()

        return (yield from train(network, training_set.subjects, run, process, stop))
    finally:
        training_set.close()


def _validation_images(training_set: TrainingSet, settings: TrainingSettings) -> Story[TrainStep, ValidationSet]:
    """The validation images; of several patients each has its share of them, in other poses."""
    count = len(training_set.validated_on)
    sets = []
    for number, made in enumerate(training_set.validated_on):
        yield _preparing("making the images to judge by" + (f" ({number + 1} of {count})" if count > 1 else ""))
        share = replace(
            settings,
            validation_poses=-(-settings.validation_poses // count),
            validation_xrays=-(-settings.validation_xrays // count),
            seed=settings.seed + number,
        )
        sets.append((yield from validation_set.pieces(*made(), share)))
    return joined_sets(sets)


def _preparing(message: str) -> TrainStep:
    return TrainStep("preparing", message)


def _same(known: tuple[SubjectCard, ...], found: tuple[SubjectCard, ...]) -> bool:
    return {card.fingerprint for card in known} == {card.fingerprint for card in found}


def _start_of(order: TrainingOrder) -> Checkpoint | None:
    """The network that training starts from, with its training state where a run is resumed."""
    if order.resume:
        last = last_checkpoint(order.out)
        if not last.exists():
            raise _not_resumed("a run that was begun", f"nothing at {last}")
        start = load_checkpoint(last)
        if start.training_state is None:
            raise _not_resumed("the state of a run", f"a finished network at {last}")
        return start
    if order.finetune is None:
        return None
    return replace(load_checkpoint(order.finetune), training_state=None)


def _settings_of(order: TrainingOrder, start: Checkpoint | None) -> TrainingSettings:
    wanted = order.settings
    if start is None:
        return wanted
    known = start.card.settings
    if order.resume:
        return replace(
            known,
            minutes=wanted.minutes,
            iterations=wanted.iterations,
            engine=wanted.engine,
            device=wanted.device,
        )
    return replace(wanted, network=known.network, camera=known.camera)


def _card(
    order: TrainingOrder,
    training_set: TrainingSet,
    frame: CanonicalFrame,
    start: Checkpoint | None,
    notes: tuple[str, ...],
) -> ModelCard:
    if order.resume and start is not None:
        return replace(start.card, settings=order.settings, notes=tuple(dict.fromkeys((*start.card.notes, *notes))))
    return ModelCard(
        training_set.kind,
        order.settings,
        from_plain(FrameCard, frame.as_dict(), "frame"),
        training_set.cards,
        order.structures,
        parent="" if start is None else start.digest,
        notes=(*training_set.notes, *notes),
    )


def _new_network(settings: TrainingSettings, frame: CanonicalFrame) -> PoseNetwork:
    """An untrained network that depends on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return build_network(settings.network, settings.camera, frame)


def _require_files(order: TrainingOrder) -> None:
    for volume in order.volumes:
        require_file(volume, "volume")
    if order.labels is not None:
        require_file(order.labels, "labels")
    if order.out.suffix != ".pt" or order.out.is_dir():
        raise InputError(
            "network to write", expected="a file name that ends in .pt", found=str(order.out), remedy="--out model.pt"
        )


def _not_resumed(expected: str, found: str) -> InputError:
    return InputError("resume", expected=expected, found=found, remedy="train anew without --resume")
