"""The overlap report: who shares what with whom, what that predicts, and what leaving copies out would drop.

All of it before any training, from the line and file hashes of the organizations; no model.
"""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from raysim.cluster.actor_pool import ActorPool
from raysim.experiment.setup import Setup
from raysim.matching.line_index import build_index
from raysim.matching.overlap import by_places, copies_by_organization
from raysim.measures.memorization.client_functions import (
    clones_at,
    describe_prompts,
    held_out_copies_at,
    index_at,
)
from raysim.measures.memorization.emissions import seen_at
from raysim.measures.memorization.settings import MemorizationSettings
from raysim.organizations.deduplication import what_policies_drop
from raysim.organizations.split_copies import split_copies


async def overlap_report(pool: ActorPool, setup: Setup, settings: MemorizationSettings | None) -> dict[str, Any]:
    """Looks at the training splits of an experiment that is set up.

    Args:
        pool: the organizations.
        setup: of them.
        settings: of memorization; None: nothing is predicted of prompts.

    Returns:
        ``min_lines``; ``clones``, rows as in the table; ``bounds``, for each organization and group of others how
        many of its ``lines`` a model of the ``others`` could have ``seen``, and of these how many are ``public``;
        ``policies``, rows of `what_policies_drop`; ``split_copies``, rows of
        `raysim.organizations.split_copies.SplitCopies`; ``prompts``, for each organization how many of its prompts have
        a continuation in none, one and more places of all training splits (``everywhere``) and of the others' alone
        (``elsewhere``), and of how many too few whole lines are to come to tell (``short``).
    """
    names, min_lines, secret = list(setup.client_stats), setup.preparation_context.min_lines, secrets.token_bytes(32)

    async def ask(function: Callable[..., Any], *args: Any) -> list[Any]:
        return list(await asyncio.gather(*(pool.call(name, "run", function, *args) for name in names)))

    indexes = dict(zip(names, await ask(index_at, min_lines, secret), strict=True))
    reference = build_index(setup.references, min_lines, secret) if setup.references else None
    compared = min_lines, indexes, reference, secret
    found: dict[str, Any] = {
        "min_lines": min_lines,
        "clones": _rows(await ask(clones_at, *compared)),
        "bounds": _rows(await ask(seen_at, *compared)),
        "policies": await what_policies_drop(pool, names, setup.preparation_context, secret),
        "split_copies": [asdict(row) for row in await split_copies(pool, names, setup.preparation_context, secret)],
        "prompts": {},
    }
    if settings:
        split_seed = setup.preparation_context.split_seed
        for name, prompt_stats in zip(names, await ask(describe_prompts, settings, split_seed, secret), strict=True):
            copies = copies_by_organization(prompt_stats.facts, prompt_stats.windows, indexes)
            others = [other for other in names if other != name]
            places = {"everywhere": by_places(copies, names), "elsewhere": by_places(copies, others)}
            asked = prompt_stats.facts.num_rows
            found["prompts"][name] = {"asked": asked, "short": asked - sum(places["everywhere"]), **places}
    return found


async def held_out_copies(pool: ActorPool, setup: Setup) -> list[dict[str, Any]]:
    """Rows of the table `held_out_copies` of an experiment that is set up, without references."""
    names, min_lines, secret = list(setup.client_stats), setup.preparation_context.min_lines, secrets.token_bytes(32)
    found = await asyncio.gather(*(pool.call(name, "run", index_at, min_lines, secret) for name in names))
    indexes = dict(zip(names, found, strict=True))
    arguments = (held_out_copies_at, min_lines, indexes, None, secret)
    return _rows(list(await asyncio.gather(*(pool.call(name, "run", *arguments) for name in names))))


def _rows(tables: list[pa.Table]) -> list[dict[str, Any]]:
    return [row for table in tables for row in table.to_pylist()]
