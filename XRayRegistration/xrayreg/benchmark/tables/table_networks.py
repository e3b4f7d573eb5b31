"""The networks that a paper's table needs: which are missing, the training time of each, and how they were trained."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...checks import InputError
from ...io import prepare_output, write_json
from ...io.json_text import parse_json
from ...networks.model.card import ModelCard
from ...networks.model.checkpoint import load_any, read_card
from ...networks.training import TrainingOrder, train_network
from ...networks.training.loop import TrainingResult
from ...networks.training.status import OnTrainStep, TrainStep, last_checkpoint
from ...render import choose_device
from ...settings.plain import as_plain, from_plain
from ..study.summaries import processor
from .papers import PaperTraining, TableNetwork
from .table_order import LEAST_MINUTES, NETWORKS, TableOrder

PLAN = "plan.json"
# The settings that define a network; the others describe its training.
_KIND = ("similarity", "camera", "poses")

Train = Callable[[TrainingOrder, Callable[[], bool], OnTrainStep], TrainingResult]


@dataclass(frozen=True)
class TrainingPlan:
    """Content of networks/plan.json, by name of the network.

    budget: total minutes. minutes: of each. hardware: used for training each. ended: why training ended, for completed
    networks. failed: why the last training failed.
    """

    budget: float = 0.0
    minutes: dict[str, float] = field(default_factory=dict)
    hardware: dict[str, tuple[str, ...]] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainedNetwork:
    """A network as described in its rows.

    digest: of its file. minutes, iterations, images: of all its training. hardware: used for training, empty if
    unknown. ended: why training ended.
    """

    name: str
    digest: str
    minutes: float
    iterations: int
    images: int
    hardware: tuple[str, ...] = ()
    ended: str = ""


def missing_networks(order: TableOrder) -> tuple[TableNetwork, ...]:
    """The networks that do not exist, or whose training was interrupted."""
    plan = _plan_of(order)
    return tuple(network for network in order.paper.networks if not _is_done(order, plan, network.name))


def untrained_networks(order: TableOrder) -> Mapping[str, str]:
    """Reasons why missing networks could not be trained, by name."""
    failed = _plan_of(order).failed
    return {network.name: failed[network.name] for network in missing_networks(order) if network.name in failed}


def require_budget(order: TableOrder) -> None:
    """Raise InputError for a budget that is too small for the networks that are missing."""
    missing = missing_networks(order)
    least = LEAST_MINUTES * len(missing)
    if not math.isfinite(order.budget) or order.budget < least:
        names = ", ".join(network.name for network in missing)
        each = f" for each of {names}" if len(missing) > 1 else f" for {names}"
        raise InputError(
            "--budget",
            expected=f"at least {least:g} minutes, {LEAST_MINUTES:g}{each}",
            found=f"{order.budget:g}",
            remedy="give more, or bring trained networks to the folder networks",
        )


def train_missing(
    order: TableOrder,
    mark: str,
    tell: Callable[[str, TrainStep], None] = lambda name, step: None,
    asked_to_stop: Callable[[], bool] = lambda: False,
    train: Train = train_network,
) -> bool:
    """Train the missing networks, one after the other; returns False if it was asked to stop before the end.

    Interrupted trainings are resumed. A training that raises InputError does not prevent the others from being
    trained, see `untrained_networks`, and is retried the next time. mark: the CT's `fingerprint`. tell: called with the
    network's name and each step. Raises InputError for networks in the folder that do not belong to this order, and for
    a budget that is too small.
    """
    plan = _planned(order)
    for network in order.paper.networks:
        if _is_done(order, plan, network.name):
            _require_the_same(order, network, order.network(network.name), mark)
            continue
        then = _with_one_more(order, plan, network, mark, _Attempt(tell, asked_to_stop, train))
        if then is None:
            return False
        plan = then
    return True


def trained_networks(order: TableOrder) -> tuple[TrainedNetwork, ...]:
    """Descriptions of the table's networks that exist."""
    plan = _plan_of(order)
    found = []
    for network in order.paper.networks:
        if not _is_done(order, plan, network.name):
            continue
        file = order.network(network.name)
        # The network that is kept is the best one, which may have been reached before the end of training.
        last = last_checkpoint(file)
        card = read_card(last if last.exists() else file)
        found.append(
            TrainedNetwork(
                network.name,
                load_any(file).digest,
                card.seconds / 60,
                card.iteration,
                card.images,
                plan.hardware.get(network.name, ()),
                plan.ended.get(network.name, ""),
            )
        )
    return tuple(found)


def under_trained(found: TrainedNetwork, elsewhere: PaperTraining) -> str:
    """A sentence on how much less a network was trained than the paper's; empty if it was not."""
    if found.iterations >= elsewhere.iterations:
        return ""
    share = 100 * found.iterations / elsewhere.iterations
    batch = found.images / max(1, found.iterations)
    there = f"{elsewhere.iterations} iterations of {elsewhere.batch} images"
    there += f" in {elsewhere.minutes:g} minutes" if elsewhere.minutes else ""
    here = f"{found.iterations} iterations of {batch:g} images in {found.minutes:.3g} minutes"
    return f"Under-trained: {here}; {share:.2g} % of {there} ({elsewhere.source})."


