"""Which of a strategy's models a measure is taken of."""

from typing import Annotated, Any, Literal, Protocol

import pydantic
from pydantic import Field

from raysim.simulation.strategy import ModelCheckpoint

When = Literal["final", "every_stage", "every_round", "every_epoch", "every_pooled_epoch"]


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


CheckpointKinds = Annotated[
    tuple[When, ...],
    Field(min_length=1),
    pydantic.BeforeValidator(_as_tuple, json_schema_input_type=When | Annotated[list[When], Field(min_length=1)]),
]
"""Which of a strategy's models are measured; one kind may be written without brackets.

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
    return f"every_{checkpoint.moment}" in settings.when
