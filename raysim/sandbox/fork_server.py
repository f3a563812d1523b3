"""The process that runs solutions and their judges for `raysim.sandbox.sandbox`; started by it as a module.

It has loaded Python once, so that each process starts as a fork of it. For each trial it gets a packet of JSON and two
files, solution and tests, and answers with a packet. It reads neither file: who runs a solution can look through all
that its process was forked with, and must not find the tests there.

A process watches the clock of each trial: the first of a new process namespace, with whose end the kernel ends
everything in it. Of its two children (see `raysim.sandbox.trial`) one is judged, and the other says the outcome by its
exit code.
"""

import gc
import json
import os
import resource
import select
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from raysim.sandbox import kernel, trial
from raysim.sandbox.isolation import (
    NAMESPACES,
    Limits,
    build_root,
    enter_namespaces,
    enter_run_namespaces,
    isolate,
    mount_work,
    temporary_work,
)
from raysim.sandbox.trial import ENDED, LOST, OUTCOMES, TIMEOUT, UNCONTAINED, Checks

PACKET_BYTES = 1 << 17
"""Longest packet."""

_WORDS = (*OUTCOMES, LOST, UNCONTAINED)
_FIRST_CODE = 10
"""Exit codes of judges: that of their word. No other end of a process comes to one of them by chance."""
_LAST_WORDS_S = 1.0
"""For a process that no longer answers to end, so that it can be said how."""


