"""Word that the node of this process will soon be taken away, so that a stage hands over its state before."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LOOK_EVERY_S = 1.0
"""Between two questions, each of which costs a call of some milliseconds to the head of a cluster."""

Ask = Callable[[], bool]
"""Whether the node goes; asks whoever knows, which may take a while."""


class Departure:
    """Asks, beside a stage that trains, whether its node is about to go; the stage itself never waits for an answer."""

    def __init__(self) -> None:
        self._ask: Ask | None = None
        self._near = threading.Event()

    def ask_by(self, ask: Ask) -> None:
        """Says how to ask, from now on; without it no node ever goes, as in a process of a machine of its own."""
        self._ask = ask

    def is_near(self) -> bool:
        """Whether the node goes, as far as the last answer knows."""
        return self._near.is_set()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Asks again and again for the time of the block, until the answer is yes."""
        self._near.clear()
        if self._ask is None:
            yield
            return
        over = threading.Event()
        asking = threading.Thread(target=self._look, args=(self._ask, over), name="raysim-departure", daemon=True)
        asking.start()
        try:
            yield
        finally:
            over.set()  # not waited for: a head that is away answers late

    def _look(self, ask: Ask, over: threading.Event) -> None:
        while not over.is_set():
            if ask():
                if not over.is_set():
                    self._near.set()
                return
            over.wait(_LOOK_EVERY_S)


DEPARTURE = Departure()
"""That of this process, which trains one stage at a time."""
