"""The order of a paper's table: the folders of its studies, the files of its networks, and their training settings.

DIR/networks/prost.pt      a network, with its training folder beside it; plan.json: training time of each
DIR/C-A/                   the study of an arm: cases, results, tables, report
DIR/C-A/paper.json         the table it belongs to, and the networks used for its results
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from ...checks import InputError
from ...io import require_output
from ...settings import DeviceName, EngineName, NetworkCamera, SimilaritySettings, TrainingSettings, similarity_batch
from ..study.protocol import arm_named
from ..study.runner import StudyOrder
from .papers import PaperTable, TableNetwork, paper_table

NETWORKS = "networks"
# Minutes of pure training per network below which nothing useful is learned.
LEAST_MINUTES = 1.0


@dataclass(frozen=True)
class TableOrder:
    """Order to reproduce a paper's table, given by its name, on a CT.

    budget: minutes of training, shared by the networks that are missing. The rest is as in `StudyOrder`.
    """

    out: Path
    table: str
    volume: Path | None
    labels: Path | None = None
    structures: tuple[int, ...] = ()
    limit: int | None = None
    seed: int | None = None
    budget: float = 60.0
    workers: int = 1
    engine: EngineName = "auto"
    device: DeviceName = "auto"

    @property
    def paper(self) -> PaperTable:
        """The table's description; raises InputError for an unknown name."""
        return paper_table(self.table)

    def folder(self, arm: str) -> Path:
        """The folder of an arm's study."""
        return self.out / arm

    def network(self, name: str) -> Path:
        """The file of a network."""
        return self.out / NETWORKS / f"{name}.pt"

    def study(self, arm: str, methods: tuple[str, ...]) -> StudyOrder:
        """The study of methods on an arm's cases, with the networks that its rows need."""
        rows = next(some.rows for some in self.paper.arms if some.arm == arm)
        options = {
            row.method: {self._option(row.network): str(self.network(row.network))}
            for row in rows
            if row.network and row.method in methods
        }
        return StudyOrder(
            self.folder(arm),
            methods,
            arm,
            self.volume,
            self.labels,
            self.structures,
            limit=self.limit,
            seed=self.seed,
            workers=self.workers,
            engine=self.engine,
            device=self.device,
            options=options,
        )

    def training(self, network: TableNetwork, minutes: float) -> TrainingSettings:
        """How a network is trained: the poses and field of view of its arm, and our own settings otherwise."""
        arm = arm_named(network.arm)
        field_mm = arm.camera.size_px * arm.camera.pixel_mm
        camera = NetworkCamera(field_mm=field_mm, sid_mm=arm.camera.sid_mm)
        settings = TrainingSettings(
            minutes=minutes,
            seed=arm.seed if self.seed is None else self.seed,
            engine=self.engine,
            device=self.device,
            camera=camera,
            poses=arm.poses,
        )
        if network.architecture is None:
            return settings
        similarity = SimilaritySettings(architecture=network.architecture)
        return replace(settings, batch=similarity_batch(network.architecture), similarity=similarity)

    def _option(self, network: str) -> str:
        """The option through which methods are given a network."""
        return "network" if self.paper.network(network).architecture is None else "similarity"


def require_folder(order: TableOrder) -> None:
    """Raise InputError for a folder that cannot be written to, or that holds something other than such a table."""
    require_output(order.out)
    known = {NETWORKS, *(arm.arm for arm in order.paper.arms)}
    if order.out.is_dir() and any(entry.name not in known for entry in order.out.iterdir()):
        raise InputError(
            "--out",
            expected=f"an empty folder, a new one, or that of the table {order.table}",
            found=f"other files in {order.out}",
            remedy="name another folder",
        )