class ForkServer:
    """Runs trials behind some isolation layers.

    Args:
        layers: of `raysim.sandbox.isolation.LAYERS`, those to be in force.
        readable: paths that programs may read.
    """

    def __init__(self, layers: list[str], readable: list[str]) -> None:
        self._layers = layers
        self._readable = readable
        self._null = os.open("/dev/null", os.O_RDWR)

    def run(self, solution: int, tests: int, limits: Limits) -> str:
        """The outcome of a solution, of `OUTCOMES`, once nothing of it is left.

        Args:
            solution: descriptor of a file that holds the program.
            tests: descriptor of a file that holds its tests.
            limits: of either process.

        Raises:
            RuntimeError: it was not run, as something around it failed.
        """
        watcher = _fork(lambda: self._watch(solution, tests, limits))
        code = os.waitstatus_to_exitcode(os.waitpid(watcher, 0)[1])
        outcome = _word(code)
        if outcome not in OUTCOMES:
            raise RuntimeError(f"a program could not be contained, and was not run (code {code})")
        return outcome

    def _watch(self, solution: int, tests: int, limits: Limits) -> int:
        kernel.die_with_parent()
        if NAMESPACES not in self._layers:
            with temporary_work() as work:
                return self._try(solution, tests, limits, work)
        enter_run_namespaces()
        first = _fork(lambda: self._first(solution, tests, limits))
        return os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])

    def _first(self, solution: int, tests: int, limits: Limits) -> int:
        """The first process of its namespace; when it ends, so does everything in there."""
        kernel.die_with_parent()
        return self._try(solution, tests, limits, mount_work(limits))

    def _try(self, solution: int, tests: int, limits: Limits, work: str) -> int:
        """The exit code that says what became of a solution."""
        here, there = (end.detach() for end in socket.socketpair())
        solver = _fork(lambda: self._solve(there, solution, limits, work))
        judge = _fork(lambda: self._judge(here, tests, limits))
        os.close(here)
        os.close(there)
        judged = _await(judge, limits, limits.wall_s)
        lost = judged is not None and _word(judged) == LOST
        ended = _await(solver, limits, _LAST_WORDS_S if lost else 0)
        if judged is None or (lost and ended is None):
            return _code(TIMEOUT)
        return _code(ENDED) if lost or judged < 0 else judged

    def _solve(self, descriptor: int, solution: int, limits: Limits, work: str) -> int:
        program = _content(solution)
        self._confine(descriptor)
        os.environ.update(HOME=work, TMPDIR=work)
        isolate(self._layers, limits, self._readable, work)
        trial.answer(descriptor, program)
        return 0

    def _judge(self, descriptor: int, tests: int, limits: Limits) -> int:
        given = Checks(**json.loads(_content(tests)))
        self._confine(descriptor)
        isolate(self._layers, limits, self._readable, None)
        kernel.hide_memory()
        return _code(trial.judge(descriptor, given))

    def _confine(self, descriptor: int) -> None:
        """Leaves this process nothing that is open but `descriptor`, in a session of its own."""
        kernel.die_with_parent()
        os.setsid()
        for number in (0, 1, 2):
            os.dup2(self._null, number)
        os.closerange(3, descriptor)
        os.closerange(descriptor + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _code(word: str) -> int:
    return _FIRST_CODE + _WORDS.index(word)


def _word(code: int) -> str | None:
    return _WORDS[code - _FIRST_CODE] if 0 <= code - _FIRST_CODE < len(_WORDS) else None


def _content(file: int) -> str:
    return os.pread(file, os.fstat(file).st_size, 0).decode("utf-8", "surrogatepass")


def _fork(work: Callable[[], int]) -> int:
    """The number of a child that ends with what `work` returns."""
    child = os.fork()
    if child:
        return child
    _end(work)


def _end(work: Callable[[], int]) -> NoReturn:
    code = 255
    try:
        code = work()
    finally:
        os._exit(code)


def _await(child: int, limits: Limits, seconds: float) -> int | None:
    """The exit code of a child; None: its processor time was used up, or it was killed as `seconds` were over."""
    handle = os.pidfd_open(child)
    on_time = bool(select.select([handle], [], [], seconds)[0])
    if not on_time:
        os.kill(child, signal.SIGKILL)
    os.close(handle)
    _, status, used = os.wait4(child, 0)
    code = os.waitstatus_to_exitcode(status)
    out_of_time = code == -signal.SIGXCPU or (code < 0 and used.ru_utime + used.ru_stime >= limits.cpu_s)
    return code if on_time and not out_of_time else None


def _preload() -> None:
    """What nearly every program imports, so that forks have it."""
    import bisect  # noqa: F401
    import collections  # noqa: F401
    import copy  # noqa: F401
    import functools  # noqa: F401
    import hashlib  # noqa: F401
    import heapq  # noqa: F401
    import itertools  # noqa: F401
    import math  # noqa: F401
    import operator  # noqa: F401
    import re  # noqa: F401
    import string  # noqa: F401
    import typing  # noqa: F401


def main() -> None:
    """Serves whoever is at the other end of the socket that is its standard input, until that closes it."""
    connection = socket.socket(fileno=os.dup(0))

    def say(answer: dict[str, Any]) -> None:
        connection.send(json.dumps(answer).encode())

    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the first process of a namespace hears only what has a handler
    settings = json.loads(connection.recv(PACKET_BYTES))
    try:
        if NAMESPACES in settings["layers"]:
            enter_namespaces()
            say({"map": os.getpid()})
            if not connection.recv(PACKET_BYTES):
                return
        _preload()
        server = ForkServer(settings["layers"], settings["readable"])
        if NAMESPACES in settings["layers"]:
            build_root(settings["readable"])
    except OSError as error:
        say({"failed": str(error)})
        return
    sys.path[:] = [path for path in sys.path if path in settings["path"]]
    gc.freeze()  # what is there is never collected, so that forks do not copy it
    say({"ready": True})
    while True:
        packet, files, _, _ = socket.recv_fds(connection, PACKET_BYTES, 2)
        if not packet:
            return
        try:
            solution, tests = files
            say({"outcome": server.run(solution, tests, Limits(**json.loads(packet)))})
        except (OSError, RuntimeError) as error:
            say({"failed": str(error)})
        finally:
            for file in files:
                os.close(file)


if __name__ == "__main__":
    main()
