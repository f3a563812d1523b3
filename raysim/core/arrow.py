"""Tables as bytes, for hashes and for tables inside tables; and Arrow without an import of pandas."""

import sys
from contextlib import suppress

import pyarrow as pa


def without_pandas() -> None:
    """Has Arrow import pandas when something is to become an object of it, such as by `pyarrow.Table.to_pandas`.

    Else it does with the first list that it makes an array of, to see whether there are objects of pandas in it. For
    processes of our own: values of pandas in a list are not known as such any more.
    """
    if "pandas" in sys.modules:
        return
    sys.modules["pandas"] = None  # type: ignore[assignment]  # an import fails
    for values in ([0], [0, None]):  # two parts of Arrow look for it, each once
        with suppress(ImportError, AttributeError):
            pa.array(values)
    del sys.modules["pandas"]


def table_bytes(table: pa.Table) -> bytes:
    """A table's schema and content as one Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return sink.getvalue().to_pybytes()


def table_of(content: bytes) -> pa.Table:
    """The inverse of `table_bytes`."""
    return pa.ipc.open_stream(content).read_all()


def with_columns(table: pa.Table, **values: str) -> pa.Table:
    """`table` with constant text columns in front."""
    for name, value in reversed(values.items()):
        table = table.add_column(0, name, pa.array([value] * table.num_rows, pa.string()))
    return table
