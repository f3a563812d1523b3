"""The same locks by `flock`, and by files where `flock` answers that the file system has none, or lets everybody in."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from raysim.core.errors import InputError
from raysim.core.locks import try_lock
from raysim.core.run_folder import RunFolder
from raysim.store.references import References
from raysim.store.store import Store

NO_OP = -1
"""In place of an error number: `flock` always succeeds, and keeps nobody out."""

HOLD = """
import errno, fcntl, sys
from pathlib import Path
from raysim.core.locks import try_lock
if sys.argv[1] != "0":
    def flock(*_):
        if int(sys.argv[1]) > 0:
            raise OSError(int(sys.argv[1]), "no locks here")
    fcntl.flock = flock
with try_lock(Path(sys.argv[2]), shared=sys.argv[3] == "shared") as held:
    print(held, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(params=[0, errno.ENOSYS, errno.ENOLCK, NO_OP], ids=["flock", "ENOSYS", "ENOLCK", "no-op"])
def number(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """The error that `flock` ends with here; 0: it works."""

    def flock(*_: Any) -> None:
        if request.param > 0:
            raise OSError(request.param, os.strerror(request.param))

    if request.param:
        monkeypatch.setattr(fcntl, "flock", flock)
    return request.param


@contextmanager
def holder(number: int, path: Path, mode: str) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds the lock."""
    command = [sys.executable, "-c", HOLD, str(number), str(path), mode]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        yield process
        process.stdin.close() if process.stdin else None


def has(path: Path, *, shared: bool = False) -> bool:
    with try_lock(path, shared=shared) as held:
        return held


def test_one_holder_at_a_time(number: int, tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with try_lock(path) as held:
        assert held
        assert not has(path)
        assert not has(path, shared=True)
        assert has(tmp_path / "other")
    assert has(path)
    assert has(path, shared=True)


def test_many_share(number: int, tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with ExitStack() as stack:
        assert stack.enter_context(try_lock(path, shared=True))
        assert stack.enter_context(try_lock(path, shared=True))
        assert not has(path)
        assert has(path, shared=True)
    assert has(path)


@pytest.mark.parametrize("mode", ["exclusive", "shared"])
def test_another_process_holds_it(number: int, mode: str, tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with holder(number, path, mode) as process:
        assert not has(path)
        assert has(path, shared=True) is (mode == "shared")
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait() == 0
        assert has(path)


@pytest.mark.parametrize("mode", ["exclusive", "shared"])
def test_a_killed_process_holds_nothing(number: int, mode: str, tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with holder(number, path, mode) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert has(path)
    assert has(path, shared=True)


def test_an_error_in_the_block_frees_the_lock(number: int, tmp_path: Path) -> None:
    for shared in (False, True):
        with pytest.raises(KeyError), try_lock(tmp_path / "lock", shared=shared):
            raise KeyError
    assert has(tmp_path / "lock")


def test_nothing_is_left_but_the_file(number: int, tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with try_lock(path, shared=True):
        assert not has(path)
    assert has(path)
    assert [file.name for file in tmp_path.iterdir()] == ["lock"]


def test_other_errors_are_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: Any) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match="broken"):
        has(tmp_path / "lock")


def test_the_store_leases_its_work(number: int, tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.lease("ab" * 16) as ours:
        assert ours
        assert store.is_leased("ab" * 16)
        with store.lease("ab" * 16) as theirs:
            assert not theirs
        assert store.is_leased("ab" * 16)
    assert not store.is_leased("ab" * 16)
    assert list((tmp_path / "leases").iterdir()) == []


def test_the_store_is_shared_by_runs_or_alone(number: int, tmp_path: Path) -> None:
    references = References(tmp_path)
    with (
        references.at_work(),
        references.at_work(),
        pytest.raises(InputError, match="a run is at work in it"),
        references.alone(),
    ):
        raise AssertionError("a run is at work")
    with references.alone(), pytest.raises(InputError, match="a run is at work in it"), references.alone():
        raise AssertionError("somebody has it alone")
    with references.at_work():
        pass


def test_a_run_folder_names_its_holder(number: int, tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run").locked():
        assert (tmp_path / "run" / ".lock").read_text() == str(os.getpid())
        with (
            pytest.raises(InputError, match=f"another raysim run .process {os.getpid()}. is at work there"),
            RunFolder(tmp_path / "run").locked(),
        ):
            raise AssertionError("it is locked")
    with RunFolder(tmp_path / "run").locked():
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be used"), RunFolder(tmp_path / "file").locked():
        raise AssertionError("it is a file")
