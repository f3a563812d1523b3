"""Progress of a run, for whoever watches it."""

from collections.abc import Mapping
from typing import Protocol

from raysim.core.keys import Key
from raysim.store.model_scores import ModelScores
from raysim.store.task_log import Observer, TaskKind, TaskRecord

Planned = Mapping[str, Mapping[str, int]]
"""For each setting how many ``stages`` and how many ``rounds`` it has."""


class RunObserver(Observer, Protocol):
    """Receives progress of a whole run, beside what `raysim.store.task_log.Observer` receives of each piece of work."""

    def phase(self, name: str) -> None:
        """A phase of the run begins."""
        ...

    def expect(self, tokens: Mapping[str, int], planned: Planned) -> None:
        """The run will compute `tokens`, by kind of work, and consists of what is `planned`."""
        ...

    def point(self, name: str, number: int, total: int, later: Mapping[str, int]) -> None:
        """Point `number` of `total` of a sweep begins; those after it will compute the tokens `later`, by kind."""
        ...

    def counts(self) -> dict[str, int]:
        """Ended pieces of work by kind and status, for example ``{"train computed": 15}``."""
        ...


class PartialObserver:
    """Base of observers that look at some events alone."""

    def phase(self, name: str) -> None: ...

    def expect(self, tokens: Mapping[str, int], planned: Planned) -> None: ...

    def point(self, name: str, number: int, total: int, later: Mapping[str, int]) -> None: ...

    def started(self, key: Key, kind: TaskKind, label: str, tokens: int) -> None: ...

    def progressed(self, key: Key, tokens: int, note: str, loss: float | None = None) -> None: ...

    def ended(self, record: TaskRecord) -> None: ...

    def measured(self, scores: ModelScores) -> None: ...

    def note(self, text: str) -> None: ...

    def counts(self) -> dict[str, int]:
        return {}


class Observers:
    """Implements `RunObserver` by handing every event to several, in their order; the first one counts."""

    def __init__(self, first: RunObserver, *others: RunObserver) -> None:
        self._all = (first, *others)

    def phase(self, name: str) -> None:
        for one in self._all:
            one.phase(name)

    def expect(self, tokens: Mapping[str, int], planned: Planned) -> None:
        for one in self._all:
            one.expect(tokens, planned)

    def point(self, name: str, number: int, total: int, later: Mapping[str, int]) -> None:
        for one in self._all:
            one.point(name, number, total, later)

    def started(self, key: Key, kind: TaskKind, label: str, tokens: int) -> None:
        for one in self._all:
            one.started(key, kind, label, tokens)

    def progressed(self, key: Key, tokens: int, note: str, loss: float | None = None) -> None:
        for one in self._all:
            one.progressed(key, tokens, note, loss)

    def ended(self, record: TaskRecord) -> None:
        for one in self._all:
            one.ended(record)

    def measured(self, scores: ModelScores) -> None:
        for one in self._all:
            one.measured(scores)

    def note(self, text: str) -> None:
        for one in self._all:
            one.note(text)

    def counts(self) -> dict[str, int]:
        return self._all[0].counts()
