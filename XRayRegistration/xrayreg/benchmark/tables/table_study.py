"""Reproduction of a paper's table: cases, networks, every row on the same X-rays; existing results are reused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...io import write_json
from ...networks.training import train_network
from ...networks.training.status import TrainStep
from ...settings.plain import as_plain
from ..methods import Method, method_named
from ..study.reading import ARM, PAPER
from ..study.runner import StudyOrder, StudyStep, conduct
from ..study.study_folder import StudyFolder, room_for_results
from .paper_rows import TableRecord, read_record
from .papers import PaperArm
from .table_networks import Train, longer_training, require_budget, train_missing, trained_networks, untrained_networks
from .table_order import TableOrder, require_folder

START = "initial"


@dataclass(frozen=True)
class Listener:
    """Callbacks of a table's progress. studied: called with the arm's name and each step of its study. trained: called
    with the network's name and each step of its training. asked_to_stop: whether to end, with all results kept.
    """

    studied: Callable[[str, StudyStep], None] = lambda arm, step: None
    trained: Callable[[str, TrainStep], None] = lambda name, step: None
    asked_to_stop: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class TableOutcome:
    """How a table ended. stopped: whether it was asked to stop before the end. untrained: reasons why networks could
    not be trained, by name; their rows were left out.
    """

    stopped: bool = False
    untrained: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether every row was run."""
        return not self.stopped and not self.untrained


def run_table(
    order: TableOrder,
    listener: Listener | None = None,
    find: Callable[[str], Method] = method_named,
    train: Train = train_network,
) -> TableOutcome:
    """Reproduce a paper's table in `order.out`.

    The cases are made first, so that an unsuitable CT is refused before hours of training; then the missing networks
    are trained; then every row is run except those of networks that could not be trained, which the same order retries.
    If it is killed or asked to stop at any time, the same order continues where it stopped.
    Raises InputError as `conduct` and `train_missing` do, and for a folder with other content.
    """
    listener = listener or Listener()
    paper = order.paper
    require_folder(order)
    require_budget(order)
    for arm in paper.arms:
        if not _studied(order.study(arm.arm, (START,)), listener, find):
            return TableOutcome(stopped=True)
    mark = _fingerprint(order.folder(paper.arms[0].arm))
    if not train_missing(order, mark, listener.trained, listener.asked_to_stop, train):
        return TableOutcome(stopped=True)
    untrained = untrained_networks(order)
    for arm in paper.arms:
        _note_networks(order, arm)
        methods = tuple(row.method for row in arm.rows if row.network not in untrained)
        if not _studied(order.study(arm.arm, methods), listener, find):
            return TableOutcome(True, untrained)
    return TableOutcome(False, untrained)


def _studied(order: StudyOrder, listener: Listener, find: Callable[[str], Method]) -> bool:
    """Run a study; returns False if it was asked to stop before the end."""
    assert order.arm is not None
    arm = order.arm

    def pause() -> None:
        if listener.asked_to_stop():
            raise KeyboardInterrupt

    try:
        conduct(order, find, lambda step: listener.studied(arm, step), pause)
    except KeyboardInterrupt:
        if not listener.asked_to_stop():
            raise
        return False
    return True


def _note_networks(order: TableOrder, arm: PaperArm) -> None:
    """Record which networks the arm's rows use, and remove the results of earlier ones.

    A network whose training was continued in the meantime has another digest; its rows are run again.
    """
    networks, failed = {found.name: found for found in trained_networks(order)}, untrained_networks(order)
    needed = dict.fromkeys(row.network for row in arm.rows if row.network)
    used = tuple(networks[name] for name in needed if name in networks)
    commands = tuple(longer_training(order, network, order.paper.network(network.name)) for network in used)
    untrained = {name: failed[name] for name in needed if name in failed}
    record = TableRecord(order.table, arm.arm, used, commands, untrained)
    folder = StudyFolder(order.folder(arm.arm))
    with room_for_results(folder.path), folder.alone():
        before = read_record(folder.path)
        known = {} if before is None else {found.name: found.digest for found in before.networks}
        stale = [network.name for network in used if known.get(network.name) != network.digest] + list(untrained)
        # Results are removed before the record is written: if killed in between, this is repeated.
        folder.drop([row.method for row in arm.rows if row.network in stale])
        write_json(folder.path / PAPER, as_plain(record))


def _fingerprint(folder: Path) -> str:
    """The fingerprint of a study's CT."""
    return str(json.loads((folder / ARM).read_text(encoding="utf-8"))["volume"]["fingerprint"])
