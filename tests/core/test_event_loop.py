"""A coroutine is run to its end whether or not a loop runs already, and a signal cancels it either way."""

import asyncio
import contextvars
import os
import signal
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing, suppress
from typing import Any

import pytest

from raysim.core.event_loop import merged, run_coroutine

Run = Callable[[Coroutine[Any, Any, Any]], Any]


def _within_a_loop(main: Coroutine[Any, Any, Any]) -> Any:
    async def cell() -> Any:
        loop = asyncio.get_running_loop()
        try:
            return run_coroutine(main)
        finally:
            assert asyncio.get_running_loop() is loop

    return asyncio.run(cell())


@pytest.fixture(params=[run_coroutine, _within_a_loop], ids=["script", "notebook"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine where no loop runs, and where one does."""
    return request.param


async def _three() -> int:
    await asyncio.sleep(0)
    return 3


def test_the_result_comes_back(run: Run) -> None:
    assert run(_three()) == 3


def test_an_error_comes_back_as_it_was(run: Run) -> None:
    async def fail() -> None:
        raise LookupError("nothing there")

    with pytest.raises(LookupError, match=r"^nothing there$"):
        run(fail())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_tidily(run: Run, number: signal.Signals) -> None:
    before, tidied = signal.getsignal(number), []

    async def killed() -> None:
        try:
            os.kill(os.getpid(), number)
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            tidied.append(True)

    with pytest.raises(KeyboardInterrupt):
        run(killed())
    assert tidied
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_last_moment_is_not_lost(run: Run, number: signal.Signals) -> None:
    """Nothing is awaited any more that a cancellation could end."""

    async def last() -> int:
        os.kill(os.getpid(), number)
        return 3

    with pytest.raises(KeyboardInterrupt):
        run(last())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_not_lost_where_its_cancellation_is_caught(run: Run, number: signal.Signals) -> None:
    async def stubborn() -> int:
        os.kill(os.getpid(), number)
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return 3

    async def failing() -> None:
        with suppress(asyncio.CancelledError):
            await stubborn()
        raise LookupError("a process that it needs got the signal, too")

    for main in (stubborn, failing):
        with pytest.raises(KeyboardInterrupt):
            run(main())


def test_a_signal_to_the_thread_beside_is_noticed() -> None:
    """The system hands a signal to any thread; its handler runs in the main one, which waits for the other."""

    async def killed() -> None:
        await asyncio.sleep(0.05)  # until the main thread waits
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)
        await asyncio.Event().wait()

    with pytest.raises(KeyboardInterrupt):
        _within_a_loop(killed())


def test_a_second_signal_does_not_wait_until_all_is_tidy() -> None:
    begun = []

    async def slow() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.Event().wait()
        finally:
            begun.append(True)
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.Event().wait()

    with pytest.raises(KeyboardInterrupt):
        run_coroutine(slow())
    assert begun


def test_a_signal_that_is_ignored_stays_so(run: Run) -> None:
    """As Ctrl-C is by what a script starts in the background."""

    async def patient() -> int:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0.05)
        return 3

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert run_coroutine(patient()) == 3
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_a_coroutine_left_behind_is_ended_with_it(run: Run) -> None:
    left = []

    async def leaves() -> None:
        left.append(asyncio.create_task(asyncio.Event().wait()))
        await asyncio.sleep(0)

    run(leaves())
    assert left[0].cancelled()


def test_a_thread_of_its_own_has_the_context_of_its_caller() -> None:
    """By which a notebook knows the cell that prints."""
    cell = contextvars.ContextVar[str]("cell", default="none")

    async def printing() -> tuple[str, bool]:
        return cell.get(), threading.current_thread() is threading.main_thread()

    async def notebook() -> tuple[str, bool]:
        cell.set("first")
        return run_coroutine(printing())

    assert asyncio.run(notebook()) == ("first", False)


def test_any_thread_may_run_one(run: Run) -> None:
    """No signal reaches it; none of the main thread's handlers changes."""
    handlers, found = signal.getsignal(signal.SIGTERM), []
    thread = threading.Thread(target=lambda: found.append(run(_three())))
    thread.start()
    thread.join()
    assert found == [3]
    assert signal.getsignal(signal.SIGTERM) == handlers


async def _counted(name: str, count: int, seen: list[str]) -> AsyncGenerator[str, None]:
    try:
        for number in range(count):
            await asyncio.sleep(0)
            yield f"{name}{number}"
        if name == "bad":
            raise ValueError(name)
    finally:
        seen.append(name)


def test_streams_side_by_side() -> None:
    async def items(*streams: tuple[str, int]) -> list[str]:
        return [item async for item in merged([_counted(*one, seen) for one in streams])]

    seen: list[str] = []
    assert asyncio.run(items()) == []
    found = asyncio.run(items(("a", 3), ("b", 2), ("c", 0)))
    assert sorted(found) == ["a0", "a1", "a2", "b0", "b1"]
    assert found.index("b1") < found.index("a2")
    assert found[0][0] != found[1][0]


def test_whoever_reads_no_further_ends_all_streams() -> None:
    seen: list[str] = []

    async def scene() -> None:
        async with aclosing(merged([_counted("a", 9, seen), _counted("b", 9, seen)])) as items:
            async for _ in items:
                break
        assert sorted(seen) == ["a", "b"]

    asyncio.run(scene())


def test_the_first_error_of_a_stream_ends_the_others() -> None:
    seen: list[str] = []

    async def scene() -> None:
        with pytest.raises(ValueError, match="bad"):
            async for _ in merged([_counted("bad", 1, seen), _counted("long", 10**9, seen)]):
                pass
        assert sorted(seen) == ["bad", "long"]

    asyncio.run(scene())
