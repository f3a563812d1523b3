"""What people read of a scan, and what programs do."""

import io
import json
from pathlib import Path

from rich.console import Console, RenderableType

from raysim.scan.command import Input, Lexing, ScanFinding, run_clones, run_scan
from raysim.scan.reading import Reader
from raysim.scan.views import as_json, as_rows, clones_view, scan_view

WHERE = Input(None, "content")


def shown(view: RenderableType) -> str:
    out = io.StringIO()
    Console(file=out, width=140).print(view)
    return out.getvalue()


def find(tmp_path: Path) -> tuple[ScanFinding, ScanFinding]:
    for name, lines in (("g", 10), ("acme", 8), ("b", 4)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "[x].py").write_text("".join(f"line {number}\n" for number in range(lines)))
    owners = [f"acme={tmp_path / 'acme'}", f"[b]={tmp_path / 'b'}"]
    return run_scan([str(tmp_path / "g")], owners, (), WHERE, 3, Reader(), Lexing()), run_clones(
        owners, WHERE, 3, Reader(), Lexing()
    )


def test_a_scan_is_totals_and_the_longest_match_side_by_side(tmp_path: Path) -> None:
    found, _ = find(tmp_path)
    text = shown(scan_view(found, "lines"))
    for words in ("1 files, 10 lines", "80.00% of the lines are in somebody's code.", "acme: [x].py:1", "[b]"):
        assert words in text
    assert text.count("line 7") == 2


def test_clones_are_a_matrix(tmp_path: Path) -> None:
    _, found = find(tmp_path)
    text = shown(clones_view(found, "lines"))
    for words in ("50.00%", "100.00%", "0.00%", "On the diagonal", "The longest of 1 matches"):
        assert words in text


def test_nothing_found_is_said(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x\n")
    nothing = run_clones([f"a={tmp_path}", f"b={tmp_path}"], WHERE, 6, Reader(), Lexing())
    assert "No match." in shown(clones_view(nothing, "lines"))


def test_json_and_rows_hold_what_was_found(tmp_path: Path) -> None:
    found, clones = find(tmp_path)
    for finding in (found, clones):
        assert json.loads(as_json(finding.found)) == finding.found
    row, shorter = as_rows(found.excerpts)
    assert (row["start"], row["lines"], row["left_out"]) == (1, 8, 0)
    assert row["owners"] == ["acme: [x].py:1"]
    assert (shorter["lines"], shorter["owners"]) == (4, ["[b]: [x].py:1"])
    assert row["ours"] == row["theirs"] == "\n".join(f"line {number}" for number in range(8))


def test_clones_name_the_owners_of_both_files(tmp_path: Path) -> None:
    scanned, clones = find(tmp_path)
    assert "acme: [x].py:1" in shown(clones_view(clones, "lines"))
    assert "[b]: [x].py:1" in shown(clones_view(clones, "lines"))
    assert [row["file"] for row in as_rows(clones.excerpts)] == ["acme: [x].py"]
    assert [row["file"] for row in as_rows(scanned.excerpts)] == ["[x].py", "[x].py"]


def test_tokens_are_called_tokens(tmp_path: Path) -> None:
    find(tmp_path)
    owners = [f"{name}={tmp_path / name}" for name in ("acme", "b")]
    tokens = Reader("tokens")
    scanned = run_scan([str(tmp_path / "g")], owners, (), WHERE, 3, tokens, Lexing()).found
    clones = run_clones(owners, WHERE, 3, tokens, Lexing()).found
    for found in (scanned, clones):
        names = {name for row in (found["totals"], *found["matches"], *found.get("pairs", ())) for name in row}
        assert "tokens" in names
        assert not [name for name in names if "lines" in name]
    assert scanned["totals"]["covered_tokens"] == {"acme": 16, "b": 8}
    assert "16" in shown(scan_view(run_scan([str(tmp_path / "g")], owners, (), WHERE, 3, tokens, Lexing()), "tokens"))


def test_a_line_without_end_is_shown_as_far_as_people_read(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.py").write_text("x = [" + "1, " * 30_000 + "]\n")
    found = run_clones([f"{name}={tmp_path / name}" for name in "ab"], WHERE, 1, Reader(), Lexing())
    assert [len(row["ours"]) for row in as_rows(found.excerpts)] == [400]
