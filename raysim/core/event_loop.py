"""Runs a coroutine to its end from code that is not asynchronous, in a script as in a notebook."""

import asyncio
import contextvars
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

T = TypeVar("T")


def run_coroutine(main: Coroutine[Any, Any, T]) -> T:
    """Runs `main` in an event loop of its own and returns its result.

    Where a loop runs in this thread already, as in a notebook, the new one runs in a thread beside it, since loops do
    not nest. Ctrl-C and SIGTERM cancel `main`, which may still tidy up; in a thread other than the main one, which no
    signal reaches, nothing does.

    Raises:
        KeyboardInterrupt: `main` was cancelled.
    """
    try:
        return _run_beside(main) if _loop_is_running() else asyncio.run(_cancelled_by_sigterm(main))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def _loop_is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


async def _cancelled_by_sigterm(main: Coroutine[Any, Any, T]) -> T:
    """Has a scheduler's SIGTERM end `main` as `asyncio.run` has a Ctrl-C end it."""
    task = asyncio.current_task()
    assert task is not None, "it runs in one"
    if _in_main_thread():
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await main


def _run_beside(main: Coroutine[Any, Any, T]) -> T:
    """Runs `main` in a thread of its own; this one waits."""
    loop = asyncio.new_event_loop()
    # Made here, so that a signal can cancel it whenever it comes. A notebook knows by the context which cell prints.
    task = loop.create_task(main)

    async def result() -> T:
        return await task

    def work() -> T:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            return runner.run(result())

    def cancel() -> None:
        with suppress(RuntimeError):  # the loop is closed: `main` has ended
            loop.call_soon_threadsafe(task.cancel)

    with _on_signals(cancel), ThreadPoolExecutor(1, "raysim") as thread:
        return thread.submit(contextvars.copy_context().run, work).result()


@contextmanager
def _on_signals(cancel: Callable[[], None]) -> Iterator[None]:
    """Has SIGINT and SIGTERM call `cancel` for the time of the block, where this is the main thread."""
    if not _in_main_thread():
        yield
        return
    # One that was not set by Python is None, and could not be put back.
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = {number: handler for number, handler in handlers.items() if handler is not None}
    for number in before:
        signal.signal(number, lambda *_: cancel())
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
