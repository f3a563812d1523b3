"""Rounds of one of Flower's strategies: rehearsed before a run with a model of four numbers, and for real."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from flwr.app import Message
from flwr.serverapp.strategy import Strategy as FlowerStrategy
from raysim.strategies.flower_classes import flower_class, make_flower_strategy
from raysim.strategies.flower_server import FlowerServer, NodeReply, proximal_mu, unknown_config

from raysim.core.errors import InputError, RunError
from raysim.training.flower_calls import Refused
from raysim.training.flower_values import WEIGHTS
from raysim.training.weights import Flat

_START = np.array([0.5, -1.0, 2.0, 0.25], np.float32)
_MOVED = np.array([1.0, -2.0, 0.5, 3.0], np.float32) / 64
"""By what training moves the stand-in of a model, times a number of the client's own."""

Rehearsed = tuple[dict[int, float], dict[str, Any], tuple[str, ...]]
"""Of a round, whatever the weights are: for each node that is asked the weight of its proximal term, what the class
keeps after it as JSON values, and the names of the arrays that it keeps."""


@dataclass(frozen=True)
class FlowerRounds:
    """Rounds of a class of Flower's.

    Attributes:
        path: of the class, see `raysim.strategies.flower_classes.flower_class`.
        arguments: of its constructor.
        seed: of the experiment.
    """

    path: str
    arguments: Mapping[str, Any]
    seed: int

    @property
    def class_name(self) -> str:
        """The class's own name, wherever it was imported from."""
        found = flower_class(self.path, "strategy")
        return f"{found.__module__}.{found.__qualname__}"

    def rehearse(
        self,
        nodes: Sequence[Sequence[int]],
        metrics: Mapping[int, Mapping[str, float]],
        answering: Callable[[int, Collection[int]], Collection[int]] = lambda _, asked: asked,
    ) -> tuple[list[Rehearsed], list[str]]:
        """Plays all rounds with stand-ins for weights, each client's unlike the others'.

        Args:
            nodes: that are there, for each round.
            metrics: that each node might report.
            answering: which of the nodes that are asked in a round (from 1) answer; nobody: it is the last one.

        Returns:
            The rounds, and what a person should know of them, a sentence each.

        Raises:
            InputError: the class or its arguments do not fit, or it wants what raysim's organizations cannot do.
        """
        rounds, weights, number, unknown = [], _START, 0, set[str]()
        try:
            server = self._server()
            for number, available in enumerate(nodes, start=1):
                messages = server.configure(number, weights, available)
                unknown |= unknown_config(messages)
                there = answering(number, _asked(messages))
                if not there:
                    rounds.append((_asked(messages), {}, ()))
                    break
                replies = {node: (_stand_in(weights, node / number), metrics[node]) for node in there}
                weights = server.aggregate(number, messages, replies, weights.shape)
                memory, arrays = server.remembered(weights)
                rounds.append((_asked(messages), memory, tuple(arrays)))
        except Refused as refused:
            place = f"in a rehearsal of round {number}" if number else "at its beginning"
            raise InputError(f"{self.class_name}, {place}: {refused}") from refused
        return rounds, _remarks(server, unknown)

    def play(
        self,
        number: int,
        tensors: Mapping[str, npt.NDArray[Any]],
        memory: Mapping[str, Any],
        nodes: Sequence[int],
        planned: Mapping[int, float],
        replies: Mapping[int, NodeReply],
    ) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Round `number` for real.

        Args:
            number: from 1.
            tensors: ``weights`` and arrays that the class kept.
            memory: what else it kept.
            nodes: that are there.
            planned: what the rehearsal found of the nodes that train.
            replies: of these nodes; one without a reply has failed.

        Returns:
            Tensors and memory after the round.

        Raises:
            RunError: the class failed, made no model, or wants others to train than in the rehearsal.
        """
        weights: Flat = tensors[WEIGHTS]
        try:
            server = self._server()
            server.restore(memory, tensors)
            messages = server.configure(number, weights, nodes)
            if _asked(messages) != planned:
                raise Refused(
                    "asks others to train, or otherwise, than in the rehearsal before the run; raysim plans rounds"
                    " beforehand, so that they must not depend on what training gave"
                )
            after = server.aggregate(number, messages, replies, weights.shape)
            remembered, arrays = server.remembered(after)
        except Refused as refused:
            raise RunError(f"{self.class_name}, round {number}: {refused}; what was trained is kept") from refused
        return {WEIGHTS: after, **arrays}, remembered

    def _server(self) -> FlowerServer:
        return FlowerServer(partial(make_flower_strategy, self.path, self.arguments), self.seed)


def _stand_in(weights: Flat, steps: float) -> Flat:
    return np.add(weights, _MOVED * np.float32(steps), dtype=np.float32)


def _asked(messages: Sequence[Message]) -> dict[int, float]:
    return {message.metadata.dst_node_id: proximal_mu(message) for message in messages}


def _remarks(server: FlowerServer, unknown: set[str]) -> list[str]:
    remarks = [f"Flower says: {text}" for text in dict.fromkeys(server.warnings)]
    if unknown:
        remarks.append(f"its configuration for clients has {', '.join(sorted(unknown))}, which raysim's do not use")
    if type(server.strategy).start is not FlowerStrategy.start:
        remarks.append("its method start is not called, since rounds are raysim's")
    return remarks
