"""What Ray starts in place of Python: a fork server makes the process, or where none answers, this one becomes it.

A script without imports that take time: ``python -IS fork_client.py SOCKET SCRIPT ARGUMENT...``. It stays until the
forked process has ended, and ends alike.
"""

import json
import os
import resource
import signal
import socket
import sys

_PATIENCE_S = 30.0
"""Ray gives up a process that does not report within a minute."""


def main(place: str, arguments: list[str]) -> None:
    """Has a script run in a forked process that takes over what this one has from its parents; does not return."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        try:
            server.settimeout(_PATIENCE_S)
            server.connect(place)
            socket.send_fds(server, [json.dumps(_request(arguments)).encode()], [0, 1, 2])
            process = int(server.recv(100))
        except (OSError, ValueError):  # it has gone, takes too long, or forks none that is such as this one
            server.close()
            os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, _: os.kill(process, number))
        server.settimeout(None)
        code = int(server.recv(100) or -signal.SIGKILL)
    if code < 0:
        if -code not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _request(arguments: list[str]) -> dict[str, object]:
    limits = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]
    os.umask(umask := os.umask(0o077))
    with open("/proc/self/oom_score_adj") as file:
        oom_score_adj = file.read()
    return {
        "arguments": arguments,
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "umask": umask,
        "priority": os.getpriority(os.PRIO_PROCESS, 0),
        "oom_score_adj": oom_score_adj,
        "limits": [(limit, resource.getrlimit(limit)) for limit in limits],
        "blocked": [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
    }


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