def longer_training(order: TableOrder, found: TrainedNetwork, network: TableNetwork) -> tuple[str, ...]:
    """Command line arguments that continue a network's training to the paper's length, at its previous speed."""
    pace = found.minutes / max(1, found.iterations)
    minutes = math.ceil(max(2 * found.minutes, pace * network.elsewhere.iterations, LEAST_MINUTES))
    kind = () if network.architecture is None else ("--kind", "similarity", "--architecture", network.architecture)
    labels = () if order.labels is None else ("--labels", str(order.labels))
    bones = ("--structures", ",".join(map(str, order.structures))) if order.structures else ()
    files = ("--volume", str(order.volume), *labels, *bones, "--out", str(order.network(found.name)))
    return ("train", *kind, *files, "--resume", "--minutes", str(minutes))


@dataclass(frozen=True)
class _Attempt:
    """Progress callback, stop condition and function of a training."""

    tell: Callable[[str, TrainStep], None]
    asked_to_stop: Callable[[], bool]
    train: Train


def _with_one_more(
    order: TableOrder, plan: TrainingPlan, network: TableNetwork, mark: str, attempt: _Attempt
) -> TrainingPlan | None:
    """The plan after one more network was trained or failed; None if it was asked to stop before that."""
    name, file = network.name, order.network(network.name)
    resume = last_checkpoint(file).exists()
    if resume:
        _require_the_same(order, network, last_checkpoint(file), mark)
    known = plan.hardware.get(name, ()) if resume else ()
    hardware = {**plan.hardware, name: tuple(dict.fromkeys((*known, _hardware(order))))}
    failed = {other: why for other, why in plan.failed.items() if other != name}
    plan = _written(order, replace(plan, hardware=hardware, failed=failed))
    assert order.volume is not None
    settings = order.training(network, plan.minutes[name])
    wanted = TrainingOrder((order.volume,), file, settings, order.labels, order.structures, resume=resume)
    stop = attempt.asked_to_stop
    try:
        result = _trained(wanted, name, attempt)
    except InputError as error:
        plan = _written(order, replace(plan, failed={**failed, name: " ".join(str(error).split())}))
        return None if stop() else plan
    if result is None or (result.ending == "asked" and stop()):
        return None
    return _written(order, replace(plan, ended={**plan.ended, name: result.reason}))


def _is_done(order: TableOrder, plan: TrainingPlan, name: str) -> bool:
    """Whether a network exists and its training is complete; one without a training folder was supplied by the user."""
    file = order.network(name)
    return file.exists() and (name in plan.ended or not last_checkpoint(file).exists())


def _planned(order: TableOrder) -> TrainingPlan:
    """The plan with the minutes of every missing network; they stay the same if the same budget is given again."""
    plan, missing = _plan_of(order), missing_networks(order)
    prepare_output(order.out / NETWORKS)
    if plan.budget == order.budget and all(network.name in plan.minutes for network in missing):
        return plan
    require_budget(order)
    if not missing:
        return plan
    share = order.budget / len(missing)
    minutes = {**plan.minutes, **{network.name: share for network in missing}}
    return _written(order, replace(plan, budget=order.budget, minutes=minutes))


def _plan_of(order: TableOrder) -> TrainingPlan:
    file = order.out / NETWORKS / PLAN
    if not file.exists():
        return TrainingPlan()
    try:
        return from_plain(TrainingPlan, parse_json(file.read_text(encoding="utf-8"), PLAN), PLAN)
    except (OSError, ValueError):
        # It records training times and hardware; without it, only the networks' files describe them.
        return TrainingPlan()


def _written(order: TableOrder, plan: TrainingPlan) -> TrainingPlan:
    write_json(order.out / NETWORKS / PLAN, as_plain(plan))
    return plan


def _trained(wanted: TrainingOrder, name: str, attempt: _Attempt) -> TrainingResult | None:
    """The result of a training; None if it was asked to stop before there was a network."""

    def on_step(step: TrainStep) -> None:
        attempt.tell(name, step)
        if step.state == "preparing" and attempt.asked_to_stop():
            raise KeyboardInterrupt

    try:
        return attempt.train(wanted, attempt.asked_to_stop, on_step)
    except KeyboardInterrupt:
        if not attempt.asked_to_stop():
            raise
        return None


def _require_the_same(order: TableOrder, network: TableNetwork, file: Path, mark: str) -> None:
    """Raise InputError if a network is for another CT, structures, camera, poses or architecture than the order's."""
    card = read_card(file)
    different = _differences(card, order, network, mark)
    if different:
        raise InputError(
            f"network {file}",
            expected=f"the one that the table {order.table} needs",
            found=f"one with {' and '.join(different)}",
            remedy="name another --out, or take that file and its folder away to train it anew",
        )


def _differences(card: ModelCard, order: TableOrder, network: TableNetwork, mark: str) -> list[str]:
    wanted = order.training(network, 0.0)
    found = [
        f"another {name}" for name in _KIND if _plain(getattr(card.settings, name)) != _plain(getattr(wanted, name))
    ]
    if tuple(sorted(card.structures)) != tuple(sorted(order.structures)):
        found.append("other structures")
    if mark not in [subject.fingerprint for subject in card.subjects]:
        found.append("another CT")
    return found


def _plain(settings: Any) -> Mapping[str, Any] | None:
    return None if settings is None else as_plain(settings)


def _hardware(order: TableOrder) -> str:
    """The hardware used for training, as text."""
    device = choose_device(order.device)
    if device == "cpu":
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return f"{cores} {'core' if cores == 1 else 'cores'}, {processor()}"
    import torch

    return device if device == "mps" else torch.cuda.get_device_name()
