"""Clients that train: each has sequences. An organization is one, and so is one that was given those of several.

All are plain classes. A backend makes actors of them, or calls them in this process.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from raysim.organizations.training_folder import training_folder
from raysim.training.model_host import ModelHost
from raysim.training.rank_worker import train_here
from raysim.training.ranks import NO_RANK_LAUNCHER, RankLauncher
from raysim.training.request import Event, TrainRequest, Update, reads_folder
from raysim.training.upload import to_send
from raysim.training.weights import Flat


class TrainingClient(ModelHost, ABC):
    """A client: it has training sequences, and trains on them."""

    @abstractmethod
    def training_sequences(self) -> npt.NDArray[np.int32]:
        """Token ids ``[num_sequences, sequence_length]``."""

    def train(
        self, request: TrainRequest, weights: Flat, launcher: RankLauncher = NO_RANK_LAUNCHER
    ) -> Iterator[Event | Flat]:
        """Trains on this client's sequences, here or with ranks that `launcher` starts.

        The weights of the update, float32 ``[num_parameters]``, come before it as an item of their own, so that they
        can be handed on by themselves; in the form that the request names, of which nothing else leaves the client.

        Args:
            request: without sequences and weights.
            weights: to start from, an argument of its own so that Ray hands them over without a copy.
            launcher: of ranks, where the settings need any.
        """
        request = request.at_client(self.training_sequences()[: request.task.num_sequences], weights)
        settings = request.task.settings
        with ExitStack() as stack:
            if reads_folder(settings.backend):
                request = replace(request, folder=stack.enter_context(self.training_folder(request.sequences)))
            for event in launcher.train(request) if launcher.wanted(settings) else train_here(self, request):
                if isinstance(event, Update):
                    event = to_send(request, event)
                    yield event.weights
                    event = replace(event, weights=np.empty(0, np.float32))
                yield event

    def training_folder(self, sequences: npt.NDArray[np.int32]) -> AbstractContextManager[Path]:
        """Writes what a stage trains on to a folder that lasts as long as the stage; `sequences` are all there is."""
        return training_folder(None, sequences)


class PooledOrganization(TrainingClient):
    """Organizations that have pooled their sequences: the client of centralized training."""

    def __init__(self, name: str, sequences: Sequence[npt.NDArray[np.int32]]) -> None:
        super().__init__(name)
        self._sequences = np.concatenate(list(sequences))

    def training_sequences(self) -> npt.NDArray[np.int32]:
        """The sequences of all organizations, one after the other; batches mix them."""
        return self._sequences
