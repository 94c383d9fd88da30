"""Training shared among processes that `torchrun` started: who this one is, and sums over all of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed, nn

from core.records import Refused


@dataclass(frozen=True)
class World:
    """This process's place (`rank`, from 0) among `size` processes; a training of one's own is World()."""

    rank: int = 0
    size: int = 1

    @property
    def writes(self) -> bool:
        """Only the first process writes files and reports."""
        return self.rank == 0

    def share(self) -> slice:
        """The places of a list that are this process's."""
        return slice(self.rank, None, self.size)

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """The sum of all processes' `values`, which stay as they are."""
        total = values.clone()
        if self.size > 1:
            distributed.all_reduce(total)
        return total

    def gather(self, values: torch.Tensor) -> list[torch.Tensor]:
        """All processes' `values`, of one shape, by rank."""
        if self.size == 1:
            return [values]
        parts = [torch.empty_like(values) for _ in range(self.size)]
        distributed.all_gather(parts, values)
        return parts

    def agree(self, net: nn.Module) -> None:
        """Give every process the first one's statistics: each kept its own on its part of the batches."""
        if self.size > 1:
            for buffer in net.buffers():
                distributed.broadcast(buffer, 0)

    def wrap(self, net: nn.Module) -> nn.Module:
        """The network with gradients averaged over processes."""
        if self.size == 1:
            return net
        device = next(net.parameters()).device
        return nn.parallel.DistributedDataParallel(net, device_ids=[device] if device.type == "cuda" else None)


@contextmanager
def world(device: str) -> Iterator[tuple[World, str]]:
    """The processes that `torchrun` started and this one's own device; World() where it did not.

    Gloo carries the gradients on CPUs, NCCL on GPUs, one GPU each. Raises `Refused` where a machine has too few GPUs.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or "MASTER_ADDR" not in os.environ:
        yield World(), device
        return
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if device != "cpu":
        if local >= torch.cuda.device_count():
            raise Refused(
                f"torchrun started more processes here than the {torch.cuda.device_count()} GPU(s); start fewer."
            )
        torch.cuda.set_device(local)
        device = f"cuda:{local}"
    # Reading a large dataset takes one process longer than another: the wait must not end in a time-out.
    distributed.init_process_group("gloo" if device == "cpu" else "nccl", timeout=timedelta(hours=12))
    try:
        yield World(distributed.get_rank(), size), device
    finally:
        distributed.destroy_process_group()
