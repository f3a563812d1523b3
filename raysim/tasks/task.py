"""A piece of keyed work: what it is a function of, who does it, and what it gives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any, Generic, TypeVar

import numpy.typing as npt
import pyarrow as pa

from raysim.core.keys import Key, key_of
from raysim.store.transfers import Transfer

T = TypeVar("T")


class ArrayPolicy(Enum):
    """What is asked of an entry whose arrays may have been evicted."""

    LOOKUP = "lookup"
    """Facts and tables are enough; arrays may be gone."""

    REMATERIALIZE = "rematerialize"
    """Arrays must be there: what was evicted is computed again."""


@dataclass(frozen=True)
class TaskOutput:
    """What a client function returns: JSON facts, arrays and tables."""

    info: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    tables: Mapping[str, pa.Table] = field(default_factory=dict)


@dataclass(frozen=True)
class Task(Generic[T]):
    """Keyed work of ``function(actor, *arguments)`` at a client; with weights before them if the recipe names some.

    Attributes:
        recipe: of the work; its hash is the key of the result.
        label: names the work for people.
        client: whose actor does it.
        function: runs at the actor, which it gets first.
        arguments: of `function`, after the actor and the weights.
        tokens: that the work trains on, scores or generates.
        given: transfers of what `arguments` carry to the client.
    """

    recipe: Mapping[str, Any]
    label: str
    client: str
    function: Callable[..., T]
    arguments: tuple[Any, ...] = ()
    tokens: int = 0
    given: tuple[Transfer, ...] = ()

    @cached_property
    def key(self) -> Key:
        return key_of(self.recipe)

    @property
    def kind(self) -> str:
        """Of work, one of `raysim.tasks.kinds` or of a measure."""
        return self.recipe["kind"]

    @property
    def weights(self) -> Key | None:
        """Key of the weights that `function` gets."""
        return self.recipe.get("weights")
