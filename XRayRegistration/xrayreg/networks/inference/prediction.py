"""Initial poses by a trained network: one forward pass over all views of a scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...geometry import beam_axes, inverse, placement_of, pose_difference, rigid
from ...scene import Radiograph, Scene
from ...settings import DeviceName, EngineName, NetworkCamera, PoseDistribution
from ..model.backbones import PoseNetwork
from ..model.card import ModelCard
from ..model.checkpoint import Checkpoint
from ..model.heads import Hypotheses
from ..model.network_camera import pinhole
from .locate import locate_scene
from .test_time_augmentation import augmentation_rotations, augmented_inputs, consensus, undo_rotation

# Below this share of the network's image the X-ray covers less than in training, even with collimator blades.
_LEAST_COVERED = 0.5
# Standard deviations of a normal distribution that training hardly exceeds, over all six parameters.
_FAMILIAR_DEVIATIONS = 3.5


@dataclass(frozen=True, eq=False)
class Prediction:
    """The poses that a network predicts for a scene.

    poses: camera_from_volume (N, 4, 4) of the first view, float64 on the CPU, the most probable first; N may be 0.
    beliefs: (N,) probabilities, which sum to 1 over the hypotheses of one view. names: of the hypotheses, for display.
    canonical_from_volume: (4, 4) from the scene's volume to the network's canonical frame.
    notes: what a user should know, one sentence each.
    """

    poses: Tensor
    beliefs: Tensor
    names: tuple[str, ...]
    canonical_from_volume: Tensor
    notes: tuple[str, ...] = ()


def predict(
    checkpoint: Checkpoint, scene: Scene, engine: EngineName = "auto", device: DeviceName = "auto", count: int = 1
) -> Prediction:
    """The network's hypotheses for each view, all of them as poses of the first view's camera.

    count: augmentations of each X-ray (see `test_time_augmentation`). engine, device: for rendering the CT, if needed.
    Raises InputError where the network is for another patient.
    """
    network, camera = checkpoint.network, checkpoint.card.settings.camera
    canonical_from_volume, notes = locate_scene(checkpoint, scene, engine, device)
    predicted = []
    for view in scene.views:
        inputs, valid = augmented_inputs(view, camera, count)
        notes += coverage_notes(view, camera, valid)
        predicted.append(_predicted(network, inputs, camera))
    beliefs = torch.cat([some.beliefs for some in predicted])
    estimates = torch.cat([some.poses for some in predicted])
    first_from_world = torch.as_tensor(scene.views[0].camera.camera_from_world)
    world_from_view = torch.stack([inverse(torch.as_tensor(view.camera.camera_from_world)) for view in scene.views])
    # Networks compute in float32, whose rotations are orthonormal to six digits only.
    poses = (first_from_world @ world_from_view)[:, None] @ _orthonormal(estimates) @ canonical_from_volume
    finite = (poses.isfinite().all(-1).all(-1) & beliefs.isfinite()).flatten()
    # All augmentations may agree on fewer clusters than the network has hypotheses.
    usable = finite & (beliefs.flatten() > 0)
    if not (finite | (beliefs.flatten() == 0)).all():
        notes += ("The network gave poses that are no numbers; they are left out.",)
    order = [n for n in beliefs.flatten().argsort(descending=True, stable=True).tolist() if usable[n]]
    names = _names(scene, beliefs.shape[1])
    return Prediction(
        poses.flatten(0, 1)[order],
        beliefs.flatten()[order],
        tuple(names[n] for n in order),
        canonical_from_volume,
        notes,
    )


def _predicted(network: PoseNetwork, inputs: Tensor, camera: NetworkCamera) -> Hypotheses:
    """Hypotheses (1, K) for one X-ray, float64 on the CPU, from N augmented inputs (N, 3, H, W) of it."""
    with torch.no_grad():
        found: Hypotheses = network(inputs.to(next(network.parameters()).device))
    found = Hypotheses(found.poses.cpu().double(), found.logits.cpu().double())
    return (
        found.ordered()
        if len(inputs) == 1
        else consensus(undo_rotation(found, augmentation_rotations(len(inputs), camera)))
    )


def unfamiliar(card: ModelCard, prediction: Prediction, scene: Scene, pose: Tensor) -> tuple[str, ...]:
    """A sentence for each view in which a pose (4, 4) of the first camera lies outside the network's training poses."""
    world_from_canonical = (
        inverse(torch.as_tensor(scene.views[0].camera.camera_from_world))
        @ pose
        @ inverse(prediction.canonical_from_volume)
    )
    notes = []
    for view in scene.views:
        edge = departure(card.settings.poses, torch.as_tensor(view.camera.camera_from_world) @ world_from_canonical)
        if edge > 1:
            notes.append(
                f"{view.name}: the pose lies outside those the network was trained on ({edge:.1f} times their range), "
                "so the network's own guess counts for little."
            )
    return tuple(notes)


