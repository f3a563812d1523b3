"""A training backend that takes plain gradient steps: no moments, so nothing to keep from round to round."""

from collections.abc import Iterator
from typing import Any

import torch

from raysim.training.loop import run_loop
from raysim.training.request import Event, TrainerSettings, TrainRequest
from raysim.training.throughput import flop_per_token
from raysim.training.torch_engine import next_token_loss
from raysim.training.weights import Flat, assign, flatten, trainable


class SgdTrainer:
    """Implements `raysim.training.request.Trainer`; batches, rates, checkpoints and events are the loop's."""

    def __init__(self, model: Any, group: object = None) -> None:
        self._model = model  # the group is of one rank: see check

    @classmethod
    def check(cls, settings: TrainerSettings, objective: str | None = None) -> None:
        if settings.ranks > 1 or objective:
            raise ValueError("backend sgd: trains with one rank and without a local objective; write backend: torch")

    @classmethod
    def recipe(cls, settings: TrainerSettings) -> dict[str, Any]:
        return {"engine": "sgd", "version": 1}

    def train(self, request: TrainRequest) -> Iterator[Event]:
        self._model.train()
        assign(self._model, request.current_weights)
        yield from run_loop(_Steps(self._model, request.task.settings), request)
        self._model.eval()


class _Steps:  # implements `raysim.training.loop.Engine`
    def __init__(self, model: Any, settings: TrainerSettings) -> None:
        self._model, self._settings, self.flop_per_token = model, settings, flop_per_token(model)
        self.set_dropout = model.train

    def step(self, pieces: list[tuple[torch.Tensor, float, int]], rate: float) -> tuple[Any, Any]:
        total, parameters = torch.zeros(()), trainable(self._model)
        for ids, share, seed in pieces:
            torch.manual_seed(seed)  # of dropout
            (loss := next_token_loss(self._model, ids, self._settings) * share).backward()
            total += loss.detach()
        norm = torch.nn.utils.clip_grad_norm_(parameters, self._settings.gradient_clip)
        torch.optim.SGD(parameters, lr=rate).step()
        self._model.zero_grad()
        return total, norm

    def weights(self) -> Flat:
        return flatten(self._model)

    def optimizer_state(self) -> dict[str, Any]:
        return {}

    counters = optimizer_state
