"""Prepares what the base is trained on: public files, packed here, at a client of their own."""

from dataclasses import replace
from typing import Any

from raysim.cluster.actor_pool import ActorPool
from raysim.core.errors import InputError
from raysim.corpus.corpus import fingerprint
from raysim.corpus.packing import pack, packing_seed
from raysim.corpus.public_split import PublicSplit
from raysim.corpus.tokenizer import CodeTokenizer
from raysim.organizations.client_stats import ClientStats
from raysim.organizations.training_client import PooledOrganization
from raysim.simulation.run_context import RunContext
from raysim.tables.names import PUBLIC
from raysim.training.models import PretrainSettings
from raysim.training.request import TrainerSettings


def with_base(
    context: RunContext, settings: PretrainSettings, public: PublicSplit, tokenizer: CodeTokenizer, pool: ActorPool
) -> RunContext:
    """`context` whose settings start from a base; the client that trains it is registered in `pool`.

    Raises:
        InputError: the public files do not fill one sequence.
    """
    length, split_seed = context.trainer.sequence_length, context.split_seed
    train_fingerprint = fingerprint(public.trained)
    seed = packing_seed(split_seed, train_fingerprint, tokenizer.fingerprint, length)
    try:
        packed = pack(public.trained, tokenizer, length, seed)
    except InputError as error:
        raise InputError(f"model.pretrain: of the references: {error}") from None

    async def make() -> Any:
        return pool.backend.spawn(PooledOrganization, PUBLIC, [packed.sequences])

    pool.register(PUBLIC, make)
    stats = ClientStats(
        organization=PUBLIC,
        train_fingerprint=train_fingerprint,
        valid_fingerprint=fingerprint(public.held_out),
        splits={
            "train": {
                "files": len(public.trained),
                "bytes": sum(source.num_bytes for source in public.trained),
                "tokens": sum(end - start for _, start, end in packed.file_spans),
                "sequences": len(packed.sequences),
            }
        },
        drops=(),
        licences={},
        duplicate_lines=0,
        line_spectrum=(),
    )
    origin = replace(
        context, trainer=_trainer(context.trainer, settings), client_stats={PUBLIC: stats}, seed=settings.seed
    )
    return replace(context, public=origin)


def _trainer(trainer: TrainerSettings, settings: PretrainSettings) -> TrainerSettings:
    given = {name: value for name in ("learning_rate", "batch_size") if (value := getattr(settings, name)) is not None}
    try:
        return TrainerSettings.model_validate({**trainer.model_dump(), "epochs": settings.epochs, **given})
    except ValueError as error:
        raise InputError(f"model.pretrain: does not go with trainer: {error}") from None
