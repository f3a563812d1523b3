from pathlib import Path

import pytest

from raysim.core.spool import Spool


def test_pieces_come_back_and_leave_no_file(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    contents = [b"one", b"", bytes(range(256)) * 1000, b"four"]
    pieces = [spool.add(content) for content in contents]
    assert list(tmp_path.iterdir()) == []
    assert [piece.read() for piece in reversed(pieces)] == contents[::-1]
    assert [piece.num_bytes for piece in pieces] == [3, 0, 256_000, 4]


def test_memory_is_given_out_once() -> None:
    spool = Spool(held_bytes=10)
    assert [spool.takes(size) for size in (4, 7, 6, 0, 1)] == [True, False, True, True, False]


def test_file_that_has_become_shorter_is_an_error(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.add(b"abc")
    with pytest.raises(OSError, match="ends too early"):
        spool.read(2, 5)
