"""Writes entries behind the work that made them, so that nobody waits for a disk.

Entries are written one after the other in a thread, in the order in which they were given, so a model is never there
before those that it was made from. An entry counts once it is written.
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy.typing as npt

from raysim.core.errors import RunError
from raysim.core.keys import Key, key_of
from raysim.store.entries import Entry
from raysim.store.store import Store


class WriteBehind:
    """A queue of entries in front of a store; whoever uses it bounds it by waiting for `written`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(1, "write-behind")
        self._queue: dict[Key, asyncio.Future[None]] = {}
        self._afterwards: dict[Key, list[Callable[[], None]]] = {}

    def put(
        self,
        label: str,
        recipe: Mapping[str, Any],
        info: Mapping[str, Any],
        arrays: Mapping[str, npt.NDArray[Any]],
        then: Callable[[], None],
        facts_alone: bool = False,
    ) -> None:
        """Queues an entry; it is in memory until it is written.

        Args:
            label: names the work in errors.
            recipe: of the work.
            info: its JSON facts.
            arrays: its arrays, which are finite, and which nobody may change any more.
            then: called when it has been written, or cannot be.
            facts_alone: whether the arrays are not to be written; see `raysim.store.store.Store.note`.
        """
        key = key_of(recipe)
        write = self._store.note if facts_alone else self._store.write
        work = partial(_named, label, write, recipe, info, arrays)
        writing = asyncio.get_running_loop().run_in_executor(self._thread, work)
        self._afterwards[key] = []
        self._queue[key] = asyncio.ensure_future(self._finish(key, writing, then))
        # Whoever waits gets an error; nobody may be left to.
        self._queue[key].add_done_callback(lambda done: done.cancelled() or done.exception())

    async def written(self, key: Key) -> None:
        """Waits until the entry of `key` is in the store, if it is on its way there, and what was to come after it.

        Raises:
            RunError: it cannot be written; see `raysim.store.store.Store.write`.
            Exception: what came after it raised.
        """
        if key in self._queue:
            await asyncio.shield(self._queue[key])

    def after(self, key: Key, do: Callable[[], None]) -> None:
        """Calls `do` once the entry of `key` is in the store, at once if it is not on its way; never, if that fails.

        What it raises then comes to whoever waits by `written` or `flush`.
        """
        if key in self._afterwards:
            self._afterwards[key].append(do)
        else:
            do()

    async def flush(self) -> None:
        """Waits for all that is queued, whatever becomes of it.

        Raises:
            Exception: as `written`, of the first that failed.
        """
        ended = await asyncio.gather(*map(asyncio.shield, self._queue.values()), return_exceptions=True)
        for failed in (outcome for outcome in ended if isinstance(outcome, BaseException)):
            raise failed

    async def _finish(self, key: Key, writing: asyncio.Future[Entry], then: Callable[[], None]) -> None:
        try:
            await writing
        finally:
            then()
        for do in self._afterwards.pop(key):
            do()
        del self._queue[key]  # one that has failed stays, so that whoever counts on it is told


def _named(label: str, write: Callable[..., Entry], *content: Any) -> Entry:
    """The entry that `write` makes of `content`; errors name the work."""
    try:
        return write(*content)
    except RunError as error:
        raise type(error)(f"{label}: {error}") from error
