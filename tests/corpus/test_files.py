import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from raysim.core.spool import Spool
from raysim.corpus.files import BATCH_SIZE, SourceFile, SpooledFile, batches, identity, make_file


@pytest.fixture
def file(tmp_path: Path) -> SourceFile:
    return make_file("a.py", "é = 1\r\n", "r", "MIT", (("author", "x"),), Spool(tmp_path, held_bytes=3))


PLAIN = SourceFile("a.py", "é = 1\r\n", "r", "MIT", (("author", "x"),))


def test_a_text_is_on_disk_if_there_is_no_room_for_it(file: SourceFile) -> None:
    assert isinstance(file, SpooledFile)
    assert (file.text, file.num_bytes, file.held_bytes) == (PLAIN.text, 8, 0)
    assert type(make_file("b.py", "abc", "r", None)) is SourceFile
    assert PLAIN.held_bytes == 8


def test_it_stays_there_under_another_name(file: SourceFile) -> None:
    named = file.named("b.py")
    assert isinstance(named, SpooledFile)
    assert replace(named, path="a.py") == PLAIN
    assert PLAIN.named("b.py") == replace(named)


def test_it_travels_and_changes_as_a_plain_file(file: SourceFile) -> None:
    assert pickle.loads(pickle.dumps(file)) == PLAIN
    assert replace(file, text="new") == replace(PLAIN, text="new")
    with pytest.raises(AttributeError, match="SpooledFile has no txt"):
        assert file.txt  # type: ignore[attr-defined]


def test_files_are_ordered_by_path_repository_and_text() -> None:
    files = [SourceFile(*names) for names in [("b", "1", "r"), ("a", "1", "s"), ("a", "2", "r"), ("a", "1", "r")]]
    assert sorted(files, key=identity) == sorted(files, key=lambda f: (f.path, f.repository, f.text))
    assert identity(files[3]) == identity(SourceFile("a", "1", "r", "MIT")) != identity(files[2])


def test_batches_are_full_and_in_order() -> None:
    half = BATCH_SIZE // 2
    sizes = [half, half, 1, BATCH_SIZE + 1, 2, 0, half]
    assert list(batches(sizes, lambda size: size)) == [[half, half], [1], [BATCH_SIZE + 1], [2, 0, half]]
    assert list(batches([], len)) == []
