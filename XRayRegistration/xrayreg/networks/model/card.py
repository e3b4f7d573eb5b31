"""The model card of a trained network: training data, settings and accuracy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from ...settings import TrainingSettings
from ...settings.plain import as_plain, from_plain

# patient: trained on one CT; agnostic: on many; finetuned: on one CT, starting from another network.
ModelKind = Literal["patient", "agnostic", "finetuned"]

RowOf3 = tuple[float, float, float]
RowOf4 = tuple[float, float, float, float]
RigidRows = tuple[RowOf4, RowOf4, RowOf4, RowOf4]
IDENTITY: RigidRows = ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))


@dataclass(frozen=True)
class MedianErrors:
    """Median errors of predicted poses over `images` images.

    rotation_deg: angle between predicted and true rotation. x_mm, y_mm, depth_mm: distance of the isocentre along the
    camera's axes, sideways ones at the isocentre. mtre_mm: mean distance of the corners of the anatomy's box in the
    camera frame. nearest_mtre_mm: the same for the hypothesis nearest to the truth, instead of the most probable.
    """

    rotation_deg: float
    x_mm: float
    y_mm: float
    depth_mm: float
    mtre_mm: float
    nearest_mtre_mm: float
    images: int


@dataclass(frozen=True)
class MedianAngles:
    """Median angles [degrees] between a similarity's pose gradient and that of the squared geodesic distance.

    whole_deg: of the six parameters together; rotation_deg, translation_deg: of three each. Over `poses` starts at 20
    to 100 mm from the truth; at random, gradients lie 90 degrees apart.
    """

    whole_deg: float
    rotation_deg: float
    translation_deg: float
    poses: int


@dataclass(frozen=True)
class SubjectCard:
    """One CT that a network was trained on.

    fingerprint: see module `fingerprint`. isocentre: centre of what was rendered, in the volume frame [RAS mm].
    placed: rigid (4, 4) from the frame centred on that isocentre (axes RAS) to the network's frame [mm]; the identity
    for a network of this patient alone.
    """

    name: str
    fingerprint: str
    isocentre: tuple[float, float, float]
    placed: RigidRows = IDENTITY


@dataclass(frozen=True)
class FrameCard:
    """The reference of the network's outputs: nominal rotation camera_from_canonical (3, 3) and SOD [mm]."""

    nominal_rotation: tuple[RowOf3, RowOf3, RowOf3]
    sod_mm: float


@dataclass(frozen=True)
class ModelCard:
    """Metadata of a network; plain values, stored inside the checkpoint as JSON.

    settings: of the run, including camera and network architecture; they distinguish a network that predicts poses from
    a learned similarity. structures: labels that were rendered, none for the whole volume. iteration, images, seconds:
    progress of the training when these weights were saved. validation: errors of predicted poses by kind of image,
    clean (DRRs) and physics (simulated X-rays). angles: of a similarity's gradients on simulated X-rays, by method:
    network, zncc, gradient_correlation. Both are at held-out poses; a network has one of the two. created: ISO 8601 in
    UTC.
    parent: digest of the network that finetuning started from. notes: decisions during training, one sentence each.
    """

    kind: ModelKind
    settings: TrainingSettings
    frame: FrameCard
    subjects: tuple[SubjectCard, ...]
    structures: tuple[int, ...] = ()
    iteration: int = 0
    images: int = 0
    seconds: float = 0.0
    validation: dict[str, MedianErrors] = field(default_factory=dict)
    angles: dict[str, MedianAngles] = field(default_factory=dict)
    created: str = ""
    parent: str = ""
    notes: tuple[str, ...] = ()

    @property
    def is_similarity(self) -> bool:
        """Whether the network compares images rather than predicting poses."""
        return self.settings.similarity is not None

    def as_dict(self) -> dict[str, Any]:
        """The card as JSON's own types."""
        return as_plain(self)

    @staticmethod
    def from_dict(content: object) -> ModelCard:
        """The inverse of `as_dict`; raises InputError for anything else."""
        return from_plain(ModelCard, content, "model card")
