"""An isolation layer that the machine has is in force, as asked without the sandbox, whose other tests need some."""

import ctypes
import platform
import subprocess
from pathlib import Path

import pytest

from raysim.sandbox.isolation import FILES, NAMESPACES, SYSTEM_CALLS
from raysim.sandbox.sandbox import protections

LANDLOCK_CREATE_RULESET, WHICH_VERSION = 444, 1


def has_namespaces() -> bool:
    """As util-linux finds it: a mount in namespaces of one's own."""
    command = ["unshare", "--user", "--map-root-user", "--mount", "--net", "--pid", "--fork"]
    try:
        return not subprocess.run([*command, "mount", "-t", "tmpfs", "none", "/sys"], capture_output=True).returncode
    except FileNotFoundError:
        pytest.skip("there is no unshare to ask")


def has_filters() -> bool:
    actions = Path("/proc/sys/kernel/seccomp/actions_avail")
    return platform.machine() == "x86_64" and actions.is_file() and "errno" in actions.read_text().split()


def has_landlock() -> bool:
    return ctypes.CDLL(None).syscall(LANDLOCK_CREATE_RULESET, None, 0, WHICH_VERSION) >= 1


@pytest.mark.parametrize(
    ("layer", "there"), [(NAMESPACES, has_namespaces), (SYSTEM_CALLS, has_filters), (FILES, has_landlock)]
)
def test_what_the_machine_has_is_in_force(layer, there) -> None:
    if not there():
        pytest.skip(f"this machine has no {layer}")
    assert protections()[layer] is None
