"""Nodes by their labels, by which an organization's actors, its training and its matching stay where its files are."""

from collections.abc import Iterable, Mapping
from typing import Any

from raysim.core.errors import ActorLost, InputError

Labels = Mapping[str, str]
"""Of a node, as ``ray start --labels`` and Ray itself say them; or those that a node must have for what is pinned."""

ANYWHERE: Labels = {}
"""What is not pinned: any node will do."""

_OWN = "ray.io/"
"""How labels begin that Ray gives a node itself."""


def alive(nodes: Iterable[Mapping[str, Any]], node: Labels = ANYWHERE) -> list[Mapping[str, Any]]:
    """Of the nodes of a cluster, as Ray lists them, those that live and have the labels `node`."""
    return [one for one in nodes if one["Alive"] and node.items() <= one["Labels"].items()]


def shown(labels: Labels) -> str:
    """Labels as ``ray start --labels`` takes them."""
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()))


def require_labels(nodes: Iterable[Mapping[str, Any]], pinned: Mapping[str, Labels], embedded: bool) -> None:
    """Refuses organizations whose nodes are not there: Ray would wait for them for ever.

    Args:
        nodes: of the cluster, as Ray lists them.
        pinned: labels by organization.
        embedded: whether it is a Ray of our own.

    Raises:
        InputError: no node has an organization's labels; names them, and those that there are.
    """
    there = alive(nodes)
    problems = [
        f"organizations.{name}.node: no node has the labels {shown(node)}"
        for name, node in pinned.items()
        if not alive(there, node)
    ]
    if not problems:
        return
    have = [f"{one['NodeManagerAddress']} has {shown(_given(one['Labels'])) or 'none'}" for one in there]
    mend = (
        "a Ray of raysim's own has one node without labels: name a cluster by --address, or leave `node` out"
        if embedded
        else f"start one with `ray start --address HEAD:PORT --labels {shown(_first_missing(there, pinned))}`"
    )
    raise InputError(f"{'; '.join(problems)}; of {len(there)} nodes {', '.join(have)}; {mend}")


def require_node(nodes: Iterable[Mapping[str, Any]], node: Labels) -> None:
    """Says that a node is gone, on which alone something may live: Ray would wait until it is there again.

    Raises:
        ActorLost: no node has the labels now.
    """
    if node and not alive(nodes, node):
        raise ActorLost(f"no node of the cluster has the labels {shown(node)} now")


def _given(labels: Labels) -> Labels:
    return {name: value for name, value in labels.items() if not name.startswith(_OWN)}


def _first_missing(there: list[Mapping[str, Any]], pinned: Mapping[str, Labels]) -> Labels:
    return next(node for node in pinned.values() if not alive(there, node))
