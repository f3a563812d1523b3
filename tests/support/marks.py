"""Looks for a marked text in files: in bytes and in every column of tables, as UTF-8 and as token ids."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


class Marks:
    """A text and the ids of its tokens, in every writing that they may leak in.

    Args:
        text: ASCII, so that JSON and HTML write it as it is.
        ids: of its inner tokens, which do not depend on what is around it.
    """

    def __init__(self, text: str, ids: Sequence[int]) -> None:
        assert len(ids) >= 6  # fewer turn up by chance
        self._text = text.encode()
        self._ids = list(ids)
        # A search is slow that ends with bytes that are everywhere.
        self._in_memory = {"text": self._text} | {
            kind: np.array(ids, dtype=kind).tobytes().rstrip(b"\0") for kind in ("int16", "int32", "int64")
        }
        kinds = ("<i2", "<i4", "<i8", ">i2", ">i4", ">i8")
        self._writings = [self._text, *(np.array(ids, dtype=kind).tobytes() for kind in kinds)]
        self._numbers = re.compile(rb"\D+".join(str(number).encode() for number in ids))

    def in_bytes(self, content: bytes) -> bool:
        """Whether it is in the content of a file, or of a value."""
        return any(writing in content for writing in self._writings) or bool(self._numbers.search(content))

    def in_memory(self, content: bytes) -> set[str]:
        """In which writings it is in memory of this machine: ``text``, ``int16``, ``int32``, ``int64``."""
        return {name for name, writing in self._in_memory.items() if writing in content}

    def in_value(self, value: Any) -> bool:
        """Whether it is in a value of a table, however deep."""
        if isinstance(value, bytes):
            return self.in_bytes(value)
        if isinstance(value, str):
            return self.in_bytes(value.encode(errors="surrogatepass"))
        if isinstance(value, dict):
            return any(self.in_value(part) for pair in value.items() for part in pair)
        if isinstance(value, list | tuple):
            return self.in_bytes(json.dumps(value, default=str).encode()) or any(map(self.in_value, value))
        return False

    def in_table(self, table: pa.Table) -> list[str]:
        """Names of the columns that it is in, within a row or down the rows; ``metadata`` for that of the schema."""
        found = [name for name in table.column_names if self.in_value(table.column(name).to_pylist())]
        metadata = table.schema.metadata or {}
        return found + ["metadata"] * any(self.in_value(part) for pair in metadata.items() for part in pair)

    def below(self, *folders: Path) -> list[str]:
        """The files below `folders` that it is in, hidden ones too, with the columns of tables: ``FILE:COLUMN``."""
        return [place for folder in folders for place in self._below(folder)]

    def _below(self, folder: Path) -> Iterator[str]:
        for path in sorted(folder.rglob("*")):
            if not path.is_file():
                continue
            name = str(path.relative_to(folder))
            columns = self.in_table(pq.read_table(path)) if path.suffix == ".parquet" else []
            yield from (f"{name}:{column}" for column in columns)
            if not columns and (self.in_bytes(path.read_bytes()) or self.in_bytes(name.encode())):
                yield name
