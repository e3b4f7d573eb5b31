"""A trained similarity prepared for a scene: the network's inputs, and notes for the user on how well they fit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from ...geometry import inverse
from ...optimize import OnProgress, RotVec, levenberg_marquardt, optimise, sgd
from ...optimize.objective import PoseObjective
from ...registration.problem import Problem
from ...render import choose_device
from ...scene import Radiograph, Scene
from ...settings import DeviceName, EngineName, LmSettings, NetworkCamera, SgdSettings
from ..model.canonical_frame import canonical_poses
from ..model.card import ModelCard
from ..model.checkpoint import SimilarityCheckpoint, load_similarity, read_card
from ..model.fingerprint import is_trained_on, structures_named
from ..model.input_image import to_network_camera
from ..model.network_camera import pinhole
from .prediction import coverage_notes, departure
from .similarity_inputs import fixed_images, similarity_ct
from .similarity_objective import ComparedView, LearnedObjective, refined_maps

# Ratio of the X-ray's pixel width to the network's above which the X-ray is much coarser than in training.
_MUCH_COARSER = 1.5
# Steps on a rotation vector and t / scale: limited to half a radian, converged at a twentieth of a degree.
_OF_SQUARES = LmSettings(scores_are="cost", most_step=0.5, stop_step=1e-3, stop_gain=1e-6)


@dataclass(frozen=True, eq=False)
class SceneSimilarity:
    """A trained similarity prepared for a scene.

    objective: scores of poses of the scene's first camera. card: the network's. name: of its file.
    notes: for the user on the network and this scene, one sentence each.
    """

    objective: LearnedObjective
    card: ModelCard
    name: str
    notes: tuple[str, ...] = ()

    @property
    def architecture(self) -> str:
        """Of the network: see `settings.SIMILARITY_NAMES`."""
        return self.objective.network.description.name

    def unfamiliar(self, scene: Scene, pose: Tensor) -> tuple[str, ...]:
        """A sentence for each view in which a pose (4, 4) of the first camera lies outside its training poses."""
        notes = []
        for view, compared in zip(scene.views, self.objective.views, strict=True):
            seen = canonical_poses(compared.view_from_first @ pose, self.objective.pivot)
            edge = departure(self.card.settings.poses, seen)
            if edge > 1:
                notes.append(
                    f"{view.name}: the pose lies outside those the similarity was trained on "
                    f"({edge:.1f} times their range), so what it says there counts for little."
                )
        return tuple(notes)


def needs_learned_maps(file: str | Path) -> bool:
    """Whether the similarity in a file renders its 3D network's maps of the CT, which needs separate kernels.

    Raises InputError for a file that is not a network.
    """
    wanted = read_card(file).settings.similarity
    return wanted is not None and wanted.volume_network


def scene_similarity(
    file: str | Path, scene: Scene, engine: EngineName = "auto", device: DeviceName = "auto"
) -> SceneSimilarity:
    """The similarity in a file, prepared for a scene. engine, device: for rendering the CT.

    As in training, the whole volume or the structures of its card are rendered.
    Raises InputError for a file that holds no similarity, and for a scene without its structures.
    """
    checkpoint = load_similarity(file)
    return made_ready(checkpoint, Path(file).name, scene, engine, device)


def made_ready(
    checkpoint: SimilarityCheckpoint, name: str, scene: Scene, engine: EngineName = "auto", device: DeviceName = "auto"
) -> SceneSimilarity:
    """The same for a loaded similarity; `name` is used in error messages."""
    card, network = checkpoint.card, checkpoint.network.requires_grad_(False)
    settings = card.settings
    assert settings.similarity is not None
    # Maps of a 3D network can be rendered on the CPU only.
    device = "cpu" if network.volume_network is not None else device
    place = torch.device(choose_device(device))
    network = network.to(place)
    notes = _fit_notes(card, scene)
    ct = similarity_ct(scene.volume, settings, card.structures, engine, device)
    first_from_world = torch.as_tensor(scene.views[0].camera.camera_from_world)
    views = []
    for view in scene.views:
        attenuation, valid = to_network_camera(view, settings.camera)
        notes += coverage_notes(view, settings.camera, valid, "similarity") + _pixel_notes(view, settings.camera)
        fixed = fixed_images(attenuation, valid, settings)[0]
        view_from_first = torch.as_tensor(view.camera.camera_from_world) @ inverse(first_from_world)
        views.append(ComparedView(fixed.to(place), view_from_first))
    maps = refined_maps(network, ct.projector)
    camera, scale_mm = pinhole(settings.camera), settings.similarity.scale_mm
    objective = LearnedObjective(network, ct.projector, camera, tuple(views), ct.isocentre, scale_mm, maps)
    return SceneSimilarity(objective, card, name, notes)


@dataclass(frozen=True, eq=False)
class Descent:
    """Result of a descent: the most similar pose (4, 4) evaluated, its score, and why it ended."""

    pose: Tensor
    score: float
    reason: str


def descended(
    similarity: SceneSimilarity, start: Tensor, settings: SgdSettings, on_progress: OnProgress | None = None
) -> Descent:
    """Follow the similarity's gradient from a pose (4, 4) with momentum, on a rotation vector and t / scale, as ProST.

    A similarity that is a sum of squares is minimised by Levenberg-Marquardt, in at most as many steps.
    """
    objective = similarity.objective
    parameters = RotVec(start, objective.pivot, objective.units)
    if objective.network.sums_squares:
        optimiser = levenberg_marquardt(parameters.point(start), replace(_OF_SQUARES, steps=settings.steps))
    else:
        optimiser = sgd(parameters.point(start), settings)
    # It has the part of Problem's interface that PoseObjective uses.
    asked = PoseObjective(cast(Problem, objective), parameters)
    optimum = optimise(optimiser, asked.answer, on_progress)
    return Descent(parameters.poses(optimum.point[None])[0], optimum.score, optimum.reason)


def _fit_notes(card: ModelCard, scene: Scene) -> tuple[str, ...]:
    """Sentences where the CT or the rendered part of it differs from what the similarity was trained on."""
    notes = []
    if not is_trained_on(card, scene.volume):
        known = ", ".join(subject.name for subject in card.subjects[:3])
        notes.append(
            f"The similarity was trained on {'other CTs' if len(card.subjects) > 1 else 'another CT'} ({known})."
        )
    if tuple(sorted(card.structures)) != tuple(sorted(scene.structures)):
        notes.append(
            f"The similarity was trained on {structures_named(card.structures)} and is shown that; "
            f"this case renders {structures_named(scene.structures)}."
        )
    return tuple(notes)


def _pixel_notes(view: Radiograph, camera: NetworkCamera) -> tuple[str, ...]:
    """A sentence where the angular width of the X-ray's pixels is much larger than that of the network's."""
    factor = camera.sid_mm / (camera.field_mm / camera.image_px) / view.camera.focal_px
    if factor <= _MUCH_COARSER:
        return ()
    return (f"{view.name}: the X-ray's pixels are {factor:.1f} times as wide as those the similarity was made for.",)
