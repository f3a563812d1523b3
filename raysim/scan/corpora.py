"""What is compared: named collections of files, which are read as often as they are needed and never held whole."""

import codecs
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from raysim.core.errors import InputError
from raysim.core.lfs import is_lfs_pointer
from raysim.corpus.folders import DEFAULT_EXCLUDE, DEFAULT_INCLUDE, FoundFile, walk
from raysim.corpus.patterns import selector
from raysim.corpus.reading import DropCounter, read_as_text
from raysim.corpus.selection import Selection, size_of


@dataclass(frozen=True)
class CodeCollection:
    """The files of one owner, in the order of their paths.

    Attributes:
        name: of the owner.
        paths: how the files are named.
        read: the content of the file of some number, in UTF-8; nothing for one that cannot be read.
        skipped: what was left out, by reason.
        unread: of files of which that has turned out, by their number, why.
        parts: corpora that it was put together from.
    """

    name: str
    paths: Sequence[str]
    read: Callable[[int], bytes]
    skipped: DropCounter = field(default_factory=DropCounter, compare=False)
    unread: dict[int, str] = field(default_factory=dict[int, str], compare=False)
    parts: Sequence["CodeCollection"] = ()

    def require_something(self) -> None:
        """Refuses what was found to hold nothing that can be read, once all of it has been tried.

        Raises:
            InputError: the name, and why not.
        """
        for part in self.parts:
            part.require_something()
        if len(self.unread) == len(self.paths) > 0:
            reasons = "; ".join(f"{count} {problem}" for problem, count in Counter(self.unread.values()).items())
            raise InputError(f"{self.name}: none of its files can be read ({self.paths[0]}, for one): {reasons}")

    def chunks(self, first: int, num_bytes: int) -> Iterator[tuple[int, list[bytes]]]:
        """The contents of all files from the number `first` on, `num_bytes` or a little more at a time.

        Yields:
            the number of the first, and each.
        """
        contents, size = list[bytes](), 0
        for number in range(first, len(self.paths)):
            contents.append(self.read(number))
            size += len(contents[-1])
            if size >= num_bytes:
                yield first, contents
                first, contents, size = number + 1, [], 0
        if contents:
            yield first, contents


def open_corpus(
    name: str,
    path: str,
    include: Sequence[str] = (DEFAULT_INCLUDE,),
    column: str = "content",
    seen: set[str] | None = None,
) -> CodeCollection:
    """The corpus at a path: a folder, a source file, or a file of records.

    Args:
        name: of its owner.
        path: what to read.
        include: globs over the paths in a folder.
        column: of a record file that holds the code.
        seen: files that are in other corpora of the owner, without links; takes those that are new.

    Raises:
        InputError: there is nothing at `path`, nothing in it is wanted, or it cannot be read.
    """
    location = Path(path).expanduser()
    if not location.exists():
        raise InputError(f"{name}: {path}: no such file or folder")
    counter = DropCounter()
    if location.is_dir():
        with Selection(include, DEFAULT_EXCLUDE, counter) as selection:
            files = [f for f in walk(location, counter) if selection.takes(f.path, partial(size_of, f.location))]
    else:
        files = [FoundFile(location.name, str(location), os.path.realpath(location))]
    if not files:
        raise InputError(
            f"{name}: {path}: holds no file that matches {', '.join(include)} (--include); {_instead(location)}"
        )
    new = _new(files, set() if seen is None else seen, counter)
    records = _records(name, path, column) if new and not location.is_dir() else None
    return records or _files(name, new, counter)


def _instead(folder: Path) -> str:
    """What is in a folder where nothing was wanted, and what to write to take it."""
    from raysim.corpus.records import describe_files

    wanted = selector(["**"], DEFAULT_EXCLUDE)
    held, records, ending = describe_files([found.path for found in walk(folder, DropCounter()) if wanted(found.path)])
    advice = f": name {folder / records[0]} itself" if records else f": --include '**/*{ending}'" if ending else ""
    return f"it holds {held}{advice}"


def combine(name: str, corpora: Sequence[CodeCollection], folders: Sequence[str]) -> CodeCollection:
    """Several corpora of one owner as one; each one's paths begin with the name of its folder."""
    if len(corpora) == 1:
        return corpora[0]
    places = [(corpus, number) for corpus in corpora for number in range(len(corpus.paths))]
    paths = [f"{folder}/{path}" for corpus, folder in zip(corpora, folders, strict=True) for path in corpus.paths]
    order = sorted(range(len(paths)), key=paths.__getitem__)

    def read(number: int) -> bytes:
        corpus, own = places[order[number]]
        return corpus.read(own)

    skipped = DropCounter(parts=[corpus.skipped for corpus in corpora])
    return CodeCollection(name, [paths[number] for number in order], read, skipped, parts=corpora)


def _new(files: Sequence[FoundFile], seen: set[str], counter: DropCounter) -> list[FoundFile]:
    """The files that are not in `seen`, by path; of several names of one file the first."""
    new: list[FoundFile] = []
    for file in sorted(files, key=lambda file: file.path):
        if file.real in seen:
            counter.add("the same file under a second name", 0)
        else:
            seen.add(file.real)
            new.append(file)
    return new


def _files(name: str, files: Sequence[FoundFile], counter: DropCounter) -> CodeCollection:
    unread: dict[int, str] = {}

    def read(number: int) -> bytes:
        try:
            with open(files[number].location, "rb", buffering=0) as opened:
                content = opened.read()
            if _is_plain(content):
                return content
            text, problem = read_as_text(content)
            if text is not None or not content.strip():
                return (text or "").encode()
        except OSError as error:
            problem = f"unreadable: {error.strerror or error}"
        if number not in unread:
            unread[number] = problem
            counter.add(problem, 0)
        return b""

    return CodeCollection(name, [file.path for file in files], read, counter, unread)


def _is_plain(content: bytes) -> bool:
    """Whether a file's bytes are what they would be after they were read as text; most are."""
    if b"\r" in content or content.startswith(codecs.BOM_UTF8) or is_lfs_pointer(content):
        return False
    try:
        if not content.isascii():
            content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _records(name: str, path: str, column: str) -> CodeCollection | None:
    """The corpus in a file of records, which is held in memory; None if the file is none of records."""
    from raysim.corpus.records import is_record_file

    if not is_record_file(path):
        return None
    from raysim.corpus.sources import SourceSettings, read_source

    reading = read_source(SourceSettings.at(path, column), Path())
    if not reading.files:
        reasons = "; ".join(f"{drop.files} {drop.reason}" for drop in reading.skipped) or "it is empty"
        raise InputError(f"{name}: {path}: holds no record that can be read: {reasons}")
    texts = [file.text.encode() for file in reading.files]
    return CodeCollection(name, [file.path for file in reading.files], texts.__getitem__, DropCounter(reading.skipped))
