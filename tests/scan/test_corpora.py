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


def test_a_file_counts_once_however_many_links_lead_to_it(tmp_path: Path) -> None:
    for path in ("code/a.py", "code/.hidden/h.py", "disk/deep/b.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    links = {"deep": "disk/deep", "disk": "disk", "again.py": "disk/deep/b.py", "shown.py": "code/.hidden/h.py"}
    for name, target in links.items():
        (tmp_path / "code" / name).symlink_to(tmp_path / target)
    corpus = open_corpus("o", str(tmp_path / "code"))
    found = contents(corpus)
    assert found == {"a.py": b"code/a.py", "again.py": b"disk/deep/b.py", "shown.py": b"code/.hidden/h.py"}
    assert corpus.skipped.drops() == (
        Drop("left out by exclude", 1, len("code/.hidden/h.py")),
        Drop("the same file under a second name", 1, 0),
    )


def test_a_file_counts_once_in_all_paths_of_an_owner(tmp_path: Path) -> None:
    (tmp_path / "code/sub").mkdir(parents=True)
    for name in ("a.py", "sub/b.py"):
        (tmp_path / "code" / name).write_text(name)
    (tmp_path / "link").symlink_to(tmp_path / "code")
    (tmp_path / "r.jsonl").write_text('{"content": "x"}\n')
    (tmp_path / "s.jsonl").symlink_to(tmp_path / "r.jsonl")
    seen = set[str]()
    names = ["sub", "code", "link", "r.jsonl", "s.jsonl"]
    paths = [tmp_path / "code/sub", *(tmp_path / name for name in names[1:])]
    parts = [open_corpus("o", str(path), seen=seen) for path in paths]
    corpus = combine("o", parts, names)
    assert sorted(contents(corpus).values()) == [b"a.py", b"sub/b.py", b"x"]
    assert corpus.skipped.drops() == (Drop("the same file under a second name", 4, 0),)


def test_what_is_not_included_is_counted_by_ending(tmp_path: Path) -> None:
    for name in ("a.py", "b.ipynb", "c.pyi", "d.pyi", "Makefile"):
        (tmp_path / name).write_text("x")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/config").write_text("x")
    skipped = open_corpus("o", str(tmp_path)).skipped.drops()
    expected = {".pyi": 2, ".ipynb": 1, "no ending": 1}
    assert {drop.reason.removeprefix("not matched by include: "): drop.files for drop in skipped} == expected


def test_what_cannot_be_read_is_known_when_it_was_tried(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.py").write_bytes(b"\xe9")
        (tmp_path / folder / "b.py").write_text("version https://git-lfs.github.com/spec/v1\n")
    (tmp_path / "one/c.py").write_text("")
    corpus = combine("o", [open_corpus("o", str(tmp_path / name)) for name in ("one", "two")], ["one", "two"])
    corpus.require_something()
    contents(corpus)
    assert [(drop.reason[:17], drop.files) for drop in corpus.skipped.drops()] == [
        ("not UTF-8", 2),
        ("a Git LFS pointer", 2),
    ]
    with pytest.raises(
        InputError, match=r"o: none of its files can be read \(a\.py, for one\): 1 not UTF-8; 1 a Git LFS"
    ):
        corpus.require_something()


def test_line_ends_and_encodings_are_those_of_all_readers(tmp_path: Path) -> None:
    texts = {"mac.py": b"a = 1\rb = 2\r", "dos.py": b"a = 1\r\n", "wide.py": "a = 'é'\n".encode("utf-16")}
    for name, content in texts.items():
        (tmp_path / name).write_bytes(content)
    expected = {"mac.py": b"a = 1\nb = 2\n", "dos.py": b"a = 1\r\n", "wide.py": "a = 'é'\n".encode()}
    assert contents(open_corpus("o", str(tmp_path))) == expected


def test_records_without_one_that_can_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text('{"content": " "}\n')
    with pytest.raises(InputError, match=r"o: .*r\.jsonl: holds no record that can be read: 1 empty"):
        open_corpus("o", str(tmp_path / "r.jsonl"))


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
