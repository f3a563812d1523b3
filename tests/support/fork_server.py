"""A process that has imported what commands of `raysim` need, and forks one for each request.

A request comes over a socket with three descriptors: where to answer, and the command's output and errors. Answered are
the process id, and at the end the exit code, or minus the number of the signal that ended the command. The server ends
when the other end of the socket does.
"""

import atexit
import gc
import json
import os
import pkgutil
import socket
import sys
import threading
import traceback
from contextlib import suppress
from importlib import import_module
from typing import Any, NoReturn

import raysim
from raysim.cluster.fork_server import other_threads

LIBRARIES = (
    "plotly.graph_objs._figure",
    "plotly.graph_objs._heatmap",
    "plotly.graph_objs._layout",
    "plotly.graph_objs._scatter",
    "plotly.subplots",
    "pyarrow.dataset",
    "scipy.stats",
    "torch._dynamo",
    "transformers.models.gpt2.modeling_gpt2",
    "transformers.models.llama.modeling_llama",
)
"""What a run imports late, or only for its kind of model."""


def main() -> None:
    """Serves; returns in the process of a command only, which then performs it."""
    control = socket.socket(fileno=int(sys.argv[1]))
    for name in (*(module.name for module in pkgutil.walk_packages(raysim.__path__, "raysim.")), *LIBRARIES):
        import_module(name)
    gc.collect()
    gc.freeze()  # what has been imported becomes garbage in no child
    assert not other_threads()  # they would be missing in every child
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1 << 20, 3)
        if not message:
            _reap()
            os._exit(0)
        _reap()
        if os.fork() == 0:
            control.close()
            if _forked(*descriptors):
                return _become(json.loads(message))
        for descriptor in descriptors:
            os.close(descriptor)


def _reap() -> None:
    """Takes leave of those that have waited to the end of a command."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _forked(answers: int, stdout: int, stderr: int) -> bool:
    """Forks once more and waits; True in the new process."""
    process = os.fork()
    if process == 0:
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        for descriptor in (answers, stdout, stderr):
            os.close(descriptor)
        return True
    with socket.socket(fileno=answers) as client:
        client.send(str(process).encode())
        _, status = os.waitpid(process, 0)
        client.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _become(request: dict[str, Any]) -> None:
    """Takes over the arguments, the environment and the folder, and does what is to be done before."""
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.argv, sys.path[0] = ["raysim", *request["args"]], ""
    exec(request["before"], {})


def _perform() -> NoReturn:
    """Performs the command, and what was to be done at its exit; modules are not torn down, which takes a second."""
    from raysim.cli.main import main as command

    code: Any = 1
    try:
        command()
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        traceback.print_exc()
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads, as an interpreter does at its exit
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


if __name__ == "__main__":
    main()
    _perform()
