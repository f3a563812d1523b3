"""What an index finds again, and that nothing else changes: on real files, with and without one."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from examples import scaled
from hypothesis import given, settings
from hypothesis import strategies as st

from raysim.core.errors import InputError
from raysim.matching.lexing import Tokens
from raysim.scan import chunks, index
from raysim.scan.clones import find_clones
from raysim.scan.corpora import open_corpus
from raysim.scan.index import Index, content_key
from raysim.scan.reading import Reader

ROOT = Path(__file__).parents[2]

BLIND = Reader("lines", ignore_comments=True, blind=True)
READERS = [BLIND, Reader("lines", blind=True), Reader("lines", ignore_comments=True), Reader("tokens", blind=True)]

STATEMENTS = ["x = 1  # one\n", "x = 2\n", "y = 'a'\n", "# words\n", '"""\ntext\n"""\n', "def f(é):\n", "    return\n"]
TEXT = st.lists(st.sampled_from(STATEMENTS), max_size=8).map("".join)
NAME = st.sampled_from(["a.py", "b.py", "d/c.py", "d/c.js", "e.unknown"])
EDIT = st.one_of(
    st.tuples(st.just("write"), NAME, TEXT),
    st.tuples(st.just("turn"), NAME, st.just("")),  # as many bytes as before, at the time of before
    st.tuples(st.just("rename"), NAME, NAME),
    st.tuples(st.just("remove"), NAME, st.just("")),
    st.tuples(st.just("damage"), st.just(""), st.just("")),
    st.tuples(st.just("look"), st.sampled_from(READERS), st.sampled_from(["**/*.py", "**/*"])),
)


def found(root: Path, folder: Path | None, reader: Reader = BLIND, include: str = "**/*.py") -> dict[str, Any]:
    """What two owners of the same files have in common, and what was left out."""
    corpora = [open_corpus(name, str(root), (include,)) for name in "ab"]
    if folder is None:
        result = find_clones(corpora, 2, reader)
    else:
        with Index(folder) as opened:
            result = find_clones(corpora, 2, reader, opened)
    return {**result.to_json(reader.unit), "skipped": [corpus.skipped.drops() for corpus in corpora]}


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.tokens"))


def edit(root: Path, kind: str, name: str, other: str) -> None:
    path = root / name
    if kind == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(other, encoding="utf-8")
    elif path.exists() and kind == "turn":
        before = path.stat()
        path.write_bytes(path.read_bytes().replace(b"x", b"#"))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif path.exists() and kind == "rename":
        (root / other).parent.mkdir(exist_ok=True)
        path.rename(root / other)
    elif kind == "remove":
        path.unlink(missing_ok=True)


@settings(max_examples=scaled(60), deadline=None)
@given(edits=st.lists(EDIT, min_size=1, max_size=12))
def test_any_edits_give_what_is_found_without_an_index(edits: list[tuple[str, Any, Any]]) -> None:
    with tempfile.TemporaryDirectory() as place:
        root, folder = Path(place) / "code", Path(place) / "index"
        root.mkdir()
        (root / "start.py").write_text("".join(STATEMENTS))
        for kind, one, other in [*edits, ("look", BLIND, "**/*.py")]:
            if kind == "look":
                assert found(root, folder, one, other) == found(root, None, one, other)
            elif kind == "damage":
                for path in segments(folder)[:1]:
                    path.write_bytes(path.read_bytes()[:-1])
            else:
                edit(root, kind, one, other)


@pytest.fixture
def code(tmp_path: Path) -> Path:
    root = tmp_path / "code"
    root.mkdir()
    for number in range(6):
        (root / f"{number}.py").write_text(f"def f{number}(x):\n    return x + {number}  # {number}\n" * (number + 2))
    return root


@pytest.fixture
def lexed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The contents that lexers were given, from now on."""
    contents: list[bytes] = []
    lex = chunks.lex
    monkeypatch.setattr(chunks, "lex", lambda name, content: (contents.append(content), lex(name, content))[1])
    return contents


