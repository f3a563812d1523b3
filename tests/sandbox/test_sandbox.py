"""What a program cannot do, one attack each, behind every set of layers that suffices; and that the next program runs.

As a program that got out could reach every process of whoever runs these tests, each real attack first asks whether it
is contained, harmlessly (signal 0 reaches but hurts nobody; a few children are no bomb), and gives up if it is not.
"""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from sandboxed import FILTERS, LIMITS, needs_isolation, outcome

from raysim.core.errors import InputError
from raysim.sandbox.isolation import FILES, LAYERS, NAMESPACES, SYSTEM_CALLS, Limits
from raysim.sandbox.sandbox import Sandbox

pytestmark = needs_isolation


CONTAINED = """
import os
in_reach = 0
for number in {*range(1, 100)} - {os.getpid()}:
    try:
        os.kill(number, 0)
    except (PermissionError, ProcessLookupError):
        pass
    else:
        in_reach += 1
if in_reach > 2:
    raise SystemExit("others are in reach")
"""
"""Ends with the outcome "ended" where signals would reach anybody but who waits for the program, and its judge. To kill
the judge passes nothing: it says the outcome by its exit code."""


def test_an_endless_loop_ends_by_its_processor_time(sandbox: Sandbox) -> None:
    assert outcome(sandbox, "while True: pass", Limits(cpu_s=1, wall_s=60)) == "timeout"


def test_a_program_that_catches_the_signal_ends_all_the_same(sandbox: Sandbox) -> None:
    program = "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass"
    assert outcome(sandbox, program, Limits(cpu_s=1, wall_s=60)) == "timeout"


def test_sleep_ends_by_the_clock(sandbox: Sandbox) -> None:
    started_s = time.monotonic()
    assert outcome(sandbox, "import time\ntime.sleep(1000)", Limits(wall_s=0.5)) == "timeout"
    assert time.monotonic() - started_s < 30


@pytest.mark.parametrize("program", ["bytearray(10 << 30)", "x = []\nwhile True: x.append(bytearray(1 << 20))"])
def test_ten_gigabytes(sandbox: Sandbox, program: str) -> None:
    assert outcome(sandbox, program, Limits(memory_bytes=256 << 20)) == "memory"


def test_memory_is_what_the_limit_says(sandbox: Sandbox) -> None:
    assert outcome(sandbox, "bytearray(300 << 20)", Limits(memory_bytes=256 << 20)) == "memory"
    assert outcome(sandbox, "bytearray(300 << 20)", Limits(memory_bytes=512 << 20)) == "passed"


def test_a_gigabyte_is_printed_to_nowhere(sandbox: Sandbox) -> None:
    program = "line = 'x' * (1 << 20)\nfor _ in range(1024): print(line)"
    assert outcome(sandbox, program, Limits(cpu_s=30, wall_s=60, memory_bytes=256 << 20)) == "passed"


def test_a_big_file(sandbox: Sandbox) -> None:
    inside = "with open('f', 'wb') as f:\n    f.write(bytes(1 << 19))"
    assert outcome(sandbox, inside) == "passed"
    assert outcome(sandbox, "with open('f', 'wb') as f:\n    f.write(bytes(2 << 20))") == "error"


def test_many_files(sandbox: Sandbox) -> None:
    """With namespaces they share one limit; without, they last as long as the program."""
    program = "for n in range(20):\n    with open(str(n), 'wb') as f:\n        f.write(bytes(1 << 19))"
    assert outcome(sandbox, program) == ("error" if NAMESPACES in sandbox.layers else "passed")


def test_open_files(sandbox: Sandbox) -> None:
    assert outcome(sandbox, "files = [open('/dev/null') for _ in range(100)]") == "error"


def test_the_folder_is_empty_private_and_gone_afterwards(sandbox: Sandbox) -> None:
    program = "import os\nassert os.listdir('.') == []\nopen('left', 'w').write(os.getcwd())"
    before = set(Path("/tmp").iterdir())
    assert outcome(sandbox, program) == outcome(sandbox, program) == "passed"
    assert not {path.name for path in set(Path("/tmp").iterdir()) - before if path.name.startswith("raysim-program")}


