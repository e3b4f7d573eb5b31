"""One step of the optimiser: forward, backward, clipping, in the fastest suitable number type."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...settings import PrecisionName, TrainingSettings
from ..model.backbones import INPUT_CHANNELS, PoseNetwork
from ..model.heads import Hypotheses
from .distributed import Process
from .muon import Muon

_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# A 16-bit type has to save at least this share of the time on the CPU, or float32 is used.
_WORTH_IT = 0.2
_MEASURED_IMAGES, _MEASURED_TURNS = 16, 5
# Consecutive steps without a finite gradient after which training has failed; float16 first has to find its scale.
_LOST_AFTER, _LOST_AFTER_SCALED = 5, 25
# Least weight norm in adaptive clipping, so that weights near zero can grow.
_LEAST_WEIGHT_NORM = 1e-3

# Learning rate of filters, whose steps are orthogonalised, over that of everything else: three degrees fell to two and
# a half in the first minute, twice or half as much was worse.
_FILTER_RATE = 4.0

# The network in the run's number type.
Forward = Callable[[Tensor], Hypotheses]
# The loss of a batch and its parts; a network that predicts poses is evaluated through the argument.
LossOf = Callable[[Forward], tuple[Tensor, dict[str, float]]]


@dataclass(frozen=True)
class StepTaken:
    """loss: mean over the batches; parts: its terms. used: whether the gradient was finite and the step taken."""

    loss: float
    parts: dict[str, float]
    used: bool


class Learner:
    """The trained modules and their optimiser; see `TrainingSettings` for the settings.

    Raises InputError for a precision that this device does not have.
    """

    def __init__(self, network: nn.Module, settings: TrainingSettings, process: Process) -> None:
        self.network, self._settings, self._process = network, settings, process
        self._dtype = _TYPES[settings.precision]
        self._optimisers = _optimisers(network, settings)
        self._scaler = torch.amp.GradScaler(process.device.type, enabled=self._dtype is torch.float16)
        self._lost = 0

    @property
    def is_lost(self) -> bool:
        """Whether too many consecutive gradients were not finite to continue."""
        return self._lost >= (_LOST_AFTER_SCALED if self._scaler.is_enabled() else _LOST_AFTER)

    def step(self, batches: Sequence[LossOf], rate: float) -> StepTaken:
        """One step with the mean gradient of the batches' losses."""
        for optimiser in self._optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate * (_FILTER_RATE if isinstance(optimiser, Muon) else 1)
            optimiser.zero_grad(set_to_none=True)
        self.network.train()
        losses: list[Tensor] = []
        parts: dict[str, float] = {}
        for loss_of in batches:
            loss, terms = loss_of(self._forward)
            self._scaler.scale(loss / len(batches)).backward()
            losses.append(loss.detach())
            parts |= terms
        self._process.share_gradients(list(self.network.parameters()))
        for optimiser in self._optimisers:
            self._scaler.unscale_(optimiser)
        norm = self._clip()
        # Gradients are averaged over all processes, so that all of them decide equally.
        used = bool(torch.isfinite(norm))
        if used:
            for optimiser in self._optimisers:
                self._scaler.step(optimiser)
        self._scaler.update()
        self._lost = 0 if used else self._lost + 1
        return StepTaken(float(torch.stack(losses).mean()), parts, used)

    def _forward(self, inputs: Tensor) -> Hypotheses:
        with torch.autocast(self._process.device.type, self._dtype, enabled=self._dtype is not torch.float32):
            predicted: Hypotheses = self.network(inputs)
        return predicted

    def state(self) -> dict[str, Any]:
        """The state that further steps depend on, besides the weights."""
        optimisers = [optimiser.state_dict() for optimiser in self._optimisers]
        return {"optimisers": optimisers, "scaler": self._scaler.state_dict(), "lost": self._lost}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore a `state`; raises ValueError or KeyError for one of another network."""
        for optimiser, known in zip(self._optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(known)
        if self._scaler.is_enabled() and state["scaler"]:
            self._scaler.load_state_dict(state["scaler"])
        self._lost = int(state["lost"])

    def _clip(self) -> Tensor:
        """Clip the gradient and return its norm before clipping."""
        parameters = [parameter for parameter in self.network.parameters() if parameter.grad is not None]
        limit = self._settings.clip if self._settings.clipping == "norm" and self._settings.clip > 0 else math.inf
        norm = nn.utils.clip_grad_norm_(parameters, limit)
        if self._settings.clipping == "adaptive" and self._settings.clip > 0:
            clip_adaptively(_trunk(self.network).parameters(), self._settings.clip)
        return norm


def _trunk(network: nn.Module) -> nn.Module:
    """The module with filters: the backbone of a pose network, whose last layers start at zero, or all of a network."""
    return network.backbone if isinstance(network, PoseNetwork) else network


def _optimisers(network: nn.Module, settings: TrainingSettings) -> tuple[torch.optim.Optimizer, ...]:
    """Orthogonalised momentum for the trunk's filters except the first ones, AdamW for everything else."""
    first = next(_trunk(network).parameters())
    filters = [some for some in _trunk(network).parameters() if some.ndim == 4 and some is not first]
    taken = {id(some) for some in filters}
    rest = [some for some in network.parameters() if id(some) not in taken]
    groups: list[dict[str, Any]] = [
        {"params": [some for some in rest if some.ndim > 1]},
        {"params": [some for some in rest if some.ndim <= 1], "weight_decay": 0.0},
    ]
    rate, decay = settings.learning_rate, settings.weight_decay
    adam = torch.optim.AdamW(groups, rate, weight_decay=decay, betas=(0.9, 0.99))
    return (adam, Muon(filters, rate, decay)) if filters else (adam,)


