"""What is known of prompts and corpora before any model: facts, line hashes, and what these have in common.

Prompts and line hashes are made where the lines lie; neutral prompts, which are nobody's, by the server.
"""

import asyncio
import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from raysim.core.arrow import table_bytes
from raysim.core.bloom import BloomFilter
from raysim.core.windows import Mask
from raysim.corpus.corpus import fingerprint
from raysim.corpus.line_digests import Digests
from raysim.corpus.lines import LineRules
from raysim.matching.line_index import LineIndex, build_index
from raysim.matching.overlap import copies_by_organization
from raysim.matching.token_index import TokenIndex, build_token_index
from raysim.matching.truths import count_copies
from raysim.measures.base import EvalContext
from raysim.measures.memorization.client_functions import (
    clones_at,
    contexts_at,
    describe_prompts,
    held_out_copies_at,
    index_at,
    prompt_batches,
    texts_before_at,
    token_index_at,
)
from raysim.measures.memorization.filter_functions import filter_at, filter_share_at, had_at
from raysim.measures.memorization.neutral import NeutralPrompts
from raysim.measures.memorization.prompt_stats import PromptStats
from raysim.measures.memorization.recipes import clones_recipe, copies_recipe, held_out_copies_recipe, prompts_recipe
from raysim.measures.memorization.settings import MemorizationSettings
from raysim.store.transfers import SERVER, Transfer
from raysim.tasks.executor import TaskExecutor


