"""Programs in a sandbox, under small limits."""

import textwrap

import pytest

from raysim.sandbox.isolation import FILES, SYSTEM_CALLS, Limits
from raysim.sandbox.sandbox import Sandbox, enough, in_force, protections

LIMITS = Limits(cpu_s=1, wall_s=3.0, memory_bytes=256 << 20, file_bytes=1 << 20, processes=16)

FILTERS = (SYSTEM_CALLS, FILES)


def outcome(sandbox: Sandbox, program: str, limits: Limits = LIMITS) -> str:
    return sandbox.run(textwrap.dedent(program), limits)


needs_isolation = pytest.mark.skipif(not enough(in_force()), reason=f"this machine contains nothing: {protections()}")
