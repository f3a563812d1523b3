"""Runs a coroutine to its end from code that is not asynchronous, in a script as in a notebook; and streams at once."""

import asyncio
import contextvars
from collections.abc import AsyncGenerator, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any, TypeVar

from raysim.core.signals import on_interrupt

T = TypeVar("T")

_LOOK_S = 0.2
"""How long a signal may go unnoticed: one that comes just before a wait begins, or to another thread, ends no wait."""


def run_coroutine(main: Coroutine[Any, Any, T]) -> T:
    """Runs `main` in an event loop of its own and returns its result.

    Where a loop runs in this thread already, as in a notebook, the new one runs in a thread beside it, since loops do
    not nest. Ctrl-C and SIGTERM cancel `main`, which may still tidy up; a second one does not wait for that where there
    is no thread beside. In a thread other than the main one, which no signal reaches, nothing cancels it.

    Raises:
        KeyboardInterrupt: a signal came, whatever `main` made of it, or `main` was cancelled.
    """
    loop = asyncio.new_event_loop()
    # Made here, so that a signal can cancel it whenever it comes. A notebook knows by the context which cell prints.
    task = loop.create_task(main)
    beside = _loop_is_running()
    signals = 0

    def cancel() -> None:
        nonlocal signals
        signals += 1
        if signals > 1 and not beside:
            raise KeyboardInterrupt
        with suppress(RuntimeError):  # the loop is closed: `main` has ended
            loop.call_soon_threadsafe(task.cancel)

    async def result() -> T:
        while not task.done():
            await asyncio.wait([task], timeout=_LOOK_S)
        return task.result()

    def work() -> T:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            return runner.run(result())

    try:
        with on_interrupt(cancel):
            if beside:
                with ThreadPoolExecutor(1, "raysim") as thread:
                    running = thread.submit(contextvars.copy_context().run, work)
                    while not running.done():
                        wait([running], timeout=_LOOK_S)
                    found = running.result()
            else:
                found = work()
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    except Exception as error:
        if signals:  # a signal to all processes of a run takes down what `main` needs
            raise KeyboardInterrupt from error
        raise
    if signals:
        raise KeyboardInterrupt
    return found


async def merged(streams: Sequence[AsyncGenerator[T, None]]) -> AsyncGenerator[T, None]:
    """The items of several streams as they come; the first error ends the others and is raised."""
    waiting: dict[asyncio.Future[T], AsyncGenerator[T, None]] = {}

    def ask(stream: AsyncGenerator[T, None]) -> None:
        waiting[asyncio.ensure_future(anext(stream))] = stream

    for stream in streams:
        ask(stream)
    try:
        while waiting:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                stream = waiting.pop(one)
                try:
                    item = one.result()
                except StopAsyncIteration:
                    continue
                yield item
                ask(stream)
    finally:
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        for stream in streams:
            await stream.aclose()


def _loop_is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
