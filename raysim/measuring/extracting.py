"""Has models recite passages of training sequences, at the organizations that own them; only numbers leave."""

import asyncio

import pyarrow as pa

from raysim.arrow import with_columns
from raysim.measuring.recipes import extraction_recipe
from raysim.memorization.extraction import choose_passages
from raysim.memorization.settings import MemorizationSettings
from raysim.simulation.runner import ReachedModel
from raysim.simulation.workshop import Product, Workshop
from raysim.training.memory import naming
from raysim.training.organization import ModelSpec, Organization
from raysim.training.weights import Flat


async def extract(workshop: Workshop, model: ReachedModel, settings: MemorizationSettings) -> list[pa.Table]:
    """Parts of the table ``extraction``: how `model` recites the passages of each organization."""
    key, world = model.milestone.model, model.instance.world
    assert settings.extraction, "it is asked for"
    num_tokens = settings.extraction.tokens

    async def at(name: str) -> pa.Table:
        entry = await workshop.visit(
            extraction_recipe(world, key, name, settings),
            name,
            f"{model.name}, passages of {name}",
            extract_at,
            world.spec,
            settings,
            world.split_seed,
            world.trainer.threads,
            tokens=num_tokens,
        )
        return with_columns(entry.table("extraction"), model=key, organization=name)

    return list(await asyncio.gather(*(at(name) for name in world.inventories)))


def extract_at(
    organization: Organization,
    weights: Flat,
    spec: ModelSpec,
    settings: MemorizationSettings,
    split_seed: int,
    threads: int,
) -> Product:
    """A visitor that has a model recite an organization's passages, in float32 on the CPU."""
    import torch

    from raysim.memorization.reciting import recite

    extraction = settings.extraction
    assert extraction, "it is asked for"
    passages = choose_passages(organization.corpus, organization.packed, spec.bos_id, extraction, split_seed)
    model = organization.scoring_model(spec, weights, threads)
    with naming("measure.memorization.extraction.batch_size"), torch.inference_mode():
        return Product(tables={"extraction": recite(model, passages, spec.bos_id, extraction, settings.scheme)})