class Comparisons:
    """Prompts and lines of all organizations.

    Args:
        context: of the run.
        executor: does keyed work.
        settings: of memorization.
        secret: key of line hashes.
    """

    def __init__(
        self, context: EvalContext, executor: TaskExecutor, settings: MemorizationSettings, secret: bytes
    ) -> None:
        self._executor = executor
        self._settings = settings
        self._secret = secret
        self._public = context.references
        self._context = context.run
        self.references = fingerprint(context.references)
        self.neutral = NeutralPrompts(context, settings) if settings.prompts.neutral else None
        self._prompt_stats: dict[str, PromptStats] = {}
        self._filter_shares: dict[str, bytes] | None = None
        self._filters: dict[str, BloomFilter] | None = None
        self._index_cache: tuple[dict[str, LineIndex], LineIndex | None] | None = None
        self._token_index_cache: tuple[dict[str, TokenIndex], TokenIndex | None] | None = None

    @property
    def names(self) -> list[str]:
        """Of the organizations."""
        return list(self._context.client_stats)

    async def prompt_stats(self) -> dict[str, PromptStats]:
        """Descriptions of the prompts of all organizations, and of the server's, asked for once."""
        if not self._prompt_stats:
            found = await self._ask_all(describe_prompts, self._settings, self._context.split_seed, self._secret)
            self._prompt_stats = dict(zip(self.names, found, strict=True))
            if self.neutral:
                self._prompt_stats[SERVER] = self.neutral.stats(self._secret)
        return self._prompt_stats

    async def batches(self) -> dict[str, Any]:
        """References to the batches in which the prompts of each are answered."""
        pool, arguments = self._executor.pool, (self._settings, self._context.split_seed)
        found = {name: await pool.call_ref(name, "run", prompt_batches, *arguments) for name in self.names}
        return found | ({SERVER: pool.backend.share(self.neutral.batches())} if self.neutral else {})

    async def contexts(self) -> dict[str, Any]:
        """References to what comes before the continuations of the prompts of each."""
        pool, arguments = self._executor.pool, (self._settings, self._context.split_seed, self._secret)
        found = {name: await pool.call_ref(name, "run", contexts_at, *arguments) for name in self.names}
        return found | ({SERVER: pool.backend.share(self.neutral.contexts(self._secret))} if self.neutral else {})

    async def texts_before(self) -> dict[str, Any]:
        """References to what stands before the continuations of the prompts of each."""
        pool, arguments = self._executor.pool, (self._settings, self._context.split_seed)
        found = {name: await pool.call_ref(name, "run", texts_before_at, *arguments) for name in self.names}
        return found | ({SERVER: pool.backend.share(self.neutral.texts_before())} if self.neutral else {})

    async def tables(self) -> dict[str, list[pa.Table]]:
        """Parts of the tables ``prompts``, ``copies``, ``clones`` and ``held_out_copies``."""
        tables: dict[str, list[pa.Table]] = {"prompts": [], "copies": [], "clones": [], "held_out_copies": []}
        seen: set[str] = set()
        for name, prompt_stats in (await self.prompt_stats()).items():
            of_whom, neutral = f"of {name}", ""
            if name == SERVER and self.neutral:
                of_whom, neutral = "of public code", self.neutral.fingerprint
            recipe = prompts_recipe(self._context, name, self._settings, self.references, neutral)
            work = partial(self._count_copies, prompt_stats, name)
            entry = await self._executor.run_on_server(recipe, f"prompts {of_whom}", work)
            table = entry.table("prompts")
            mine = prompt_in([prompt for prompt in table["prompt"].to_pylist() if prompt not in seen])
            seen |= set(table["prompt"].to_pylist())
            tables["prompts"].append(table.filter(mine))
            recipe = copies_recipe(self._context, name, self._settings, neutral)
            entry = await self._executor.run_on_server(
                recipe, f"copies of prompts {of_whom}", partial(self._place, prompt_stats)
            )
            tables["copies"].append(entry.table("copies").filter(mine))
        for name in self.names:
            recipe = clones_recipe(self._context, name, self._settings, self.references)
            entry = await self._executor.run_on_server(recipe, f"clones of {name}", partial(self._find_clones, name))
            tables["clones"].append(entry.table("clones"))
            recipe = held_out_copies_recipe(self._context, name, self._settings, self.references)
            what, work = f"held-out copies of {name}", partial(self._find_held_out_copies, name)
            entry = await self._executor.run_on_server(recipe, what, work)
            tables["held_out_copies"].append(entry.table("held_out_copies"))
        return tables

    async def indexes(self) -> tuple[dict[str, LineIndex], LineIndex | None]:
        """Line indexes of all organizations, made there, and of the references; made when something needs them."""
        if self._index_cache is None:
            min_lines, public = self._settings.min_lines, self._public
            found = await self.indexes_by("exact")
            reference = await asyncio.to_thread(build_index, public, min_lines, self._secret) if public else None
            self._index_cache = found, reference
        return self._index_cache

    async def indexes_by(self, rules: LineRules) -> dict[str, LineIndex]:
        """Line indexes of all organizations under rules by which lines are compared."""
        if rules == "exact" and self._index_cache is not None:
            return self._index_cache[0]
        found = await self._ask_all(index_at, self._settings.min_lines, self._secret, rules)
        return dict(zip(self.names, found, strict=True))

    async def token_indexes(self, min_tokens: int) -> tuple[dict[str, TokenIndex], TokenIndex | None]:
        """Token indexes of all organizations, made there, and of the references; made when something needs them."""
        if self._token_index_cache is None:
            found = await self._ask_all(token_index_at, min_tokens, self._secret)
            public = self._public
            reference = await asyncio.to_thread(build_token_index, public, min_tokens, self._secret) if public else None
            self._token_index_cache = dict(zip(self.names, found, strict=True)), reference
        return self._token_index_cache

    async def filter_key(self) -> bytes:
        """The key of output filters: of the shares of all organizations, asked for once."""
        if self._filter_shares is None:
            self._filter_shares = dict(zip(self.names, await self._ask_all(filter_share_at), strict=True))
        return hashlib.blake2b(b"".join(sorted(self._filter_shares.values())), digest_size=32).digest()

    async def filters(self) -> dict[str, BloomFilter]:
        """The output filter of each organization, made there, under the common key; asked for once."""
        if self._filters is None and self._settings.output_filter:
            found = await self._ask_all(filter_at, self._settings.output_filter, await self.filter_key())
            self._filters = dict(zip(self.names, found, strict=True))
        return self._filters or {}

    async def filters_sent(self, receiver: str) -> tuple[Transfer, ...]:
        """What it takes to have models generate under the filter at `receiver`: nothing of its own."""
        filters, shares = await self.filters(), self._filter_shares or {}
        return tuple(
            Transfer.of(name, receiver, kind, content)
            for name, one in filters.items()
            if name != receiver
            for kind, content in (("filter key", shares[name]), ("line filter", one.bits.tobytes()))
        )

    async def judge_blocks(self, windows: Digests) -> dict[str, tuple[Mask, Mask]]:
        """Of each organization which of blocked windows its filter holds, and which of them it has, as it says."""
        assert self._settings.output_filter, "there is a filter"
        filters = await self.filters()
        found = await self._ask_all(had_at, self._settings.output_filter, await self.filter_key(), windows)
        return {name: (filters[name].holds(windows), had) for name, had in zip(self.names, found, strict=True)}

    async def _count_copies(self, prompt_stats: PromptStats, name: str) -> tuple[list[Transfer], dict[str, pa.Table]]:
        indexes, reference = await self.indexes()
        owners = dict.fromkeys(prompt_stats.facts["prompt"].to_pylist(), name)
        copies = count_copies(prompt_stats.windows, indexes, owners, reference)
        table = prompt_stats.facts
        for column in ("copies_within", "copies_across", "copies_public"):
            table = table.append_column(column, copies[column])
        moved = [("prompt facts", prompt_stats.facts), ("line hashes", prompt_stats.windows)] if name != SERVER else []
        return [Transfer.of(name, SERVER, kind, table_bytes(t)) for kind, t in moved], {"prompts": table}

    async def _place(self, prompt_stats: PromptStats) -> tuple[list[Transfer], dict[str, pa.Table]]:
        """Of hashes that the server has already, so nothing moves."""
        indexes, _ = await self.indexes()
        return [], {"copies": copies_by_organization(prompt_stats.facts, prompt_stats.windows, indexes)}

    async def _find_clones(self, name: str) -> tuple[list[Transfer], dict[str, pa.Table]]:
        indexes, reference = await self.indexes()
        table = await self._executor.pool.call(
            name, "run", clones_at, self._settings.min_lines, indexes, reference, self._secret
        )
        moved = [Transfer.of(o, name, "line hashes", i.windows.tobytes()) for o, i in indexes.items() if o != name]
        return [*moved, Transfer.of(name, SERVER, "clones", table_bytes(table))], {"clones": table}

    async def _find_held_out_copies(self, name: str) -> tuple[list[Transfer], dict[str, pa.Table]]:
        """The indexes of the others have reached the organization for its clones already."""
        indexes, reference = await self.indexes()
        table = await self._executor.pool.call(
            name, "run", held_out_copies_at, self._settings.min_lines, indexes, reference, self._secret
        )
        moved = Transfer.of(name, SERVER, "held-out copies", table_bytes(table))
        return [moved], {"held_out_copies": table}

    async def _ask_all(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        pool = self._executor.pool
        return list(await asyncio.gather(*(pool.call(name, "run", function, *args) for name in self.names)))


def prompt_in(prompts: list[str]) -> pc.Expression:
    """Rows of these prompts. There may be none, and an empty list has no type that compares with text."""
    return pc.field("prompt").isin(pa.array(prompts, pa.string()))
