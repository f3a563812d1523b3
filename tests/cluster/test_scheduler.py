"""Slots without a clock: every task runs until it waits for a slot or for a gate that the test opens."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from examples import scaled
from hypothesis import given, settings
from hypothesis import strategies as st

from raysim.cluster.scheduler import Scheduler


class Scene:
    """Work that holds a slot until it is to end."""

    def __init__(self, count: int) -> None:
        self.slots = Scheduler(count)
        self.working: list[str] = []
        self.began: list[str] = []
        self._gates: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def ask(self, name: str, client: str, priority: float = 0.0, width: int = 1) -> None:
        self._gates[name] = asyncio.Event()
        self.tasks[name] = asyncio.ensure_future(self._work(name, client, priority, width))
        await settle()

    async def end(self, name: str) -> None:
        self._gates[name].set()
        await settle()

    async def _work(self, name: str, client: str, priority: float, width: int) -> None:
        async with self.slots.acquire(client, priority, width):
            self.began.append(name)
            self.working.append(name)
            try:
                await self._gates[name].wait()
            finally:
                self.working.remove(name)


async def settle() -> None:
    """Lets every task run as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


def play(scene: Callable[[Any], Coroutine[Any, Any, None]], stage_of: int | Callable[[], Scene]) -> None:
    """Plays on a scene of so many slots, or on one that is made for it."""

    async def run() -> None:
        stage = Scene(stage_of) if isinstance(stage_of, int) else stage_of()
        await scene(stage)
        for task in stage.tasks.values():
            task.cancel()
        await asyncio.gather(*stage.tasks.values(), return_exceptions=True)

    asyncio.run(run())


def test_no_more_than_count_at_once() -> None:
    async def scene(s: Scene) -> None:
        for name in "abc":
            await s.ask(name, client=name)
        assert s.working == ["a", "b"]
        await s.end("a")
        assert s.working == ["b", "c"]

    play(scene, 2)


def test_one_at_a_time_for_a_site() -> None:
    async def scene(s: Scene) -> None:
        await s.ask("first", client="x")
        await s.ask("second", client="x")
        await s.ask("other", client="y")
        assert s.working == ["first", "other"]
        await s.end("other")
        assert s.working == ["first"]
        await s.end("first")
        assert s.working == ["second"]

    play(scene, 3)


def test_highest_priority_first() -> None:
    async def scene(s: Scene) -> None:
        await s.ask("now", client="n")
        for name, priority in (("low", -1.0), ("middle", 5.0), ("high", 7.0)):
            await s.ask(name, client=name, priority=priority)
        for name in ("now", "high", "middle", "low"):
            await s.end(name)
        assert s.began == ["now", "high", "middle", "low"]

    play(scene, 1)


def test_equal_priorities_in_order_of_asking() -> None:
    async def scene(s: Scene) -> None:
        names = [f"n{i}" for i in range(9)]
        for name in names:
            await s.ask(name, client=name)
        for name in names:
            await s.end(name)
        assert s.began == names

    play(scene, 1)


def test_a_site_that_was_passed_over_keeps_its_place() -> None:
    async def scene(s: Scene) -> None:
        await s.ask("x1", client="x")
        await s.ask("x2", client="x")
        await s.ask("y1", client="y")
        await s.ask("z1", client="z")
        assert s.working == ["x1", "y1"]
        await s.end("x1")
        assert s.working == ["y1", "x2"]

    play(scene, 2)


def test_cancelled_while_working_gives_the_slot_back() -> None:
    async def scene(s: Scene) -> None:
        await s.ask("a", client="x")
        await s.ask("b", client="x")
        s.tasks["a"].cancel()
        await settle()
        assert s.working == ["b"]

    play(scene, 1)


def test_cancelled_while_waiting_is_left_out() -> None:
    async def scene(s: Scene) -> None:
        for name in "abc":
            await s.ask(name, client=name)
        s.tasks["b"].cancel()
        await settle()
        await s.end("a")
        assert s.began == ["a", "c"]
        await s.end("c")
        await s.ask("d", client="b")
        assert s.working == ["d"]

    play(scene, 1)


def test_cancelled_between_the_call_and_the_start_gives_the_slot_back() -> None:
    """The slot was handed over, but the task was cancelled before it ran again."""

    async def scene(s: Scene) -> None:
        await s.ask("a", client="a")
        await s.ask("b", client="b")
        await s.ask("c", client="c")
        s._gates["a"].set()
        while s.working:
            await asyncio.sleep(0)
        s.tasks["b"].cancel()  # b was called in the step in which a ended
        await settle()
        assert s.began == ["a", "c"]

    play(scene, 1)


