"""The backend whose clients are Ray actors."""

import asyncio
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import ray.util
from foreign_package import installed_package
from ray.experimental import get_object_locations

from raysim.cluster.ray_backend import RayBackend
from raysim.core.errors import ActorLost, RunError


def test_errors_of_actors_are_raised_as_they_are(ray_session: None) -> None:
    import asyncio

    from raysim.core.errors import BoundaryError

    backend = RayBackend(None, 2)
    try:
        actor = backend.spawn(Refuser)
        with pytest.raises(BoundaryError, match=r"^not allowed$"):
            asyncio.run(backend.call(actor, "refuse"))
    finally:
        backend.close()


def test_a_class_that_a_node_lacks_is_one_line_with_the_node(ray_session: None, tmp_path: Path) -> None:
    """Its module is on the path of this process alone, as a package that was installed on one machine of several."""
    source, node = "class Thing:\n    def answer(self): return 3", ray.util.get_node_ip_address()
    backend = RayBackend(None, 2)
    try:
        with installed_package(tmp_path / "one", "here_alone", source, "raysim.none"):
            actor = backend.spawn(importlib.import_module("here_alone").Thing)
            with pytest.raises(RunError) as raised:
                asyncio.run(backend.call(actor, "answer"))
    finally:
        backend.close()
    assert str(raised.value) == (
        f"a process could not be started on node {node}: ModuleNotFoundError: No module named 'here_alone'"
    )


def _refuser() -> type:
    """A class that lives in no module, so that an actor's process takes it by value."""

    class Refuser:
        def refuse(self) -> None:
            from raysim.core.errors import BoundaryError

            raise BoundaryError("not allowed")

    return Refuser


Refuser = _refuser()


def _counter() -> type:
    """As `_refuser`."""

    class Counter:
        def __init__(self, start: int) -> None:
            self.value = start

        def add(self, number: int) -> int:
            self.value += number
            return self.value

        def several(self, count: int) -> Any:
            for _ in range(count):
                yield self.add(1)

    return Counter


@pytest.fixture
def backend(ray_session: None) -> Iterator[RayBackend]:
    backend = RayBackend(None, 2)
    yield backend
    backend.close()


def test_an_actor_keeps_its_state_between_calls_and_streams(backend: RayBackend) -> None:
    counter = backend.spawn(_counter(), 3)

    async def scene() -> tuple[Any, ...]:
        first = await backend.call(counter, "add", 1)
        items = [item async for item in backend.stream(counter, "several", 2)]
        reference = await backend.call_ref(counter, "add", 10)
        return first, items, await reference, await backend.call(counter, "add", backend.share(4))

    assert asyncio.run(scene()) == (4, [5, 6], 16, 20)


def test_a_small_result_that_was_asked_for_by_reference_is_not_sent_to_whoever_asked(backend: RayBackend) -> None:
    """Ray sends results below 100 KB to the memory of the process that asks, unless the actor puts them itself."""
    counter = backend.spawn(_counter(), 3)
    reference, plain = asyncio.run(backend.call_ref(counter, "add", backend.share(4))), counter.add.remote(1)
    assert ray.get([reference, plain]) == [7, 8]
    places = get_object_locations([reference, plain])
    assert len(places[reference]["node_ids"]) == 1  # in the object store of a node
    assert places[plain]["node_ids"] == []  # in this process
    backend.kill(counter)
    with pytest.raises(ActorLost):
        asyncio.run(backend.call_ref(counter, "add", 1))


def test_a_killed_actor_answers_no_more(backend: RayBackend) -> None:
    one, other = backend.spawn(_counter(), 1), backend.spawn(_counter(), 2)

    async def scene() -> None:
        assert await backend.ping(one)
        backend.kill(one)
        assert not await backend.ping(one)
        with pytest.raises(ActorLost):
            await backend.call(one, "add", 1)
        await backend.await_failure_detection()
        assert await backend.call(other, "add", 1) == 3

    asyncio.run(scene())


def test_the_session_has_one_node_of_two_cpus(backend: RayBackend) -> None:
    assert backend.cpus() == 2
    (size,) = backend.nodes_bytes()
    assert size > 100 << 20


def test_closing_ends_the_actors_and_leaves_a_ray_that_was_there(ray_session: None) -> None:
    import ray

    backend = RayBackend(None, 2)
    counter = backend.spawn(_counter(), 1)
    assert asyncio.run(backend.ping(counter))
    backend.close()
    assert ray.is_initialized()
    assert not asyncio.run(backend.ping(counter))
