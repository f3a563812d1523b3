"""The process that runs programs for `raysim.sandbox.sandbox`, one at a time; started by it as a module.

It has loaded Python once, so that each program starts as a fork of it. It reads a line of JSON for each program and
answers with one. Two processes lie between it and a program: one that watches the clock, and the first of a new
process namespace, with whose end the kernel ends everything in it.
"""

import gc
import json
import os
import random
import resource
import secrets
import select
import signal
import sys
import types
from collections.abc import Callable
from typing import Any, NoReturn

from raysim.sandbox import kernel
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

PASSED, WRONG, ERROR, TIMEOUT, MEMORY, ENDED = "passed", "wrong", "error", "timeout", "memory", "ended"
OUTCOMES = (PASSED, WRONG, ERROR, TIMEOUT, MEMORY, ENDED)
"""passed: the tests did. wrong: an assertion failed. error: another exception. timeout: processor or wall time ran out.
memory: more than allowed was asked for. ended: it exited or was killed before its tests had come to an end."""

_WELL, _ON_TIME_OUT, _NO_VERDICT = 0, 1, 2
_NONCE_BYTES = 16
_NAME = "program"


class ForkServer:
    """Runs programs behind some isolation layers.

    Args:
        layers: of `raysim.sandbox.isolation.LAYERS`, those to be in force.
        readable: paths that programs may read.
    """

    def __init__(self, layers: list[str], readable: list[str]) -> None:
        self._layers = layers
        self._readable = readable
        self._null = os.open("/dev/null", os.O_RDWR)

    def run(self, program: str, limits: Limits) -> str:
        """The outcome of `program`, of `OUTCOMES`, once nothing of it is left.

        Raises:
            RuntimeError: it was not run, as something around it failed.
        """
        nonce = secrets.token_hex(_NONCE_BYTES)
        reader, writer = os.pipe()
        watcher = _fork(lambda: self._watch(program, limits, nonce, writer))
        os.close(writer)
        try:
            code = os.waitstatus_to_exitcode(os.waitpid(watcher, 0)[1])
            # Whoever could write is gone, so there is an end to read to.
            said = os.read(reader, 4096).decode("ascii", "replace")
        finally:
            os.close(reader)
        if code not in (_WELL, _ON_TIME_OUT, _NO_VERDICT) or not said.startswith(nonce):
            raise RuntimeError(f"a program could not be contained, and was not run (code {code})")
        signed, verdict = said[len(nonce) : 2 * len(nonce)], said[2 * len(nonce) :]
        if code == _WELL and signed == nonce and verdict in OUTCOMES:
            return verdict
        return TIMEOUT if code == _ON_TIME_OUT else ENDED

    def _watch(self, program: str, limits: Limits, nonce: str, writer: int) -> int:
        kernel.die_with_parent()
        if NAMESPACES not in self._layers:
            with temporary_work() as work:
                child = _fork(lambda: self._execute(program, limits, nonce, writer, work))
                return _await(child, limits)
        enter_run_namespaces()
        first = _fork(lambda: self._first(program, limits, nonce, writer))
        return _await(first, limits)

    def _first(self, program: str, limits: Limits, nonce: str, writer: int) -> int:
        """The first process of its namespace; when it ends, so does everything in there."""
        kernel.die_with_parent()
        work = mount_work(limits)
        child = _fork(lambda: self._execute(program, limits, nonce, writer, work))
        while True:
            ended, status, used = os.wait4(-1, 0)
            if ended == child:
                return _judge(status, used, limits)

    def _execute(self, program: str, limits: Limits, nonce: str, writer: int, work: str) -> int:
        os.setsid()
        for number in (0, 1, 2):
            os.dup2(self._null, number)
        os.closerange(3, writer)
        os.closerange(writer + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        os.environ.update(HOME=work, TMPDIR=work)
        verdicts = {outcome: f"{nonce}{outcome}".encode() for outcome in OUTCOMES}
        isolate(self._layers, limits, self._readable, work)
        os.write(writer, nonce.encode())  # from here on it is the program's own doing
        os.write(writer, verdicts[_perform(program)])
        return _WELL


def _perform(program: str) -> str:
    """Runs `program` in this process as a module of its own."""
    module = types.ModuleType(_NAME)
    sys.modules[_NAME] = module
    random.seed(0)  # equal programs draw alike; a fork has drawn a seed of its own
    try:
        exec(compile(program, f"<{_NAME}>", "exec"), module.__dict__)  # noqa: S102 - what all this is for
    except AssertionError:
        return WRONG
    except MemoryError:
        return MEMORY
    except SystemExit:
        return ENDED
    except BaseException:
        return ERROR
    return PASSED


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


def _await(child: int, limits: Limits) -> int:
    """Waits for a child and kills it when its time is up."""
    handle = os.pidfd_open(child)
    on_time = bool(select.select([handle], [], [], limits.wall_s)[0])
    if not on_time:
        os.kill(child, signal.SIGKILL)
    _, status, used = os.wait4(child, 0)
    return _judge(status, used, limits) if on_time else _ON_TIME_OUT


def _judge(status: int, used: resource.struct_rusage, limits: Limits) -> int:
    code = os.waitstatus_to_exitcode(status)
    if code in (_WELL, _ON_TIME_OUT):
        return code
    out_of_time = code == -signal.SIGXCPU or used.ru_utime + used.ru_stime >= limits.cpu_s
    return _ON_TIME_OUT if out_of_time else _NO_VERDICT


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
    """Serves who started it, until that closes the pipe."""
    lines = os.fdopen(os.dup(0), "r", encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")

    def say(answer: dict[str, Any]) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the first process of a namespace hears only what has a handler
    settings = json.loads(lines.readline())
    try:
        if NAMESPACES in settings["layers"]:
            enter_namespaces()
            say({"map": os.getpid()})
            if lines.readline() != "mapped\n":
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
    for line in lines:
        job = json.loads(line)
        try:
            say({"outcome": server.run(job["program"], Limits(**job["limits"]))})
        except (OSError, RuntimeError) as error:
            say({"failed": str(error)})


if __name__ == "__main__":
    main()
