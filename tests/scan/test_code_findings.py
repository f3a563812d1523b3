"""Matches as findings: where, what, and a name that survives edits elsewhere in the file."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from raysim.scan.code_findings import CodeFinding, fingerprint
from raysim.scan.command import Input, Lexing, run_clones, run_scan
from raysim.scan.reading import Reader

LINES = [f"value_{number} = {number}\n" for number in range(12)]
WHERE = Input(None, "content")


def write(folder: Path, files: Mapping[str, list[str]]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, lines in files.items():
        (folder / name).write_text("".join(lines))
    return folder


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    return write(tmp_path / "acme", {"a.py": LINES, "b.py": ["x = 1\n", *LINES[:6]]})


def scanned(generated: Path, acme: Path, reference: Path | None = None) -> list[CodeFinding]:
    references = [str(reference)] if reference else []
    found = run_scan([str(generated)], [f"acme={acme}"], references, WHERE, 3, Reader(), Lexing())
    return found.code_findings("lines")


def test_a_match_is_a_finding(tmp_path: Path, acme: Path) -> None:
    generated = write(tmp_path / "generated", {"g.py": ["y = 2\n", *LINES[:5]]})
    (found,) = scanned(generated, acme)
    assert (found.rule, found.level, found.path, found.start, found.end) == ("copied-code", "warning", "g.py", 2, 6)
    assert found.message == "5 lines that are in acme: a.py, line 1 and 1 more place"


def test_the_name_stays_when_lines_are_added_above(tmp_path: Path, acme: Path) -> None:
    generated = write(tmp_path / "generated", {"g.py": LINES[:5], "h.py": LINES[:5]})
    before = scanned(generated, acme)
    assert len({one.fingerprint for one in before}) == 2
    write(generated, {"g.py": ["y = 2\n", "\n", *LINES[:5]]})
    after = scanned(generated, acme)
    assert [one.fingerprint for one in after] == [one.fingerprint for one in before]
    assert [one.start for one in after] == [3, 1]
    write(generated, {"g.py": LINES[:6]})
    assert scanned(generated, acme)[0].fingerprint != before[0].fingerprint


def test_what_is_public_is_nobodys(tmp_path: Path, acme: Path) -> None:
    generated = write(tmp_path / "generated", {"g.py": LINES})
    public = write(tmp_path / "public", {"p.py": LINES[:4]})
    found = scanned(generated, acme, public)
    assert [(one.start, one.end) for one in found] == [(1, 12)]
    assert not any("p.py" in one.message for one in found)
    assert scanned(generated, acme, write(tmp_path / "all", {"p.py": LINES})) == []


def test_clones_name_their_owner(tmp_path: Path, acme: Path) -> None:
    other = write(tmp_path / "other", {"o.py": LINES[2:8]})
    found = run_clones([f"acme={acme}", f"other={other}"], WHERE, 3, Reader(), Lexing()).code_findings("lines")
    assert ("acme/a.py", 3, 8) in {(one.path, one.start, one.end) for one in found}


def test_a_fingerprint_is_of_code_and_not_of_its_indentation() -> None:
    assert fingerprint("r", "p", "a = 1\n  b") == fingerprint("r", "p", "  a = 1\nb\n")
    assert len({fingerprint("r", "p", "a"), fingerprint("s", "p", "a"), fingerprint("r", "q", "a")}) == 3
