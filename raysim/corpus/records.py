"""Record files: JSON lines (also gzipped), Parquet, CSV, and datasets of the Hugging Face hub; a record is a file."""

import csv
import gzip
import itertools
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from raysim.core.errors import InputError
from raysim.core.json_text import parse_json
from raysim.core.lfs import refuse_lfs_pointer
from raysim.core.spool import Spool
from raysim.corpus.encoding import wide_encoding
from raysim.corpus.files import SourceFile, make_file
from raysim.corpus.reading import DropCounter, read_as_text

RECORD_SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".parquet", ".csv")
_NAMES = ("path", "repo_name", "license")
_SHOWN_COLUMNS = 20
_GZIP_MAGIC = b"\x1f\x8b"
_MOST_LINE_BYTES = 256 << 20
"""Of a record in JSON; a small file may unpack to any length."""


@dataclass(frozen=True)
class Broken:
    """A record that could not be taken apart."""

    reason: str
    num_bytes: int


Rows = Iterator[tuple[int, Mapping[str, Any] | Broken]]
"""Records with their number, counted from 1 (in JSON lines: the line number)."""

Selected = Callable[[str | None, int], bool]
"""Whether a record of this path and of so many bytes is wanted; None: it has no path. Counts what is not, by path."""


def is_record_file(name: str) -> bool:
    """Whether `name` ends like a record file."""
    return name.lower().endswith(RECORD_SUFFIXES)


def describe_files(paths: Sequence[str]) -> tuple[str, list[str], str]:
    """What a folder holds in which no wanted file was found.

    Returns:
        words for a message, the record files, and the most frequent ending of the others.
    """
    records = sorted(filter(is_record_file, paths))
    endings = Counter(PurePosixPath(path).suffix for path in paths if not is_record_file(path))
    common = [(ending, count) for ending, count in endings.most_common(3) if ending]
    others = [f"{count:,} {ending} file{'s' * (count > 1)}" for ending, count in common]
    if records:
        others = [records[0] if len(records) == 1 else f"{records[0]} and {len(records) - 1} more record files"]
    words = ", ".join(others) or (f"{len(paths):,} files without an ending" if paths else "no files")
    return words, records, common[0][0] if common else ""


def read_record_file(
    file: Path,
    name: str,
    column: str,
    selected: Selected,
    counter: DropCounter,
    further: Sequence[str] = (),
    spool: Spool | None = None,
) -> list[tuple[str, SourceFile]]:
    """Reads one record file.

    A record with a ``path`` is named ``repo_name/path`` (``path`` without a ``repo_name``), others ``NAME#N``.

    Args:
        file: the file.
        name: how records of this file are named.
        column: the column that holds the code.
        selected: whether a record is wanted.
        counter: takes what is skipped.
        further: columns whose values files are to have, where there are any.
        spool: takes texts that are too many for memory; None: all fit.

    Returns:
        Pairs of ``NAME#N`` and the file; paths are not yet made unique.

    Raises:
        InputError: a missing or broken file, or one without `column`.
    """
    lowered = file.name.lower().removesuffix(".gz")
    try:
        _check_start(file)
        if lowered.endswith(".parquet"):
            rows = _parquet_rows(file, column, further)
        elif lowered.endswith(".csv"):
            rows = _csv_rows(file, column, further)
        elif lowered.endswith((".jsonl", ".json")):
            rows = _json_rows(file)
        else:
            raise InputError(f"{file}: not a record file; known endings: {', '.join(RECORD_SUFFIXES)}")
        return _take(rows, file, name, column, selected, counter, further, spool)
    except FileNotFoundError:
        raise InputError(f"{file}: no such file") from None
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{file}: cannot be read, it may be incomplete; fetch it again: {_said(error)}") from None


