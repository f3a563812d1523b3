"""Ranks of one trainer as Ray actors in one placement group."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from raysim.cluster.draining import heed_departure, this_node
from raysim.cluster.failures import meaning_of
from raysim.cluster.labels import ANYWHERE, Labels, alive, require_node
from raysim.cluster.untyped_ray import untyped_ray
from raysim.core.errors import ActorLost, NodeLeaves, RaysimError
from raysim.training.rank_worker import RankWorker
from raysim.training.request import Event, TrainerSettings, TrainRequest, shares_of

_FAIL_TOGETHER_S = 20.0
"""Ray was seen to take up to 14 s to miss a node; ranks that wait for one there fail at once."""

_LOOK_FOR_ROOM_S = 2.0
"""Between two looks at whether the cluster can still place ranks that wait for room."""


class RayRankLauncher:
    """Implements `raysim.training.ranks.RankLauncher`: ranks are actors in one placement group.

    The actor that starts them owns them: they end with it, and what they reserve is free again.

    Args:
        hands_out_gpus: whether a rank on a GPU is always an actor that has reserved one, even a single rank.
        node: labels of the nodes that ranks may be on.
    """

    def __init__(self, hands_out_gpus: bool = False, node: Labels = ANYWHERE) -> None:
        self._hands_out_gpus = hands_out_gpus
        self._node = node

    def wanted(self, settings: TrainerSettings) -> bool:
        return settings.ranks > 1 or (settings.device == "cuda" and self._hands_out_gpus)

    def train(self, request: TrainRequest) -> Iterator[Event]:
        with self.start(request.task.settings) as ranks:
            yield from ranks.train(request)

    @contextmanager
    def start(self, settings: TrainerSettings) -> Iterator["RayRanks"]:
        """Ranks that have joined each other; they end with the block.

        Raises:
            ActorLost: a rank was lost, or the cluster has no room for all of them.
        """
        ray, bundle = untyped_ray(), bundle_of(settings)
        in_bundle = ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy
        pinned = [dict(self._node)] * settings.ranks if self._node else None
        group, actors = ray.util.placement_group([bundle] * settings.ranks, "PACK", bundle_label_selector=pinned), []
        try:
            while not group.wait(_LOOK_FOR_ROOM_S):
                nodes = ray.nodes()
                require_node(nodes, self._node)
                _require_room(alive(nodes, self._node), settings)
            actors = [
                ray.remote(RankWorker)
                .options(
                    num_cpus=bundle["CPU"],
                    num_gpus=bundle.get("GPU", 0),
                    scheduling_strategy=in_bundle(group, placement_group_bundle_index=rank),
                )
                .remote(rank, settings.ranks)
                for rank in range(settings.ranks)
            ]
            try:
                here = this_node()  # which they end with
                ray.get([actor.__ray_call__.remote(heed_departure, here) for actor in actors])
                addresses = ray.get([actor.__ray_call__.remote(_node_address) for actor in actors])
                port = ray.get(actors[0].listen.remote())
                places = zip(actors, addresses, strict=True)
                ray.get([actor.join.remote(addresses[0], port, own, settings.device) for actor, own in places])
            except ray.exceptions.RayError as error:
                raise meaning_of(error) from error
            yield RayRanks(actors)
        finally:
            # A rank that waits for one that was lost would wait for ever.
            for actor in actors:
                ray.kill(actor)
            ray.util.remove_placement_group(group)


class RayRanks:
    """Ranks that have joined each other.

    Args:
        actors: of `RankWorker`, by rank.
    """

    def __init__(self, actors: list[Any]) -> None:
        self.actors = actors

    def train(self, request: TrainRequest) -> Iterator[Event]:
        """Has every rank do ``RankWorker.train(request)``; the events of rank 0.

        Raises:
            ActorLost: a rank was lost.
        """
        ray = untyped_ray()
        shared = ray.put(request)  # its arrays lie once on a node, for all ranks there
        leader, *others = self.actors
        stream = leader.train.options(num_returns="streaming").remote(shared)
        # Not as streams: one of which nothing ever comes does not say that its actor was lost.
        running = [stream, *(actor.run_silently.remote(shared) for actor in others)]
        while running:
            (ready, *_), _ = ray.wait(running, num_returns=1)
            try:
                event = ray.get(next(ready) if ready is stream else ready)
            except StopIteration:
                running.remove(ready)
            except ray.exceptions.RayError as error:
                running.remove(ready)
                if ready is not stream and isinstance(meaning_of(error), NodeLeaves):
                    continue  # the leader says so, too, after the state that it hands over
                raise _first_cause(error, [one for one in running if one is not stream]) from error
            else:
                if ready is stream:
                    yield event
                else:
                    running.remove(ready)


def _first_cause(error: Exception, streams: Iterable[Any]) -> Exception:
    """What a rank's error means: where another rank was lost, those that waited for it fail first."""
    ray, explained, waiting = untyped_ray(), meaning_of(error), list(streams)
    deadline_s = time.monotonic() + _FAIL_TOGETHER_S
    while waiting and not isinstance(explained, RaysimError):
        ready, waiting = ray.wait(waiting, num_returns=1, timeout=max(0.0, deadline_s - time.monotonic()))
        if not ready:
            break
        try:
            ray.get(ready[0])
        except ray.exceptions.RayError as other:
            if isinstance(meaning_of(other), RaysimError):
                explained = meaning_of(other)
    return explained


def bundle_of(settings: TrainerSettings) -> dict[str, float]:
    """What a rank reserves."""
    return {"CPU": settings.threads, **({"GPU": settings.gpus} if settings.device == "cuda" else {})}


def room_for(nodes: Iterable[Mapping[str, Any]], bundle: Mapping[str, float]) -> int:
    """Equal bundles that nodes could hold if they did nothing else."""
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    return sum(min(_times(node.get(name, 0), amount) for name, amount in bundle.items()) for node in alive)


def _times(there: float, amount: float) -> int:
    """How often `amount` goes into what is there. A share of a GPU must come from one GPU: 0.6 goes into 2 twice."""
    return int(there) * shares_of(amount) if amount < 1 else int(there // amount)


def _require_room(nodes: Iterable[Mapping[str, Any]], settings: TrainerSettings) -> None:
    """Ray waits for ever for a placement group that no node can hold.

    Raises:
        ActorLost: it cannot be placed now.
    """
    bundle = bundle_of(settings)
    if (room := room_for(nodes, bundle)) < settings.ranks:
        raise ActorLost(f"of {settings.ranks} ranks that need {bundle} each the cluster can hold {room} now")


def _node_address(_: Any) -> str:
    import ray.util

    return ray.util.get_node_ip_address()
