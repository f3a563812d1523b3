"""Processes of a Ray in this machine are forked from one that has imported what they need.

Ray's runtime environment names what it starts in place of Python (``py_executable``).
"""

import os
import shlex
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from raysim.cluster.fork_server import THREADS

SHARED = "RAYSIM_FORK_SERVER"
"""Names the socket of a fork server on this machine for all runs to use, as those of a test session do."""

_HERE = Path(__file__).parent

_GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd")
"""Where there is one, a library may have asked for GPUs when it was imported, and cannot in a fork of its process."""


class ActorForkServer:
    """A process that forks others; it ends when it is closed, or with this one.

    Attributes:
        path: of its socket, in a folder that is the user's alone.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="raysim-forks-")
        self.path = Path(self._folder.name) / "socket"
        owner, self._ours = os.pipe()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(str(self.path))
            listener.listen(128)
            subprocess.Popen(  # noqa: S603 - our arguments
                [sys.executable, str(_HERE / "fork_server.py"), str(listener.fileno()), str(owner)],
                env=THREADS | os.environ,
                pass_fds=[listener.fileno(), owner],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # a Ctrl-C at the terminal is not meant for it
            )
        os.close(owner)

    def close(self) -> None:
        os.close(self._ours)
        self._folder.cleanup()


def can_fork() -> bool:
    """Whether processes of this machine that train can be forked: under Linux, without GPUs."""
    return sys.platform == "linux" and not any(Path(device).exists() for device in _GPU_DEVICES)


def forked_at(path: Path | str) -> dict[str, str]:
    """The runtime environment of workers that the server at `path` forks, or that start as ever where it cannot."""
    return {"py_executable": shlex.join([sys.executable, "-IS", str(_HERE / "fork_client.py"), str(path)])}
