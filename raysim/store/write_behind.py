"""Writes entries behind the work that made them, so that nobody waits for a disk.

Entries are written one after the other in a thread, in the order in which they were given, so a model is never there
before those that it was made from. An entry counts once it is written.
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
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
        self._queue: dict[Key, asyncio.Future[Entry]] = {}

    def put(
        self,
        label: str,
        recipe: Mapping[str, Any],
        info: Mapping[str, Any],
        arrays: Mapping[str, npt.NDArray[Any]],
        then: Callable[[], None],
    ) -> None:
        """Queues an entry; it is in memory until it is written.

        Args:
            label: names the work in errors.
            recipe: of the work.
            info: its JSON facts.
            arrays: its arrays, which nobody may change any more.
            then: called when it has been written, or cannot be.
        """
        key = key_of(recipe)
        loop = asyncio.get_running_loop()
        writing = loop.run_in_executor(self._thread, self._write, label, recipe, info, arrays)
        self._queue[key] = writing
        writing.add_done_callback(lambda done: self._ended(key, done, then))

    async def written(self, key: Key) -> None:
        """Waits until the entry of `key` is in the store, if it is on its way there.

        Raises:
            RunError: it cannot be written; see `raysim.store.store.Store.put`.
        """
        if key in self._queue:
            await asyncio.shield(self._queue[key])

    def after(self, key: Key, do: Callable[[], None]) -> None:
        """Calls `do` once the entry of `key` is in the store, at once if it is not on its way; never, if that fails."""
        writing = self._queue.get(key)
        if writing is None:
            do()
        else:
            writing.add_done_callback(lambda done: None if _failed(done) else do())

    async def flush(self) -> None:
        """Waits for all that is queued, whatever becomes of it.

        Raises:
            RunError: as `written`, of the first that cannot be written.
        """
        ended = await asyncio.gather(*map(asyncio.shield, self._queue.values()), return_exceptions=True)
        for failed in (outcome for outcome in ended if isinstance(outcome, BaseException)):
            raise failed

    def _write(
        self, label: str, recipe: Mapping[str, Any], info: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
    ) -> Entry:
        try:
            return self._store.put(recipe, info, arrays)
        except RunError as error:
            raise type(error)(f"{label}: {error}") from error

    def _ended(self, key: Key, done: asyncio.Future[Entry], then: Callable[[], None]) -> None:
        then()
        if not _failed(done):  # one that has failed stays, so that whoever counts on it is told
            del self._queue[key]


def _failed(done: asyncio.Future[Entry]) -> bool:
    return done.cancelled() or done.exception() is not None
