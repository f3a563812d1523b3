"""What the filters deny, and that they deny nothing where a machine has none."""

import pytest
from sandboxed import needs_isolation, outcome

from raysim.sandbox import filters
from raysim.sandbox.filters import DENIED
from raysim.sandbox.isolation import SYSTEM_CALLS
from raysim.sandbox.sandbox import Sandbox


@needs_isolation
def test_every_denied_call_fails(sandbox: Sandbox) -> None:
    """With arguments that do no harm, should one of them succeed."""
    if SYSTEM_CALLS not in sandbox.layers:
        pytest.skip("nothing is denied")
    harmless = {name: number for name, number in DENIED.items() if name not in {"vhangup", "reboot", "kill", "tkill"}}
    program = f"""
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    for name, number in {harmless!r}.items():
        arguments = [ctypes.c_long(-1)] * 6
        assert libc.syscall(ctypes.c_long(number), *arguments) == -1, name
        assert ctypes.get_errno() == 1, name
    """
    assert outcome(sandbox, program) == "passed"


def test_a_machine_whose_calls_are_not_known_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert not filters.filters_calls()
    with pytest.raises(OSError, match="riscv64"):
        filters.deny_system_calls()


def test_a_kernel_without_landlock_restricts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def syscall(*_: object) -> int:
        raise OSError(38, "no such call")

    monkeypatch.setattr(filters, "syscall", syscall)
    assert filters.landlock_version() == 0
    with pytest.raises(OSError, match="Landlock: this kernel has none"):
        filters.restrict_files([], [])
