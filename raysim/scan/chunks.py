"""Units of many files at a time, made with all cores."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self, TypeVar

from raysim.core.windows import Hashes, inside_one, window_hashes
from raysim.matching.hashing import hash_units
from raysim.matching.lexing import Tokens, lex, lexer_name
from raysim.matching.units import Units
from raysim.scan.corpora import CodeCollection
from raysim.scan.index import Index, content_key
from raysim.scan.reading import Reader

CHUNK_BYTES = 2 << 20
"""Content that is worked on at a time: what is made of it on the way fits in the cache of a core."""

LEXED_CHUNK_BYTES = 1 << 19
"""Likewise where lexers are at work."""

_ALONE_BYTES = 1 << 17
"""Content that is lexed in less time than processes need to begin."""

Result = TypeVar("Result")
Watch = Callable[[int], None]


@dataclass(frozen=True)
class Chunk:
    """Consecutive files of a corpus, as they are worked on.

    Attributes:
        first: number of the first of the files.
        units: of them.
        hashes: uint64 ``[num_units]``.
    """

    first: int
    units: Units
    hashes: Hashes

    @property
    def end(self) -> int:
        """Number of the first file behind."""
        return self.first + len(self.units.starts) - 1

    @property
    def num_bytes(self) -> int:
        """Memory that it takes."""
        units = self.units
        parts = (self.hashes, units.buffer, units.begins, units.ends, units.numbers, units.starts)
        return sum(part.nbytes for part in parts)

    def windows(self, length: int) -> Hashes:
        """Hashes of all windows inside one file."""
        return window_hashes(self.hashes, length)[inside_one(self.units.starts, length)]


class Workers:
    """Threads for what NumPy does; processes where lexers are at work, as those are Python. Each begins when needed.

    Args:
        reader: makes the units.
        index: of what lexers made of files before; None: they are lexed each time.
        watch: receives the number of files that became ready, if lexers are at work.
    """

    def __init__(self, reader: Reader, index: Index | None = None, watch: Watch | None = None) -> None:
        self._reader, self._index, self._watch = reader, index, watch
        self._count = os.cpu_count() or 1
        self._begun = ExitStack()
        self._lock = threading.Lock()
        self._alone = _ALONE_BYTES
        self._lexers: Executor | None = None

    def __enter__(self) -> Self:
        self._threads = self._begun.enter_context(ThreadPoolExecutor(self._count))
        return self

    def __exit__(self, *_: object) -> None:
        self._begun.close()

    def map(self, function: Callable[[Chunk], Result], chunks: Sequence[Chunk]) -> Iterator[Result]:
        """What `function` makes of each of some chunks."""
        return self._threads.map(function, chunks)

    def make(
        self, corpus: CodeCollection, seed: int, function: Callable[[Chunk], Result], first: int = 0
    ) -> Iterator[Result]:
        """What `function` makes of each chunk of a corpus, from some file on; the next ones are made meanwhile."""

        def work(number: int, contents: Sequence[bytes]) -> Result:
            units = self._units(corpus.paths[number : number + len(contents)], contents)
            return function(Chunk(number, units, hash_units(units, seed)))

        ahead = deque[Future[Result]]()
        for number, contents in corpus.chunks(first, LEXED_CHUNK_BYTES if self._reader.lexes else CHUNK_BYTES):
            ahead.append(self._threads.submit(work, number, contents))
            if len(ahead) > self._count:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()

    def _units(self, paths: Sequence[str], contents: Sequence[bytes]) -> Units:
        if not self._reader.lexes:
            return self._reader(paths, contents)
        names = [lexer_name(path) for path in paths]
        tokens = self._tokens(names, contents) if self._index is None else self._known(self._index, names, contents)
        if self._watch:
            self._watch(len(paths))
        return self._reader(paths, contents, tokens)

    def _known(self, index: Index, names: Sequence[str], contents: Sequence[bytes]) -> list[Tokens]:
        keys = [content_key(name, content) for name, content in zip(names, contents, strict=True)]
        found = [index.find(key) for key in keys]
        new = [number for number, tokens in enumerate(found) if tokens is None]
        made = self._tokens([names[i] for i in new], [contents[i] for i in new]) if new else []
        for number, tokens in zip(new, made, strict=True):
            found[number] = tokens
            index.add(keys[number], tokens)
        return [tokens for tokens in found if tokens is not None]

    def _tokens(self, names: Sequence[str], contents: Sequence[bytes]) -> list[Tokens]:
        with self._lock:
            self._alone -= sum(map(len, contents))
            if self._alone < 0 and self._lexers is None:
                from concurrent.futures import ProcessPoolExecutor
                from multiprocessing import get_context

                self._lexers = self._begun.enter_context(ProcessPoolExecutor(self._count, get_context("spawn")))
        return self._lexers.submit(_lex_all, names, contents).result() if self._lexers else _lex_all(names, contents)


def _lex_all(names: Sequence[str], contents: Sequence[bytes]) -> list[Tokens]:
    return [lex(name, content) for name, content in zip(names, contents, strict=True)]
