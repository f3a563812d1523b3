"""The backend that runs everything in this process."""

import asyncio
from collections.abc import Iterator
from typing import Any

from raysim.cluster.backend import InlineBackend
from raysim.training.ranks import NO_RANK_LAUNCHER
from raysim.training.request import TrainerSettings


class Counter:
    """Counts from a number on."""

    def __init__(self, start: int) -> None:
        self.value = start

    def add(self, number: int) -> int:
        self.value += number
        return self.value

    def several(self, count: int) -> Iterator[int]:
        for _ in range(count):
            yield self.add(1)


def test_objects_are_plain_and_methods_are_called() -> None:
    backend = InlineBackend()
    counter = backend.spawn(Counter, 3)
    assert isinstance(counter, Counter)

    async def scene() -> tuple[Any, ...]:
        first = await backend.call(counter, "add", 1)
        items = [item async for item in backend.stream(counter, "several", 2)]
        return first, items, await backend.call_ref(counter, "add", 10), await backend.ping(counter)

    assert asyncio.run(scene()) == (4, [5, 6], 16, True)


def test_a_stream_lets_others_in_between_its_items() -> None:
    backend, seen = InlineBackend(), list[tuple[str, int]]()
    counter = backend.spawn(Counter, 0)

    async def read(name: str) -> None:
        nonlocal seen
        async for item in backend.stream(counter, "several", 2):
            seen += [(name, item)]

    async def scene() -> None:
        await asyncio.gather(read("one"), read("two"))

    asyncio.run(scene())
    assert seen == [("one", 1), ("two", 2), ("one", 3), ("two", 4)]


def test_what_is_shared_is_the_thing_itself_and_errors_stay() -> None:
    backend, value, error = InlineBackend(), object(), ValueError("x")
    assert backend.share(value) is value
    assert backend.translate_error(error) is error
    assert backend.launcher(TrainerSettings()) is NO_RANK_LAUNCHER
    asyncio.run(backend.await_failure_detection())
    backend.kill(value)
    backend.close()
