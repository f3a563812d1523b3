"""The overlap report: who shares what with whom, what that predicts, and what leaving copies out would drop.

All of it before any training, from the line and file hashes of the organizations; no model.
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from raysim.cluster.actor_pool import ActorPool
from raysim.corpus.line_digests import from_binary
from raysim.experiment.setup import Setup
from raysim.matching.crowd import MANY, merged, nearest, without
from raysim.matching.line_index import LineIndex, build_index, distinct
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
from raysim.tables.names import OTHERS


async def overlap_report(pool: ActorPool, setup: Setup, settings: MemorizationSettings | None) -> dict[str, Any]:
    """Looks at the training splits of an experiment that is set up.

    Args:
        pool: the organizations.
        setup: of them.
        settings: of memorization; None: nothing is predicted of prompts.

    Of more than `raysim.matching.crowd.MANY` organizations, each is compared with all others together (`OTHERS`), and
    in ``clones`` with the few that it shares most with.

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
    alone, total = _compared(indexes)

    async def compare(function: Callable[..., Any], others: Mapping[str, Mapping[str, LineIndex]]) -> list[Any]:
        calls = (pool.call(name, "run", function, min_lines, others[name], reference, secret) for name in names)
        return list(await asyncio.gather(*calls))

    near = nearest(indexes, total) if total else {}
    with_near = {name: {**alone[name], **{other: indexes[other] for other in near.get(name, ())}} for name in names}
    found: dict[str, Any] = {
        "min_lines": min_lines,
        "clones": _rows(await compare(clones_at, with_near)),
        "bounds": _rows(await compare(seen_at, alone)),
        "policies": await what_policies_drop(pool, names, setup.preparation_context, secret),
        "split_copies": [asdict(row) for row in await split_copies(pool, names, setup.preparation_context, secret)],
        "prompts": {},
    }
    if settings:
        split_seed = setup.preparation_context.split_seed
        for name, prompt_stats in zip(names, await ask(describe_prompts, settings, split_seed, secret), strict=True):
            mine: Mapping[str, LineIndex] = indexes
            if total:
                true = distinct(from_binary(filter(None, prompt_stats.windows["window"].to_pylist())))
                mine = {name: indexes[name], OTHERS: without(total, indexes[name], true)}
            copies = copies_by_organization(prompt_stats.facts, prompt_stats.windows, mine)
            others = [other for other in mine if other != name]
            places = {"everywhere": by_places(copies, list(mine)), "elsewhere": by_places(copies, others)}
            asked = prompt_stats.facts.num_rows
            found["prompts"][name] = {"asked": asked, "short": asked - sum(places["everywhere"]), **places}
    return found


_AT_ONCE = 4
"""Organizations that are given an index of all others at once."""


async def held_out_copies(pool: ActorPool, setup: Setup) -> list[dict[str, Any]]:
    """Rows of the table `held_out_copies` of an experiment that is set up, without references."""
    names, min_lines, secret = list(setup.client_stats), setup.preparation_context.min_lines, secrets.token_bytes(32)
    found = await asyncio.gather(*(pool.call(name, "run", index_at, min_lines, secret) for name in names))
    indexes: dict[str, LineIndex] = dict(zip(names, found, strict=True))
    total = merged(found) if len(names) > MANY else None

    def compared(name: str) -> Mapping[str, LineIndex]:
        """Whatever is held out may be looked up, so that the sum of others is whole."""
        own = indexes[name]
        return {name: own, OTHERS: without(total, own, total.windows)} if total else indexes

    few = asyncio.Semaphore(_AT_ONCE)

    async def ask(name: str) -> Any:
        async with few:  # each is given nearly all there is
            return await pool.call(name, "run", held_out_copies_at, min_lines, compared(name), None, secret)

    return _rows(list(await asyncio.gather(*map(ask, names))))


def _compared(
    indexes: Mapping[str, LineIndex],
) -> tuple[dict[str, Mapping[str, LineIndex]], LineIndex | None]:
    """For each organization the indexes to compare its training files with; and, of very many, the sum of all."""
    if len(indexes) <= MANY:
        return dict.fromkeys(indexes, indexes), None
    total = merged(list(indexes.values()))
    return {name: {name: own, OTHERS: without(total, own, own.windows)} for name, own in indexes.items()}, total


def _rows(tables: list[pa.Table]) -> list[dict[str, Any]]:
    return [row for table in tables for row in table.to_pylist()]
