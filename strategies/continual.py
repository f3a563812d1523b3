"""Continual training: what organizations one after the other do so that the model does not forget those before them.

Elastic weight consolidation pulls each later organization back to the weights that it starts from, more strongly where
they mattered to earlier ones (`raysim.training.elastic`). Replay has it train on a share of their sequences beside its
own (Rolnick, Ahuja, Schwarz, Lillicrap & Wayne: Experience Replay for Continual Learning, NeurIPS 2019, arXiv
1811.11682), which they must share. The first stage of an order is the same with and without either.
"""

from collections.abc import Sequence
from dataclasses import replace

import pydantic
from raysim.strategies.sequential import SequentialSettings, SequentialStrategy

from raysim.core.keys import Key
from raysim.core.settings import Settings
from raysim.simulation.stage import share_of
from raysim.simulation.strategy import ClientUpdate, Federation, Importance, Replay, State, TrainInstruction
from raysim.training.elastic import EWC
from raysim.training.objectives import ObjectiveConfig


class ConsolidationSettings(Settings):
    """How strongly weights that mattered to earlier organizations are held, and what of their data says which."""

    strength: float = pydantic.Field(
        default=100.0,
        gt=0,
        description="weight of half the squared distances from where a stage starts, each times its Fisher information",
    )
    samples: int = pydantic.Field(
        default=64, ge=1, description="training sequences of each earlier organization that give it; fewer if it has"
    )


class ContinualSettings(SequentialSettings):
    """What is done against forgetting."""

    ADDED = frozenset({"ewc", "replay"})

    ewc: ConsolidationSettings | None = pydantic.Field(
        default=None,
        description="elastic weight consolidation: later organizations are pulled back where weights mattered to"
        " earlier ones, which send the Fisher information of their data, a buffer like their weights; unset: none",
    )
    replay: float | None = pydantic.Field(
        default=None,
        gt=0,
        le=1,
        description="share of every earlier organization's training sequences that a later one trains on beside its"
        " own; earlier ones need agreement: {share: data}; unset: none",
    )


class ContinualStrategy(SequentialStrategy):
    """Stages of one organization each, of which later ones are kept from forgetting earlier ones."""

    def __init__(self, stages: Sequence[tuple[str, ...]], federation: Federation, settings: ContinualSettings) -> None:
        super().__init__(stages, federation, settings)
        self._ewc = settings.ewc
        self._replay = settings.replay
        self._trained_on = {one.name: share_of(settings.fraction, one.num_sequences) for one in federation.clients}

    def plan(self, state: State) -> Sequence[TrainInstruction]:
        return [self._against_forgetting(one, state) for one in super().plan(state)]

    def apply(self, state: State, results: Sequence[ClientUpdate], key: Key) -> State:
        after = super().apply(state, results, key)
        if self._ewc is None:
            return after
        (name,) = results[0].instruction.organizations
        return replace(after, client_states={**state.client_states, name: results[0].key})

    def _against_forgetting(self, instruction: TrainInstruction, state: State) -> TrainInstruction:
        latest_first = dict.fromkeys(name for (name,) in reversed(self._stages[: state.round]))
        earlier = tuple(reversed(latest_first))
        if self._ewc and earlier:
            samples = self._ewc.samples
            instruction = replace(
                instruction,
                objective=ObjectiveConfig(EWC, {"strength": self._ewc.strength}),
                importances=tuple(
                    Importance(name, state.client_states[name], min(samples, self._trained_on[name]))
                    for name in earlier
                ),
            )
        others = tuple(name for name in earlier if name not in instruction.organizations)
        if self._replay and others:
            instruction = replace(instruction, replay=Replay(others, self._replay))
        return instruction
