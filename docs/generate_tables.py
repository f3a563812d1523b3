"""Prints docs/tables.md, the data dictionary, from the specifications of the tables.

python docs/generate_tables.py > docs/tables.md
"""

from raysim.tables.io import TABLES, data_dictionary

HEAD = """\
# Tables

<!-- Written by docs/generate_tables.py; change raysim/tables/schemas, not this page. -->

A run folder holds its results as Parquet files: `results/NAME.parquet`, and `ledger.parquet` beside them. From these
tables alone the report is written, and every figure and verdict in it can be rebuilt. They hold no times, hosts or
absolute paths, so equal work gives equal tables.

```python
import raysim

results = raysim.open_results("runs/quickstart")
results.models.to_pandas()  # the same for every table below
```

A **model** is named by its key, a hash of everything that made it. The same model may be reached by several strategies,
so join on `model`. A table that was not measured is empty.

"""


def page() -> str:
    links = ", ".join(f"[{name}](#{name})" for name in TABLES)
    return f"{HEAD}{links}\n\n{data_dictionary().rstrip()}\n"


if __name__ == "__main__":
    print(page(), end="")
