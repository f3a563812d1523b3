"""Chunks of a corpus: kept for another pass where they fit, and made by threads and processes alike."""

import pytest
from code_files import corpus

from raysim.scan.clones import find_clones
from raysim.scan.corpora import CodeCollection
from raysim.scan.reading import Reader

reader = Reader()


def test_what_does_not_fit_in_memory_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four files, a chunk each; two of them fit."""
    from raysim.scan import chunks, source

    files = {f"{i}.py": "".join(f"line {i} {n}\n" for n in range(9)) for i in range(4)}
    reads = []

    def counted(name: str) -> CodeCollection:
        plain = corpus(name, files)
        return CodeCollection(name, plain.paths, lambda number: (reads.append((name, number)), plain.read(number))[1])

    monkeypatch.setattr(chunks, "CHUNK_BYTES", 1)
    expected = find_clones([counted("a"), counted("b")], 6, reader).to_json(reader.unit)
    assert sorted(reads) == [(name, number) for name in "ab" for number in range(4)]
    with chunks.Workers(reader) as workers:
        num_bytes = next(workers.make(corpus("a", files), 0, lambda chunk: chunk.num_bytes))
    monkeypatch.setattr(source, "_KEPT_BYTES", int(2.5 * num_bytes))
    reads.clear()
    assert find_clones([counted("a"), counted("b")], 6, reader).to_json(reader.unit) == expected
    assert sorted(reads) == [(name, number) for name in "ab" for number in (0, 1, 2, 2, 3, 3)]
