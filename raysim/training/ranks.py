"""How a stage gets several ranks: the protocol of launchers, and the one of a place without other processes."""

from collections.abc import Iterator
from typing import Protocol

from raysim.core.errors import InputError
from raysim.training.request import Event, TrainerSettings, TrainRequest


class RankLauncher(Protocol):
    """A way to start ranks."""

    def wanted(self, settings: TrainerSettings) -> bool:
        """Whether these settings need ranks of their own; else a client trains in its own process."""
        ...

    def train(self, request: TrainRequest) -> Iterator[Event]:
        """Starts the ranks, has each do ``RankWorker.train(request)``, streams the events of rank 0, ends the ranks.

        Raises:
            ActorLost: a rank was lost, or there is no room for all of them now.
        """
        ...


class NoRankLauncher:
    """A `RankLauncher` of a place without other processes: it has one rank."""

    def wanted(self, settings: TrainerSettings) -> bool:
        return settings.ranks > 1

    def train(self, request: TrainRequest) -> Iterator[Event]:
        raise InputError(
            f"trainer.ranks: {request.task.settings.ranks} ranks need processes of their own, and the inline backend"
            " has one; write execution.backend: ray, or trainer.ranks: 1"
        )


NO_RANK_LAUNCHER = NoRankLauncher()
