"""Exported tables hold what the Parquet files hold, and LaTeX compiles as far as its grammar says."""

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from run_tables import Options, build

from raysim.core.errors import InputError
from raysim.tables.export import export_tables, latex, table_list
from raysim.tables.io import TABLES
from raysim.tables.results import Results, open_run


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return open_run(build(tmp_path_factory.mktemp("exported") / "run", Options()))


def test_csv_holds_every_row_and_column(results: Results, tmp_path: Path) -> None:
    written = export_tables(results, tmp_path / "deep/csv", "csv")
    assert [path.stem for path in written] == results.tables
    for path in written:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        table = results.table(path.stem)
        assert rows[0] == table.column_names
        assert len(rows) == table.num_rows + 1
    with (tmp_path / "deep/csv/losses.csv").open(encoding="utf-8", newline="") as file:
        assert [float(row["nats"]) for row in csv.DictReader(file)] == results.losses.column("nats").to_pylist()
    with (tmp_path / "deep/csv/models.csv").open(encoding="utf-8", newline="") as file:
        for row, model in zip(csv.DictReader(file), results.models.to_pylist(), strict=True):
            assert json.loads(row["organizations"]) == model["organizations"]
            assert json.loads(row["tokens_seen"]) == dict(model["tokens_seen"])


def test_only_some_and_none_that_is_not_there(results: Results, tmp_path: Path) -> None:
    assert [p.name for p in export_tables(results, tmp_path, "csv", ["losses"])] == ["losses.csv"]
    with pytest.raises(InputError, match="has no table 'loss'; it has: models,"):
        export_tables(results, tmp_path, "csv", ["loss"])


def test_latex_of_short_tables(results: Results, tmp_path: Path) -> None:
    written = {path.stem for path in export_tables(results, tmp_path, "tex")}
    assert written == {name for name in results.tables if results.table(name).num_rows <= 200}
    long = next(name for name in results.tables if results.table(name).num_rows > 200)
    with pytest.raises(InputError, match=f"{long} has .* rows, more than a page holds"):
        export_tables(results, tmp_path, "tex", [long])


def test_latex_escapes_and_says_what_columns_mean() -> None:
    table = pa.table({"seed": [1], "strategy": ["a_b & 50%"], "fraction": pa.array([None], pa.float64())})
    text = latex(table, "models")
    assert r"1 & a\_b \& 50\% & --" in text
    assert f"% models: {TABLES['models'].description}\n" in text
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 1


def test_files_say_what_their_columns_mean(results: Results) -> None:
    for name in results.tables:
        schema = pq.read_schema(results.path / TABLES[name].folder / f"{name}.parquet")
        meanings = [(schema.field(c.name).metadata or {}).get(b"description") for c in TABLES[name].columns]
        assert meanings == [c.description.encode() for c in TABLES[name].columns]
        assert (schema.metadata or {})[b"description"] == TABLES[name].description.encode()


def test_list_of_tables(results: Results) -> None:
    rows = {row["table"]: row["rows"] for row in table_list(results)}
    assert rows == {name: results.table(name).num_rows for name in results.tables}
