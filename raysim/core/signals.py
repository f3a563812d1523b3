"""Ctrl-C and a scheduler's SIGTERM, which end a command alike."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

INTERRUPTS = (signal.SIGINT, signal.SIGTERM)


def call_on_interrupt(act: Callable[[], object]) -> dict[signal.Signals, Any]:
    """Has Ctrl-C and SIGTERM call `act` from now on, where this is the main thread; what handled them before.

    A signal that is ignored, as by a program in the background of a script, stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    before = {number: signal.getsignal(number) for number in INTERRUPTS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, lambda *_: act())
    return before


@contextmanager
def on_interrupt(act: Callable[[], object]) -> Iterator[None]:
    """Has Ctrl-C and SIGTERM call `act` for the time of the block.

    What handled them before does so again afterwards, whatever libraries have set meanwhile.
    """
    before = call_on_interrupt(act)
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # one that was not set by Python could not be put back
                signal.signal(number, handler)


def interrupt() -> None:
    """Ends what the main thread does.

    Raises:
        KeyboardInterrupt: always.
    """
    raise KeyboardInterrupt
