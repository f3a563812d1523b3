"""A Ray of its own with a job server, in a process beside the tests; it ends with the block, or with the tests."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_START = """
import functools, sys
import ray
from ray._private import parameter, utils
parameter.RayParams = functools.partial(parameter.RayParams, dashboard_agent_listen_port=0)
folder, port = sys.argv[1:]
started = ray.init(
    address="local", num_cpus=2, include_dashboard=True, dashboard_port=int(port), _temp_dir=folder, log_to_driver=False
)
# As `ray start` notes it: jobs would else join whichever Ray of this machine is found first.
utils.write_ray_address(started.address_info["gcs_address"], folder)
print(started.dashboard_url, flush=True)
sys.stdin.read()
"""


@contextmanager
def job_head() -> Iterator[str]:
    """The address of the job server of a Ray of two CPUs; `python` means this one there."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    # Sockets lie in the folder, and their paths may have 107 bytes.
    with tempfile.TemporaryDirectory(prefix="rs-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        command = [sys.executable, "-c", _START, folder, str(_free_port())]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, env=environment, text=True, **pipes) as head:
            assert head.stdout
            yield f"http://{head.stdout.readline().strip()}"
            head.communicate()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]
