"""Clients that train on the code of several organizations at once: made of what these share, when they are needed."""

from typing import Any

import numpy as np
import numpy.typing as npt

from raysim.cluster.actor_pool import ActorPool
from raysim.corpus.packing import pack_together
from raysim.organizations.training_client import PooledOrganization
from raysim.simulation.run_context import RunContext
from raysim.simulation.stage import Stage
from raysim.store.transfers import Transfer

_Tokens = npt.NDArray[np.int32]


class PooledClients:
    """The clients of stages that pool data; registered in `pool`, one for each set of organizations and packing."""

    def __init__(self, pool: ActorPool) -> None:
        self._pool = pool
        self._transfers: dict[str, list[Transfer]] = {}

    def client_of(self, context: RunContext, stage: Stage) -> str:
        """The client that trains a stage: the organization itself, where there is but one."""
        names, fraction = stage.instruction.organizations, stage.instruction.fraction
        if len(names) == 1:
            return names[0]
        together = stage.instruction.pooled_packing
        suffix = " (pooled packing)" if together else f" ({fraction:g})" if fraction < 1 else ""
        client = "+".join(names) + suffix

        async def make() -> Any:
            shared, sequences = await (self._packed_together(context, stage) if together else self._packed_apart(stage))
            self._transfers[client] = [
                Transfer.of(name, client, "sequences", part.tobytes()) for name, part in zip(names, shared, strict=True)
            ]
            return self._pool.backend.spawn(PooledOrganization, client, sequences)

        if client not in self._pool:
            self._pool.register(client, make)
        return client

    def transfers(self, client: str) -> list[Transfer]:
        """What was sent to make a client; nothing where it is an organization."""
        return self._transfers.get(client, [])

    async def replayed(self, stage: Stage) -> tuple[_Tokens, list[Transfer]]:
        """What a stage trains on beside its client's own sequences, and how it came there: mostly nothing."""
        replay, (client, *_) = stage.instruction.replay, stage.instruction.organizations
        if replay is None:
            return np.empty((0, 0), np.int32), []
        names = replay.organizations
        parts = [await self._pool.call(name, "share_sequences", stage.sequences[name]) for name in names]
        moved = zip(names, parts, strict=True)
        return np.concatenate(parts), [Transfer.of(name, client, "sequences", part.tobytes()) for name, part in moved]

    async def _packed_apart(self, stage: Stage) -> tuple[list[_Tokens], list[_Tokens]]:
        """What each organization of a stage sends, and the sequences that are made of it: the same."""
        parts = [await self._pool.call(name, "share_sequences", count) for name, count in stage.sequences.items()]
        return parts, parts

    async def _packed_together(self, context: RunContext, stage: Stage) -> tuple[list[_Tokens], list[_Tokens]]:
        """As `_packed_apart`, with common sequences of everyone's files."""
        files = [await self._pool.call(name, "share_files") for name in stage.instruction.organizations]
        seed = context.pooled_packing_seed(stage.instruction)
        sequences = pack_together(files, context.trainer.sequence_length, seed)
        return [np.concatenate(part) for part in files], [sequences]
