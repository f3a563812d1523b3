"""Judges programs that nobody has read, each in a process of its own that can do little and of which nothing is left.

Its tests run in another process, which never runs a line of it and shares nothing with it: calls go there, and plain
data comes back (`raysim.sandbox.calls`). So no program can touch its judge, see its tests, or bring objects along that
equal everything; what it does to the arguments of a call stays with it, unless it returns None.

Always, for both: limits on processor and wall time, memory, open files, the size of files, and (with namespaces) the
number of processes; a session of its own; an empty folder to work in, removed afterwards (the judge has none); an
environment of a few variables; no file descriptor but ``/dev/null`` and the connection between them; no capability of
root's, and no way to gain one.

Three isolation layers besides, each as far as the machine has it (`protections` says so):

- **namespaces** (``unshare``): process numbers of its own, so that it sees and signals nobody else and ends with its
  first process; no network; a root folder with nothing but Python and the system's libraries, read-only; root becomes
  nobody.
- **system calls** (seccomp, x86-64): it starts no process and no other program, signals nobody, opens no socket,
  changes no attribute of a file, and none of the administrator's calls succeeds.
- **files** (Landlock): reads nothing but Python and the system's libraries, writes nothing but its folder; no TCP.

Namespaces alone suffice, or the two filters together; with less no program is started.

What it does not stop: a hole in the kernel, or in the processor (side channels); reading Python's installed packages,
with the solutions of a data set that is one; for as long as its time lasts, keeping a core and its allowed memory busy
(memory is limited for each process: with namespaces but without the filter of system calls, for each of
`Limits.processes`); without namespaces, many files of the allowed size in its folder, until it ends.
"""

import contextlib
import functools
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from raysim.core.errors import InputError, RunError
from raysim.sandbox.fork_server import PACKET_BYTES
from raysim.sandbox.isolation import FILES, LAYERS, NAMESPACES, SYSTEM_CALLS, Limits, map_users, readable_paths
from raysim.sandbox.trial import LOADS, Checks

_PROBE = "import fractions\nassert fractions.Fraction(1, 2) == 0.5\n"


class Sandbox:
    """Judges one program at a time, in forks of one fork server; see the module for what that stops.

    Args:
        layers: to be in force; None: all that the machine has.

    Raises:
        InputError: the machine has too little to run unknown code.
    """

    def __init__(self, layers: Iterable[str] | None = None) -> None:
        if layers is None:
            layers = in_force()
            if not enough(layers):
                reasons = "; ".join(f"{layer}: {reason}" for layer, reason in protections().items() if reason)
                raise InputError(
                    f"measure.pass_at_k: this machine cannot contain generated programs ({reasons}); run on Linux with"
                    " user namespaces, or with seccomp and Landlock, or leave pass_at_k out; see raysim doctor"
                )
        self.layers = tuple(layer for layer in LAYERS if layer in layers)
        self._server: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None

    def run(self, program: str, limits: Limits, checks: Checks = LOADS) -> str:
        """The outcome of a program, of `raysim.sandbox.trial.OUTCOMES`.

        Args:
            program: Python.
            limits: of its process, and again of that of its tests.
            checks: see there.

        Raises:
            RunError: the fork server could not start, was lost twice, or could not contain the program.
        """
        with _file(program) as solution, _file(json.dumps(asdict(checks))) as judge:
            for _ in range(2):
                with contextlib.suppress(ConnectionError, EOFError):
                    if self._server is None:
                        self._start()
                    answer = self._ask(asdict(limits), solution, judge)
                    if "failed" in answer:
                        raise RunError(answer["failed"])
                    return answer["outcome"]
                self.close()
        raise RunError("the process that runs generated programs was lost twice; see the system's log")

    def close(self) -> None:
        """Ends the fork server, and with it whatever it runs."""
        server, self._server = self._server, None
        connection, self._connection = self._connection, None
        if connection:
            connection.close()
        if server:
            try:
                server.wait(timeout=1)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        home = str(Path(__file__).resolve().parents[2])
        prefixes = (sys.prefix, sys.base_prefix)
        path = [entry for entry in sys.path if any(Path(entry).is_relative_to(prefix) for prefix in prefixes)]
        self._connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-s", "-P", "-m", "raysim.sandbox.fork_server"],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
                env={
                    "PATH": "/usr/bin:/bin",
                    "LANG": "C.UTF-8",
                    "PYTHONPATH": home,
                    "PYTHONHASHSEED": "0",  # so that equal programs walk through sets alike
                    "OMP_NUM_THREADS": "1",
                    "OPENBLAS_NUM_THREADS": "1",
                },
            )
        answer = self._ask({"layers": self.layers, "readable": readable_paths(prefixes), "path": path})
        if "map" in answer:
            try:
                map_users(answer["map"])
            except OSError as error:
                raise RunError(f"the users of a namespace could not be mapped: {error}") from None
            answer = self._ask({"mapped": True})
        if "failed" in answer:
            raise RunError(answer["failed"])

    def _ask(self, packet: dict[str, Any], *files: int) -> dict[str, Any]:
        assert self._connection, "it was started"
        socket.send_fds(self._connection, [json.dumps(packet).encode()], files)
        answer = self._connection.recv(PACKET_BYTES)
        if not answer:
            raise EOFError
        return json.loads(answer)


@contextlib.contextmanager
def _file(content: str) -> Iterator[int]:
    """A descriptor of a file in memory, which no other process has."""
    file = os.memfd_create("program")
    try:
        with os.fdopen(os.dup(file), "wb") as writer:
            writer.write(content.encode("utf-8", "surrogatepass"))
        yield file
    finally:
        os.close(file)


def enough(layers: Iterable[str]) -> bool:
    """Whether these layers keep a program's signals, files and network inside."""
    there = set(layers)
    return NAMESPACES in there or {SYSTEM_CALLS, FILES} <= there


@functools.cache
def protections() -> dict[str, str | None]:
    """For each isolation layer None if this machine has it, tried by a harmless program, else why not."""
    found: dict[str, str | None] = {}
    for layer in LAYERS:
        try:
            with Sandbox([layer]) as sandbox:
                outcome = sandbox.run(_PROBE, Limits())
                found[layer] = None if outcome == "passed" else f"a harmless program did not pass behind it ({outcome})"
        except RunError as error:
            found[layer] = str(error)
    return found


def in_force() -> tuple[str, ...]:
    """The isolation layers that this machine has."""
    return tuple(layer for layer, reason in protections().items() if reason is None)