@pytest.mark.parametrize("program", ["open({path!r}, 'w')", "open({path!r}, 'a')", "import os\nos.remove({path!r})",
                                     "import os\nos.mkdir({path!r} + '.d')", "import os\nos.truncate({path!r}, 0)",
                                     "import os\nos.chmod({path!r}, 0)", "import os\nos.utime({path!r})",
                                     "import os\nos.symlink('/dev/null', {path!r} + '.l')",
                                     "import os\nos.rename({path!r}, {path!r} + '.r')",
                                     "open({path!r}).read()"])  # fmt: skip
def test_a_file_outside(sandbox: Sandbox, program: str, tmp_path: Path) -> None:
    path = tmp_path / "mine"
    path.write_text("mine")
    before = path.stat()
    assert outcome(sandbox, program.format(path=str(path))) == "error"
    assert path.read_text() == "mine"
    assert (path.stat().st_mode, path.stat().st_mtime_ns) == (before.st_mode, before.st_mtime_ns)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("path", ["/etc/passwd", "/proc/self/environ", "/proc/{tester}/environ", "/var"])
def test_what_is_not_pythons_is_not_read(sandbox: Sandbox, path: str) -> None:
    path = path.format(tester=os.getpid())
    program = f"import os\nos.listdir({path!r}) if os.path.isdir({path!r}) else open({path!r}).read()"
    assert outcome(sandbox, program) == "error"


def test_python_and_its_packages_are_there(sandbox: Sandbox) -> None:
    assert outcome(sandbox, "import decimal, json, sqlite3, unittest\nimport numpy\nassert numpy.ones(3).sum() == 3",
                   Limits(cpu_s=20, wall_s=60)) == "passed"  # fmt: skip


