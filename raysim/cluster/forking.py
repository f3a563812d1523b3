"""Processes of a Ray in this machine are forked from one that has imported what they need.

Ray's runtime environment names what it starts in place of Python (``py_executable``).
"""

import os
import shlex
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from raysim.cluster.fork_server import THREADS

SHARED = "RAYSIM_FORK_SERVER"
"""Names the socket of a fork server on this machine for all runs to use, as those of a test session do."""

_HERE = Path(__file__).parent

_GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd")
"""Where there is one, a library may have asked for GPUs when it was imported, and cannot in a fork of its process."""


class ActorForkServer:
    """A process that forks others; it ends when it is closed, or with this one.

    Args:
        environment: what libraries read when they are loaded; a process that has another is not forked.

    Attributes:
        path: of its socket, in a folder that is the user's alone.
        pid: of the process.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        """Starts it; whoever asks meanwhile waits.

        Raises:
            OSError: there is no place for a socket, or no process to be had.
        """
        self._folder = tempfile.TemporaryDirectory(prefix="raysim-forks-")
        self.path = Path(self._folder.name) / "socket"
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener, ExitStack() as undo:
            listener.bind(str(self.path))
            listener.listen(128)
            theirs, self._ours = os.pipe()
            undo.callback(os.close, self._ours)
            with open(theirs) as owner:
                self._process = subprocess.Popen(  # noqa: S603 - our arguments
                    [sys.executable, str(_HERE / "fork_server.py"), str(listener.fileno()), str(theirs)],
                    env={**THREADS, **environment},
                    pass_fds=[listener.fileno(), owner.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,  # a Ctrl-C at the terminal is not meant for it
                )
            undo.pop_all()
        self.pid = self._process.pid

    def close(self) -> None:
        """Ends it; what it has forked goes on."""
        os.close(self._ours)
        self._process.kill()  # it may still import
        self._process.wait()
        self._folder.cleanup()


def fork_server() -> ActorForkServer | None:
    """A server of our own; None: processes cannot be forked here, and Ray starts them itself."""
    if not can_fork():
        return None
    try:
        return ActorForkServer()
    except (OSError, ValueError):  # the machine has no room, or its folder for such files has too long a name
        return None


def can_fork() -> bool:
    """Whether processes of this machine that train can be forked: under Linux from 5.3 on, without GPUs."""
    if sys.platform != "linux" or any(Path(device).exists() for device in _GPU_DEVICES):
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:  # an older kernel, or one that forbids it
        return False
    return True


def forked_at(path: Path | str) -> dict[str, str]:
    """The runtime environment of workers that the server at `path` forks, or that start as ever where it cannot."""
    return {"py_executable": shlex.join([sys.executable, "-IS", str(_HERE / "fork_client.py"), str(path)])}