def read_hub(
    name: str,
    config: str | None,
    split: str,
    column: str,
    label: str,
    selected: Selected,
    counter: DropCounter,
    further: Sequence[str] = (),
    spool: Spool | None = None,
) -> list[tuple[str, SourceFile]]:
    """Reads a dataset that `datasets.load_dataset` finds: on the hub, or in a local folder.

    Raises:
        InputError: the dataset cannot be loaded, or has no such column.
    """
    import datasets

    try:
        loaded = datasets.load_dataset(name, config, split=split)
    except Exception as error:  # the library raises many kinds; each means that this dataset cannot be had
        raise InputError(f"hub.name {name} (split {split}): cannot be loaded: {error}") from error
    if not isinstance(loaded, datasets.Dataset):
        raise InputError(f"hub.name {name}: expected one table of records, found {type(loaded).__name__}")
    _require_column(column, loaded.column_names, f"hub.name {name}", "hub.column")
    wanted = loaded.select_columns([c for c in _columns(column, further) if c in loaded.column_names])
    rows = ((number, row) for number, row in enumerate(wanted, start=1) if isinstance(row, Mapping))
    return _take(rows, name, label, column, selected, counter, further, spool)


def _take(
    rows: Rows,
    origin: Path | str,
    name: str,
    column: str,
    selected: Selected,
    counter: DropCounter,
    further: Sequence[str],
    spool: Spool | None,
) -> list[tuple[str, SourceFile]]:
    taken: list[tuple[str, SourceFile]] = []
    num_records = num_broken = num_without = num_unnamed = 0
    seen_columns: set[str] = set()
    reasons_seen: set[str] = set()
    for number, row in rows:
        num_records += 1
        if isinstance(row, Broken):
            num_broken += 1
            reasons_seen.add(row.reason)
            counter.add(row.reason, row.num_bytes)
            continue
        seen_columns.update(row)
        text = _as_text(row.get(column))
        if text is None:
            num_without += 1
            counter.add(f"record without text in column {column!r}", 0)
            continue
        path, repository, licence = (_as_name(row.get(key)) for key in _NAMES)
        full_path = f"{repository}/{path}" if path and repository else path
        num_bytes = len(text) if isinstance(text, bytes) else len(text.encode(errors="surrogatepass"))
        if not selected(full_path, num_bytes):
            if not full_path:
                num_unnamed += 1
                counter.add("record without a path, by which include chooses", num_bytes)
            continue
        decoded, problem = read_as_text(text)
        if decoded is None:
            counter.add(problem, num_bytes)
            continue
        tag = f"{name}#{number}"
        columns = tuple((key, value) for key in further if (value := _as_value(row.get(key))))
        taken.append((tag, make_file(full_path or tag, decoded, repository or name, licence, columns, spool)))
    if num_records == num_broken and num_records:
        reasons = "; ".join(sorted(reasons_seen))
        raise InputError(f"{origin}: broken: none of its {num_records} records can be read: {reasons}")
    if num_records == num_broken + num_without and num_records:
        _require_column(column, seen_columns, origin, "column")
        raise InputError(f"{origin}: column {column!r} holds no text in {num_records} records; name another column")
    if num_unnamed and num_records == num_broken + num_without + num_unnamed:
        raise InputError(f"{origin}: include chooses records by their path, and none has one; leave include out")
    return taken


def _check_start(file: Path) -> None:
    """Refuses what is no record file whatever its name says."""
    with file.open("rb") as opened:
        start = opened.read(200)
    refuse_lfs_pointer(start, str(file))
    if encoding := wide_encoding(start):
        raise InputError(f"{file}: is {encoding.upper()}; save it as UTF-8")


def _columns(column: str, further: Sequence[str]) -> list[str]:
    """The columns that are read, each once."""
    return list(dict.fromkeys((column, *_NAMES, *further)))


def _require_once(names: Sequence[str], columns: Sequence[str], origin: Path) -> None:
    """Refuses a table that has one of the columns that are read twice."""
    for name in columns:
        if names.count(name) > 1:
            raise InputError(f"{origin}: has the column {name!r} {names.count(name)} times; keep one of them")


def _require_column(column: str, found: Any, origin: Path | str, setting: str) -> None:
    if column not in found:
        names = " ".join(", ".join(sorted(found)[:_SHOWN_COLUMNS]).split()) or "none"
        raise InputError(f"{origin}: no column {column!r}; it has {names}; set {setting}")


