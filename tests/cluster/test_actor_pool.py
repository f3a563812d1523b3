"""Who does the work: actors are made when needed, kept, replaced when lost, and one more is made if all are busy."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from raysim.cluster.actor_pool import ActorPool
from raysim.cluster.backend import InlineBackend
from raysim.cluster.retries import Retrying, RetryPolicy
from raysim.cluster.scheduler import Scheduler
from raysim.core.errors import ActorLost


class Worker:
    """An actor that numbers itself."""

    made = 0

    def __init__(self) -> None:
        Worker.made += 1
        self.number = Worker.made
        self.calls = 0

    def hello(self, loses: "set[int]") -> int:
        """Its number; a worker that is to be lost is, at its first call."""
        self.calls += 1
        if self.number in loses:
            raise ActorLost(f"worker {self.number} is gone")
        return self.number


class Mortal(InlineBackend):
    """Actors that can be gone without a word."""

    def __init__(self) -> None:
        self.gone: set[int] = set()
        self.dismissed: list[int] = []

    async def ping(self, actor: Worker) -> bool:
        return actor.number not in self.gone

    def kill(self, actor: Worker) -> None:
        self.dismissed.append(actor.number)


Scene = Callable[[ActorPool, Mortal], Awaitable[None]]


def play(scene: Scene, slots: int = 2, replicas: int = 2, retries: int = 1) -> Mortal:
    Worker.made = 0
    backend = Mortal()

    async def make() -> Any:
        return backend.spawn(Worker)

    async def run() -> None:
        pool = ActorPool(
            backend,
            Scheduler(slots, replicas),
            Retrying(RetryPolicy(retries), lambda _: None, backend.await_failure_detection),
        )
        pool.register("client", make)
        await asyncio.wait_for(scene(pool, backend), 10)

    asyncio.run(run())
    return backend


def test_nobody_is_made_before_there_is_work() -> None:
    async def scene(pool: ActorPool, _: Mortal) -> None:
        assert "client" in pool
        assert Worker.made == 0
        async with pool.acquire("client", 0) as one:
            assert one.number == 1
        async with pool.acquire("client", 0) as again:
            assert again is one

    play(scene)


def test_a_replica_is_made_while_the_first_is_busy_and_no_more_than_allowed() -> None:
    async def scene(pool: ActorPool, _backend: Mortal) -> None:
        async with pool.acquire("client", 0) as one, pool.acquire("client", 0) as two:
            assert (one.number, two.number) == (1, 2)
            third = asyncio.ensure_future(taken(pool))
            for _ in range(20):
                await asyncio.sleep(0)
            assert not third.done()
        assert (await third).number in (1, 2)
        assert Worker.made == 2

    play(scene, slots=3, replicas=2)


async def taken(pool: ActorPool, client: str = "client") -> Any:
    async with pool.acquire(client, 0) as actor:
        return actor


def test_a_party_that_is_lost_at_work_is_not_seen_again() -> None:
    async def scene(pool: ActorPool, backend: Mortal) -> None:
        with pytest.raises(ActorLost):
            async with pool.acquire("client", 0):
                raise ActorLost("gone")
        assert backend.dismissed == [1]
        async with pool.acquire("client", 0) as actor:
            assert actor.number == 2

    play(scene)


def test_another_error_costs_nobody_his_place() -> None:
    async def scene(pool: ActorPool, backend: Mortal) -> None:
        with pytest.raises(ValueError, match="bug"):
            async with pool.acquire("client", 0):
                raise ValueError("bug")
        assert backend.dismissed == []
        async with pool.acquire("client", 0) as actor:
            assert actor.number == 1

    play(scene)


def test_whoever_has_just_done_its_work_is_not_asked_for_a_sign_of_life() -> None:
    async def scene(pool: ActorPool, backend: Mortal) -> None:
        async with pool.acquire("client", 0):
            pass
        backend.gone.add(1)
        async with pool.acquire("client", 0) as actor:
            assert actor.number == 1

    play(scene)


def test_whoever_was_lost_while_idle_is_noticed_before_work_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raysim.cluster.actor_pool.TRUSTED_S", 0.0)

    async def scene(pool: ActorPool, backend: Mortal) -> None:
        async with pool.acquire("client", 0):
            pass
        backend.gone.add(1)
        async with pool.acquire("client", 0) as actor:
            assert actor.number == 2
        backend.gone.add(2)
        assert (await pool.any("client")).number == 3
        assert backend.dismissed == [1, 2]

    play(scene)


def test_a_short_call_needs_no_slot_and_takes_a_busy_party() -> None:
    async def scene(pool: ActorPool, _: Mortal) -> None:
        async with pool.acquire("client", 0) as actor:
            assert await pool.call("client", "hello", set()) == actor.number == 1
        assert Worker.made == 1

    play(scene, slots=1)


def test_a_short_call_is_made_again_to_somebody_else() -> None:
    async def scene(pool: ActorPool, backend: Mortal) -> None:
        assert await pool.call("client", "hello", {1}) == 2
        assert backend.dismissed == [1]

    play(scene)


def test_calls_at_once_make_one_party() -> None:
    async def scene(pool: ActorPool, _: Mortal) -> None:
        assert set(await asyncio.gather(*(pool.call("client", "hello", set()) for _ in range(5)))) == {1}

    play(scene)


# Clients that live together.


class Host(Worker):
    """An actor of several clients, who say its number and their name."""

    def __init__(self) -> None:
        super().__init__()
        self.known: list[str] = []

    def call(self, name: str, method: str, *args: Any) -> Any:
        return name, getattr(self, method)(*args)

    def learn(self, fact: str, loses: "frozenset[int]" = frozenset()) -> None:
        if self.number in loses:
            raise ActorLost("gone")
        self.known.append(fact)


def play_hosted(scene: Scene, slots: int = 2) -> Mortal:
    async def hosted(pool: ActorPool, backend: Mortal) -> None:
        async def make() -> Any:
            return backend.spawn(Host)

        pool.register_hosted(["a", "b", "c"], "host", make)
        await scene(pool, backend)

    return play(hosted, slots)


def test_clients_of_a_host_take_turns_at_as_many_actors_as_one_client_may_have() -> None:
    async def scene(pool: ActorPool, _backend: Mortal) -> None:
        async with pool.acquire("a", 0) as one, pool.acquire("b", 0) as two:
            assert (one.name, two.name) == ("a", "b")
            assert (one.host.number, two.host.number) == (1, 2)
            third = asyncio.ensure_future(taken(pool, "c"))
            for _ in range(20):
                await asyncio.sleep(0)
            assert not third.done()
        assert (await third).host.number in (1, 2)
        assert Worker.made == 2

    play_hosted(scene, slots=3)


def test_a_call_reaches_the_client_by_its_host() -> None:
    async def scene(pool: ActorPool, _: Mortal) -> None:
        assert await pool.call("b", "hello", set()) == ("b", 1)
        assert await pool.call_in_turn("c", "hello", set()) == ("c", 1)
        assert await pool.call_ref("a", "hello", set()) == ("a", 1)
        assert "c" in pool
        assert "host" not in pool
        assert pool.first == "client"

    play_hosted(scene)


def test_calls_in_turn_are_shared_by_the_actors_of_a_host_and_tried_again() -> None:
    async def scene(pool: ActorPool, backend: Mortal) -> None:
        found = await asyncio.gather(*(pool.call_in_turn(name, "hello", {1}) for name in "abc"))
        assert [name for name, _ in found] == ["a", "b", "c"]
        assert {number for _, number in found} <= {2, 3}
        assert backend.dismissed == [1]

    play_hosted(scene)


def test_a_host_that_is_lost_is_lost_to_all_its_clients() -> None:
    async def scene(pool: ActorPool, backend: Mortal) -> None:
        with pytest.raises(ActorLost):
            async with pool.acquire("a", 0):
                raise ActorLost("gone")
        assert backend.dismissed == [1]
        async with pool.acquire("b", 0) as other:
            assert other.host.number == 2

    play_hosted(scene)


def test_every_actor_of_a_host_is_told_and_one_that_is_lost_meanwhile_discarded() -> None:
    async def scene(pool: ActorPool, backend: Mortal) -> None:
        async with pool.acquire("a", 0) as busy:
            async with pool.acquire("b", 0) as idle:
                pass
            await pool.tell("host", "learn", "first")
            await pool.tell("host", "learn", "second", frozenset({2}))
        assert busy.host.known == ["first", "second"]
        assert idle.host.known == ["first"]
        assert backend.dismissed == [2]

    play_hosted(scene)
