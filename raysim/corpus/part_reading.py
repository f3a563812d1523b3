"""Reads one part of a source that is dealt to several organizations.

A source is read as a whole to divide it. In a process that holds several of its organizations, the first one to read
leaves the others' parts for them, so that the source is read once and not once for each.
"""

import threading
from pathlib import Path

from raysim.core.errors import InputError
from raysim.core.keys import Key, key_of
from raysim.core.spool import Spool
from raysim.corpus.file_licences import LookedFor, find_licences
from raysim.corpus.partition import Part, PartitionSettings, divide
from raysim.corpus.reading import DropCounter, SourceReading
from raysim.corpus.sources import SourceSettings, read_source

_left: dict[Key, dict[Part, SourceReading]] = {}
"""By source and partition, of which one is held at a time: the parts that nobody has taken yet."""

_lock = threading.Lock()


def read_part(
    source: SourceSettings,
    partition: PartitionSettings,
    base: Path,
    spool: Spool | None = None,
    looked_for: LookedFor = "stated",
    where: str = "",
) -> SourceReading:
    """Reads the part `partition.part` of a source, whose files have their licences before they are dealt.

    What the source skipped, and files that are in no part, are told with the first part alone, so that they count once.

    Args:
        source: of all parts.
        partition: how it is divided, and which part is asked for.
        base: the folder that relative paths start from.
        spool: takes texts that are too many for memory, those of the other parts as well; None: all fit.
        looked_for: where licences are looked for.
        where: stands before ``source`` and ``partition`` in errors, such as ``organizations.meta.``.

    Raises:
        InputError: the source cannot be read, or does not fit the partition; begins with the setting.
    """
    assert partition.part is not None, "entries without a part are expanded when an experiment is loaded"
    key = _key(source, partition, base, looked_for)
    with _lock:
        parts = _left.get(key, {})
        if partition.part not in parts:
            _left.clear()
            parts = _left[key] = _read_parts(source, partition, base, spool, looked_for, where)
        if partition.part not in parts:
            there = f"no file has the value {partition.part!r}; there are: {_some(parts)}"
            raise InputError(f"{where}partition.part: {there}")
        found = parts.pop(partition.part)
        if not parts:
            _left.clear()
    return found


def part_names(
    source: SourceSettings,
    partition: PartitionSettings,
    base: Path,
    looked_for: LookedFor = "stated",
    where: str = "",
) -> list[Part]:
    """All parts of a source, for which it is read; licences are looked for where they name parts.

    Raises:
        InputError: as `read_part`.
    """
    by_licence = partition.column is not None and partition.column.name == "licence"
    return list(_read_parts(source, partition, base, None, looked_for if by_licence else "stated", where))


def forget_parts() -> None:
    """Lets go of parts that nobody has taken, so that they are read anew, or when everybody here has taken theirs."""
    with _lock:
        _left.clear()


def _key(source: SourceSettings, partition: PartitionSettings, base: Path, looked_for: LookedFor) -> Key:
    return key_of(
        {
            "kind": "parts of a source",
            "version": 1,
            "source": source.model_dump(mode="json"),
            "partition": partition.model_dump(mode="json", exclude={"part"}),
            "base": str(base),
            "licences": looked_for,
        }
    )


def _read_parts(
    source: SourceSettings,
    partition: PartitionSettings,
    base: Path,
    spool: Spool | None,
    looked_for: LookedFor,
    where: str,
) -> dict[Part, SourceReading]:
    """Every part; all that is in none is told with the first."""
    try:
        reading = read_source(source, base, partition.column.of_records if partition.column else (), spool)
    except InputError as error:
        raise InputError(f"{where}source: {error}") from None
    reading = find_licences(reading, looked_for, source.folder(base))
    try:
        found = divide(reading.files, partition)
    except InputError as error:
        raise InputError(f"{where}{error}") from None
    taken = {source.path for files in found.values() for source in files}
    counter = DropCounter(reading.skipped)
    for source_file in reading.files:
        if source_file.path not in taken:
            counter.add(f"in a part of fewer than {partition.min_files} files", source_file.num_bytes)
    first = next(iter(found))
    return {part: SourceReading(files, counter.drops() if part == first else ()) for part, files in found.items()}


def _some(parts: dict[Part, SourceReading]) -> str:
    return ", ".join(map(str, list(parts)[:5])) + (", ..." if len(parts) > 5 else "")
