"""Tables of a run as files for other programs: CSV for spreadsheets and R, LaTeX for a paper."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import pyarrow as pa

from raysim.core.errors import InputError, os_errors
from raysim.tables.io import TABLES
from raysim.tables.results import Results

Format = Literal["csv", "tex"]

_MOST_LATEX_ROWS = 200
"""More rows than that are no table of a paper."""


def export_tables(results: Results, folder: Path, form: Format, names: Sequence[str] = ()) -> list[Path]:
    """Writes tables of a run into `folder`, one file each, called after its table.

    Lists and maps become JSON; what is not known is an empty cell. CSV is that of RFC 4180, in UTF-8; LaTeX is a
    `tabular` with the rules of the package booktabs.

    Args:
        results: the run.
        folder: is made where it is not there.
        form: of the files.
        names: of the tables; none: all that the run wrote, as LaTeX those of at most 200 rows.

    Returns:
        the files.

    Raises:
        InputError: the run did not write such a table, or it is too long for LaTeX.
        RaysimError: the folder cannot be written.
    """
    chosen = list(names) or results.tables
    if missing := [name for name in chosen if name not in results.tables]:
        raise InputError(
            f"{results.path} has no table {missing[0]!r}; it has: {', '.join(results.tables) or 'none yet'}"
        )
    written: list[Path] = []
    for name in chosen:
        table = results.table(name)
        if form == "tex" and table.num_rows > _MOST_LATEX_ROWS:
            if names:
                raise InputError(f"{name} has {table.num_rows:,} rows, more than a page holds; write it as CSV")
            continue
        path = folder / f"{name}.{form}"
        with os_errors(path):
            folder.mkdir(parents=True, exist_ok=True)
            _write_csv(table, path) if form == "csv" else path.write_text(latex(table, name), encoding="utf-8")
        written.append(path)
    return written


def table_list(results: Results) -> list[dict[str, str | int]]:
    """The tables that a run wrote: name, rows, meaning."""
    return [
        {"table": name, "rows": results.table(name).num_rows, "meaning": TABLES[name].description}
        for name in results.tables
    ]


def latex(table: pa.Table, name: str) -> str:
    """A table as LaTeX `tabular`, with the meaning of its columns as comments above it."""
    frame = _flat(table).to_pandas(types_mapper=None)
    about = [f"% {line}" for line in _meanings(table.column_names, name)]
    body = frame.to_latex(index=False, escape=True, na_rep="--", float_format=lambda value: f"{value:.4g}")
    return "\n".join([*about, body])


def _write_csv(table: pa.Table, path: Path) -> None:
    import pyarrow.csv

    pyarrow.csv.write_csv(_flat(table), path)


def _flat(table: pa.Table) -> pa.Table:
    """The table with lists and maps as JSON."""
    columns = [
        pa.array(
            [None if value is None else _json(value, field.type) for value in table.column(field.name).to_pylist()]
        )
        if pa.types.is_nested(field.type)
        else table.column(field.name)
        for field in table.schema
    ]
    return pa.table(columns, names=table.column_names)


def _json(value: object, kind: pa.DataType) -> str:
    return json.dumps(dict(value) if pa.types.is_map(kind) else value, ensure_ascii=False)  # type: ignore[call-overload]


def _meanings(columns: Iterable[str], name: str) -> list[str]:
    spec = TABLES.get(name)
    if spec is None:
        return []
    known = {column.name: column.description for column in spec.columns}
    return [f"{name}: {spec.description}", *(f"{column}: {known[column]}" for column in columns if column in known)]
