"""The strategy protocol: who trains next, from which weights, and what becomes of the results.

A strategy is one file. It sees keys, counts and - if it aggregates - weights; never a corpus, an actor or a clock.
All that it remembers is in its `State`, so that a run resumes between any two rounds, and so that the same code plans
a run: the planner feeds it buffers of no elements.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Protocol, Self, runtime_checkable

import numpy as np
import pydantic

from raysim.core.keys import Key
from raysim.core.settings import Settings
from raysim.training.adapters import Adapters
from raysim.training.objectives import ObjectiveConfig
from raysim.training.upload_form import UploadForm, shows_weights
from raysim.training.weights import Flat

CheckpointKind = Literal["initial", "stage", "round", "epoch", "upload"]
Family = Literal[
    "base", "given", "single", "centralized", "incremental", "cyclic", "federated", "personalized", "unlearned"
]
"""How a strategy brings organizations together: each alone, all in one pool, one after the other (once, or in several
passes), or by weights (to a model of all, or to one of each organization's own); of `base` are models that were trained
on nobody's code, and of `given` such as came trained on it."""


class StrategySettings(Settings):
    """Base of the settings of a strategy.

    Attributes:
        CHOOSE_VARIANTS: names of the settings that only choose which variants to run, such as orders: those of one
            setting belong to one arm, whichever of them are run.
        ADDED: names of the settings that came later: at their defaults an arm is what it was before them.
    """

    CHOOSE_VARIANTS: ClassVar[frozenset[str]] = frozenset()
    ADDED: ClassVar[frozenset[str]] = frozenset()

    label: str | None = pydantic.Field(default=None, description="names this setting in tables; default: the strategy")

    def of_arm(self) -> dict[str, Any]:
        """The settings that decide what is done to the organizations: all but the label and the choice of variants."""
        fields = type(self).model_fields
        unused = {name for name in self.ADDED if getattr(self, name) == fields[name].default}
        return self.model_dump(mode="json", exclude={"label", *self.CHOOSE_VARIANTS, *unused})

    def packages(self) -> Sequence[str]:
        """Packages or modules besides the strategy's own that every node needs, in the versions of this machine."""
        return ()

    def cautions(self, epochs: int) -> Sequence[str]:
        """What a person should know of these settings where `trainer.epochs` is `epochs`, a sentence each."""
        del epochs
        return ()


@dataclass(frozen=True)
class ClientInfo:
    """What a strategy may know of an organization.

    Attributes:
        name: of the organization.
        num_sequences: packed training sequences, the number of examples of weighted averages.
        num_tokens: training tokens.
        diversity: share of distinct lines to expect among as many training lines as the smallest organization has.
        duplicate_share: of training lines that occur in more than one place of the organization.
    """

    name: str
    num_sequences: int
    num_tokens: int
    diversity: float
    duplicate_share: float


@dataclass(frozen=True)
class Federation:
    """What a strategy begins with.

    Attributes:
        clients: in the order of the experiment file.
        epochs: the trainer's.
        client_state: the trainer's.
        batch_size: the trainer's, sequences a step.
        seed: of training; what a strategy draws depends on it and never on the strategy's own models or settings, so
            that settings of one seed are paired.
        adapters: where they lie in the flat buffers of a model that has any; else None.
        sequence_length: tokens of a packed sequence.
    """

    clients: tuple[ClientInfo, ...]
    epochs: int
    client_state: Literal["keep", "reset"]
    seed: int = 0
    adapters: Adapters | None = None
    sequence_length: int = 1
    batch_size: int = 1

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(client.name for client in self.clients)

    def without(self, name: str) -> "Federation":
        """The same federation without the client `name`."""
        return replace(self, clients=tuple(client for client in self.clients if client.name != name))


@dataclass(frozen=True)
class Importance:
    """How much each weight mattered to an organization: the Fisher information of its data.

    Attributes:
        organization: whose data; it computes this itself.
        model: key of the stage that it trained, by whose weights.
        sequences: of its packed training sequences, the first ones.
    """

    organization: str
    model: Key
    sequences: int


@dataclass(frozen=True)
class Replay:
    """Sequences of other organizations that a stage trains on beside its own.

    Attributes:
        organizations: whose; each must share data.
        share: of the sequences that each trains on itself, rounded up, the first ones; their order is a seeded draw.
    """

    organizations: tuple[str, ...]
    share: float


@dataclass(frozen=True)
class TrainInstruction:
    """Train from the weights named by `model`.

    Attributes:
        organizations: one name: its own sequences. Several: their pooled sequences (each must share data).
        model: key of the weights to start from.
        epochs: passes over the data.
        horizon_epochs: length of the learning-rate schedule.
        client_state: key of the stage whose optimizer and schedule position go on, or None for fresh ones.
        keep_state: whether a later stage will name this one as `client_state`.
        fraction: of each organization's packed sequences that is trained on, rounded up; their order is a seeded draw.
        objective: that is minimized beside the loss of the next token; part of the stage's key; None: nothing else.
        dropout_epochs: epochs of the stage that have dropout, the first ones; None: all.
        pooled_packing: whether the files of several organizations are packed into common sequences; else each
            sequence holds code of one.
        objective_state: key of the organization's stage whose buffers of the objective go on; None: there are none yet.
        epoch_steps: optimizer steps that count as an epoch of this stage; None: a pass over the data.
        upload: form in which the update leaves the organization, part of the stage's key; None: whole weights.
        upload_state: key of the organization's stage whose buffers of the form go on; None: there are none yet.
        importances: whose sum the objective gets as its buffer ``fisher``.
        replay: what is trained on beside the organization's own sequences; None: nothing.
    """

    organizations: tuple[str, ...]
    model: Key
    epochs: int
    horizon_epochs: int
    client_state: Key | None = None
    keep_state: bool = False
    fraction: float = 1.0
    objective: ObjectiveConfig | None = None
    dropout_epochs: int | None = None
    pooled_packing: bool = False
    objective_state: Key | None = None
    epoch_steps: int | None = None
    upload: UploadForm | None = None
    upload_state: Key | None = None
    importances: tuple[Importance, ...] = ()
    replay: Replay | None = None


@dataclass(frozen=True)
class ClientUpdate:
    """A finished instruction.

    Attributes:
        key: names the trained weights.
        weights: float32 ``[num_parameters]``; of no elements for a strategy that does not aggregate, and in a plan.
        num_sequences: that were trained on.
        metrics: of the training, such as ``last_epoch_loss`` in nats a token; empty in a plan.
    """

    instruction: TrainInstruction
    key: Key
    num_sequences: int
    weights: Flat = field(default_factory=lambda: np.empty(0, np.float32))
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def learning_rate_sum(self) -> float:
        """Of its optimizer steps; not known in a plan."""
        return self.metrics.get("learning_rate_sum", math.nan)


@dataclass(frozen=True)
class State:
    """Everything a strategy remembers.

    Attributes:
        model: key of the current model.
        round: finished rounds or stages.
        client_states: for each organization the key of its last stage.
        tensors: server-side flat buffers: ``weights`` and optimizer buffers; empty for a strategy that does not
            aggregate.
        memory: JSON values that the server keeps besides; a plan must not depend on those that training decided.
    """

    model: Key
    round: int = 0
    client_states: Mapping[str, Key] = field(default_factory=dict)
    tensors: Mapping[str, Flat] = field(default_factory=dict)
    memory: Mapping[str, Any] = field(default_factory=dict)

    def control(self) -> dict[str, Any]:
        """All but the tensors, as JSON values."""
        memory = {"memory": dict(self.memory)} if self.memory else {}
        return {"model": self.model, "round": self.round, "client_states": dict(self.client_states), **memory}

    def with_tensors(self, tensors: Mapping[str, Flat]) -> "State":
        return replace(self, tensors=tensors)


@dataclass(frozen=True)
class ModelCheckpoint:
    """A model that exists now and may be measured.

    Attributes:
        model: its key.
        moment: what has just ended.
        index: which stage or round, from 1; 0 for the initial model.
        final: whether the setting ends with it.
        last: the organization that alone was trained last; empty if several were at once.
        average: of an upload, which a client sends to be aggregated: the model that its round made of it.
    """

    model: Key
    moment: CheckpointKind
    index: int
    final: bool
    last: str = ""
    average: Key = ""


def uploads(
    results: Sequence[ClientUpdate], average: Key, index: int, after: Sequence[ModelCheckpoint]
) -> list[ModelCheckpoint]:
    """What the server received in a round, of each organization that trained alone.

    Of one that hides its update, the server has what it made of all of them, and no more.

    Args:
        results: of the round.
        average: the model that was made of them.
        index: of the round, from 1.
        after: models that exist now; the setting ends with the round if one of them is final.
    """
    final = any(checkpoint.final for checkpoint in after)
    return [
        ModelCheckpoint(
            result.key if shows_weights(result.instruction.upload) else average,
            "upload",
            index,
            final,
            result.instruction.organizations[0],
            average,
        )
        for result in results
        if len(result.instruction.organizations) == 1
    ]


def is_over(strategy: "Strategy", state: State, planned: Sequence[TrainInstruction]) -> bool:
    """Whether a strategy that plans this in `state` is done, or goes on with a round that nobody trains in."""
    if planned:
        return False
    idles = getattr(strategy, "idle_rounds", False)
    return not idles or any(checkpoint.final for checkpoint in strategy.checkpoints(state))


class Strategy(Protocol):
    """One setting in one order. Contract: every method is pure, and `apply` runs over results in the order of the plan.

    Attributes:
        Settings: what an experiment can set.
        family: of the class: what its models are compared with. A model of a round belongs to `federated`.
        order: names the variant for people: ``a > b`` where b comes after a, ``a + b`` where they train together.
        members: the organizations that take part, in the order in which they are introduced; those that begin together
            in the order of the experiment.
        fraction: of each member's packed sequences that is trained on.
        aggregates: whether `apply` needs weights and makes a model of its own; else it only updates keys and counts.
    """

    Settings: type[StrategySettings]
    family: ClassVar[Family]
    order: str
    members: tuple[str, ...]
    fraction: float
    aggregates: bool

    @classmethod
    def variants(cls, settings: Any, federation: Federation) -> Sequence[Self]:
        """The strategies that `settings` asks for: one for each organization, each order, or just one."""
        ...

    def recipe(self) -> dict[str, Any]:
        """Settings that decide the numbers of `apply`, with a numerics ``version``; part of the aggregation's key."""
        ...

    def init(self, model: Key, weights: Flat) -> State:
        """The state before anything was trained; `weights` has no elements if the strategy does not aggregate."""
        ...

    def plan(self, state: State) -> Sequence[TrainInstruction]:
        """What to train now, all at once; nothing: done.

        A strategy whose class says ``idle_rounds = True`` draws who trains, and may draw nobody: it is done where it
        plans nothing and has a final checkpoint, and before that `apply` makes a round of no results.
        """
        ...

    def apply(self, state: State, results: Sequence[ClientUpdate], key: Key) -> State:
        """The state after `results`; `key` names the model that an aggregating strategy makes here."""
        ...

    def checkpoints(self, state: State) -> Sequence[ModelCheckpoint]:
        """Models that exist now and did not before."""
        ...


@runtime_checkable
class Averaging(Protocol):
    """What a strategy may say besides: that its server averages weights. Then gaps of adapters are noted.

    Attributes:
        takes_average: whether the server's next model is that average, and no step that follows from it.
    """

    takes_average: bool

    def client_shares(self, results: Sequence[ClientUpdate]) -> Sequence[float]:
        """What each client counts in the average; the sum is 1."""
        ...
