"""Progress of a run, for whoever watches it."""

from collections.abc import Mapping
from typing import Protocol

from raysim.store.task_log import Observer


class RunObserver(Observer, Protocol):
    """Receives progress of a whole run, beside what `raysim.store.task_log.Observer` receives of each piece of work."""

    def phase(self, name: str) -> None:
        """A phase of the run begins."""
        ...

    def expect(self, tokens: Mapping[str, int]) -> None:
        """The run will compute `tokens`, by kind of work."""
        ...

    def point(self, name: str, number: int, total: int, later: Mapping[str, int]) -> None:
        """Point `number` of `total` of a sweep begins; those after it will compute the tokens `later`, by kind."""
        ...

    def counts(self) -> dict[str, int]:
        """Ended pieces of work by kind and status, for example ``{"train computed": 15}``."""
        ...
