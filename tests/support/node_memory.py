"""What lies in the memory of processes of this machine, and in the object store of a Ray."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

_PAGE = os.sysconf("SC_PAGE_SIZE")
_BLOCK = 16 << 20
_OVERLAP = 4096
"""Bytes that a block has in common with the one before it, more than anything that is looked for."""

_PRESENT = 1 << 63


def private_memory(pid: int) -> Iterator[bytes]:
    """All that a process may have written and nobody else sees: heap, stacks, its own pages of files; in blocks."""
    with open(f"/proc/{pid}/mem", "rb", 0) as memory, open(f"/proc/{pid}/pagemap", "rb", 0) as pages:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            place, rights, *_ = line.split()
            start, end = (int(one, 16) for one in place.split("-"))
            if rights[1] == "w" and rights[3] == "p":
                yield from _blocks(memory.fileno(), _present(pages.fileno(), start, end))


def _present(pages: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Ranges of pages that are there: to read one that was never written would make it."""
    flags = memoryview(os.pread(pages, (end - start) // _PAGE * 8, start // _PAGE * 8)).cast("Q")
    at = 0
    while at < len(flags):
        behind = at + 1
        if flags[at] & _PRESENT:
            while behind < len(flags) and flags[behind] & _PRESENT:
                behind += 1
            yield start + at * _PAGE, start + behind * _PAGE
        at = behind


def _blocks(file: int, ranges: Iterator[tuple[int, int]]) -> Iterator[bytes]:
    for start, end in ranges:
        for at in range(start, end, _BLOCK):
            with suppress(OSError):  # a page that has gone since
                yield os.pread(file, min(end - at, _BLOCK + _OVERLAP), at)


def object_store(pid: int) -> Iterator[bytes]:
    """The pages of shared memory that a raylet keeps objects in, freed ones included; block by block."""
    for link in Path(f"/proc/{pid}/fd").iterdir():
        if "/plasma" in os.readlink(link):
            with open(link, "rb", 0) as file:
                yield from _blocks(file.fileno(), _written(file.fileno()))


def _written(file: int) -> Iterator[tuple[int, int]]:
    at = 0
    with suppress(OSError):  # none behind the last one
        while True:
            start = os.lseek(file, at, os.SEEK_DATA)
            at = os.lseek(file, start, os.SEEK_HOLE)
            yield start, at


def with_children(*pids: int) -> list[psutil.Process]:
    """These processes and all that they have started."""
    found = {}
    for pid in pids:
        process = psutil.Process(pid)
        found |= {one.pid: one for one in (process, *process.children(recursive=True))}
    return list(found.values())


def title(process: psutil.Process) -> str:
    """What a process calls itself: the first word of its command, without folders."""
    return Path((process.cmdline() or [process.name()])[0].split(" ")[0]).name
