"""Nodes that Ray has been told will go: at a SIGTERM to ``ray start --block``, a preemption, or an autoscaler's word.

Such a node lives on for some seconds, takes nothing new, and what runs there goes on: time to hand a state over.
"""

from collections.abc import Callable, Collection
from typing import Any

from raysim.cluster.untyped_ray import untyped_ray
from raysim.training.departure import DEPARTURE


def draining_nodes() -> Collection[str]:
    """Identifiers of the nodes that are about to go, as the head of the cluster knows them."""
    from ray._private.state import state  # `ray.nodes` does not tell

    return state.get_draining_nodes()


def this_node(_: Any = None) -> str:
    """The identifier of the node of this process, which Ray has started or which has joined it."""
    return untyped_ray().get_runtime_context().get_node_id()


def heed_departure(_: Any, *others: str) -> None:
    """Has what trains in this process heed that its node goes, or one of `others`; called in an actor, as its method.

    Args:
        others: identifiers of nodes on which it depends.
    """
    DEPARTURE.ask_by(_asking({this_node(), *others}))


def _asking(nodes: set[str]) -> Callable[[], bool]:
    def ask() -> bool:
        try:
            return not nodes.isdisjoint(draining_nodes())
        except Exception:  # a head that is away for a while knows nothing; Ray has no one class for that
            return False

    return ask
