"""One rank of a stage, in the client's process or in its own."""

import gc
from collections.abc import Iterator

from raysim.training.departure import DEPARTURE
from raysim.training.lora import split
from raysim.training.model_host import ModelHost
from raysim.training.process_group import ALONE, ProcessGroup, Rendezvous
from raysim.training.process_memory import oom_hint
from raysim.training.request import Event, TrainRequest, trainer_class


def train_here(host: ModelHost, request: TrainRequest, group: ProcessGroup = ALONE) -> Iterator[Event]:
    """Trains in this process; see `raysim.training.request.Trainer.train`.

    However the stage ends, nothing of it stays in memory but the host's model, on the CPU.
    """
    gc.freeze()  # so that the collection at the end looks at what the stage has made, not at every module
    try:
        hint = "trainer.batch_size or trainer.sequence_length, or raise trainer.accumulation"
        with DEPARTURE.watched(), oom_hint(hint):
            model = host.model(request.spec)
            split(model)
            trainer = trainer_class(request.task.settings.backend)(model, group)
            yield from trainer.train(request)
    finally:
        host.release()
        gc.unfreeze()


class RankWorker(ModelHost):
    """One rank in a process of its own, for as long as its stage lasts.

    Args:
        rank: from 0.
        size: number of ranks.
    """

    def __init__(self, rank: int, size: int) -> None:
        super().__init__(f"rank {rank}")
        self._rendezvous = Rendezvous(rank, size)
        self._group = ProcessGroup(rank, size)

    def listen(self) -> int:
        """Opens the rendezvous of all ranks; its port."""
        return self._rendezvous.listen()

    def join(self, host: str, port: int, own_address: str, device: str) -> None:
        """Joins the other ranks; see `Rendezvous.join`."""
        self._group = self._rendezvous.join(host, port, own_address, device)

    def train(self, request: TrainRequest) -> Iterator[Event]:
        """This rank's part of a stage; rank 0 has the events of all."""
        yield from train_here(self, request, self._group)

    def run_silently(self, request: TrainRequest) -> None:
        """`train` of a rank that has no events."""
        for _ in self.train(request):
            pass
