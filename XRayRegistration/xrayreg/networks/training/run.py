"""A training run: read and prepare the CTs, make the validation images, train.

The run's folder beside the network (see `status`) reports the progress to other programs.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from ...checks import InputError, require_file
from ...io import prepare_output
from ...render import choose_engine, warm_up
from ...settings import SimilaritySettings, TrainingSettings
from ...settings.plain import from_plain
from ..data.pose_sampling import nominal_rotation
from ..data.sources import sources_of
from ..model.backbones import PoseNetwork, build_network
from ..model.canonical_frame import CanonicalFrame
from ..model.card import FrameCard, ModelCard, SubjectCard
from ..model.checkpoint import (
    AnyCheckpoint,
    Checkpoint,
    SimilarityCheckpoint,
    load_checkpoint,
    load_similarity,
    read_card,
)
from ..model.learned_similarity import LearnedSimilarity
from ..model.similarity_table import build_for
from .distributed import Process, joined
from .embedding_lesson import similarity_lesson
from .lesson import Lesson
from .lock import only_run
from .logger import RunLogger
from .loop import RunInputs, TrainingResult, train
from .pose_regression import PoseRegression
from .schedule import require_sound
from .similarity_validation import joined_pairs, pairs_of_ct
from .status import OnTrainStep, TrainStep, last_checkpoint
from .training_set import TrainingSet, prepare_training_set
from .validation_images import joined_sets, validation_set


@dataclass(frozen=True)
class TrainingOrder:
    """Specification of a training run.

    volumes: one CT (file or DICOM folder) for a patient-specific network, several or a folder of them otherwise.
    out: file for the network. settings: of the run. labels: label map, or a folder of them (see `data.sources`).
    structures: labels that are rendered, none for the whole volume.
    finetune: a network to start from; its architecture and camera replace the settings'.
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
    order: TrainingOrder,
    asked_to_stop: Callable[[], bool] = lambda: False,
    on_step: OnTrainStep = lambda step: None,
) -> TrainingResult:
    """Train a network and keep the best one at `order.out`; see `loop.train`.

    on_step: called with every step; an error that it raises ends the run and reaches the caller; KeyboardInterrupt
    counts as a requested stop. The file `stop` in the run's folder ends it too. Started by torchrun, each process
    trains on its own batches; only the first one writes. Raises InputError while another run trains `order.out`, which
    is not affected, and for unusable inputs; the status is then "failed".
    """
    require_sound(order.settings)
    _require_files(order)
    start = _start_of(order)
    settings = _settings_of(order, start)
    _, device, _ = choose_engine(settings.engine, settings.device)
    prepare_output(order.out.absolute().parent)
    with joined(device) as process, only_run(order.out) if process.leads else nullcontext("") as taken_over:
        logger = RunLogger(order.out, settings, process, start, taken_over)

        def logged(step: TrainStep) -> None:
            logger.log(step)
            on_step(step)

        try:
            trained = _train(replace(order, settings=settings), start, process, logger, asked_to_stop, logged)
        except KeyboardInterrupt:
            logger.log_end("stopped", "interrupted")
            raise
        except BaseException as error:
            logger.log_end("failed", " ".join(str(error).split()) or type(error).__name__)
            raise
        logger.log_end("stopped" if trained.ending in ("asked", "diverged") else "done", trained.reason)
        return trained


def _train(
    order: TrainingOrder,
    start: AnyCheckpoint | None,
    process: Process,
    logger: RunLogger,
    asked_to_stop: Callable[[], bool],
    on_step: OnTrainStep,
) -> TrainingResult:
    def preparing(message: str) -> None:
        on_step(_preparing(message))

    sources = sources_of(order.volumes, order.labels)
    settings = replace(order.settings, network=order.settings.network.settled(len(sources), process.count))
    order = replace(order, settings=settings)
    frame = _frame_of(settings, start)
    preparing("loading the render engine")
    learned_maps = settings.similarity is not None and settings.similarity.volume_network
    warm_up(settings.engine, settings.device, learned_maps)
    training_set = prepare_training_set(sources, order.structures, settings, start, preparing)
    try:
        if order.resume and start is not None and not _same(start.card.subjects, training_set.cards):
            raise _not_resumed("the CTs of the run", f"others ({sources[0].name})")
        lesson = _lesson(training_set, settings, start, frame, process, preparing)
        run = RunInputs(_card(order, training_set, frame, start, logger.notes), order.out, start)

        def stop() -> bool:
            return asked_to_stop() or logger.asked_to_stop()

        return train(lesson, run, process, stop, on_step)
    finally:
        training_set.close()


