"""From features to poses: smooth rotation representations, and the output head of a pose network."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...geometry import rigid, rotation_from_vector
from ...settings import NetworkCamera, NetworkSettings, RotationHead
from .canonical_frame import CanonicalFrame

# Size of each rotation representation.
ROTATION_NUMBERS: dict[RotationHead, int] = {"sixd": 6, "quaternion": 10}

# Vectors shorter than this have no direction: the decoders then return a fixed rotation instead of NaN.
_NO_DIRECTION = 1e-6
# Depth is limited to a factor of e of the nominal one, so that early training steps cannot move the patient out of
# view; one output unit changes it by about a fifth, as one unit of shift moves the isocentre by half the image.
_MOST_LOG_DEPTH = 1.0
_LOG_DEPTH_PER_UNIT = 0.2
# Spread [rad] of the hypotheses of an untrained network: enough for each to be nearest to some poses.
_SPREAD_RAD = 0.1


@dataclass(frozen=True, eq=False)
class Hypotheses:
    """The output of a network for B X-rays: K poses each, and their probabilities.

    poses: camera_from_canonical (B, K, 4, 4) [mm]. logits: (B, K); their softmax gives the probabilities.
    """

    poses: Tensor
    logits: Tensor

    @property
    def beliefs(self) -> Tensor:
        """Probabilities (B, K) of the hypotheses."""
        return self.logits.softmax(dim=-1)

    def ordered(self) -> Hypotheses:
        """The same hypotheses, the most probable first."""
        order = self.logits.argsort(dim=-1, descending=True)
        poses = self.poses.gather(1, order[..., None, None].expand(*order.shape, 4, 4))
        return Hypotheses(poses, self.logits.gather(1, order))


def best(hypotheses: Hypotheses) -> Tensor:
    """The most probable pose camera_from_canonical of each X-ray (B, 4, 4)."""
    return chosen(hypotheses.poses, hypotheses.logits.argmax(dim=-1))


def chosen(poses: Tensor, number: Tensor) -> Tensor:
    """Select from poses (B, K, 4, 4) by index (B,): (B, 4, 4)."""
    return poses.gather(1, number[:, None, None, None].expand(-1, 1, 4, 4)).squeeze(1)


def rotation_from_sixd(numbers: Tensor) -> Tensor:
    """Rotations (..., 3, 3) whose first two columns are those of the numbers (..., 6), made orthonormal.

    Smooth and surjective; where the columns vanish or are parallel, a fixed rotation with zero gradient is returned.
    Source: Zhou et al., On the continuity of rotation representations (CVPR 2019).
    """
    first, second = numbers[..., :3], numbers[..., 3:]
    x = _direction(first, _axis_like(first, 0))
    # The axis least aligned with x never vanishes in the projection.
    other = nn.functional.one_hot(x.detach().abs().argmin(dim=-1), 3).to(x)
    fallback = _direction(_across(other, x), other)
    y = _direction(_across(second, x), fallback)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)


def sixd_from_rotation(rotation: Tensor) -> Tensor:
    """The numbers (..., 6) of unit columns with `rotation_from_sixd(numbers) == rotation` (..., 3, 3)."""
    return torch.cat([rotation[..., 0], rotation[..., 1]], dim=-1)


def rotation_from_quaternion_adjugate(numbers: Tensor) -> Tensor:
    """Rotations (..., 3, 3) of the upper triangles (..., 10), row by row, of symmetric matrices near q q^T.

    q = (w, x, y, z) is taken from the column with the largest norm, so that no rotation is singular, including half
    turns, where w vanishes. The adjugate has no sign ambiguity, as q and -q give the same numbers. All zeros give the
    identity, with zero gradient. Source: Lin et al., arXiv 2205.09116; Hanson and Hanson (2022).
    """
    matrix = numbers[..., _PLACE_IN_TRIANGLE.to(numbers.device)]
    largest = matrix.detach().norm(dim=-2).argmax(dim=-1)
    column = matrix.gather(-1, largest[..., None, None].expand(*largest.shape, 4, 1)).squeeze(-1)
    w, x, y, z = _direction(column, _axis_like(column, 0)).unbind(-1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], dim=-1),
        torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], dim=-1),
        torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], dim=-1),
    ]
    return torch.stack(rows, dim=-2)


def quaternion_adjugate(rotation_vector: Tensor) -> Tensor:
    """The upper triangle (..., 10) of q q^T for rotation vectors (..., 3) [rad]."""
    half = rotation_vector / 2
    angle = half.norm(dim=-1, keepdim=True)
    # torch's sinc is sin(pi x) / (pi x).
    quaternion = torch.cat([angle.cos(), half * torch.sinc(angle / math.pi)], dim=-1)
    row, column = _TRIANGLE
    return quaternion[..., row] * quaternion[..., column]


# Rows and columns of the ten numbers in the symmetric matrix, and the index of the number at each of its 16 entries.
_TRIANGLE = torch.triu_indices(4, 4)
_PLACE_IN_TRIANGLE = torch.zeros(4, 4, dtype=torch.long)
_PLACE_IN_TRIANGLE[_TRIANGLE[0], _TRIANGLE[1]] = torch.arange(10)
_PLACE_IN_TRIANGLE[_TRIANGLE[1], _TRIANGLE[0]] = torch.arange(10)


class PoseHead(nn.Module):
    """From features (B, F) to hypotheses about the nominal view of `frame`.

    For each hypothesis the last layer gives the numbers of a rotation, three of a translation and a logit. The
    isocentre lies at depth (a, b, 1) in the camera: a, b in halves of the image's field, the depth SOD exp(c), so that
    a shift in the image does not change depth. The rotation is in camera axes, applied to the nominal view.
    Before training every hypothesis is the nominal view, apart from a tenth of a radian between them.
    """

    def __init__(self, features: int, settings: NetworkSettings, camera: NetworkCamera, frame: CanonicalFrame) -> None:
        super().__init__()
        self.rotation: RotationHead = settings.rotation
        self.hypotheses = settings.hypotheses
        self.half_field = camera.field_mm / 2 / camera.sid_mm
        self.sod_mm = frame.sod_mm
        self.last = nn.Linear(features, self.hypotheses * (ROTATION_NUMBERS[self.rotation] + 4))
        # Rebuilt from the frame in the model card: not part of the weights.
        self.register_buffer("nominal_rotation", frame.nominal_rotation.to(torch.float32), persistent=False)
        nn.init.zeros_(self.last.weight)
        with torch.no_grad():
            self.last.bias.copy_(self._first_numbers().flatten())

    def forward(self, features: Tensor) -> Hypotheses:
        """The hypotheses, in float32 also for features of lower precision."""
        with torch.autocast(features.device.type, enabled=False):
            numbers = self.last(features.to(self.last.weight.dtype))
            numbers = numbers.reshape(len(features), self.hypotheses, -1)
            count = ROTATION_NUMBERS[self.rotation]
            turn, shift, logits = numbers[..., :count], numbers[..., count : count + 3], numbers[..., count + 3]
            return Hypotheses(self._poses(turn, shift), logits)

    def _poses(self, turn: Tensor, shift: Tensor) -> Tensor:
        decode = rotation_from_sixd if self.rotation == "sixd" else rotation_from_quaternion_adjugate
        ray = torch.cat([self.half_field * shift[..., :2], torch.ones_like(shift[..., 2:])], dim=-1)
        log_depth = _MOST_LOG_DEPTH * torch.tanh(_LOG_DEPTH_PER_UNIT / _MOST_LOG_DEPTH * shift[..., 2:])
        rotation = decode(turn) @ self.get_buffer("nominal_rotation").to(turn.dtype)
        return rigid(rotation, self.sod_mm * log_depth.exp() * ray)

    def _first_numbers(self) -> Tensor:
        """Biases (K, numbers): rotation vectors spread over the sphere, no shift, equal logits."""
        number = torch.arange(self.hypotheses, dtype=torch.float64)
        # Golden-angle points on the sphere; the first hypothesis stays at the centre.
        height = 1 - 2 * (number + 0.5) / self.hypotheses
        around = number * math.pi * (3 - math.sqrt(5))
        across = (1 - height**2).sqrt()
        vectors = _SPREAD_RAD * torch.stack([across * around.cos(), across * around.sin(), height], dim=-1)
        vectors[0] = 0
        if self.rotation == "sixd":
            turn = sixd_from_rotation(rotation_from_vector(vectors))
        else:
            turn = quaternion_adjugate(vectors)
        return torch.cat([turn, turn.new_zeros(self.hypotheses, 4)], dim=-1)


def _across(vector: Tensor, unit: Tensor) -> Tensor:
    """The part of vectors (..., 3) at right angles to unit vectors (..., 3)."""
    return vector - (vector * unit).sum(-1, keepdim=True) * unit


def _direction(vector: Tensor, fallback: Tensor) -> Tensor:
    """Unit vectors (..., n); the fallback, with no gradient, where a vector is too short to have a direction."""
    squared = (vector * vector).sum(-1, keepdim=True)
    lost = ~(squared > _NO_DIRECTION**2)
    # The branch not taken must stay finite too, as NaN in its gradient would propagate to the other.
    length = torch.where(lost, torch.ones_like(squared), squared).sqrt()
    return torch.where(lost, fallback.detach(), vector / length)


def _axis_like(vector: Tensor, axis: int) -> Tensor:
    """The unit vector of an axis, shaped as the vectors (..., n)."""
    unit = torch.zeros_like(vector)
    unit[..., axis] = 1
    return unit
