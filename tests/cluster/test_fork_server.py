"""Processes that are forked take over what those that ask have."""

import json
import os
import resource
import shlex
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drive import ENVIRONMENT, share_fork_server

from raysim.cluster.fork_server import THREADS, differences
from raysim.cluster.forking import forked_at

SCRIPT = """
import json, os, resource, signal, sys
print(json.dumps({
    "arguments": sys.argv[1:], "name": __name__, "first": sys.path[0], "folder": os.getcwd(),
    "variable": os.environ.get("A_VARIABLE"), "umask": os.umask(0), "niceness": os.getpriority(os.PRIO_PROCESS, 0),
    "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0], "input": sys.stdin.read(),
    "blocked": sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, []))),
    "forked": "transformers.models.gpt2.modeling_gpt2" in sys.modules,
}), flush=True)
print("to the other", file=sys.stderr)
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a script by the client of the session's server."""
    script = tmp_path / "script.py"

    def run(text: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        script.write_text(text)
        command = [*shlex.split(forked_at(share_fork_server().path)["py_executable"]), str(script), *arguments]
        options.setdefault("env", ENVIRONMENT)
        return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)

    return run


def test_what_a_process_has_from_its_parents_is_taken_over(ask: Any, tmp_path: Path) -> None:
    def lower() -> None:
        os.setpriority(os.PRIO_PROCESS, 0, 7)
        os.umask(0o027)
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])

    (tmp_path / "there").mkdir()
    environment = ENVIRONMENT | {"A_VARIABLE": "äöü"}
    ended = ask(SCRIPT, "3", "b c", input="given", cwd=tmp_path / "there", env=environment, preexec_fn=lower)
    assert json.loads(ended.stdout) == {
        "arguments": ["3", "b c"],
        "name": "__main__",
        "first": str(tmp_path),
        "folder": str(tmp_path / "there"),
        "variable": "äöü",
        "umask": 0o027,
        "niceness": 7,
        "files": 200,
        "input": "given",
        "blocked": [signal.SIGUSR2],
        "forked": True,
    }
    assert ended.stderr == "to the other\n"
    assert ended.returncode == 3


def test_a_client_ends_as_its_process_does(ask: Any) -> None:
    assert ask("").returncode == 0
    assert ask("raise ValueError('so')").returncode == 1
    assert ask("import os, signal; os.kill(os.getpid(), signal.SIGTERM)").returncode == -signal.SIGTERM
    assert ask("import os, signal; os.kill(os.getpid(), signal.SIGKILL)").returncode == -signal.SIGKILL


def test_another_environment_of_libraries_is_not_forked(ask: Any) -> None:
    ended = ask(SCRIPT, "0", input="", env=ENVIRONMENT | {"PYTHONHASHSEED": "7"})
    assert not json.loads(ended.stdout)["forked"]
    assert ended.returncode == 0


def test_variables_differ_where_libraries_read_them() -> None:
    ours = {"OMP_NUM_THREADS": "1", "RAY_JOB_ID": "1", "PYTHONPATH": "/a"}
    assert differences(ours, {"PYTHONPATH": "/a"} | THREADS) == []
    assert differences(ours, {"OMP_NUM_THREADS": "2", "LD_PRELOAD": "x", "HOME": "/"}) == [
        "LD_PRELOAD",
        "OMP_NUM_THREADS",
        "PYTHONPATH",
    ]
