"""What the command line names, and what the commands make of it."""

from pathlib import Path

import pytest

from raysim.core.errors import InputError
from raysim.scan.command import GENERATED, Input, Lexing, run_clones, run_scan
from raysim.scan.reading import Reader
from raysim.scan.scan import PUBLIC

WHERE = Input(None, "content")
LINES = [f"line {number}\n" for number in range(12)]


def write(folder: Path, lines: list[str]) -> Path:
    folder.mkdir()
    (folder / "a.py").write_text("".join(lines))
    return folder


def test_an_owner_that_is_named_twice_has_both_paths(tmp_path: Path) -> None:
    one, two, other = (write(tmp_path / name, LINES) for name in ("one", "two", "other"))
    found = WHERE.open_all([f"acme={one}", f"b={other}", f"acme={two}"])
    assert [(corpus.name, list(corpus.paths)) for corpus in found] == [
        ("acme", ["one/a.py", "two/a.py"]),
        ("b", ["a.py"]),
    ]


@pytest.mark.parametrize("text", ["acme", "acme=", "=path"])
def test_a_corpus_without_name_or_path_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="expected NAME=PATH"):
        WHERE.open_all([text])


def test_scan_counts_what_has_an_owner_and_is_not_public(tmp_path: Path) -> None:
    generated, acme = write(tmp_path / "generated", LINES), write(tmp_path / "acme", LINES[:9])
    public = write(tmp_path / "public", LINES[:6])
    (acme / "latin.py").write_bytes(b"\xe9")
    found = run_scan([str(generated)], [f"acme={acme}"], [str(public)], WHERE, 3, Reader(), Lexing())
    totals = found.found["totals"]
    assert (totals["covered_lines"], totals["public_lines"], totals["owned_lines"]) == ({"acme": 9}, 6, 3)
    assert found.share == 3 / 12
    assert [
        (excerpt.org, excerpt.match.lines, [owner.org for owner in excerpt.match.owners]) for excerpt in found.excerpts
    ] == [(GENERATED, 9, ["acme"]), (GENERATED, 6, [PUBLIC])]
    assert found.notes == ["acme: 1 file left out: not UTF-8"]


@pytest.mark.parametrize("unreadable", ["generated", "acme", "public"])
@pytest.mark.parametrize("content", [b"\xe9", b"version https://git-lfs.github.com/spec/v1\n", b"\xff\xfe\n"])
def test_nothing_is_said_of_code_that_cannot_be_read(tmp_path: Path, unreadable: str, content: bytes) -> None:
    folders = {name: write(tmp_path / name, LINES) for name in ("generated", "acme", "public")}
    (folders[unreadable] / "a.py").write_bytes(content)
    generated, acme, public = map(str, folders.values())
    with pytest.raises(InputError, match=r": none of its files can be read \(a\.py, for one\): 1 "):
        run_scan([generated], [f"acme={acme}"], [public], WHERE, 3, Reader(), Lexing())
    with pytest.raises(InputError, match=r": none of its files can be read"):
        run_clones([f"{name}={folder}" for name, folder in folders.items()], WHERE, 3, Reader(), Lexing())


def test_what_was_left_out_is_found_beside_the_matches(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one", LINES), write(tmp_path / "two", LINES)
    (one / "b.ipynb").write_text("{}")
    (two / "b.py").write_bytes(b"\xe9")
    ipynb = {"reason": "not matched by include: .ipynb", "files": 1, "bytes": 2}
    latin = {"reason": "not UTF-8", "files": 1, "bytes": 0}
    clones = run_clones([f"a={one}", f"b={two}"], WHERE, 3, Reader(), Lexing())
    assert clones.found["left_out"] == {"a": [ipynb], "b": [latin]}
    scanned = run_scan([str(one)], [f"b={two}"], [], WHERE, 3, Reader(), Lexing())
    assert scanned.found["left_out"] == {GENERATED: [ipynb], "b": [latin]}


def test_clones_are_shares_of_each_pair(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one", LINES), write(tmp_path / "two", LINES[:6])
    found = run_clones([f"a={one}", f"b={two}"], WHERE, 3, Reader(), Lexing())
    assert {(pair["org"], pair["other"]): pair["covered"] for pair in found.found["pairs"]} == {
        ("a", "a"): 0,
        ("a", "b"): 6,
        ("b", "a"): 6,
        ("b", "b"): 0,
    }
    assert found.share == 12 / 18
