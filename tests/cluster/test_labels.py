"""Which nodes have which labels, and what is said where none has those of an organization."""

from typing import Any

import pytest

from raysim.cluster.labels import ANYWHERE, alive, require_labels, require_node, shown
from raysim.core.errors import ActorLost, InputError


def node(address: str, alive: bool = True, **labels: str) -> dict[str, Any]:
    """As Ray lists one."""
    return {"NodeManagerAddress": address, "Alive": alive, "Labels": {"ray.io/node-id": address, **labels}}


NODES = [node("10.0.0.1"), node("10.0.0.2", site="acme", disk="fast"), node("10.0.0.3", False, site="meta")]


def test_nodes_that_live_and_have_all_labels() -> None:
    assert alive(NODES) == NODES[:2]
    assert alive(NODES, {"site": "acme"}) == alive(NODES, {"site": "acme", "disk": "fast"}) == [NODES[1]]
    assert alive(NODES, {"site": "acme", "disk": "slow"}) == []
    assert alive(NODES, {"site": "meta"}) == []
    assert shown({"site": "acme", "disk": "fast"}) == "disk=fast,site=acme"


def test_a_node_that_is_not_there_is_named_with_those_that_are() -> None:
    require_labels(NODES, {"acme": {"site": "acme"}}, embedded=False)
    with pytest.raises(InputError) as raised:
        require_labels(NODES, {"acme": {"site": "acme"}, "meta": {"site": "meta"}}, embedded=False)
    assert str(raised.value) == (
        "organizations.meta.node: no node has the labels site=meta; of 2 nodes 10.0.0.1 has none, 10.0.0.2 has"
        " disk=fast,site=acme; start one with `ray start --address HEAD:PORT --labels site=meta`"
    )


def test_a_ray_of_our_own_has_no_labels() -> None:
    with pytest.raises(InputError, match=r"10\.0\.0\.1 has none; a Ray of raysim's own .* --address, or leave `node`"):
        require_labels(NODES[:1], {"meta": {"site": "meta"}}, embedded=True)


def test_a_node_that_has_gone_may_come_back() -> None:
    require_node(NODES, ANYWHERE)
    require_node([], ANYWHERE)
    require_node(NODES, {"site": "acme"})
    with pytest.raises(ActorLost, match="no node of the cluster has the labels site=meta now"):
        require_node(NODES, {"site": "meta"})
