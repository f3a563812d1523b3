"""Arrow and pandas, in a process of its own: this one may have it."""

import subprocess
import sys

import pyarrow as pa

from raysim.core.arrow import table_bytes, table_of, with_columns

WITHOUT = """
import sys
import pyarrow as pa
from raysim.core.arrow import without_pandas
without_pandas()
assert pa.table({"a": [1, None], "b": ["x", "y"]}).to_pylist() == [{"a": 1, "b": "x"}, {"a": None, "b": "y"}]
assert "pandas" not in sys.modules
assert pa.table({"a": [1, 2]}).to_pandas()["a"].sum() == 3
"""


def test_arrow_without_pandas() -> None:
    subprocess.run([sys.executable, "-c", WITHOUT], check=True)


def test_a_table_survives_as_bytes() -> None:
    table = with_columns(pa.table({"b": [1, 2]}), a="x")
    assert table.to_pydict() == {"a": ["x", "x"], "b": [1, 2]}
    assert table_of(table_bytes(table)).equals(table)
