"""Calls of the kernel, and their errors."""

import pytest
from sandboxed import needs_isolation, outcome

from raysim.sandbox import kernel
from raysim.sandbox.sandbox import Sandbox


@needs_isolation
def test_it_has_no_capability_and_gains_none(sandbox: Sandbox) -> None:
    program = """
    import ctypes
    libc = ctypes.CDLL(None)
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(header, sets) == 0
    assert list(sets) == [0] * 6
    assert libc.prctl(39, 0, 0, 0, 0) == 1  # no new privileges
    """
    assert outcome(sandbox, program) == "passed"


def test_a_call_that_fails_says_why() -> None:
    with pytest.raises(OSError, match="no_such_function_of_c: this system has no such call"):
        kernel.call("no_such_function_of_c")
    with pytest.raises(FileNotFoundError, match="umount2: No such file or directory"):
        kernel.call("umount2", b"/no/such/place", 0)


def test_a_number_that_is_not_known_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(OSError, match="pivot_root: its number on riscv64"):
        kernel.enter_root(tmp_path)
