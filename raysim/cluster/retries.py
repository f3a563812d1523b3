"""What becomes of work whose actor was lost: the one policy for actors, workers and nodes.

Work is a pure function of its recipe, so it may be tried again anywhere; a fault costs time and never changes a result.
Only a lost actor is a reason to try again. An error that the work itself raises would be raised again.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from raysim.core.errors import ActorLost, NodeLeaves, RunError

T = TypeVar("T")

_FIRST_WAIT_S = 0.2
_LONGEST_WAIT_S = 30.0


@dataclass(frozen=True)
class RetryPolicy:
    """How often work is tried again, and how long it waits before: twice as long each time.

    Attributes:
        retries: after the first attempt; 0 gives up at once.
    """

    retries: int

    def wait_s(self, failures: int) -> float | None:
        """Seconds to wait after `failures` failures in a row, or None to give up."""
        return None if failures > self.retries else min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** (failures - 1))


@dataclass(frozen=True)
class Retrying:
    """Tries work until it succeeds or the policy gives up.

    Attributes:
        policy: decides.
        note: receives a line for a person about every failure that is tried again.
        await_failure_detection: is awaited before work is tried again.
    """

    policy: RetryPolicy
    note: Callable[[str], None]
    await_failure_detection: Callable[[], Awaitable[None]]

    async def run(self, label: str, work: Callable[[], Awaitable[T]], progress: Callable[[], int] = lambda: 0) -> T:
        """The result of `work`.

        Args:
            label: names the work in messages.
            work: is called once for each attempt.
            progress: a number that grows with what is done for good; failures are counted from its last growth.

        Raises:
            RunError: the actor was lost once more than the policy allows.
        """
        failures, done = 0, progress()
        while True:
            try:
                return await work()
            except NodeLeaves as error:  # it has made progress, which is kept
                self.note(f"{label}: {error}; going on elsewhere")
                failures, wait_s = 0, 0.0
            except ActorLost as error:
                failures = failures + 1 if progress() == done else 1
                done = progress()
                wait_s = self.policy.wait_s(failures)
                if wait_s is None:
                    raise RunError(
                        f"{label}: {error}; tried {failures} time{'s' * (failures != 1)} (execution.retries:"
                        f" {self.policy.retries}). What was finished is kept: the same command goes on from here"
                    ) from error
                self.note(f"{label}: {error}; trying again ({failures} of {self.policy.retries})")
            await self.await_failure_detection()
            await asyncio.sleep(wait_s)
