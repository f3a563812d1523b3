"""The backend whose clients and strategies are Ray actors.

Actors reserve no CPUs: the slots of `raysim.cluster.scheduler` say how many of them work at once, so that a Ray Data
job finds the CPUs free.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal

import numpy as np

from raysim.cluster.backend import Shared, addressed
from raysim.cluster.connect import cluster_address, connect
from raysim.cluster.demand import IN_USE, Demand, withdraw
from raysim.cluster.draining import draining_nodes, heed_departure, this_node
from raysim.cluster.failures import meaning_of
from raysim.cluster.forking import SHARED, ActorForkServer, fork_server, forked_at
from raysim.cluster.labels import ANYWHERE, Labels, alive, require_labels, require_node
from raysim.cluster.rank_launcher import RayRankLauncher, bundle_of, room_for
from raysim.cluster.untyped_ray import untyped_ray
from raysim.core.arrow import without_pandas
from raysim.core.errors import ActorLost, InputError, RunError
from raysim.core.extensions import Extension, lacking
from raysim.training.ranks import RankLauncher
from raysim.training.request import TrainerSettings

_SETTLE_TIMEOUT_S = 60.0
"""Ray 2.60 was seen to declare a node dead 14 s after its end."""


class RayBackend:
    """Makes Ray actors: on the cluster that `cluster_address` finds, or on a Ray of our own in this machine.

    Args:
        address: of a cluster.
        num_cpus: of a Ray of our own.
        within: a backend of this process that is open for longer: what is asked of an autoscaler is asked once for
            both, and taken back when that one is closed.
    """

    name: Literal["inline", "ray"] = "ray"

    def __init__(self, address: str | None, num_cpus: int | None, within: "RayBackend | None" = None) -> None:
        place = cluster_address(address)
        self.embedded = place is None
        self._ray, self._ours = connect(place, num_cpus)
        self._fork_place = os.environ.get(SHARED)
        self._forks: ActorForkServer | None = None
        self._actors: list[Any] = []
        self._in_doubt = False
        self._within = within
        self._demand: Demand | None = None

    def cpus(self, node: Labels = ANYWHERE) -> int:
        return max(1, int(sum(one["Resources"].get("CPU", 0) for one in alive(self._ray.nodes(), node))))

    def nodes_bytes(self) -> list[int]:
        """Memory of each node, as Ray counts it: for processes and for its object store."""
        nodes = [one["Resources"] for one in alive(self._ray.nodes())]
        return [int(node.get("memory", 0) + node.get("object_store_memory", 0)) for node in nodes]

    def room(self, settings: TrainerSettings, node: Labels = ANYWHERE) -> int:
        """Ranks of these settings that nodes with these labels could hold at once if they did nothing else."""
        return room_for(alive(self._ray.nodes(), node), bundle_of(settings))

    def launcher(self, settings: TrainerSettings, node: Labels = ANYWHERE) -> RankLauncher:
        if settings.device != "cuda":
            return RayRankLauncher(node=node)
        # On a single machine with a single GPU there is nothing to hand out, and a process for each stage to save.
        nodes = alive(self._ray.nodes())
        gpus = sum(one["Resources"].get("GPU", 0) for one in nodes)
        return RayRankLauncher(hands_out_gpus=len(nodes) > 1 or gpus > 1, node=node)

    def require(self, extensions: Sequence[Extension]) -> None:
        """Asks every node whether it has what other packages bring to the experiment here.

        Raises:
            InputError: one lacks something, or has it in another version.
        """
        nodes = alive(self._ray.nodes()) if extensions else []
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

    def scale_up(
        self,
        settings: TrainerSettings,
        slots: int,
        pinned: Sequence[Labels],
        patience_s: float,
        note: Callable[[str], None],
    ) -> None:
        """Asks an autoscaler for room for `slots` ranks of these settings, until this backend is closed, and waits.

        What the backend that this one is within has asked for, is there as far as it came, and not waited for again.

        Args:
            settings: of the trainer.
            slots: ranks at once.
            pinned: labels of the nodes of organizations.
            patience_s: seconds to wait; what is there then is used.
            note: receives a line for a person while it waits, and if not all came.

        Raises:
            RunError: nothing came. Whether the pinned ones did, `require_nodes` says.
        """
        each_once = [node for number, node in enumerate(pinned) if node not in pinned[:number]]
        demand = self._demand = Demand(slots, bundle_of(settings), each_once)
        if self._within:
            asked, self._within._demand = self._within._demand, demand
            if asked == demand:
                return
        demand.ask()
        found = demand.wait(self._ray.nodes, patience_s, note)
        if not self.room(settings):
            raise RunError(
                f"execution.scale_up_s: no node with room for a slot came within {patience_s:g} s; look what the"
                " autoscaler says (`ray status`), or raise it, and run the same command again"
            )
        if found < slots:
            note(f"going on with {found} of {slots} slots: no more nodes came within {patience_s:g} s")

    def require_nodes(self, pinned: Mapping[str, Labels]) -> None:
        """Looks for the nodes of organizations, whose labels are given by name.

        Raises:
            InputError: there is no node for one.
        """
        require_labels(self._ray.nodes(), pinned, self.embedded)

    def spawn(self, plain_class: type, *args: Any, node: Labels = ANYWHERE) -> Any:
        require_node(self._staying() if node else (), node)
        # Spread, since what reserves no CPU would otherwise gather on one node.
        options = {"num_cpus": 0, "scheduling_strategy": "SPREAD", "label_selector": dict(node)}
        options |= IN_USE if self._demand else {}
        options |= {"runtime_env": forked_at(place)} if (place := self._forked_at()) else {}
        actor = self._ray.remote(**options)(plain_class).remote(*args)
        actor.__ray_call__.remote(_without_pandas)
        if not self.embedded:
            actor.__ray_call__.remote(heed_departure)
        self._actors.append(actor)
        return actor

    def _forked_at(self) -> str:
        """The socket of the server that forks actors, which starts with the first one; empty: Ray starts them itself.

        A Ray that somebody else has started may have nodes elsewhere.
        """
        if self._fork_place is None:
            if self._within:
                self._fork_place = self._within._forked_at()
            else:
                self._forks = fork_server() if self.embedded and self._ours else None
                self._fork_place = str(self._forks.path) if self._forks else ""
        return self._fork_place

    def _staying(self) -> list[Mapping[str, Any]]:
        """The nodes that are not about to go: Ray places nothing on those, and would wait for others for ever."""
        leaving = draining_nodes()
        return [one for one in self._ray.nodes() if one["NodeID"] not in leaving]

    async def call(self, actor: Any, method: str, *args: Any) -> Any:
        actor, method, args = addressed(actor, method, args)
        self._require(actor)
        try:
            return await getattr(actor, method).remote(*args)
        except self._ray.exceptions.RayError as error:
            raise self.translate_error(error) from error

    async def stream(self, actor: Any, method: str, *args: Any) -> AsyncIterator[Any]:
        actor, method, args = addressed(actor, method, args, "stream")
        self._require(actor)
        try:
            async for reference in getattr(actor, method).options(num_returns="streaming").remote(*args):
                item = await reference
                yield Shared(item, reference) if isinstance(item, np.ndarray) else item
        except self._ray.exceptions.RayError as error:
            raise self.translate_error(error) from error

    async def call_ref(self, actor: Any, method: str, *args: Any, copied: bool = True) -> Any:
        actor, method, args = addressed(actor, method, args)
        self._require(actor)
        # Ray hands small results to whoever asked, in its own memory: what the actor puts itself is with its node.
        try:
            (reference,) = await actor.__ray_call__.remote(_put, method, *args)
        except self._ray.exceptions.RayError as error:
            raise self.translate_error(error) from error
        await asyncio.to_thread(self._ray.wait, [reference], fetch_local=copied)
        return reference

    def share(self, value: Any) -> Any:
        try:
            return self._ray.put(value)
        except self._ray.exceptions.RayError as error:
            raise self.translate_error(error) from error

    async def ping(self, actor: Any) -> bool:
        if not self._is_ours(actor):
            return False
        try:
            node = await actor.__ray_call__.remote(this_node)
        except self._ray.exceptions.RayError:
            return False
        return self.embedded or node not in draining_nodes()

    def _is_ours(self, actor: Any) -> bool:
        """Whether it was made here and not killed since: what is killed may answer till Ray ends it, a moment later."""
        return any(one is actor for one in self._actors)

    def _require(self, actor: Any) -> None:
        if not self._is_ours(actor):
            raise ActorLost("it was ended")

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
        if self._demand:
            self._demand.ask()  # Ray Data asks, too, in the place of what was asked before
        if not self._in_doubt:
            return
        self._in_doubt = False
        signs = [self._on(node, _sign_of_life).remote() for node in alive(self._ray.nodes())]
        await asyncio.wait([asyncio.ensure_future(_outcome(sign)) for sign in signs], timeout=_SETTLE_TIMEOUT_S)

    def _on(self, node: Mapping[str, Any], function: Callable[..., Any]) -> Any:
        """`function` as a task on `node`."""
        there = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        return self._ray.remote(num_cpus=0, max_retries=0)(function).options(scheduling_strategy=there)

    def close(self) -> None:
        for actor in self._actors:
            self._ray.kill(actor)
        self._actors.clear()
        if self._demand and not self._within:
            withdraw()
        if self._ours:
            self._ray.shutdown()
        if self._forks:
            self._forks.close()
            self._forks = None


def _put(actor: Any, method: str, *args: Any) -> list[Any]:
    """A reference to the result of a method, which goes to the object store of this node, however small it is."""
    return [untyped_ray().put(getattr(actor, method)(*args))]


def _without_pandas(_: Any) -> None:
    """Spares an actor an import of pandas; a method of its own, since actors are plain classes."""
    without_pandas()


def _sign_of_life() -> None:
    """A task that says that its node is there."""


async def _outcome(reference: Any) -> None:
    with suppress(Exception):  # whatever became of it, it is decided
        await reference
