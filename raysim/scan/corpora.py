"""What is compared: named collections of files, which are read as often as they are needed and never held whole."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from raysim.core.errors import InputError
from raysim.corpus.encoding import decode_source
from raysim.corpus.folders import DEFAULT_EXCLUDE, DEFAULT_INCLUDE, walk
from raysim.corpus.patterns import selector
from raysim.corpus.reading import DropCounter


@dataclass(frozen=True)
class CodeCollection:
    """The files of one owner, in the order of their paths.

    Attributes:
        name: of the owner.
        paths: how the files are named.
        read: the content of the file of some number, in UTF-8; nothing for one that cannot be decoded.
        skipped: what was left out, by reason.
    """

    name: str
    paths: Sequence[str]
    read: Callable[[int], bytes]
    skipped: DropCounter = field(default_factory=DropCounter, compare=False)

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
    name: str, path: str, include: Sequence[str] = (DEFAULT_INCLUDE,), column: str = "content"
) -> CodeCollection:
    """The corpus at a path: a folder, a source file, or a file of records.

    Args:
        name: of its owner.
        path: what to read.
        include: globs over the paths in a folder.
        column: of a record file that holds the code.

    Raises:
        InputError: there is nothing at `path`, nothing in it is wanted, or it cannot be read.
    """
    location = Path(path).expanduser()
    if not location.exists():
        raise InputError(f"{name}: {path}: no such file or folder")
    if location.is_dir():
        corpus = _folder(name, location, selector(include, DEFAULT_EXCLUDE))
    else:
        corpus = _records(name, path, column) or _files(name, [(location.name, str(location))], DropCounter())
    if not corpus.paths:
        raise InputError(
            f"{name}: {path}: holds no file that matches {', '.join(include)} (--include); {_instead(location)}"
        )
    return corpus


def _instead(folder: Path) -> str:
    """What is in a folder where nothing was wanted, and what to write to take it."""
    from raysim.corpus.records import describe_files

    wanted = selector(["**"], DEFAULT_EXCLUDE)
    held, records, ending = describe_files([path for path, _ in walk(folder, DropCounter()) if wanted(path)])
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

    drops = [drop for corpus in corpora for drop in corpus.skipped.drops()]
    return CodeCollection(name, [paths[number] for number in order], read, DropCounter(drops))


def _folder(name: str, root: Path, selected: Callable[[str], bool]) -> CodeCollection:
    counter = DropCounter()
    found = sorted((item for item in walk(root, counter) if selected(item[0])), key=lambda item: item[0])
    inside = os.path.realpath(root) + os.sep
    kept, seen = [], set()
    for path, entry in found:
        if entry.is_symlink():
            real = os.path.realpath(entry.path)
            if real.startswith(inside) or real in seen:
                counter.add("the same file under a second name", 0)
                continue
            seen.add(real)
        kept.append((path, entry.path))
    return _files(name, kept, counter)


def _files(name: str, found: Sequence[tuple[str, str]], counter: DropCounter) -> CodeCollection:
    complained: set[int] = set()

    def read(number: int) -> bytes:
        try:
            with open(found[number][1], "rb", buffering=0) as file:
                content = file.read()
            if content.isascii():
                return content
            text = decode_source(content)
            if text is not None:
                return text.encode()
            problem = "not UTF-8"
        except OSError as error:
            problem = f"unreadable: {error.strerror or error}"
        if number not in complained:
            complained.add(number)
            counter.add(problem, 0)
        return b""

    return CodeCollection(name, [path for path, _ in found], read, counter)


def _records(name: str, path: str, column: str) -> CodeCollection | None:
    """The corpus in a file of records, which is held in memory; None if the file is none of records."""
    from raysim.corpus.records import is_record_file
    from raysim.corpus.sources import SourceSettings, read_source

    if not is_record_file(path):
        return None
    reading = read_source(SourceSettings.at(path, column), Path())
    texts = [file.text.encode() for file in reading.files]
    return CodeCollection(name, [file.path for file in reading.files], texts.__getitem__, DropCounter(reading.skipped))