def departure(distribution: PoseDistribution, camera_from_canonical: Tensor) -> float:
    """Largest normalised deviation of a pose (4, 4) from the nearest nominal view over the parameters; 1 at the edge.

    The edge of a uniform distribution is its half width, of a normal one 3.5 standard deviations. Spreads below one
    degree or millimetre are raised to one.
    """
    edge = _FAMILIAR_DEVIATIONS if distribution.law == "normal" else 1.0
    spreads = torch.tensor([*distribution.rotation_deg, *distribution.translation_mm], dtype=torch.float64).clamp(min=1)
    numbers = _carm_offsets if distribution.coordinates == "carm" else _twist_offsets
    offsets = numbers(distribution, camera_from_canonical.double())
    offsets[:, 3:] -= torch.tensor(distribution.centre_offset_mm, dtype=torch.float64)
    return float((offsets.abs() / spreads).amax(dim=1).min() / edge)


def _twist_offsets(distribution: PoseDistribution, pose: Tensor) -> Tensor:
    """Twists (M, 6) [degrees, mm] from each nominal view to a pose (4, 4), both camera_from_canonical."""
    straight = torch.tensor([0.0, 0.0, distribution.sod_mm], dtype=torch.float64)
    rotations = np.stack([beam_axes(primary, 0.0) for primary in distribution.primaries_deg])
    nominal = rigid(torch.from_numpy(rotations), straight)
    twists = pose_difference(pose.expand_as(nominal), nominal, torch.zeros(3, dtype=torch.float64))
    return torch.cat([torch.rad2deg(twists[:, :3]), twists[:, 3:]], dim=1)


def _carm_offsets(distribution: PoseDistribution, pose: Tensor) -> Tensor:
    """Primary, secondary and roll [degrees], right, up and depth [mm] from each nominal view to a pose: (M, 6)."""
    if float(pose[2, 3]) <= 0:
        return torch.full((1, 6), torch.inf, dtype=torch.float64)
    placed = placement_of(pose.numpy(), np.zeros(3))
    primaries = [(placed.primary_deg - nominal + 180) % 360 - 180 for nominal in distribution.primaries_deg]
    rest = (placed.secondary_deg, placed.roll_deg, placed.right_mm, placed.up_mm, placed.sod_mm - distribution.sod_mm)
    return torch.tensor([[turn, *rest] for turn in primaries], dtype=torch.float64)


def coverage_notes(view: Radiograph, camera: NetworkCamera, valid: Tensor, what: str = "network") -> tuple[str, ...]:
    """Sentences where the X-ray covers too little of the network's image, or the network's image too little of it.

    valid: (1, H, W) of `to_network_camera`. what: name of the network in the sentences.
    """
    notes = []
    covered = float(valid.mean())
    if covered < _LEAST_COVERED:
        notes.append(
            f"{view.name}: the X-ray covers only {covered:.0%} of the image the {what} was made for "
            f"({camera.field_mm:.0f} mm at {camera.sid_mm:.0f} mm from the source)."
        )
    network = pinhole(camera)
    corners = np.array([[-0.5, network.width - 0.5], [-0.5, network.height - 0.5], [1.0, 1.0]])
    corners_px = (view.camera.matrix @ np.linalg.inv(network.matrix) @ corners)[:2]
    size = np.array([view.camera.width, view.camera.height])
    shown = float(np.diff(np.clip(corners_px, -0.5, size[:, None] - 0.5)).prod() / size.prod())
    if shown < _LEAST_COVERED:
        notes.append(f"{view.name}: the {what} looks at only {shown:.0%} of the X-ray.")
    return tuple(notes)


def _orthonormal(poses: Tensor) -> Tensor:
    """The rigid poses nearest to poses (..., 4, 4); non-finite poses stay so."""
    finite = poses.isfinite().all(-1).all(-1)
    left, _, right = torch.linalg.svd(torch.where(finite[..., None, None], poses, 0)[..., :3, :3])
    fixed = rigid(left @ right, poses[..., :3, 3])
    return torch.where(finite[..., None, None], fixed, torch.nan)


def _names(scene: Scene, count: int) -> list[str]:
    """The name of each hypothesis, view by view, each view's most probable first."""
    several = len(scene.views) > 1
    return [
        f"the network's hypothesis {n + 1} of {count}" + (f" for {view.name}" if several else "")
        for view in scene.views
        for n in range(count)
    ]