@torch.no_grad()
def clip_adaptively(parameters: Iterable[Tensor], most: float) -> None:
    """Clip each unit's gradient to at most `most` times the norm of its weights (Brock et al., ICML 2021).

    A unit is a row of a matrix or a filter of a convolution. Meant for the backbone: last layers start at zero.
    """
    for parameter in parameters:
        if parameter.grad is None:
            continue
        rows = tuple(range(1, parameter.ndim)) or (0,)
        size = torch.linalg.vector_norm(parameter, dim=rows, keepdim=True).clamp_min(_LEAST_WEIGHT_NORM)
        slope = torch.linalg.vector_norm(parameter.grad, dim=rows, keepdim=True).clamp_min(1e-12)
        parameter.grad.mul_((most * size / slope).clamp_max(1.0))


def choose_precision(wanted: PrecisionName, network: PoseNetwork, device: torch.device) -> tuple[PrecisionName, str]:
    """The number type for training a network on `device`, and a sentence on the reason where it is noteworthy.

    auto: on a GPU its 16-bit type; on the CPU bfloat16 where it is measured to be faster, else float32.
    """
    if wanted != "auto":
        return wanted, ""
    if device.type == "mps":
        return "float32", "trained in float32: 16 bits are not reliable on this device"
    if device.type != "cpu":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bfloat16", ""
        return "float16", "trained in float16 with scaled gradients: this GPU has no bfloat16"
    plain, short = (_seconds(network, device, dtype) for dtype in (torch.float32, torch.bfloat16))
    if short < (1 - _WORTH_IT) * plain:
        return "bfloat16", ""
    return "float32", f"trained in float32: on this CPU bfloat16 takes {short / plain:.2f} times as long"


def _seconds(network: PoseNetwork, device: torch.device, dtype: torch.dtype) -> float:
    """The median time of a forward and backward pass; the network's weights and gradients are unchanged."""
    side = network.camera.image_px
    inputs = torch.zeros(_MEASURED_IMAGES, INPUT_CHANNELS, side, side, device=device)
    parameters = list(network.parameters())
    taken = []
    # The first iteration is a warm-up.
    for _ in range(1 + _MEASURED_TURNS):
        started = time.perf_counter()
        with torch.autocast(device.type, dtype, enabled=dtype is not torch.float32):
            hypotheses = network(inputs)
        torch.autograd.grad(hypotheses.poses.sum() + hypotheses.logits.sum(), parameters, allow_unused=True)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken[1:])
