"""A paper's table without mathematics: methods that come halfway, and training that writes untrained networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from benchmark.study import standins
from constant_networks import checkpoint_for

from xrayreg.benchmark.methods import METHODS, Method, MethodContext, MethodOutcome
from xrayreg.benchmark.tables.table_networks import Train
from xrayreg.benchmark.tables.table_order import TableOrder
from xrayreg.checks import InputError
from xrayreg.io import read_volume
from xrayreg.networks.data.pose_sampling import nominal_rotation
from xrayreg.networks.model.card import FrameCard, ModelCard, SubjectCard
from xrayreg.networks.model.checkpoint import AnyCheckpoint, SimilarityCheckpoint, save_checkpoint
from xrayreg.networks.model.fingerprint import fingerprint
from xrayreg.networks.model.similarity_table import build_for
from xrayreg.networks.training import TrainingOrder
from xrayreg.networks.training.loop import TrainingResult
from xrayreg.networks.training.status import OnTrainStep, TrainStep, last_checkpoint
from xrayreg.registration.results import OnStep
from xrayreg.scene import Scene

ITERATIONS = 400


def method(name: str) -> Method:
    """A stand-in under the name of one of our methods, with its needs."""
    known = METHODS[name]
    needs = tuple(need for need in known.needs if need != "initial")
    return Method(name, known.title, known.source, needs, _start if name == "initial" else _halfway)


def _start(scene: Scene, context: MethodContext, on_step: OnStep) -> MethodOutcome:
    return standins.method("start").run(scene, context, on_step)


def _halfway(scene: Scene, context: MethodContext, on_step: OnStep) -> MethodOutcome:
    """Without its way, which takes long to measure."""
    return replace(standins.method("halfway").run(scene, context, on_step), trace=())


def train(order: TrainingOrder, asked_to_stop: Callable[[], bool], on_step: OnTrainStep) -> TrainingResult:
    """Two steps of training, each of half the iterations; a line in networks/log for each time it was begun."""
    with (order.out.parent / "log").open("a", encoding="utf-8") as log:
        log.write(f"{order.out.stem} {order.resume} {order.settings.minutes:g}\n")
    on_step(TrainStep("preparing", "reading the CT"))
    last_checkpoint(order.out).parent.mkdir(exist_ok=True)
    for share in (0.5, 1.0):
        made = _network(order, share)
        save_checkpoint(order.out, made)
        save_checkpoint(last_checkpoint(order.out), made)
        ending = "asked" if asked_to_stop() else "time"
        on_step(TrainStep("training", "training", fraction=share, iteration=made.card.iteration))
        if ending == "asked":
            break
    return TrainingResult(order.out, made.card, ending, "the time is up")


def failing(name: str) -> Train:
    """The same, but for one network that cannot be trained."""

    def train_others(order: TrainingOrder, asked_to_stop: Callable[[], bool], on_step: OnTrainStep) -> TrainingResult:
        if order.out.stem == name:
            on_step(TrainStep("preparing", "reading the CT"))
            raise InputError("memory", expected="enough", found=f"too little for {name}", remedy="free some")
        return train(order, asked_to_stop, on_step)

    return train_others


def _network(order: TrainingOrder, share: float) -> AnyCheckpoint:
    settings, volume = order.settings, read_volume(order.volumes[0])
    rows = tuple(tuple(row) for row in nominal_rotation(settings.poses).tolist())
    card = ModelCard(
        "patient",
        settings,
        FrameCard(rows, settings.poses.sod_mm),  # type: ignore[arg-type]
        (SubjectCard("ct", fingerprint(volume), tuple(volume.grid.centre.tolist())),),  # type: ignore[arg-type]
        order.structures,
        iteration=round(share * ITERATIONS),
        images=round(share * ITERATIONS) * settings.batch,
        seconds=60 * share * settings.minutes,
    )
    if settings.similarity is None:
        return checkpoint_for(card)
    return SimilarityCheckpoint(card, build_for(settings))


def order(ct: Path, out: Path, table: str = "isbi2024", **changes: object) -> TableOrder:
    given = {"limit": 1, "engine": "torch", "device": "cpu", "budget": 30.0, **changes}
    return TableOrder(out, table, ct, **given)  # type: ignore[arg-type]


def begun(out: Path) -> list[str]:
    """What was trained, in the order in which it was begun: name, whether resumed, minutes."""
    return (out / "networks/log").read_text(encoding="utf-8").splitlines()
