"""What an autoscaler is asked for: it sees what is reserved alone, and organizations reserve no CPUs."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raysim.cluster.labels import Labels, alive
from raysim.cluster.rank_launcher import room_for

_LOOK_AGAIN_S = 1.0

IN_USE = {"memory": 1.0}
"""What an actor reserves where nodes come and go: a byte of memory, so that its node does not count as idle."""


@dataclass(frozen=True)
class Demand:
    """Nodes for slots.

    Attributes:
        slots: that are wanted at once.
        bundle: what each takes, by resource.
        pinned: labels of nodes of which there must be one each.
    """

    slots: int
    bundle: Mapping[str, float]
    pinned: Sequence[Labels]

    def ask(self) -> None:
        """Asks, in the place of whatever was asked before; does nothing where no autoscaler listens."""
        from ray.autoscaler.sdk import request_resources

        labels = [dict(node) for node in self.pinned]
        labels += [{} for _ in range(self.slots - len(labels))]
        request_resources(bundles=[dict(self.bundle) for _ in labels], bundle_label_selectors=labels)

    def there(self, nodes: Sequence[Mapping[str, Any]]) -> int:
        """How many of the slots have room, on nodes as Ray lists them; none as long as a pinned one is missing."""
        if not all(alive(nodes, node) for node in self.pinned):
            return 0
        return min(self.slots, room_for(nodes, self.bundle))

    def wait(
        self, nodes: Callable[[], Sequence[Mapping[str, Any]]], patience_s: float, note: Callable[[str], None]
    ) -> int:
        """Waits until all slots have room, or for `patience_s`; how many have.

        Args:
            nodes: lists the nodes that there are.
            patience_s: seconds at most.
            note: receives a line for a person where there is something to wait for.
        """
        deadline_s, found = time.monotonic() + patience_s, self.there(nodes())
        if found < self.slots:
            note(f"{found} of {self.slots} slots are there; waiting up to {patience_s:g} s for an autoscaler's nodes")
        while found < self.slots and time.monotonic() < deadline_s:
            time.sleep(_LOOK_AGAIN_S)
            found = self.there(nodes())
        return found


def withdraw() -> None:
    """Asks for nothing any more: nodes that nobody uses may go."""
    from ray.autoscaler.sdk import request_resources

    request_resources(bundles=[])
