"""The actor that runs one strategy: it holds the strategy's state between rounds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from raysim.core.json_text import parse_json
from raysim.core.keys import Key, canonical_json
from raysim.simulation.adapter_gaps import gaps_of
from raysim.simulation.participation import TakesAttendance
from raysim.simulation.round_norms import norms_of
from raysim.simulation.strategy import (
    Averaging,
    ClientUpdate,
    ModelCheckpoint,
    State,
    Strategy,
    TrainInstruction,
    is_over,
)
from raysim.training.adapters import Adapters
from raysim.training.upload_form import shows_weights
from raysim.training.weights import Flat

NO_WEIGHTS: Flat = np.empty(0, np.float32)
"""In place of weights that nobody needs: in plans, and for strategies that do not aggregate."""


@dataclass(frozen=True)
class RoundPlan:
    """What a strategy plans after each round.

    Attributes:
        control: its state without the tensors.
        instructions: what to do next.
        checkpoints: models that now exist.
        over: whether nothing comes next.
        ends: why the run cannot go on from here, and is to end with an error; empty: it can.
    """

    control: Mapping[str, Any]
    instructions: tuple[TrainInstruction, ...]
    checkpoints: tuple[ModelCheckpoint, ...]
    over: bool
    ends: str = ""


@dataclass(frozen=True)
class Aggregated:
    """A state that an aggregation has come to.

    Attributes:
        plan: of the next round.
        tensors: names of the state's tensors, in the order in which they follow.
        norms: of the round; see `raysim.simulation.round_norms`.
    """

    plan: RoundPlan
    tensors: tuple[str, ...]
    norms: Mapping[str, Any]

    @property
    def control(self) -> Mapping[str, Any]:
        """The state without its tensors."""
        return self.plan.control


class StrategyActor:
    """Runs `strategy`, one call a round. It holds no tensors between rounds: they come with an aggregation.

    Args:
        strategy: to run.
        adapters: of the model, for the gaps of their averages; None: it has none, or nobody asks.
    """

    def __init__(self, strategy: Strategy, adapters: Adapters | None = None) -> None:
        self._strategy = strategy
        self._adapters = adapters
        self._state: State | None = None
        self._made: Mapping[str, Flat] = {}

    def begin(self, model: Key) -> RoundPlan:
        """Starts from the weights named by `model`."""
        return self._plan_of(self._strategy.init(model, NO_WEIGHTS))

    def advance(self, results: Sequence[ClientUpdate]) -> RoundPlan:
        """Applies results of a strategy that does not aggregate."""
        assert self._state is not None, "begin() comes first"
        return self._plan_of(self._strategy.apply(self._state, results, ""))

    def restore(self, control: Mapping[str, Any]) -> RoundPlan:
        """Takes over a state that was aggregated before."""
        return self._plan_of(State(**control))

    def aggregate(self, tensors: Sequence[str], results: Sequence[ClientUpdate], key: Key, *arrays: Flat) -> Aggregated:
        """Applies results with their weights; `new_tensors` then hands out what was made.

        The two are apart, so that what the clients sent is gone before a copy of the new tensors travels.

        Args:
            tensors: names of the state's tensors.
            results: in the order of the plan, without weights.
            key: of the model that is made here.
            *arrays: the state's tensors, and then for each result its weights, float32 ``[num_parameters]``.
        """
        assert self._state is not None, "begin() comes first"
        state = self._state.with_tensors(dict(zip(tensors, arrays, strict=False)))
        weights = arrays[len(tensors) :]
        full = [replace(result, weights=w) for result, w in zip(results, weights, strict=True)]
        with np.errstate(all="ignore"):  # what has diverged is refused by the store, in words
            after = self._strategy.apply(state, full, key)
            norms = norms_of(state.tensors["weights"], full, after.tensors["weights"])
            seen = bool(full) and all(shows_weights(result.instruction.upload) for result in full)
            if self._adapters and seen and isinstance(self._strategy, Averaging):
                shares = self._strategy.client_shares(full)
                made = after.tensors["weights"] if self._strategy.takes_average else None
                norms |= gaps_of(self._adapters.layers, list(weights), shares, state.tensors["weights"], made)
        self._made = after.tensors
        # As a run that is resumed reads it, so that both go on alike.
        control = parse_json(canonical_json(after.control()).encode())
        return Aggregated(self._plan_of(State(**control)), tuple(after.tensors), norms)

    def new_tensors(self) -> Iterator[Flat]:
        """Each tensor of the last aggregation, in the order of their names, so that one can be handed on by itself."""
        made, self._made = self._made, {}
        for tensor in made.values():  # noqa: UP028 - Ray sends to a generator, which a `yield from` hands on
            yield tensor

    def _plan_of(self, state: State) -> RoundPlan:
        self._state = state
        strategy = self._strategy
        planned, checkpoints = tuple(strategy.plan(state)), tuple(strategy.checkpoints(state))
        ends = strategy.ends(state) if isinstance(strategy, TakesAttendance) else ""
        return RoundPlan(state.control(), planned, checkpoints, bool(ends) or is_over(strategy, state, planned), ends)
