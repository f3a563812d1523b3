"""Writes the tables of a run from what it reached: the one place between the work and the report."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa

from raysim.core.run_folder import RunFolder
from raysim.corpus.corpus import Drop
from raysim.organizations.client_stats import ClientStats
from raysim.simulation.executor import TrainedModel
from raysim.simulation.loop import StrategyRun
from raysim.simulation.participation import ClientParticipation, TakesAttendance
from raysim.tables.io import TABLES, write_table
from raysim.tables.names import PUBLIC
from raysim.tables.spec import TableSpec


def model_rows(reached: Iterable[TrainedModel], facts: Mapping[int, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of ``models``: every model that a strategy run reached, with the setting behind it and its budgets.

    Args:
        reached: the models.
        facts: for each seed facts of the initial weights: ``parameters`` and ``dropout``.
    """
    rows = []
    for model in reached:
        strategy_run, checkpoint, lineage = model.strategy_run, model.checkpoint, model.lineage
        strategy = strategy_run.strategy
        seed = strategy_run.context.seed
        rows.append(
            {
                "seed": seed,
                "strategy": strategy_run.label,
                "family": strategy.family,
                "arm": strategy_run.config.arm,
                "fraction": strategy.fraction,
                "order": strategy.order,
                "members": list(strategy.members),
                "moment": checkpoint.moment,
                "index": checkpoint.index,
                "final": checkpoint.final,
                "model": checkpoint.model,
                "parents": list(lineage.parents),
                "organizations": sorted(lineage.tokens_seen),
                "last": checkpoint.last,
                "tokens_seen": sorted(lineage.tokens_seen.items()),
                "steps": lineage.steps,
                "steps_in_sequence": lineage.steps_in_sequence,
                "learning_rate_sum": lineage.learning_rate_sum,
                "dropout": facts[seed]["dropout"] * lineage.dropout_share,
                "parameters": facts[seed]["parameters"],
            }
        )
    return rows


def participation_rows(
    strategy_runs: Iterable[StrategyRun], ended: Mapping[StrategyRun, int] | None = None
) -> list[dict[str, Any]]:
    """Rows of ``participation``: every member of a federation in every round, selected or not.

    Args:
        strategy_runs: of the run.
        ended: the last round of those that ended early.
    """
    rows = []
    for run in strategy_runs:
        if not isinstance(run.strategy, TakesAttendance):
            continue
        for number, there in enumerate(islice(run.strategy.participation(), (ended or {}).get(run)), start=1):
            selected = {one.organization: one for one in there.clients}
            for name in run.strategy.members:
                one = selected.get(name, ClientParticipation(name, False, "not selected", 0))
                rows.append(
                    {
                        "seed": run.context.seed,
                        "strategy": run.label,
                        "order": run.strategy.order,
                        "round": number,
                        "organization": name,
                        "selected": name in selected,
                        "took_part": one.took_part,
                        "reason": one.reason,
                        "attempts": one.attempts,
                        "simulated_seconds": one.seconds,
                        "round_attempts": there.attempts,
                        "round_seconds": there.seconds,
                    }
                )
    return rows


def corpora_rows(
    client_stats: Iterable[ClientStats], reference_drops: Iterable[Drop] = ()
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of ``corpora`` and of ``drops``."""
    corpora, drops = [], [{"organization": PUBLIC, **drop.to_json()} for drop in reference_drops]
    for stats in client_stats:
        for split, counts in stats.splits.items():
            corpora.append({"organization": stats.organization, "split": split, **counts})
        drops += [{"organization": stats.organization, **drop} for drop in stats.drops]
    return corpora, drops


def licence_rows(client_stats: Iterable[ClientStats]) -> list[dict[str, Any]]:
    """Rows of ``file_licences``."""
    return [
        {"organization": stats.organization, "licence": licence, "files": files}
        for stats in client_stats
        for licence, files in stats.licences.items()
    ]


def redaction_rows(client_stats: Iterable[ClientStats]) -> list[dict[str, Any]]:
    """Rows of ``redactions``."""
    return [{"organization": stats.organization, **row} for stats in client_stats for row in stats.redactions]


def obfuscation_rows(client_stats: Iterable[ClientStats]) -> list[dict[str, Any]]:
    """Rows of ``obfuscations``."""
    return [{"organization": stats.organization, **row} for stats in client_stats for row in stats.obfuscations]


def write_rows(folder: RunFolder, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes `rows` as the table `name`."""
    write_table(folder.path, name, pa.Table.from_pylist([dict(row) for row in rows], schema=TABLES[name].schema))


def write_joined(folder: RunFolder, spec: TableSpec, tables: Sequence[pa.Table]) -> None:
    """Writes `tables`, one after the other, as one table; columns that its specification does not know are left out."""
    schema = spec.schema
    parts = [table.select(schema.names).cast(schema) for table in tables]
    write_table(folder.path, spec, pa.concat_tables(parts) if parts else schema.empty_table())
