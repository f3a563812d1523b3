"""Reads one part of a source that is dealt to several organizations.

A source is read as a whole to divide it. In a process that holds several of its organizations, the first one to read
leaves the others' parts for them, so that the source is read once and not once for each.
"""

import threading
from pathlib import Path

from raysim.core.errors import InputError
from raysim.core.keys import Key, key_of
from raysim.corpus.partition import Part, PartitionSettings, divide
from raysim.corpus.reading import DropCounter, SourceReading
from raysim.corpus.sources import SourceSettings, read_source

_left: dict[Key, dict[Part, SourceReading]] = {}
"""By source and partition, of which one is held at a time: the parts that nobody has taken yet."""

_lock = threading.Lock()


def read_part(source: SourceSettings, partition: PartitionSettings, base: Path) -> SourceReading:
    """Reads the part `partition.part` of a source.

    What the source skipped, and files that are in no part, are told with the first part alone, so that they count once.

    Args:
        source: of all parts.
        partition: how it is divided, and which part is asked for.
        base: the folder that relative paths start from.

    Raises:
        InputError: the source cannot be read, or does not fit the partition; begins with the organization's setting.
    """
    assert partition.part is not None, "entries without a part are expanded when an experiment is loaded"
    key = _key(source, partition, base)
    with _lock:
        parts = _left.get(key, {})
        if partition.part not in parts:
            _left.clear()
            parts = _left[key] = _read_parts(source, partition, base)
        if partition.part not in parts:
            raise InputError(f"partition.part: no file has the value {partition.part!r}; there are: {_some(parts)}")
        found = parts.pop(partition.part)
        if not parts:
            _left.clear()
    return found


def part_names(source: SourceSettings, partition: PartitionSettings, base: Path) -> list[Part]:
    """All parts of a source, for which it is read.

    Raises:
        InputError: as `read_part`.
    """
    return list(_read_parts(source, partition, base))


def forget_parts() -> None:
    """Lets go of parts that nobody has taken, so that they are read anew, or when everybody here has taken theirs."""
    with _lock:
        _left.clear()


def _key(source: SourceSettings, partition: PartitionSettings, base: Path) -> Key:
    return key_of(
        {
            "kind": "parts of a source",
            "version": 1,
            "source": source.model_dump(mode="json"),
            "partition": partition.model_dump(mode="json", exclude={"part"}),
            "base": str(base),
        }
    )


def _read_parts(source: SourceSettings, partition: PartitionSettings, base: Path) -> dict[Part, SourceReading]:
    """Every part; all that is in none is told with the first."""
    try:
        reading = read_source(source, base, partition.column.of_records if partition.column else ())
    except InputError as error:
        raise InputError(f"source: {error}") from None
    found = divide(reading.files, partition)
    taken = {source.path for files in found.values() for source in files}
    counter = DropCounter(reading.skipped)
    for source_file in reading.files:
        if source_file.path not in taken:
            counter.add(f"in a part of fewer than {partition.min_files} files", source_file.num_bytes)
    first = next(iter(found))
    return {part: SourceReading(files, counter.drops() if part == first else ()) for part, files in found.items()}


def _some(parts: dict[Part, SourceReading]) -> str:
    return ", ".join(map(str, list(parts)[:5])) + (", ..." if len(parts) > 5 else "")
