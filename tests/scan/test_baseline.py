"""Known findings are not reported again, and one more of the same kind is."""

from pathlib import Path

import pytest

from raysim.core.errors import InputError
from raysim.scan.baseline import new_findings, read_baseline, write_baseline
from raysim.scan.code_findings import CodeFinding


def finding(name: str, start: int = 1) -> CodeFinding:
    return CodeFinding("S307", "warning", "eval", "a.py", start, start, name)


def test_a_second_run_reports_nothing(tmp_path: Path) -> None:
    findings = [finding("one"), finding("two"), finding("one", 9)]
    write_baseline(tmp_path / "known.json", findings)
    known = read_baseline(tmp_path / "known.json")
    assert new_findings(findings, known) == []
    assert new_findings([finding("one", 30)], known) == []


def test_what_is_new_is_reported(tmp_path: Path) -> None:
    write_baseline(tmp_path / "known.json", [finding("one")])
    known = read_baseline(tmp_path / "known.json")
    findings = [finding("one"), finding("three"), finding("one", 9)]
    assert new_findings(findings, known) == findings[1:]


def test_the_file_does_not_depend_on_the_order(tmp_path: Path) -> None:
    for name, order in (("a", "xyz"), ("b", "zyx")):
        write_baseline(tmp_path / name, [finding(one) for one in order])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": "another", "findings": []}', "[" * 10_000])
def test_what_is_none_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "known.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"is no baseline; write one with --write-baseline"):
        read_baseline(path)
    with pytest.raises(InputError, match="No such file"):
        read_baseline(tmp_path / "missing")