def test_python_may_lie_where_others_have_their_temporary_files(
    tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "installed.py"
    file.write_text("there = True")
    tmp_path.chmod(0o755)
    prefixes = {"prefix": str(tmp_path), "base_prefix": sys.base_prefix}
    there = SimpleNamespace(executable=sys.executable, path=sys.path, **prefixes)
    monkeypatch.setattr("raysim.sandbox.sandbox.sys", there)
    with Sandbox(sandbox.layers) as another:
        assert outcome(another, f"assert open({str(file)!r}).read() == 'there = True'") == "passed"


def test_this_project_is_not(sandbox: Sandbox) -> None:
    assert outcome(sandbox, "import raysim.cli.main") == "error"


def test_a_socket_reaches_nobody(sandbox: Sandbox) -> None:
    with contextlib.closing(socket.socket()) as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.settimeout(0)
        address = server.getsockname()
        program = f"import socket\nsocket.create_connection({address!r}, 1)"
        assert outcome(sandbox, program) == "error"
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_socket_in_a_file_reaches_nobody(sandbox: Sandbox, tmp_path: Path) -> None:
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(path := str(tmp_path / "s"))
        server.listen()
        program = f"import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect({path!r})"
        assert outcome(sandbox, program) == "error"


def test_it_sees_nobody_else(sandbox: Sandbox) -> None:
    for pid in (os.getpid(), os.getppid(), threading.get_native_id()):
        program = f"import os\nos.kill({pid}, 0)"
        assert outcome(sandbox, program) == "error"
    assert outcome(sandbox, CONTAINED) == "passed"


@pytest.mark.parametrize("target", ["-1", "0", "os.getppid()"])
def test_a_kill_reaches_nobody_else(sandbox: Sandbox, target: str) -> None:
    if NAMESPACES not in sandbox.layers and os.geteuid() == 0:
        pytest.skip("behind a filter alone root asks with signal 0 only, in test_it_sees_nobody_else")
    watched = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        program = f"{CONTAINED}\nos.kill({target}, 9)"
        assert outcome(sandbox, program) in {"passed", "error", "ended"}
        assert outcome(sandbox, f"{CONTAINED}\n1 / 0") == "error"
        assert watched.poll() is None
    finally:
        watched.communicate()


def test_a_fork_bomb(sandbox: Sandbox) -> None:
    few = """
    import os, time
    children = 0
    try:
        while children < 40:
            if os.fork() == 0:
                time.sleep(60)
                os._exit(0)
            children += 1
    except OSError:
        pass
    assert children < 16
    """
    assert outcome(sandbox, few) == "passed"  # else there would be no bomb
    bomb = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass"
    assert outcome(sandbox, bomb) == "timeout"


def test_nothing_that_it_started_outlives_it(sandbox: Sandbox, tmp_path: Path) -> None:
    """A grandchild in a session of its own goes with the namespace; behind the filter there is none."""
    program = """
    import os, time
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(30)
        os._exit(0)
    os.wait()
    """
    allowed = SYSTEM_CALLS not in sandbox.layers
    assert outcome(sandbox, program) == ("passed" if allowed else "error")
    server = sandbox._server
    assert server
    assert not Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()


def test_threads_run_and_are_few(sandbox: Sandbox) -> None:
    one = "import threading\nt = threading.Thread(target=print)\nt.start()\nt.join()"
    assert outcome(sandbox, one) == "passed"
    many = "import threading, time\nfor _ in range(200): threading.Thread(target=time.sleep, args=(9,)).start()"
    assert outcome(sandbox, many) == "error"


def test_no_other_program_is_started(sandbox: Sandbox) -> None:
    program = "import subprocess\nsubprocess.run(['/usr/bin/env'], check=True)"
    assert outcome(sandbox, program) == ("error" if SYSTEM_CALLS in sandbox.layers else "passed")


def test_no_file_descriptor_and_no_variable_is_inherited(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "1")
    program = """
    import os
    def is_open(number):
        try:
            os.fstat(number)
        except OSError:
            return False
        return True
    assert sum(is_open(number) for number in range(3, 1000)) == 1
    assert len({os.fstat(number).st_rdev for number in range(3)} | {os.stat("/dev/null").st_rdev}) == 1
    assert "SECRET" not in os.environ
    assert set(os.environ) <= {
        "HOME", "TMPDIR", "PATH", "LANG", "LC_CTYPE", "PYTHONPATH", "PYTHONHASHSEED",
        "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
    }
    """
    with open("/dev/null", "rb") as mine:
        os.set_inheritable(mine.fileno(), True)
        assert outcome(sandbox, program) == "passed"


def test_root_is_nobody(sandbox: Sandbox) -> None:
    if os.geteuid() or NAMESPACES not in sandbox.layers:
        pytest.skip("only root changes its user, in a namespace")
    program = "import os\nassert os.getuid() == os.getgid() == 65534\nassert not os.getgroups()"
    assert outcome(sandbox, program) == "passed"


def test_a_fork_server_that_was_lost_is_replaced() -> None:
    with Sandbox() as made:
        assert made.run("", LIMITS) == "passed"
        assert made._server
        made._server.kill()
        made._server.wait()
        assert made.run("", LIMITS) == "passed"
        last = made._server
    assert last.returncode == 0
    assert made._server is None


@pytest.mark.parametrize(
    ("layers", "suffice"),
    [((), False), ((SYSTEM_CALLS,), False), ((FILES,), False), ((NAMESPACES,), True), (FILTERS, True), (LAYERS, True)],
)
def test_which_layers_suffice(layers: tuple[str, ...], suffice: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    has = {layer: None if layer in layers else "this kernel has none" for layer in LAYERS}
    monkeypatch.setattr("raysim.sandbox.sandbox.protections", lambda: has)
    if suffice:
        assert Sandbox().layers == layers
    else:
        with pytest.raises(InputError, match=r"cannot contain generated programs .*namespaces: this kernel has none"):
            Sandbox()
