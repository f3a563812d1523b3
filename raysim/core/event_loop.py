"""Runs a coroutine to its end from code that is not asynchronous, in a script as in a notebook."""

import asyncio
import contextvars
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from raysim.core.signals import on_interrupt

T = TypeVar("T")

_LOOK_S = 0.2
"""How long a signal may go unnoticed that comes just before the loop begins to wait for something."""


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
                    found = thread.submit(contextvars.copy_context().run, work).result()
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


def _loop_is_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
