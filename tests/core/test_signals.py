"""Handlers of Ctrl-C and SIGTERM are as before when a block has ended, whatever libraries set meanwhile."""

import os
import signal

import pytest

from raysim.core.signals import INTERRUPTS, interrupt, on_interrupt


@pytest.mark.parametrize("number", INTERRUPTS)
def test_a_signal_calls_what_it_is_to_call(number: signal.Signals) -> None:
    came = []
    before = {one: signal.getsignal(one) for one in INTERRUPTS}
    with on_interrupt(lambda: came.append(number)):
        os.kill(os.getpid(), number)
        signal.signal(number, signal.SIG_DFL)  # as `ray.init` does with one of its own
    assert came == [number]
    assert {one: signal.getsignal(one) for one in INTERRUPTS} == before


def test_handlers_are_put_back_after_an_error() -> None:
    before = {one: signal.getsignal(one) for one in INTERRUPTS}
    with pytest.raises(KeyboardInterrupt), on_interrupt(interrupt):
        os.kill(os.getpid(), signal.SIGTERM)
    assert {one: signal.getsignal(one) for one in INTERRUPTS} == before
