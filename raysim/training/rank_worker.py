"""One rank of a stage, and which trainer it is."""

import gc
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from raysim.training.deepspeed_engine import DeepSpeedTrainer
from raysim.training.lora import split
from raysim.training.model_host import ModelHost, ModelSpec
from raysim.training.process_memory import oom_hint
from raysim.training.ranks import ALONE, ProcessGroup, Rendezvous
from raysim.training.request import Event, Trainer, TrainerSettings, TrainState, TrainTask
from raysim.training.torch_engine import TorchTrainer
from raysim.training.weights import Flat

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def trainer_for(settings: TrainerSettings, model: "PreTrainedModel", group: ProcessGroup = ALONE) -> Trainer:
    """The trainer that `settings` ask for."""
    trainers = {"torch": TorchTrainer, "deepspeed": DeepSpeedTrainer}
    return trainers[settings.backend](model, group)


def train_here(
    client: ModelHost,
    spec: ModelSpec,
    task: TrainTask,
    sequences: npt.NDArray[np.int32],
    weights: Flat,
    client_state: TrainState | None,
    resume: TrainState | None,
    group: ProcessGroup = ALONE,
) -> Iterator[Event]:
    """Trains in this process; see `raysim.training.request.Trainer.train`.

    However the stage ends, nothing of it stays in memory but the site's model, on the CPU.
    """
    gc.freeze()  # so that the collection at the end looks at what the stage has made, not at every module
    try:
        with oom_hint("trainer.batch_size or trainer.sequence_length, or raise trainer.accumulation"):
            model = client.model(spec)
            split(model)
            trainer = trainer_for(task.settings, model, group)
            yield from trainer.train(task, sequences, weights, client_state, resume)
    finally:
        client.release()
        gc.unfreeze()


class RankWorker(ModelHost):
    """One rank, in a process of its own, for as long as its stage lasts.

    Args:
        rank: from 0.
        size: how many there are.
    """

    def __init__(self, rank: int, size: int) -> None:
        super().__init__(f"rank {rank}")
        self._meeting = Rendezvous(rank, size)
        self._group = ProcessGroup(rank, size)

    def listen(self) -> int:
        """Opens the meeting of all ranks; its port."""
        return self._meeting.listen()

    def join(self, host: str, port: int, own_address: str, device: str) -> None:
        """Joins the other ranks; see `Rendezvous.join`."""
        self._group = self._meeting.join(host, port, own_address, device)

    def train(
        self,
        spec: ModelSpec,
        task: TrainTask,
        sequences: npt.NDArray[np.int32],
        weights: Flat,
        client_state: TrainState | None,
        resume: TrainState | None,
    ) -> Iterator[Event]:
        """This rank's part; rank 0 tells the events of all."""
        yield from train_here(self, spec, task, sequences, weights, client_state, resume, self._group)

    def run_silently(self, *arguments: Any) -> None:
        """`train` of a rank that has nothing to tell."""
        for _ in self.train(*arguments):
            pass
