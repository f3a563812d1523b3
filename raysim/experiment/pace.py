"""How much of a run is done, and how long the rest will take."""

import time
from collections.abc import Mapping

from raysim.core.keys import Key
from raysim.measures.registry import work_kinds
from raysim.store.task_log import TaskKind
from raysim.tasks.kinds import WorkKind

_KNOWN_AFTER_S = 10.0


class Pace:
    """Adds up the forward passes that a run has to compute, and those that it has computed.

    Args:
        kinds: of work, by name; None: those of the installed measures.
    """

    def __init__(self, kinds: Mapping[str, WorkKind] | None = None) -> None:
        self.kinds = work_kinds() if kinds is None else kinds
        self._all = 0.0
        self._done = 0.0
        self._later = 0.0
        self._started_s = time.monotonic()
        self._running: dict[Key, tuple[TaskKind, int, int]] = {}

    def expect(self, tokens: Mapping[str, int]) -> None:
        """Tokens of each kind that are to be computed now."""
        self._all = self._done + self._passes(tokens) + self._later

    def later(self, tokens: Mapping[str, int]) -> None:
        """The same of the points of a sweep that come after this one."""
        self._later = self._passes(tokens)

    def started(self, key: Key, kind: TaskKind, tokens: int) -> None:
        """Work began, which will take `tokens`."""
        self._running[key] = kind, tokens, 0

    def progressed(self, key: Key, tokens: int) -> None:
        """`tokens` of it are done."""
        if key in self._running:
            kind, all_tokens, before = self._running[key]
            if not self._done:
                self._started_s = time.monotonic()  # from here on; starting actors says nothing of the pace
            self._done += self.kinds[kind].passes * (tokens - before)
            self._running[key] = kind, all_tokens, tokens

    def ended(self, key: Key) -> None:
        """All of it is done."""
        if key in self._running:
            self.progressed(key, self._running[key][1])
            del self._running[key]

    @property
    def share(self) -> float:
        """Of the work, between 0 and 1."""
        return min(1.0, self._done / self._all) if self._all else 0.0

    @property
    def elapsed_s(self) -> float:
        """Seconds since work began."""
        return time.monotonic() - self._started_s

    @property
    def left_s(self) -> float | None:
        """Seconds that the rest will take at this pace; None: not known yet."""
        if self.elapsed_s < _KNOWN_AFTER_S or self._done <= 0:
            return None
        return max(0.0, self.elapsed_s * (self._all - self._done) / self._done)

    def _passes(self, tokens: Mapping[str, int]) -> float:
        return sum(self.kinds[kind].passes * count for kind, count in tokens.items())
