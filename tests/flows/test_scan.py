"""`raysim scan` and `raysim clones` as commands."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
from drive import raysim

OWN = [f"def f{i}(x):\n    return x + {i}\n" for i in range(12)]


@pytest.fixture
def code(tmp_path: Path) -> Path:
    for name, parts in {"acme": OWN[:8], "umbrella": OWN[6:], "generated": [*OWN[2:7], "unrelated = 1\n"]}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "code.py").write_text("".join(parts))
    (tmp_path / "acme" / "broken.py").write_bytes(b"\xff\xfe\n")
    return tmp_path


def corpora(code: Path) -> list[Any]:
    return ["--corpus", f"acme={code / 'acme'}", "--corpus", f"umbrella={code / 'umbrella'}"]


def test_scan_names_owners_places_and_what_was_left_out(code: Path) -> None:
    out, page = code / "out.json", code / "out.html"
    ended = raysim("scan", "--generated", code / "generated", *corpora(code), "--json", out, "--html", page)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(out.read_text())
    owner = {"org": "acme", "path": "code.py", "start": 5, "count": 1}
    assert found["matches"] == [{"generated": "code.py", "start": 1, "end": 10, "lines": 10, "owners": [owner]}]
    assert found["totals"] == {
        "samples": 1,
        "significant_lines": 11,
        "covered_lines": {"acme": 10, "umbrella": 0},
        "exclusive_lines": {"acme": 10, "umbrella": 0},
        "shared_lines": 0,
        "public_lines": 0,
        "owned_lines": 10,
        "share": 10 / 11,
    }
    assert "acme: code.py:5" in ended.stdout
    assert "90.91%" in ended.stdout
    assert "acme: 1 file left out: not UTF-8" in ended.stdout
    assert "return x + 6" in page.read_text()


def test_a_share_that_is_too_large_ends_with_exit_code_1(code: Path) -> None:
    args = ["scan", "--generated", code / "generated", *corpora(code)]
    assert raysim(*args, "--fail-over", 0.95).returncode == 0
    ended = raysim(*args, "--fail-over", 0.01)
    assert ended.returncode == 1
    assert "90.91% of the lines match, more than --fail-over 1.00%" in ended.stderr


def test_no_share_is_given_of_code_that_cannot_be_read(code: Path) -> None:
    (code / "generated" / "code.py").write_bytes("é = 1\n".encode("latin-1"))
    args = ["scan", "--generated", code / "generated", *corpora(code), "--json", "-"]
    for more in ((), ("--fail-over", 0.5)):
        ended = raysim(*args, *more)
        assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
        assert "(generated): none of its files can be read (code.py, for one): 1 not UTF-8" in ended.stderr


def test_json_and_page_say_what_was_left_out(code: Path) -> None:
    (code / "acme" / "notes.ipynb").write_text("{}")
    (code / "acme" / "again.py").symlink_to(code / "acme" / "code.py")
    page = code / "out.html"
    ended = raysim("clones", *corpora(code), "--json", "-", "--html", page)
    assert ended.returncode == 0, ended.stderr
    reasons = {drop["reason"] for drop in json.loads(ended.stdout)["left_out"]["acme"]}
    assert reasons == {"not UTF-8", "not matched by include: .ipynb", "the same file under a second name"}
    for reason in reasons:
        assert f"Note: acme: 1 file left out: {reason}." in ended.stderr
        assert reason in page.read_text()


def test_a_page_says_when_and_how_it_was_made_and_what_came_of_it(code: Path) -> None:
    page = code / "page.html"
    args = ["scan", "--generated", code / "generated", *corpora(code), "--html", page]
    told = {
        (): ("4 lines and more in a row", "none given (--fail-over)", "no threshold was given: 90.91% of the lines"),
        ("--fail-over", 0.95): ("4 lines and more", "95.00% (--fail-over)", "passed: 90.91% of the lines match"),
        ("--fail-over", 0.1): ("4 lines and more", "10.00% (--fail-over)", "failed: 90.91% of the lines match"),
        ("--blind", "--ignore-comments"): (
            "4 lines and more in a row; comments left out; names and literals taken as equal",
        ),
    }
    for more, words in told.items():
        ended = raysim(*args, "--min-lines", 4, *more)
        assert ended.returncode == (1 if 0.1 in more else 0), ended.stderr
        shown = page.read_text()
        assert all(word in shown for word in words), more
        assert re.search(r"<dd>20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ, by raysim", shown)
        assert "<dd>raysim scan --generated" in shown


def test_what_is_public_is_nobodys(code: Path) -> None:
    args = ["scan", "--generated", code / "generated", *corpora(code), "--reference", code / "acme", "--json", "-"]
    ended = raysim(*args, "--fail-over", 0)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["totals"]["public_lines"] == 10


def test_clones_say_who_shares_what(code: Path) -> None:
    ended = raysim("clones", *corpora(code), "--min-lines", 4, "--json", "-")
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    pairs = {
        (pair["org"], pair["other"]): (pair["covered"], pair["lines"], pair["fragments"]) for pair in found["pairs"]
    }
    assert pairs == {
        ("acme", "acme"): (0, 16, 0),
        ("acme", "umbrella"): (4, 16, 1),
        ("umbrella", "acme"): (4, 12, 1),
        ("umbrella", "umbrella"): (0, 12, 0),
    }
    (match,) = found["matches"]
    assert (match["org"], match["start"], match["owners"][0]["start"]) == ("acme", 13, 1)
    for unit in (("--min-tokens", 20), ("--blind", "--ignore-comments")):
        blind = raysim("clones", *corpora(code), *unit, "--json", "-")
        assert blind.returncode == 0, blind.stderr
        assert json.loads(blind.stdout)["matches"]


def test_an_index_keeps_what_lexers_made(code: Path) -> None:
    args = ["clones", *corpora(code), "--blind", "--index", code / "index", "--json", "-"]
    first, second, without = raysim(*args), raysim(*args), raysim(*args[:-4], "--json", "-")
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout == without.stdout
    assert len(list((code / "index").glob("*/*.tokens"))) == 1
    wrong = raysim(*args[:-3], code / "acme" / "code.py")
    assert wrong.returncode == 2
    assert "code.py is a file; name another place" in " ".join(wrong.stderr.split())


def test_records_and_two_paths_of_one_owner(code: Path) -> None:
    with gzip.open(code / "more.jsonl.gz", "wt") as file:
        for part in ("".join(OWN[:4]), "".join(OWN[4:])):
            file.write(json.dumps({"content": part}) + "\n")
    more = ["--corpus", f"acme={code / 'acme'}", "--corpus", f"acme={code / 'more.jsonl.gz'}"]
    ended = raysim("scan", "--generated", code / "generated", *more, "--json", "-")
    assert ended.returncode == 0, ended.stderr
    owners = [owner for match in json.loads(ended.stdout)["matches"] for owner in match["owners"]]
    assert owners == [{"org": "acme", "path": "acme/code.py", "start": 5, "count": 1}]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--corpus", "acme"], "expected NAME=PATH"),
        (["--corpus", "acme=nowhere"], "nowhere: no such file or folder"),
        (["--corpus", "acme=."], "holds no file that matches **/*.py"),
    ],
)
def test_input_that_cannot_be_used_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = raysim("clones", *args)
    assert ended.returncode == 2
    assert words in " ".join(ended.stderr.split())


@pytest.mark.stress
@pytest.mark.parametrize("line", ["tabs", "text", "numbers"])
def test_a_line_of_59_megabytes_ends_by_tokens(line: str, code: Path) -> None:
    """It took more than two minutes once, for each kind of line."""
    numbers = " ".join(map(str, range(7_800_000)))
    content = {"tabs": "\t" * 59_000_000 + "x = 1", "text": f"x = '{'ab' * 29_500_000}'", "numbers": f"x = [{numbers}]"}
    (code / "acme" / "long.py").write_text(content[line] + "\n")
    out = code / "out.json"
    ended = raysim(
        "scan", "--generated", code / "generated", *corpora(code), "--min-tokens", 50, "--json", out, timeout=300
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(out.read_text())["totals"]["samples"] == 1
