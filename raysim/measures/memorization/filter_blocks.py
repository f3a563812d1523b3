"""What the output filter did: keyed work of the server on what was blocked, and of its owners, who alone know whose."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from raysim.core.arrow import with_columns
from raysim.core.keys import Key, key_of
from raysim.corpus.line_digests import from_binary
from raysim.inference.output_filter import FILTERED
from raysim.matching.study_counts import ANY
from raysim.measures.memorization.comparisons import Comparisons
from raysim.measures.memorization.recipes import filter_blocks_recipe
from raysim.simulation.executor import TrainedModel
from raysim.store.entries import Entry
from raysim.store.transfers import SERVER, Transfer
from raysim.tables.schemas.generations import FILTER_BLOCKS
from raysim.tasks.batch_jobs import Probe
from raysim.tasks.executor import TaskExecutor

FILTER_BLOCKS_SCHEMA = FILTER_BLOCKS.without("model")


_Judged = Mapping[str, Mapping[bytes, tuple[bool, bool]]]
"""For each owner and window whether the owner's filter holds it, and whether the owner has it."""


class FilterBlocks:
    """Counts what was blocked, by kind of prompt and by owner.

    Args:
        executor: does keyed work.
        comparisons: ask the owners.
        kinds: kind of each prompt.
    """

    def __init__(self, executor: TaskExecutor, comparisons: Comparisons, kinds: Mapping[str, str]) -> None:
        self._executor = executor
        self._comparisons = comparisons
        self._kinds = kinds

    async def tables(self, models: Mapping[Key, TrainedModel], generated: Mapping[Probe, Entry]) -> list[pa.Table]:
        """Parts of the table ``filter_blocks``.

        Args:
            models: by key.
            generated: the answers of each of them, for each organization whose prompts it answered.
        """
        entries: dict[Key, dict[str, Entry]] = defaultdict(dict)
        for model, organization in sorted(generated):
            entries[model][organization] = generated[model, organization]
        recipes = {
            model: filter_blocks_recipe({name: entry.key for name, entry in answers.items()})
            for model, answers in entries.items()
        }
        missing = [model for model, recipe in recipes.items() if await self._executor.cached(key_of(recipe)) is None]
        judged = await self._judge({window for model in missing for window in _windows(entries[model])})
        found = []
        for model, answers in entries.items():
            recipe = recipes[model]

            async def work(answers: Mapping[str, Entry] = answers) -> tuple[list[Transfer], dict[str, pa.Table]]:
                return await self._count(answers, judged)

            entry = await self._executor.run_on_server(recipe, f"blocks of {models[model].name}", work)
            found.append(with_columns(entry.table("filter_blocks"), model=model))
        return found

    async def _judge(self, windows: set[bytes]) -> _Judged:
        """Asks every owner once of all windows that any model was kept from."""
        distinct = sorted(windows)
        judged = await self._comparisons.judge_blocks(from_binary(distinct)) if distinct else {}
        return {
            owner: dict(zip(distinct, zip(*(mask.tolist() for mask in masks), strict=True), strict=True))
            for owner, masks in judged.items()
        }

    async def _count(self, answers: Mapping[str, Entry], judged: _Judged) -> tuple[list[Transfer], dict[str, pa.Table]]:
        samples: dict[tuple[str, int], dict[str, Any]] = {}
        for entry in answers.values():
            # A prompt that two organizations share is counted once.
            for name in ("generations", "blocks"):
                for row in entry.table(name).to_pylist():
                    samples.setdefault((row["prompt"], row["sample"]), {}).update(row)
        distinct = sorted({window for row in samples.values() for window in row["windows"]})
        verdicts = {owner: {window: found[window] for window in distinct} for owner, found in judged.items()}
        # Of all together: blocked by anyone, and had by anyone.
        verdicts[ANY] = {w: (True, any(one[w][1] for one in verdicts.values())) for w in distinct}
        rows = [
            {"kind": kind, "owner": owner, **_counts(of_kind, verdicts.get(owner, {}))}
            for kind, of_kind in sorted(self._by_kind(samples).items())
            for owner in (ANY, *self._comparisons.names)
        ]
        table = pa.Table.from_pylist(rows, schema=FILTER_BLOCKS_SCHEMA)
        asked = b"".join(distinct)
        moved = [
            transfer
            for owner in judged
            if distinct
            for transfer in (
                Transfer.of(SERVER, owner, "blocked windows", asked),
                Transfer.of(owner, SERVER, "blocked windows", _answer(verdicts[owner], distinct)),
            )
        ]
        return moved, {"filter_blocks": table}

    def _by_kind(self, samples: Mapping[tuple[str, int], dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for (prompt, _), row in samples.items():
            found[self._kinds[prompt]].append(row)
        return found


def _windows(answers: Mapping[str, Entry]) -> set[bytes]:
    rows = (row for entry in answers.values() for row in entry.table("blocks").to_pylist())
    return {window for row in rows for window in row["windows"]}


def _answer(verdicts: Mapping[bytes, tuple[bool, bool]], windows: list[bytes]) -> bytes:
    """What an owner says of these windows: a bit each, whether it has them."""
    return np.packbits([verdicts[window][1] for window in windows]).tobytes()


def _counts(samples: list[dict[str, Any]], verdicts: Mapping[bytes, tuple[bool, bool]]) -> dict[str, int]:
    """Counts of samples for one owner: of each window whether its filter holds it, and whether the owner has it."""
    blocks = [verdicts[window] for row in samples for window in row["windows"] if window in verdicts]
    mine = [row for row in samples if any(verdicts.get(window, (False,))[0] for window in row["windows"])]
    stopped = [row for row in mine if row["ended"] == FILTERED and verdicts[row["windows"][-1]][0]]
    return {
        "samples": len(samples),
        "stopped": len(stopped),
        "blocks": sum(held for held, _ in blocks),
        "false_blocks": sum(held and not has for held, has in blocks),
        "tokens": sum(row["new_tokens"] for row in samples),
        "lost_tokens": sum(row["lost_tokens"] for row in mine),
    }
