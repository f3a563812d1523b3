"""The actor that runs one strategy: it holds the strategy's state between rounds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from raysim.core.keys import Key
from raysim.simulation.participation import TakesAttendance
from raysim.simulation.round_norms import norms_of
from raysim.simulation.strategy import ClientUpdate, ModelCheckpoint, State, Strategy, TrainInstruction
from raysim.training.weights import Flat

NO_WEIGHTS: Flat = np.empty(0, np.float32)
"""In place of weights that nobody needs: in plans, and for strategies that do not aggregate."""


@dataclass(frozen=True)
class RoundPlan:
    """What a strategy plans after each round.

    Attributes:
        control: its state without the tensors.
        instructions: what to do next; nothing: done.
        checkpoints: models that now exist.
        ends: why the run cannot go on from here, and is to end with an error; empty: it can.
    """

    control: Mapping[str, Any]
    instructions: tuple[TrainInstruction, ...]
    checkpoints: tuple[ModelCheckpoint, ...]
    ends: str = ""


@dataclass(frozen=True)
class Aggregated:
    """A state that an aggregation has come to.

    Attributes:
        control: the state without its tensors.
        tensors: their names, in the order in which they follow.
        norms: of the round; see `raysim.simulation.round_norms`.
    """

    control: Mapping[str, Any]
    tensors: tuple[str, ...]
    norms: Mapping[str, Any]


class StrategyActor:
    """Runs `strategy`, one call a round. The tensors of its state may be absent until an aggregation needs them."""

    def __init__(self, strategy: Strategy) -> None:
        self._strategy = strategy
        self._state: State | None = None

    def begin(self, model: Key) -> RoundPlan:
        """Starts from the weights named by `model`."""
        return self._plan_of(self._strategy.init(model, NO_WEIGHTS))

    def advance(self, results: Sequence[ClientUpdate]) -> RoundPlan:
        """Applies results of a strategy that does not aggregate."""
        assert self._state is not None, "begin() comes first"
        return self._plan_of(self._strategy.apply(self._state, results, ""))

    def restore(self, control: Mapping[str, Any]) -> RoundPlan:
        """Takes over a state that was aggregated before; its tensors stay in the store, unless this actor has them."""
        mine = self._state
        return self._plan_of(State(**control, tensors=mine.tensors if mine and mine.model == control["model"] else {}))

    def current_plan(self) -> RoundPlan:
        """The plan of the present state, once more."""
        assert self._state is not None, "begin() comes first"
        return self._plan_of(self._state)

    def aggregate(
        self, tensors: Mapping[str, Flat] | None, results: Sequence[ClientUpdate], key: Key, *weights: Flat
    ) -> Iterator["Aggregated | Flat"]:
        """Applies results with their weights; `current_plan` then says what comes next.

        Args:
            tensors: of the state, where this actor does not have them yet.
            results: in the order of the plan, without weights.
            key: of the model that is made here.
            *weights: float32 ``[num_parameters]`` for each result.

        Yields:
            The new state without its tensors, and then each of these, so that one can be handed on by itself.
        """
        assert self._state is not None, "begin() comes first"
        state = self._state if tensors is None else self._state.with_tensors(tensors)
        full = [replace(result, weights=w) for result, w in zip(results, weights, strict=True)]
        with np.errstate(all="ignore"):  # what has diverged is refused by the store, in words
            self._state = self._strategy.apply(state, full, key)
            norms = norms_of(state.tensors["weights"], full, self._state.tensors["weights"])
        yield Aggregated(self._state.control(), tuple(self._state.tensors), norms)
        for tensor in self._state.tensors.values():  # noqa: UP028 - Ray sends to a generator, which a `yield from` hands on
            yield tensor

    def _plan_of(self, state: State) -> RoundPlan:
        self._state = state
        strategy = self._strategy
        ends = strategy.ends(state) if isinstance(strategy, TakesAttendance) else ""
        return RoundPlan(state.control(), tuple(strategy.plan(state)), tuple(strategy.checkpoints(state)), ends)
