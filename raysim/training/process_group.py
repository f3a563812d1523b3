"""The processes that train one stage together: how they find each other, and what they exchange."""

import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ProcessGroup:
    """One rank's place among all ranks of its stage, which it has joined, unless it is alone."""

    rank: int = 0
    size: int = 1

    def sum(self, tensor: "torch.Tensor") -> None:
        """Makes `tensor` the sum over all ranks, on every rank."""
        if self.size > 1:
            import torch.distributed

            torch.distributed.all_reduce(tensor)

    def largest(self, numbers: list[float], device: str) -> list[float]:
        """The largest of each number over all ranks."""
        if self.size == 1:
            return numbers
        import torch
        import torch.distributed

        tensor = torch.tensor(numbers, dtype=torch.float64, device=device)
        torch.distributed.all_reduce(tensor, op=torch.distributed.ReduceOp.MAX)
        return tensor.tolist()


ALONE = ProcessGroup()


class Rendezvous:
    """Where ranks find each other: rank 0 listens, the others connect to its address."""

    def __init__(self, rank: int, size: int) -> None:
        self._group = ProcessGroup(rank, size)
        self._store: Any = None

    def listen(self) -> int:
        """Opens the rendezvous at rank 0; its port."""
        import torch.distributed

        distributed: Any = torch.distributed  # its types leave the stores out
        self._store = distributed.TCPStore("0.0.0.0", 0, self._group.size, is_master=True, wait_for_workers=False)  # noqa: S104
        return self._store.port

    def join(self, host: str, port: int, own_address: str, device: str) -> ProcessGroup:
        """Joins the other ranks, over NCCL on GPUs and gloo on CPUs; returns when all are there.

        Args:
            host: address of rank 0.
            port: that it listens on.
            own_address: of this rank's node; its network carries what ranks exchange.
            device: ``cpu`` or ``cuda``.
        """
        import torch.distributed

        distributed: Any = torch.distributed
        interface = interface_of(own_address)
        for library in ("GLOO", "NCCL"):
            if interface:
                os.environ.setdefault(f"{library}_SOCKET_IFNAME", interface)
        group = self._group
        if self._store is None:
            self._store = distributed.TCPStore(host, port, group.size, is_master=False)
        distributed.init_process_group(_backend(device), store=self._store, rank=group.rank, world_size=group.size)
        return group


def join_alone(device: str) -> None:
    """Makes this process a group of one, for a library that insists on a group; no network is involved."""
    import torch.distributed

    distributed: Any = torch.distributed
    if not distributed.is_initialized():
        distributed.init_process_group(_backend(device), store=distributed.HashStore(), rank=0, world_size=1)


def _backend(device: str) -> str:
    return "nccl" if device == "cuda" else "gloo"


def interface_of(address: str) -> str | None:
    """The network interface of this machine that has `address`; gloo would take the one that the host name leads to."""
    import psutil

    for name, addresses in psutil.net_if_addrs().items():
        if any(a.family in (socket.AF_INET, socket.AF_INET6) and a.address == address for a in addresses):
            return name
    return None
