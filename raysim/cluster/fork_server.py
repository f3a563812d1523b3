"""A process that has imported what actors need, and forks one for each request of `raysim.cluster.fork_client`.

To import torch and transformers takes an actor five seconds of a core; to be forked, a twentieth of one, and what was
imported is in memory once. ``python fork_server.py LISTENER OWNER`` takes two descriptors: the socket at which requests
come, and one that reads as ended once the owner has gone, with whom the server ends.
"""

import gc
import json
import os
import resource
import runpy
import select
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

IMPORTED = (
    "pyarrow.dataset",
    "pyarrow.parquet",
    "raysim.organizations.host",
    "raysim.organizations.organization",
    "raysim.training.torch_engine",
    "torch._dynamo",
    "transformers.models.gpt2.modeling_gpt2",
    "transformers.models.llama.modeling_llama",
)
"""What actors import sooner or later, but for Ray, which reads when it is loaded whose worker it is in."""

THREADS = {"OMP_NUM_THREADS": "1"}
"""What Ray sets for an actor that reserves no CPU, if nobody has set it: too late for libraries that are there."""

_READ_WHEN_LOADED = ("LD_", "MALLOC_", "MKL_", "OMP_", "OPENBLAS_", "PYTHON")
"""How names of variables begin which libraries read when they are loaded; scikit-learn itself sets some KMP_ ones."""


def main(listener: socket.socket, owner: int) -> dict[str, Any]:
    """Serves until the owner goes; returns in forked processes only, each with its request."""
    for name in IMPORTED:
        import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits here for what has ended
    if os.fork() == 0:  # threads of BLAS libraries end before a fork, and begin again when they are needed
        os._exit(0)
    if threads := other_threads():
        raise SystemExit(f"a forked process would lack these threads: {threads}")
    gc.collect()
    gc.freeze()  # what has been imported becomes garbage in no forked process
    while True:
        readable, _, _ = select.select([listener, owner], [], [])
        if owner in readable:
            os._exit(0)
        client, _ = listener.accept()
        with client:
            message, descriptors = _receive(client)
            request = json.loads(message) if message else None
            if request and not differences(os.environ, THREADS | request["environment"]) and os.fork() == 0:
                listener.close()
                os.close(owner)
                if _forked(client, descriptors):
                    return request
            for descriptor in descriptors:
                os.close(descriptor)


def other_threads() -> list[str]:
    """Names of other threads of this process, but for the one of Arrow's allocator, which copes with forks."""
    ours = str(os.getpid())
    others = (task for task in Path("/proc/self/task").iterdir() if task.name != ours)
    return [name for task in others if (name := (task / "comm").read_text().strip()) != "jemalloc_bg_thd"]


def _receive(client: socket.socket) -> tuple[bytes, list[int]]:
    """A request and its descriptors; nothing where whoever asked has gone."""
    client.settimeout(5.0)
    try:
        message, descriptors, _, _ = socket.recv_fds(client, 1 << 20, 3)
    except OSError:
        return b"", []
    return message, descriptors


def differences(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """Variables that a library has read in one process, when it was loaded, and would read otherwise in another."""
    names = {name for name in {*ours, *theirs} if name.startswith(_READ_WHEN_LOADED)}
    return sorted(name for name in names if ours.get(name) != theirs.get(name))


def _forked(client: socket.socket, descriptors: list[int]) -> bool:
    """Forks once more, and sees to the end of either side; True in the new process."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    process = os.fork()
    if process == 0:
        os.setpgid(0, 0)  # Ray ends the group of a worker with it
        client.close()
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
            os.close(descriptor)
        return True
    with suppress(OSError):
        client.send(str(process).encode())
    ended = os.pidfd_open(process)
    readable, _, _ = select.select([ended, client], [], [])
    if ended not in readable:  # whoever asked has been ended in its place
        os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    with suppress(OSError):
        client.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def become(request: Mapping[str, Any]) -> None:
    """Takes over what the process that asks has from its parents, and performs the script of its arguments."""
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    os.umask(request["umask"])
    with suppress(OSError):  # a higher one than ours, which is not everybody's to take
        os.setpriority(os.PRIO_PROCESS, 0, request["priority"])
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(request["oom_score_adj"])
    for limit, (soft, hard) in request["limits"]:
        with suppress(OSError, ValueError):  # what was higher there
            resource.setrlimit(limit, (soft, hard))
    signal.pthread_sigmask(signal.SIG_SETMASK, request["blocked"])
    sys.argv = request["arguments"]
    sys.path[0] = str(Path(sys.argv[0]).parent)
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    become(main(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2])))