def _said(error: Exception) -> str:
    """What a library says, in one line."""
    return " ".join(str(error).split())[:300]


def _as_text(value: Any) -> str | bytes | None:
    return value if isinstance(value, str | bytes) else None


def _as_name(value: Any) -> str | None:
    """A repository, path or licence as text; a list (of licences) is joined, anything odd reads as absent."""
    if isinstance(value, list):
        return "; ".join(part for inner in value if not isinstance(inner, list) and (part := _as_name(inner))) or None
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if not isinstance(value, str) or not value.strip():
        return None
    return value.encode(errors="replace").decode()


def _as_value(value: Any) -> str | None:
    """What any column says of a file, as text; numbers and truth values as JSON writes them."""
    return str(value).lower() if isinstance(value, bool) else str(value) if isinstance(value, int) else _as_name(value)


def _json_rows(file: Path) -> Rows:
    with file.open("rb") as raw:
        zipped = raw.read(2) == _GZIP_MAGIC  # by content: some downloads arrive unpacked under a name in .gz
        raw.seek(0)
        stream = gzip.GzipFile(fileobj=raw) if zipped else raw
        lines = iter(lambda: stream.readline(_MOST_LINE_BYTES + 1), b"")
        for number, line in enumerate(lines, start=1):
            if len(line) > _MOST_LINE_BYTES:
                raise InputError(
                    f"{file}: line {number} has more than {_MOST_LINE_BYTES >> 20} MiB; no record is as long"
                )
            data = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if data.strip():
                yield number, _parse_line(data)


def _parse_line(data: bytes) -> Mapping[str, Any] | Broken:
    try:
        value = parse_json(data.decode())
    except UnicodeDecodeError:
        return Broken("not UTF-8", len(data))
    except ValueError:
        return Broken("line is not valid JSON", len(data))
    return value if isinstance(value, dict) else Broken("line is no JSON object", len(data))


def _parquet_rows(file: Path, column: str, further: Sequence[str]) -> Rows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as table:
            names = table.schema_arrow.names
            _require_column(column, names, file, "column")
            columns = _columns(column, further)
            _require_once(names, columns, file)
            number = 0
            for batch in table.iter_batches(batch_size=256, columns=[c for c in columns if c in names]):
                for row in _batch_rows(pa.Table.from_batches([batch])):
                    number += 1
                    yield number, row
    except InputError:
        raise
    except Exception as error:  # the library raises many kinds, each because of what is in the file
        raise InputError(f"{file}: broken Parquet file: {_said(error)}") from None


def _csv_rows(file: Path, column: str, further: Sequence[str]) -> Rows:
    """Rows of cells as bytes, so that one that is not UTF-8 costs only itself."""
    csv.field_size_limit(2**31 - 1)
    with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as opened:
        rows = csv.reader(opened, strict=True)
        try:
            names = next(rows, [])
        except csv.Error as error:
            raise InputError(f"{file}: broken CSV file: its first row: {error}") from None
        _require_column(column, names, file, "column")
        columns = _columns(column, further)
        _require_once(names, columns, file)
        wanted = {name: names.index(name) for name in columns if name in names}
        for number in itertools.count(1):
            try:
                row = next(row for row in rows if row)
            except StopIteration:
                return
            except csv.Error as error:
                yield number, Broken(f"CSV row that ends wrongly: {error}", 0)
                continue
            if len(row) == len(names):
                yield number, {name: row[place].encode(errors="surrogateescape") for name, place in wanted.items()}
            else:
                yield number, Broken("CSV row with the wrong number of columns", sum(map(len, row)))


def _batch_rows(table: Any) -> Iterator[dict[str, Any]]:
    """Rows with text as bytes, which pyarrow would otherwise decode, and raise on the first that is not UTF-8."""
    import pyarrow as pa

    columns: dict[str, list[Any]] = {}
    for name, values in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_dictionary(values.type):
            values = values.cast(values.type.value_type)
        if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            values = values.cast(pa.large_binary())
        columns[name] = values.to_pylist()
    for row in zip(*columns.values(), strict=True):
        yield dict(zip(columns, row, strict=True))