def test_an_error_gives_the_slot_back() -> None:
    async def run() -> None:
        slots = Scheduler(1)
        with pytest.raises(ZeroDivisionError):
            async with slots.acquire("x", 0):
                raise ZeroDivisionError
        async with slots.acquire("x", 0):
            pass

    asyncio.run(run())


class _Rules(Scene):
    """A scene that checks, after every step, what holds for slots at any time."""

    def __init__(self, count: int, per_client: int, actors: dict[str, int]) -> None:
        super().__init__(count)
        self.slots = Scheduler(count, per_client)
        self.limit = per_client
        self.clients: dict[str, str] = {}
        self.actors = actors
        for client, number in actors.items():
            self.slots.set_actor_count(client, number)

    def check(self) -> None:
        busy = Counter(self.clients[name] for name in self.working)
        waiting = {self.clients[n] for n, task in self.tasks.items() if not task.done() and n not in self.began}
        assert busy.total() <= self.slots.count
        assert max(busy.values(), default=0) <= self.limit
        # A slot stays free only if no client that waits may have one more.
        assert busy.total() == self.slots.count or all(busy[client] == self.limit for client in waiting)


def _next(rules: _Rules, priorities: dict[str, int], leaves: str) -> str | None:
    """Who begins as `leaves` ends, by the rules as they are written down: read one after the other."""
    busy = Counter(rules.clients[name] for name in rules.working if name != leaves)
    waiting = [n for n, task in rules.tasks.items() if not task.done() and n not in rules.began]
    first = sorted(waiting, key=lambda name: (-priorities[name], int(name)))
    able = [name for name in first if busy[rules.clients[name]] < rules.limit]
    idle = [name for name in able if busy[rules.clients[name]] < rules.actors.get(rules.clients[name], 1)]
    return next(iter(idle or able), None)


@settings(max_examples=scaled(400))
@given(
    count=st.integers(1, 3),
    per_client=st.integers(1, 3),
    actors=st.fixed_dictionaries(dict.fromkeys("xy", st.integers(1, 3))),
    work=st.lists(
        st.tuples(st.sampled_from("xyz"), st.integers(0, 1), st.sampled_from([False, False, True])), max_size=12
    ),
    data=st.data(),
)
def test_any_mix_of_work_and_cancellations_is_served_within_the_limits(
    count: int, per_client: int, actors: dict[str, int], work: list[tuple[str, int, bool]], data: st.DataObject
) -> None:
    async def scene(s: _Rules) -> None:
        priorities = {str(number): priority for number, (_, priority, _) in enumerate(work)}

        async def end_one() -> None:
            name = data.draw(st.sampled_from(s.working))
            expected, begun = _next(s, priorities, leaves=name), len(s.began)
            await s.end(name)
            s.check()
            assert s.began[begun:] == ([expected] if expected else [])

        for number, (client, priority, cancelled) in enumerate(work):
            s.clients[str(number)] = client
            await s.ask(str(number), client, priority)
            s.check()
            if cancelled:
                s.tasks[str(number)].cancel()
                await settle()
                s.check()
            if s.working and data.draw(st.integers(0, 3)) == 3:
                await end_one()
        while s.working:
            await end_one()
        assert all(task.done() for task in s.tasks.values())

    play(scene, lambda: _Rules(count, per_client, actors))


# Several actors of one client.


def test_a_site_may_have_as_many_slots_as_it_may_have_parties() -> None:
    async def scene(s: Scene) -> None:
        s.slots = Scheduler(4, per_client=2)
        for name in ("x1", "x2", "x3", "y1"):
            await s.ask(name, client=name[0])
        assert s.working == ["x1", "x2", "y1"]
        await s.end("x1")
        assert s.working == ["x2", "y1", "x3"]

    play(scene, 4)


def test_an_idle_party_goes_before_one_that_would_have_to_be_made() -> None:
    """Two clients of one actor each; the second piece of x has the higher priority, but needs a new actor."""

    async def scene(s: Scene) -> None:
        s.slots = Scheduler(2, per_client=2)
        s.slots.set_actor_count("x", 1)
        s.slots.set_actor_count("y", 1)
        await s.ask("x1", client="x")
        await s.ask("z1", client="z")
        await s.ask("x2", client="x", priority=9.0)
        await s.ask("y1", client="y")
        await s.end("z1")
        assert s.working == ["x1", "y1"]
        await s.end("y1")
        assert s.working == ["x1", "x2"]

    play(scene, 2)


