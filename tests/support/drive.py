"""The command line in a process of its own, and what runs are compared by."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from raysim.cluster.forking import SHARED, ActorForkServer
from raysim.tables.io import TABLES, read_table, table_hash

TIMEOUT_S = 240.0
ENVIRONMENT = dict(os.environ)
"""That of all tests, before one changes it for itself."""

_PAUSE_S = 0.01


def command(*args: object) -> list[str]:
    """The command line of `raysim` with `args`, in an interpreter that imports everything anew."""
    return [sys.executable, "-c", "from raysim.cli.main import main; main()", *map(str, args)]


def raysim_anew(*args: object, timeout: float = TIMEOUT_S) -> subprocess.CompletedProcess[str]:
    """Runs `raysim` to its end in an interpreter that imports everything anew, and hashes strings by another seed."""
    return subprocess.run(command(*args), capture_output=True, text=True, timeout=timeout)


class Driver:
    """A command of `raysim` at work: a process of its own, forked from one that has imported what commands need.

    It differs from a process that `command` starts in that it need not import torch and transformers, which takes
    seconds of a core, and in that all of a test session share the seed by which strings are hashed.

    Attributes:
        pid: of the process.
        returncode: as `subprocess.Popen` has it.
    """

    def __init__(self, args: tuple[object, ...], stdout: int, stderr: int, before: str = "") -> None:
        self._answers, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        request = {"args": [*map(str, args)], "before": before}
        share_fork_server()
        request |= {"environment": dict(os.environ), "folder": str(Path.cwd())}
        with theirs:
            descriptors = [theirs.fileno(), stdout, stderr]
            socket.send_fds(_fork_server(), [json.dumps(request).encode()], descriptors)
        self.returncode: int | None = None
        self.pid: int = self._answer(TIMEOUT_S)

    def _answer(self, timeout: float | None) -> int:
        self._answers.settimeout(timeout)
        answer = self._answers.recv(100)
        assert answer, "the server that forks commands has gone"
        return int(answer)

    def poll(self) -> int | None:
        """The exit code, or minus the number of the signal that ended the process; None while it is at work."""
        with suppress(BlockingIOError):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = TIMEOUT_S) -> int:
        """Waits for the end.

        Raises:
            TimeoutError: it does not come in time.
        """
        if self.returncode is None:
            self.returncode = self._answer(timeout)
            self._answers.close()
        return self.returncode

    def until(self, condition: Callable[[], object], timeout: float = TIMEOUT_S) -> None:
        """Waits until `condition` holds, and looks again every few milliseconds.

        Raises:
            AssertionError: the process ends before, or the time is over.
        """
        deadline_s = time.monotonic() + timeout
        while not condition():
            assert not self.ends_within(_PAUSE_S), f"the command has ended with exit code {self.returncode}"
            assert time.monotonic() < deadline_s, f"not within {timeout:g} s"

    def ends_within(self, timeout: float) -> bool:
        """Waits for the end; whether it has come in time."""
        with suppress(TimeoutError):
            self.wait(timeout)
        return self.returncode is not None

    def send_signal(self, number: int) -> None:
        """Sends a signal unless the process is known to have ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends the process as nothing can prevent."""
        self.send_signal(signal.SIGKILL)


@cache
def share_fork_server() -> ActorForkServer:
    """Has all runs of this process, and of those that it starts, fork their actors from one process."""
    server = ActorForkServer(ENVIRONMENT)
    os.environ.setdefault(SHARED, str(server.path))
    return server


@cache
def _fork_server() -> socket.socket:
    """Where to ask for processes; the server ends with this process, which holds the only other end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        server = [sys.executable, str(Path(__file__).with_name("fork_server.py")), str(theirs.fileno())]
        subprocess.Popen(server, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return ours


@contextmanager
def started(*args: object, output: Path | None = None, before: str = "") -> Iterator[Driver]:
    """Starts `raysim`; what it says is appended to `output`. Waits for its end, or kills it if something is raised."""
    with open(output or os.devnull, "a") as file:
        driver = Driver(args, file.fileno(), file.fileno(), before)
    try:
        yield driver
        driver.wait()
    finally:
        driver.kill()
        driver.wait()


def raysim(*args: object, timeout: float = TIMEOUT_S, before: str = "") -> subprocess.CompletedProcess[str]:
    """Runs `raysim` to its end; its process performs the Python code `before` it."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        driver = Driver(args, out.fileno(), err.fileno(), before)
        try:
            driver.wait(timeout)
        finally:
            driver.kill()
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess([*map(str, args)], driver.wait(), out.read(), err.read())


def hashes(run_dir: Path) -> dict[str, str]:
    """Hash of every results table; the ledger holds hashes that are keyed with the run's secret, so it is left out."""
    return {name: table_hash(read_table(run_dir, name)) for name in TABLES if name != "ledger"}