def test_only_what_is_new_is_lexed(code: Path, lexed: list[bytes], tmp_path: Path) -> None:
    expected = found(code, tmp_path / "index")
    assert expected == found(code, None)
    lexed.clear()
    assert found(code, tmp_path / "index") == expected
    for reader in READERS:
        assert found(code, tmp_path / "index", reader)["matches"]
    (code / "0.py").rename(code / "renamed.py")
    (code / "copy.py").write_bytes((code / "1.py").read_bytes())
    (code / "2.py").unlink()
    os.utime(code / "3.py", (0, 0))
    found(code, tmp_path / "index")
    assert lexed == []
    (code / "4.py").write_text("new = 1\n")
    found(code, tmp_path / "index")
    assert lexed == [b"new = 1\n"]
    (code / "4.py").rename(code / "4.js")  # another lexer
    found(code, tmp_path / "index", include="**/*")
    assert lexed == [b"new = 1\n"] * 2


def test_processes_find_what_is_found_without_them(
    code: Path, lexed: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = found(code, None)
    lexed.clear()
    monkeypatch.setattr(chunks, "_ALONE_BYTES", 0)
    assert found(code, None) == found(code, tmp_path / "index") == expected
    assert lexed == []  # here


def test_lines_as_they_stand_need_no_index(code: Path, tmp_path: Path) -> None:
    assert found(code, tmp_path / "index", Reader())["matches"]
    assert segments(tmp_path / "index") == []


def test_another_version_of_the_lexers_has_an_index_of_its_own(
    code: Path, lexed: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pygments

    found(code, tmp_path / "index")
    lexed.clear()
    with monkeypatch.context() as changed:
        changed.setattr(pygments, "__version__", "0")
        found(code, tmp_path / "index")
        assert len(lexed) == 6
    lexed.clear()
    found(code, tmp_path / "index")
    assert lexed == []


def test_another_seed_after_a_collision_lexes_nothing(
    code: Path, lexed: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the first seed all units have one hash."""
    expected = found(code, tmp_path / "index")
    lexed.clear()
    hash_units = chunks.hash_units
    seeds = set[int]()

    def hash_badly(units: Any, seed: int) -> Any:
        seeds.add(seed)
        return hash_units(units, seed) * (seed > 0)

    monkeypatch.setattr(chunks, "hash_units", hash_badly)
    assert found(code, tmp_path / "index") == expected
    assert (seeds, lexed) == ({0, 1}, [])


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut short": lambda content: content[:-1],
    "half": lambda content: content[: len(content) // 2],
    "longer": lambda content: content + b"\0",
    "other content": lambda content: b"nothing of ours" * 10,
    "one bit": lambda content: content[:-100] + bytes([content[-100] ^ 1]) + content[-99:],
    "one bit of the head": lambda content: content[:17] + bytes([content[17] ^ 1]) + content[18:],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_made_anew(code: Path, lexed: list[bytes], tmp_path: Path, damage: str) -> None:
    expected = found(code, tmp_path / "index")
    (segment,) = segments(tmp_path / "index")
    whole = segment.read_bytes()
    segment.write_bytes(DAMAGES[damage](whole))
    lexed.clear()
    assert found(code, tmp_path / "index") == expected
    assert len(lexed) == 6
    assert [path.read_bytes() for path in segments(tmp_path / "index")] == [whole]


def test_what_a_killed_process_left_is_removed_in_the_end(code: Path, tmp_path: Path) -> None:
    found(code, tmp_path / "index")
    (segment,) = segments(tmp_path / "index")
    old, new = segment.with_name("old.unfinished"), segment.with_name("new.unfinished")
    for path in (old, new):
        path.write_bytes(b"half of")
    os.utime(old, (0, 0))
    found(code, tmp_path / "index")
    assert (old.exists(), new.exists()) == (False, True)


def fill(folder: Path, names: str) -> None:
    """A segment for each name, in an index opened each time."""
    for name in names:
        with Index(folder) as opened:
            opened.add(content_key("x.py", name.encode()), np.array([ord(name)], dtype=np.uint32))


def held(folder: Path, names: str) -> list[Tokens | None]:
    with Index(folder) as opened:
        return [opened.find(content_key("x.py", name.encode())) for name in names]


def test_many_segments_become_one_and_what_is_unused_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "_MOST_SEGMENTS", 4)
    fill(tmp_path, "abcd")
    assert len(segments(tmp_path)) == 4
    fill(tmp_path, "e")
    assert len(segments(tmp_path)) == 1  # four unused to one that is used
    assert held(tmp_path, "abcdef") == [*map(ord, "abcde"), None]
    fill(tmp_path, "fghi")
    assert len(segments(tmp_path)) == 1  # eight unused
    assert held(tmp_path, "abcdefghi") == [None] * 8 + [ord("i")]


def test_an_index_that_another_process_writes_anew_goes_on_being_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_MOST_SEGMENTS", 2)
    fill(tmp_path, "ab")
    with Index(tmp_path) as one, Index(tmp_path) as other:
        one.add(content_key("x.py", b"c"), np.array([ord("c")], dtype=np.uint32))
        one.__exit__()
        assert len(segments(tmp_path)) == 1
        assert other.find(content_key("x.py", b"a")) == [ord("a")]
        assert other.find(content_key("x.py", b"c")) is None
        other.add(content_key("x.py", b"d"), np.array([ord("d")], dtype=np.uint32))
    assert held(tmp_path, "abcd") == [*map(ord, "abcd")]


SCRIPT = """
import sys
from pathlib import Path
from raysim.scan import index
from raysim.scan.clones import find_clones
from raysim.scan.corpora import open_corpus
from raysim.scan.reading import Reader
index._PENDING_BYTES = 1
if len(sys.argv) > 3:
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
with index.Index(Path(sys.argv[2])) as opened:
    reader = Reader("lines", ignore_comments=True, blind=True)
    found = find_clones([open_corpus(name, sys.argv[1]) for name in "ab"], 2, reader, opened)
print(len(found.matches), len(found.pairs), opened.problem)
"""


def begin(*arguments: Any) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", SCRIPT, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def test_two_processes_at_once(code: Path, lexed: list[bytes], tmp_path: Path) -> None:
    both = [begin(code, tmp_path / "index") for _ in range(2)]
    assert [process.communicate()[0].split()[-1] for process in both] == ["None", "None"]
    assert [process.returncode for process in both] == [0, 0]
    expected = found(code, None)
    lexed.clear()
    assert found(code, tmp_path / "index") == expected
    assert lexed == []


def test_a_process_that_is_killed_leaves_what_it_had(code: Path, lexed: list[bytes], tmp_path: Path) -> None:
    """It is killed at the first segment that it writes; each file makes one."""
    for number in range(6, 80):
        (code / f"{number}.py").write_text(f"def f{number}(x):\n    return x + {number}\n" * 20)
    process = begin(code, tmp_path / "index")
    while not segments(tmp_path / "index"):
        assert process.poll() is None
    process.kill()
    process.communicate()
    expected = found(code, None)
    lexed.clear()
    assert found(code, tmp_path / "index") == expected
    assert 0 < len(lexed) < 80


def test_a_disk_that_is_full_costs_the_index_alone(code: Path, tmp_path: Path) -> None:
    """No file may be longer than 100 bytes."""
    out = begin(code, tmp_path / "index", "full").communicate()[0]
    expected = find_clones([open_corpus(name, str(code)) for name in "ab"], 2, BLIND)
    assert out.strip() == (
        f"{len(expected.matches)} {len(expected.pairs)} --index {tmp_path / 'index'}: not written: File too large"
    )
    assert list((tmp_path / "index").glob("*/*")) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"--index .*file: .*name a folder that can be made"):
        Index(tmp_path / "file")