def _lesson(
    training_set: TrainingSet,
    settings: TrainingSettings,
    start: AnyCheckpoint | None,
    frame: CanonicalFrame,
    process: Process,
    preparing: Callable[[str], object],
) -> Lesson:
    """The lesson specified by the settings, with the network of `start` or an untrained one.

    Several patients share the validation images, at different poses; only the leading process validates.
    """
    makers = training_set.validated_on if process.leads else ()
    shares = [
        (made, _share_of(settings, number, len(makers)), _making_images(number, len(makers)))
        for number, made in enumerate(makers)
    ]
    if settings.similarity is None:
        sets = []
        for made, share, message in shares:
            preparing(message)
            sets.append(validation_set(*made(), share))
        network = start.network if isinstance(start, Checkpoint) else _untrained(settings, frame)
        return PoseRegression(network, training_set.subjects, joined_sets(sets), training_set.template)
    pairs = []
    for made, share, message in shares:
        preparing(message)
        pairs.append(pairs_of_ct(*made(), share))
    similarity = start.network if isinstance(start, SimilarityCheckpoint) else _untrained_similarity(settings)
    return similarity_lesson(similarity, training_set.subjects, joined_pairs(pairs), training_set.template)


def _share_of(settings: TrainingSettings, number: int, count: int) -> TrainingSettings:
    return replace(
        settings,
        validation_poses=-(-settings.validation_poses // count),
        validation_xrays=-(-settings.validation_xrays // count),
        seed=settings.seed + number,
    )


def _making_images(number: int, count: int) -> str:
    return "making the images to judge by" + (f" ({number + 1} of {count})" if count > 1 else "")


def _preparing(message: str) -> TrainStep:
    return TrainStep("preparing", message)


def _same(known: tuple[SubjectCard, ...], found: tuple[SubjectCard, ...]) -> bool:
    return {card.fingerprint for card in known} == {card.fingerprint for card in found}


def _start_of(order: TrainingOrder) -> AnyCheckpoint | None:
    """The network that training starts from, with its training state where a run is resumed."""
    if order.resume:
        last = last_checkpoint(order.out)
        if not last.exists():
            raise _not_resumed("a run that was begun", f"nothing at {last}")
        start = _loaded(last, order.settings)
        if start.training_state is None:
            raise _not_resumed("the state of a run", f"a finished network at {last}")
        return start
    if order.finetune is None:
        return None
    return replace(_loaded(order.finetune, order.settings), training_state=None)


def _loaded(path: Path, settings: TrainingSettings) -> AnyCheckpoint:
    """The network in a file; raises InputError where it is not of the kind to be trained."""
    wanted, kinds = settings.similarity is not None, ("a network that predicts poses", "a learned similarity")
    found = read_card(path).is_similarity
    if found != wanted:
        raise InputError(
            f"network {path.name}",
            expected=kinds[wanted],
            found=kinds[found],
            remedy=f"use --kind {'similarity' if found else 'pose'}",
        )
    return load_similarity(path) if wanted else load_checkpoint(path)


def _settings_of(order: TrainingOrder, start: AnyCheckpoint | None) -> TrainingSettings:
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
    return replace(
        wanted,
        network=known.network,
        camera=known.camera,
        similarity=_of_the_network(wanted.similarity, known.similarity),
    )


def _of_the_network(wanted: SimilaritySettings | None, known: SimilaritySettings | None) -> SimilaritySettings | None:
    """The requested settings, with architecture, inputs and their units replaced by those of the network."""
    if wanted is None or known is None:
        return known
    kept = ("architecture", "width", "volume_network", "decomposition", "fixed", "scale_mm")
    return replace(wanted, **{name: getattr(known, name) for name in kept})


def _card(
    order: TrainingOrder,
    training_set: TrainingSet,
    frame: CanonicalFrame,
    start: AnyCheckpoint | None,
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
        notes=(*training_set.notes, *_departures(order.settings.similarity), *notes),
    )


def _departures(similarity: SimilaritySettings | None) -> tuple[str, ...]:
    """Differences of a similarity's network from the published one, for its card."""
    if similarity is None or similarity.architecture == "embedding":
        return ()
    notes = []
    if not similarity.volume_network:
        notes.append("the published 3D network is left out, so the CT is projected as it is (--volume-network adds it)")
    if similarity.width != 1:
        notes.append(f"layers are {similarity.width:g} times as wide as published, for speed")
    if similarity.gradient_loss == "angle":
        notes.append("it learned the angle between whole gradients, not the published losses (--gradient-loss)")
    return tuple(notes)


def _frame_of(settings: TrainingSettings, start: AnyCheckpoint | None) -> CanonicalFrame:
    if start is not None:
        return CanonicalFrame.from_dict(asdict(start.card.frame))
    return CanonicalFrame(nominal_rotation(settings.poses), settings.poses.sod_mm)


def _untrained(settings: TrainingSettings, frame: CanonicalFrame) -> PoseNetwork:
    """An untrained network that depends on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return build_network(settings.network, settings.camera, frame)


def _untrained_similarity(settings: TrainingSettings) -> LearnedSimilarity:
    """The same for a similarity."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return build_for(settings)


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
