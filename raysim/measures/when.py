"""Which of a strategy's models a measure is taken of."""

from typing import Annotated, Any, Literal, Protocol

import pydantic
from pydantic import Field

from raysim.core.settings import Settings
from raysim.simulation.strategy import ModelCheckpoint

When = Literal["final", "every_stage", "every_round", "every_epoch", "every_pooled_epoch"]


class EveryRounds(Settings):
    """Rounds at regular distances, the last one always."""

    every_rounds: int = Field(ge=1, description="of a federation every so many rounds")


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str | dict | EveryRounds) else value


_One = Annotated[
    Annotated[When, pydantic.Tag("name")] | Annotated[EveryRounds, pydantic.Tag("mapping")],
    pydantic.Discriminator(lambda value: "name" if isinstance(value, str) else "mapping"),
]

CheckpointKinds = Annotated[
    tuple[_One, ...],
    Field(min_length=1),
    pydantic.BeforeValidator(_as_tuple, json_schema_input_type=_One | Annotated[list[_One], Field(min_length=1)]),
]
"""Which of a strategy's models are measured; one kind may be written without brackets, ``{every_rounds: 5}`` too.

Pooled epochs are those of stages that train on the code of several organizations at once, as centralized training does.
"""


class AtCheckpoints(Protocol):
    """Settings of a measure that is not taken of every model."""

    @property
    def when(self) -> CheckpointKinds: ...


def wanted(checkpoint: ModelCheckpoint, settings: AtCheckpoints) -> bool:
    """Whether a model is measured: final ones always, the initial one if any on the way are."""
    if checkpoint.final:
        return True
    if checkpoint.moment == "initial":
        return settings.when != ("final",)
    if checkpoint.moment == "epoch" and not checkpoint.last and "every_pooled_epoch" in settings.when:
        return True
    if checkpoint.moment == "round" and any(
        isinstance(one, EveryRounds) and checkpoint.index % one.every_rounds == 0 for one in settings.when
    ):
        return True
    return f"every_{checkpoint.moment}" in settings.when


def named(kind: When | EveryRounds) -> str:
    """A kind of models as it is written in an experiment."""
    return kind if isinstance(kind, str) else f"{{every_rounds: {kind.every_rounds}}}"