def test_with_two_parties_there_the_priority_counts() -> None:
    async def scene(s: Scene) -> None:
        s.slots = Scheduler(2, per_client=2)
        s.slots.set_actor_count("x", 2)
        await s.ask("x1", client="x")
        await s.ask("z1", client="z")
        await s.ask("x2", client="x", priority=9.0)
        await s.ask("y1", client="y")
        await s.end("z1")
        assert s.working == ["x1", "x2"]

    play(scene, 2)


def test_the_whole_machine_is_had_when_everybody_else_is_done() -> None:
    async def scene(s: Scene) -> None:
        await s.ask("a", client="a")
        await s.ask("b", client="b")
        have, leave = asyncio.Event(), asyncio.Event()

        async def take_all() -> None:
            async with s.slots.acquire_all(float("inf")):
                have.set()
                await leave.wait()

        task = asyncio.ensure_future(take_all())
        await s.ask("c", client="c")
        await s.end("a")
        assert (s.working, have.is_set()) == (["b"], False)
        await s.end("b")
        assert (s.working, have.is_set()) == ([], True)
        leave.set()
        await settle()
        assert s.working == ["c"]
        await task

    play(scene, 2)


# Work that takes several slots at once.


def test_wide_work_waits_for_all_of_its_slots_and_is_not_passed() -> None:
    """A free slot stays free: else narrow work that keeps coming would hold wide work up for ever."""

    async def scene(s: Scene) -> None:
        await s.ask("a", client="a")
        await s.ask("wide", client="w", width=2)
        await s.ask("late", client="b")
        assert s.working == ["a"]
        await s.end("a")
        assert s.working == ["wide"]
        await s.end("wide")
        assert s.working == ["late"]

    play(scene, 2)


def test_urgent_work_goes_before_wide_work() -> None:
    async def scene(s: Scene) -> None:
        await s.ask("a", client="a")
        await s.ask("wide", client="w", priority=1.0, width=2)
        await s.ask("urgent", client="b", priority=2.0)
        assert s.working == ["a", "urgent"]

    play(scene, 2)


def test_wide_work_that_is_given_up_lets_others_go() -> None:
    async def scene(s: Scene) -> None:
        await s.ask("a", client="a")
        await s.ask("wide", client="w", width=2)
        await s.ask("late", client="b")
        s.tasks["wide"].cancel()
        await settle()
        await s.end("a")
        assert s.working == ["late"]
        await s.end("late")
        await s.ask("again", client="w", width=2)
        assert s.working == ["again"]

    play(scene, 2)


def test_more_slots_than_there_are_are_refused_at_once() -> None:
    async def scene(s: Scene) -> None:
        with pytest.raises(ValueError, match=r"3 slots are asked for, and there are 2"):
            async with s.slots.acquire("client", 0, 3):
                pass

    play(scene, 2)


@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from("abc"), st.integers(0, 2)), max_size=12))
@settings(deadline=None)
def test_never_more_slots_are_out_than_there_are_and_all_work_is_done(work: list[tuple[int, str, int]]) -> None:
    async def run() -> None:
        slots, out, most = Scheduler(4, 2), 0, 0

        async def one(width: int, client: str, priority: int) -> None:
            nonlocal out, most
            async with slots.acquire(client, priority, width):
                out += width
                most = max(most, out)
                await asyncio.sleep(0)
                out -= width

        await asyncio.wait_for(asyncio.gather(*(one(*each) for each in work)), 10)
        assert most <= 4
        assert out == 0

    asyncio.run(run())


def patient(patience_s: float) -> Callable[[], Scene]:
    def make() -> Scene:
        scene = Scene(2)
        scene.slots = Scheduler(2, per_client=2, patience_s=patience_s)
        scene.slots.set_actor_count("a", 1)
        return scene

    return make


def test_an_idle_slot_waits_for_an_actor_that_is_there() -> None:
    async def scene(stage: Scene) -> None:
        await stage.ask("first", "a")
        await stage.ask("second", "a")
        assert stage.working == ["first"]  # though a slot is free, and "a" may have two
        await stage.ask("other", "b")
        assert stage.working == ["first", "other"]
        await stage.end("first")
        assert stage.working == ["other", "second"]

    play(scene, patient(3600))


def test_a_slot_that_was_idle_for_long_takes_one_more_actor() -> None:
    async def scene(stage: Scene) -> None:
        await stage.ask("first", "a")
        async with asyncio.timeout(60), stage.slots.acquire("a", 0):
            assert stage.working == ["first"]

    play(scene, patient(0.01))
