"""What a table's schema is made of: typed columns, each with its meaning."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

TEXT = pa.string()
SMALL = pa.int32()
COUNT = pa.int64()
REAL = pa.float64()
FLAG = pa.bool_()


@dataclass(frozen=True)
class Column:
    """One column: its name, its Arrow type, and what it means in one line."""

    name: str
    type: pa.DataType
    description: str


@dataclass(frozen=True)
class TableSpec:
    """One table.

    Attributes:
        name: of the table.
        description: what a row is.
        key: columns that it is sorted by.
        columns: all of them.
        folder: within the run's.
        added: columns that tables written before they were there lack, and what they hold then; None: null.
    """

    name: str
    description: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    folder: str = "results"
    added: Mapping[str, Any] = field(default_factory=dict)

    @property
    def schema(self) -> pa.Schema:
        """All columns."""
        return pa.schema(self.fields(*(column.name for column in self.columns)))

    @property
    def described_schema(self) -> pa.Schema:
        """All columns, each with its meaning as `description` in its metadata; for files that go elsewhere."""
        return pa.schema([pa.field(c.name, c.type, metadata={"description": c.description}) for c in self.columns])

    def fields(self, *names: str) -> list[pa.Field]:
        """The columns of these names, in the order given, for schemas that have more than the table."""
        types = {column.name: column.type for column in self.columns}
        return [pa.field(name, types[name]) for name in names]

    def without(self, *names: str) -> pa.Schema:
        """All columns but these: of rows whose place in the table is known where they are gathered."""
        assert set(names) <= {column.name for column in self.columns}, "columns of the table"
        return pa.schema(self.fields(*(column.name for column in self.columns if column.name not in names)))


def table_spec(
    name: str,
    description: str,
    key: str,
    columns: list[tuple[str, pa.DataType, str]],
    folder: str = "results",
    added: Mapping[str, Any] | None = None,
) -> TableSpec:
    """A table by its columns as plain tuples, and its key as words."""
    return TableSpec(
        name, description, tuple(key.split()), tuple(Column(*column) for column in columns), folder, added or {}
    )
