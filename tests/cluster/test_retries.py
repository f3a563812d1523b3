"""Work whose actor is lost is tried again, as often as the policy says; nothing else is."""

import asyncio
from collections.abc import Callable

import pytest

from raysim.cluster.retries import Retrying, RetryPolicy
from raysim.core.errors import ActorLost, InputError, NodeLeaves, OutOfMemory, RunError


async def at_once() -> None:
    """Nothing to wait for."""


class Flaky:
    """Fails with the given errors, one after the other, then succeeds."""

    def __init__(self, *errors: Exception) -> None:
        self.calls = 0
        self._errors = list(errors)

    async def __call__(self) -> str:
        self.calls += 1
        if self._errors:
            raise self._errors.pop(0)
        return "done"


def run(work: Flaky, retries: int, progress: Callable[[], int] = lambda: 0) -> tuple[str, list[str]]:
    notes: list[str] = []
    return asyncio.run(Retrying(RetryPolicy(retries), notes.append, at_once).run("stage 1", work, progress)), notes


def test_waits_double_up_to_half_a_minute_and_then_it_gives_up() -> None:
    policy = RetryPolicy(12)
    assert [policy.wait_s(n) for n in (1, 2, 3)] == [0.2, 0.4, 0.8]
    assert policy.wait_s(12) == 30.0
    assert policy.wait_s(13) is None
    assert RetryPolicy(0).wait_s(1) is None


@pytest.mark.parametrize("error", [ActorLost("gone"), OutOfMemory("full")])
def test_what_was_lost_is_tried_again_and_told(error: Exception) -> None:
    work = Flaky(error)
    result, notes = run(work, retries=1)
    assert (result, work.calls) == ("done", 2)
    assert notes == [f"stage 1: {error}; trying again (1 of 1)"]


def test_a_node_that_goes_is_no_failure() -> None:
    gone, leaves = ActorLost("gone"), NodeLeaves("it is about to go; step 3 of 9 is kept")
    result, notes = run(Flaky(leaves, gone, leaves, gone, leaves), retries=1)
    assert result == "done"
    assert notes[:2] == [f"stage 1: {leaves}; going on elsewhere", "stage 1: gone; trying again (1 of 1)"]


def test_used_up_retries_say_what_to_do() -> None:
    work = Flaky(ActorLost("gone"), ActorLost("gone"))
    with pytest.raises(RunError, match=r"^stage 1: gone; tried 2 times \(execution\.retries: 1\)\. .*the same command"):
        run(work, retries=1)
    assert work.calls == 2


@pytest.mark.parametrize("error", [RunError("loss is nan"), InputError("no"), ValueError("bug")])
def test_an_error_of_the_work_itself_is_not_tried_again(error: Exception) -> None:
    work = Flaky(error)
    with pytest.raises(type(error), match=str(error)):
        run(work, retries=3)
    assert work.calls == 1


def test_progress_counts_failures_from_the_start() -> None:
    """Four losses with two retries: fatal, unless something was finished in between."""
    losses = [ActorLost("gone") for _ in range(4)]
    with pytest.raises(RunError):
        run(Flaky(*losses), retries=2)
    work = Flaky(*losses)
    assert run(work, 2, progress=lambda: work.calls)[0] == "done"
    assert work.calls == 5


def test_it_is_known_what_was_lost_before_work_is_tried_again() -> None:
    order: list[str] = []

    async def settle() -> None:
        order.append("settled")

    async def work() -> None:
        order.append("tried")
        if len(order) == 1:
            raise ActorLost("gone")

    asyncio.run(Retrying(RetryPolicy(1), lambda _: None, settle).run("stage 1", work))
    assert order == ["tried", "settled", "tried"]
