"""Tables as bytes: for hashes, and for tables inside tables."""

import pyarrow as pa


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
