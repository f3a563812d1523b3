"""Where no server forks a process, the client becomes it."""

import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import raysim.cluster.fork_client


def run(place: Path, script: Path) -> subprocess.CompletedProcess[str]:
    client = raysim.cluster.fork_client.__file__
    script.write_text("import sys, numpy\nprint(sys.argv, numpy.arange(3).sum())\nsys.exit(5)")
    command = [sys.executable, "-IS", client, str(place), str(script), "a b"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_nobody_is_there(tmp_path: Path) -> None:
    ended = run(tmp_path / "nobody", tmp_path / "script.py")
    assert (ended.returncode, ended.stdout) == (5, f"{[str(tmp_path / 'script.py'), 'a b']} 3\n"), ended.stderr


@pytest.mark.parametrize("answer", [b"", b"nonsense"])
def test_a_server_that_forks_nothing(answer: bytes, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()

        def refuse() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(1 << 20)
                if answer:
                    client.send(answer)

        thread = threading.Thread(target=refuse)
        thread.start()
        ended = run(tmp_path / "socket", tmp_path / "script.py")
        thread.join()
    assert (ended.returncode, ended.stdout) == (5, f"{[str(tmp_path / 'script.py'), 'a b']} 3\n"), ended.stderr
