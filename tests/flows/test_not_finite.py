"""Numbers that are none, or too large, in the tables of a run: the page shows them and is whole."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from measured_tables import audited, coins_tossed, counted, held_against, recited, solved
from rich.console import Console

from raysim.analysis.sweep import open_sweep
from raysim.measures.registry import measures
from raysim.report.run_page import write_run_page
from raysim.report.sweep_page import write_sweep_page
from raysim.report.terminal import summary_table, sweep_summary
from raysim.tables.io import read_table, write_table

WRONG = (math.nan, math.inf, -math.inf, 1e38)
"""The last is the largest loss that float32 can hold."""
SPOILED = [
    spec.name
    for measure in measures().values()
    for spec in measure.tables
    if any(pa.types.is_floating(column.type) for column in spec.columns)
]


def spoil(folder: Path, table: str, value: float, share: int) -> None:
    """Puts `value` into every floating column of a table, in one model of `share`."""
    found = read_table(folder, table)
    models = sorted(set(found["model"].to_pylist())) if "model" in found.column_names else []
    chosen = pc.is_in(found["model"], pa.array(models[::share])) if models else pa.array([True] * len(found))  # type: ignore[attr-defined]
    for position, field in enumerate(found.schema):
        if pa.types.is_floating(field.type):
            there = pc.and_(chosen, pc.is_valid(found[field.name]))  # type: ignore[attr-defined]
            column = pc.if_else(there, pa.scalar(value, field.type), found[field.name])  # type: ignore[attr-defined]
            found = found.set_column(position, field, column)
    write_table(folder, table, found)


def printed(view: object) -> str:
    console = Console(width=100, record=True)
    with console.capture() as captured:
        console.print(view)
    return captured.get()


TABLES = [*SPOILED, "models"]
ONE_SEED, FIVE_SEEDS = (1,), (1, 2, 3, 4, 5)


def stands(
    tables: Sequence[str], seeds: tuple[int, ...], values: Sequence[float], shares: Sequence[int], build_run
) -> None:
    """A page and a table for the terminal come of a run in which wrong numbers stand in some of its tables."""
    folder = build_run(seeds=seeds, prompts=4, files=3)
    for more in (audited, coins_tossed, counted, held_against, recited, solved):
        more(folder)
    whole = {table: read_table(folder, table) for table in tables}
    for value, share in itertools.product(values, shares):
        for table, rows in whole.items():
            write_table(folder, table, rows)
            spoil(folder, table, value, share)
        page = write_run_page(folder).read_text()
        assert page.rstrip().endswith("</html>")
        printed(summary_table(folder))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("place", [0, 1])
def test_the_report_of_a_run_stands(place: int, build_run) -> None:
    """Every other table at once, one seed and five, all models and a third of them, each beside two of the numbers."""
    tables = TABLES[place::2]
    stands(tables, ONE_SEED, WRONG[place::2], (1 + 2 * place,), build_run)
    stands(tables, FIVE_SEEDS, WRONG[1 - place :: 2], (3 - 2 * place,), build_run)


@pytest.mark.stress
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("seeds", [ONE_SEED, FIVE_SEEDS], ids=["one seed", "five seeds"])
def test_the_report_of_a_run_stands_with_each(table: str, seeds: tuple[int, ...], build_run) -> None:
    stands([table], seeds, WRONG, (1, 3), build_run)


def test_the_report_of_a_sweep_stands(build_sweep) -> None:
    runs = [((rate,), {"prompts": 4, "files": 2}) for rate in ("0.001", "0.01", "0.1")]
    folder = build_sweep({"trainer.learning_rate": "learning_rate"}, runs)
    for point, value in zip(("point-1", "point-2"), (math.nan, 1e38), strict=True):
        spoil(folder / "points" / point, "losses", value, 1)
    page = write_sweep_page(folder).read_text()
    assert page.rstrip().endswith("</html>")
    assert "nan" in printed(sweep_summary(folder))
    best = min(row["bits_per_byte"] for row in open_sweep(folder).table().to_pylist() if row["point"] == "point-3")
    assert f"{best:.3f}" in page
