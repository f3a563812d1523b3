"""The backend whose clients and strategies are Ray actors.

Actors reserve no CPUs: the slots of `raysim.cluster.scheduler` say how many of them work at once, so that a Ray Data
job finds the CPUs free.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal

import numpy as np

from raysim.cluster.backend import Shared, addressed
from raysim.cluster.connect import cluster_address, connect
from raysim.cluster.failures import meaning_of
from raysim.cluster.rank_launcher import RayRankLauncher, bundle_of, room_for
from raysim.core.arrow import without_pandas
from raysim.core.errors import InputError
from raysim.core.extensions import Extension, lacking
from raysim.training.ranks import RankLauncher
from raysim.training.request import TrainerSettings

_SETTLE_TIMEOUT_S = 60.0
"""Ray 2.60 was seen to declare a node dead 14 s after its end."""


class RayBackend:
    """Makes Ray actors: on the cluster that `cluster_address` finds, or on a Ray of our own in this machine."""

    name: Literal["inline", "ray"] = "ray"

    def __init__(self, address: str | None, num_cpus: int | None) -> None:
        place = cluster_address(address)
        self._ray, self._ours = connect(place, num_cpus)
        self.embedded = place is None
        self._actors: list[Any] = []
        self._in_doubt = False

    def cpus(self) -> int:
        """CPUs of the cluster."""
        return int(self._ray.cluster_resources().get("CPU", 1))

    def nodes_bytes(self) -> list[int]:
        """Memory of each node, as Ray counts it: for processes and for its object store."""
        alive = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        return [int(node.get("memory", 0) + node.get("object_store_memory", 0)) for node in alive]

    def room(self, settings: TrainerSettings) -> int:
        """Ranks of these settings that the cluster's nodes could hold at once if they did nothing else."""
        return room_for(self._ray.nodes(), bundle_of(settings))

    def launcher(self, settings: TrainerSettings) -> RankLauncher:
        if settings.device != "cuda":
            return RayRankLauncher()
        # On a single machine with a single GPU there is nothing to hand out, and a process for each stage to save.
        nodes = [node for node in self._ray.nodes() if node["Alive"]]
        gpus = sum(node["Resources"].get("GPU", 0) for node in nodes)
        return RayRankLauncher(hands_out_gpus=len(nodes) > 1 or gpus > 1)

    def require(self, extensions: Sequence[Extension]) -> None:
        """Asks every node whether it has what other packages bring to the experiment here.

        Raises:
            InputError: one lacks something, or has it in another version.
        """
        nodes = [node for node in self._ray.nodes() if node["Alive"]] if extensions else []
        asked = [self._on(node, lacking).remote(extensions) for node in nodes]
        problems = [
            f"{problem} on node {node['NodeManagerAddress']}"
            for node, found in zip(nodes, self._ray.get(asked), strict=True)
            for problem in found
        ]
        if problems:
            raise InputError(
                "; ".join(dict.fromkeys(problems)) + ": every node of a cluster needs the packages of this machine"
            )

    def spawn(self, plain_class: type, *args: Any) -> Any:
        # Spread, since what reserves no CPU would otherwise gather on one node.
        actor = self._ray.remote(num_cpus=0, scheduling_strategy="SPREAD")(plain_class).remote(*args)
        actor.__ray_call__.remote(_without_pandas)
        self._actors.append(actor)
        return actor

    async def call(self, actor: Any, method: str, *args: Any) -> Any:
        actor, method, args = addressed(actor, method, args)
        try:
            return await getattr(actor, method).remote(*args)
        except self._ray.exceptions.RayError as error:
            raise self.translate_error(error) from error

    async def stream(self, actor: Any, method: str, *args: Any) -> AsyncIterator[Any]:
        actor, method, args = addressed(actor, method, args, "stream")
        try:
            async for reference in getattr(actor, method).options(num_returns="streaming").remote(*args):
                item = await reference
                yield Shared(item, reference) if isinstance(item, np.ndarray) else item
        except self._ray.exceptions.RayError as error:
            raise self.translate_error(error) from error

    async def call_ref(self, actor: Any, method: str, *args: Any) -> Any:
        actor, method, args = addressed(actor, method, args)
        reference = getattr(actor, method).remote(*args)
        await asyncio.to_thread(self._ray.wait, [reference], fetch_local=True)
        return reference

    def share(self, value: Any) -> Any:
        return self._ray.put(value)

    async def ping(self, actor: Any) -> bool:
        try:
            await actor.__ray_ready__.remote()
        except self._ray.exceptions.RayError:
            return False
        return True

    def kill(self, actor: Any) -> None:
        self._actors = [one for one in self._actors if one is not actor]
        with suppress(self._ray.exceptions.RayError):  # it is gone
            self._ray.kill(actor)

    def translate_error(self, error: Exception) -> Exception:
        """What an exception that Ray raised means.

        Whatever is lost with a process or a node - an actor, an object that it held, a worker of Ray Data - is a
        `ActorLost`; what a method raised comes out as it was raised.
        """
        explained = meaning_of(error)
        found = getattr(error, "cause", None) or error
        self._in_doubt |= isinstance(found, self._ray.exceptions.ActorUnavailableError)
        return explained

    async def await_failure_detection(self) -> None:
        """Asks every node for a sign of life where an actor could not be reached: Ray takes a while to miss a node."""
        if not self._in_doubt:
            return
        self._in_doubt = False
        signs = [self._on(node, _sign_of_life).remote() for node in self._ray.nodes() if node["Alive"]]
        await asyncio.wait([asyncio.ensure_future(_outcome(sign)) for sign in signs], timeout=_SETTLE_TIMEOUT_S)

    def _on(self, node: Mapping[str, Any], function: Callable[..., Any]) -> Any:
        """`function` as a task on `node`."""
        there = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        return self._ray.remote(num_cpus=0, max_retries=0)(function).options(scheduling_strategy=there)

    def close(self) -> None:
        for actor in self._actors:
            self._ray.kill(actor)
        self._actors.clear()
        if self._ours:
            self._ray.shutdown()


def _without_pandas(_: Any) -> None:
    """Spares an actor an import of pandas; a method of its own, since actors are plain classes."""
    without_pandas()


def _sign_of_life() -> None:
    """A task that says that its node is there."""


async def _outcome(reference: Any) -> None:
    with suppress(Exception):  # whatever became of it, it is decided
        await reference
