"""Writes the tables of a run from what it reached: the one place between the work and the report."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from raysim.core.run_folder import RunFolder
from raysim.organizations.organization import Inventory
from raysim.simulation.executor import ReachedModel
from raysim.tables.io import TABLES, write_table


def model_rows(reached: Iterable[ReachedModel], facts: Mapping[int, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of ``models``: every model that an instance reached, with its exposures and budgets.

    Args:
        reached: the models.
        facts: for each seed what the initial weights tell: ``parameters`` and ``dropout``.
    """
    rows = []
    for model in reached:
        instance, milestone, lineage = model.instance, model.milestone, model.lineage
        seed = instance.world.seed
        rows.append(
            {
                "seed": seed,
                "strategy": instance.label,
                "order": instance.strategy.order,
                "moment": milestone.moment,
                "index": milestone.index,
                "final": milestone.final,
                "model": milestone.model,
                "parents": list(lineage.parents),
                "organizations": sorted(lineage.tokens_seen),
                "last": milestone.last,
                "tokens_seen": sorted(lineage.tokens_seen.items()),
                "steps": lineage.steps,
                "learning_rate_sum": lineage.learning_rate_sum,
                "dropout": facts[seed]["dropout"],
                "parameters": facts[seed]["parameters"],
            }
        )
    return rows


def corpora_rows(inventories: Iterable[Inventory]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of ``corpora`` and of ``drops``."""
    corpora, drops = [], []
    for inventory in inventories:
        for split, counts in inventory.splits.items():
            corpora.append({"organization": inventory.organization, "split": split, **counts})
        drops += [{"organization": inventory.organization, **drop} for drop in inventory.drops]
    return corpora, drops


def write_rows(folder: RunFolder, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes `rows` as the table `name`."""
    write_table(folder.path, name, pa.Table.from_pylist([dict(row) for row in rows], schema=TABLES[name].schema))


def write_joined(folder: RunFolder, name: str, tables: Sequence[pa.Table]) -> None:
    """Writes `tables`, one after the other, as the table `name`; columns that the schema does not know are left out."""
    schema = TABLES[name].schema
    parts = [table.select(schema.names).cast(schema) for table in tables]
    write_table(folder.path, name, pa.concat_tables(parts) if parts else schema.empty_table())
