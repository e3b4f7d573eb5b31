"""Several processes that train one network together, each on its own batches (torchrun)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed, nn


@dataclass(frozen=True)
class Process:
    """This process among `count`, numbered from 0; only number 0 writes files and decides when to stop.

    device: on which it computes; on a machine with several GPUs its own one.
    """

    device: torch.device
    number: int = 0
    count: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes and decides."""
        return self.number == 0

    def batch_number(self, turn: int) -> int:
        """The number of this process's `turn`-th batch; numbers are unique across processes."""
        return turn * self.count + self.number

    def from_leader(self, values: list[float]) -> list[float]:
        """The leader's values, in every process."""
        if self.count == 1:
            return values
        shared = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.broadcast(shared, src=0)
        received: list[float] = shared.tolist()
        return received

    def share_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Average each parameter's gradient over the processes; every process calls this with the same parameters."""
        if self.count == 1:
            return
        # A weight may lack a gradient in one process only.
        found = [torch.zeros_like(some) if some.grad is None else some.grad for some in parameters]
        together = torch.cat([gradient.flatten() for gradient in found])
        distributed.all_reduce(together)
        parts = together.div_(self.count).split([gradient.numel() for gradient in found])
        for parameter, part in zip(parameters, parts, strict=True):
            parameter.grad = part.view_as(parameter)


@contextmanager
def joined(device: str) -> Iterator[Process]:
    """This process as started by torchrun, connected with the others within the context.

    device: kind of device that training runs on. Without torchrun there is one process.
    """
    count, number = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    if count == 1:
        yield Process(torch.device(device))
        return
    on_gpu = torch.device(device).type != "cpu"
    own = torch.device(device, int(os.environ.get("LOCAL_RANK", "0"))) if on_gpu else torch.device(device)
    distributed.init_process_group("nccl" if on_gpu else "gloo")
    try:
        if on_gpu:
            torch.accelerator.set_device_index(own)
        yield Process(own, number, count)
    finally:
        distributed.destroy_process_group()
