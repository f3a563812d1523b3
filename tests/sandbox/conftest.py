"""A sandbox behind each set of layers that suffices."""

from collections.abc import Iterator

import pytest
from sandboxed import FILTERS, LIMITS

from raysim.sandbox.isolation import LAYERS, NAMESPACES
from raysim.sandbox.sandbox import Sandbox, in_force


@pytest.fixture(scope="module", params=[LAYERS, (NAMESPACES,), FILTERS], ids=["all", "namespaces", "filters"])
def shared(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    missing = set(request.param) - set(in_force())
    if missing:
        pytest.skip(f"this machine has no {missing}")
    with Sandbox(request.param) as made:
        yield made


@pytest.fixture
def sandbox(shared: Sandbox) -> Iterator[Sandbox]:
    """Whatever a test ran in it, the next program runs."""
    yield shared
    assert shared.run("assert 1 + 1 == 2", LIMITS) == "passed"
