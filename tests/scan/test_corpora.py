"""What a path holds: a folder, a file, records; what cannot be read is counted once."""

from pathlib import Path

import pytest

from raysim.core.errors import InputError
from raysim.corpus.corpus import Drop
from raysim.scan.corpora import CodeCollection, combine, open_corpus


def contents(corpus: CodeCollection) -> dict[str, bytes]:
    return {path: corpus.read(number) for number, path in enumerate(corpus.paths)}


def test_a_folder_is_read_by_its_globs_in_the_order_of_paths(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name, text in (("b/x.py", "x"), ("a.py", "a"), ("a.c", "c")):
        (tmp_path / name).write_text(text)
    assert contents(open_corpus("o", str(tmp_path))) == {"a.py": b"a", "b/x.py": b"x"}
    assert contents(open_corpus("o", str(tmp_path), ("*.c",))) == {"a.c": b"c"}


def test_contents_are_utf8_whatever_a_file_declares(tmp_path: Path) -> None:
    text = "# coding: latin-1\nname = 'é'\n"
    (tmp_path / "declared.py").write_bytes(text.encode("latin-1"))
    (tmp_path / "marked.py").write_bytes(b"\xef\xbb\xbfx\n")
    (tmp_path / "silent.py").write_bytes("é".encode("latin-1"))
    corpus = open_corpus("o", str(tmp_path))
    for _ in range(2):
        assert contents(corpus) == {"declared.py": text.encode(), "marked.py": b"x\n", "silent.py": b""}
    assert corpus.skipped.drops() == (Drop("not UTF-8", 1, 0),)


def test_links_inside_are_counted_and_those_to_outside_followed_once(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "outside.py").write_text("o")
    (tmp_path / "code/a.py").write_text("a")
    (tmp_path / "code/b.py").symlink_to(tmp_path / "code/a.py")
    (tmp_path / "code/c.py").symlink_to(tmp_path / "outside.py")
    (tmp_path / "code/d.py").symlink_to(tmp_path / "outside.py")
    corpus = open_corpus("o", str(tmp_path / "code"))
    assert contents(corpus) == {"a.py": b"a", "c.py": b"o"}
    assert corpus.skipped.drops() == (Drop("the same file under a second name", 2, 0),)


def test_records_are_held_as_files(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text('{"text": "x = 1", "path": "a.py"}\n{"text": " "}\n')
    corpus = open_corpus("o", str(tmp_path / "r.jsonl"), column="text")
    assert contents(corpus) == {"a.py": b"x = 1"}
    assert corpus.skipped.drops() == (Drop("empty", 1, 1),)


def test_several_corpora_of_one_owner_are_one(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.py").write_text(name)
    parts = [open_corpus("o", str(tmp_path / name)) for name in ("two", "one")]
    assert contents(combine("o", parts, ["two", "one"])) == {"one/a.py": b"one", "two/a.py": b"two"}
    assert combine("o", parts[:1], ["two"]) is parts[0]


def test_chunks_are_a_little_more_than_asked_for() -> None:
    corpus = CodeCollection("o", ["a", "b", "c", "d"], lambda number: b"x" * (number + 1))
    assert [(first, list(map(len, part))) for first, part in corpus.chunks(0, 3)] == [(0, [1, 2]), (2, [3]), (3, [4])]
    assert [(first, list(map(len, part))) for first, part in corpus.chunks(2, 100)] == [(2, [3, 4])]


def test_nothing_to_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"o: .*nowhere: no such file or folder"):
        open_corpus("o", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"holds no file that matches \*\*/\*\.py"):
        open_corpus("o", str(tmp_path))
    (tmp_path / "train.parquet").touch()
    with pytest.raises(InputError, match=r"it holds train.parquet: name .*/train.parquet itself"):
        open_corpus("o", str(tmp_path))
    (tmp_path / "train.parquet").rename(tmp_path / "A.java")
    with pytest.raises(InputError, match=r"it holds 1 .java file: --include '\*\*/\*.java'"):
        open_corpus("o", str(tmp_path))
