"""`scan` against brute force, and against closed forms where that would take too long."""

from collections.abc import Mapping

import brute
import pytest
from code_files import FILES, REAL, Files, corpus, real_files
from examples import scaled
from hypothesis import example, given, settings
from hypothesis import strategies as st

from raysim.scan.reading import Reader
from raysim.scan.scan import scan
from raysim.tables.names import PUBLIC

reader = Reader()


@settings(max_examples=scaled(50), deadline=None)
@given(generated=FILES, owners=st.dictionaries(st.sampled_from("xyz"), FILES, min_size=1), min_lines=st.integers(1, 6))
@example(generated={"a.py": ""}, owners={"x": {"a.py": "\n"}}, min_lines=6)
@example(generated={"a.py": "same\n" * 300}, owners={"x": {"a.py": "same\n" * 299, "b.py": "same"}}, min_lines=6)
def test_scan_equals_brute_force(generated: Files, owners: Mapping[str, Files], min_lines: int) -> None:
    compare_scan(generated, owners, min_lines)


def compare_scan(generated: Files, owners: Mapping[str, Files], min_lines: int) -> None:
    found = scan(corpus("g", generated), [corpus(n, f) for n, f in owners.items()], None, min_lines, reader).to_json(
        reader.unit
    )
    expected = brute.matches(generated, owners, min_lines)
    assert found["matches"] == [{"generated": row.pop("path"), **row} for row in expected]
    covered = {name: brute.covered(generated, files, min_lines) for name, files in owners.items()}
    assert found["totals"]["covered_lines"] == {name: len(lines) for name, lines in covered.items()}
    anybody = set().union(*covered.values())
    owner_count = {line: sum(line in lines for lines in covered.values()) for line in anybody}
    assert found["totals"]["shared_lines"] == sum(count > 1 for count in owner_count.values())
    assert found["totals"]["exclusive_lines"] == {
        name: sum(owner_count[line] == 1 for line in lines) for name, lines in covered.items()
    }
    assert found["totals"]["significant_lines"] == len(brute.places(generated))
    assert found["totals"]["samples"] == len(generated)


@pytest.mark.parametrize("min_lines", [2, 6])
def test_real_code_of_three_owners_equals_brute_force(min_lines: int) -> None:
    owners = {name: real_files(*folders) for name, folders in REAL.items()}
    asked = {path: text for files in owners.values() for path, text in list(files.items())[::40]}
    compare_scan(asked, owners, min_lines)


def test_what_a_reference_has_is_public() -> None:
    public, private = "".join(f"p{i}\n" for i in range(8)), "".join(f"q{i}\n" for i in range(8))
    found = scan(
        corpus("g", {"g.py": public + "x\n" + private}),
        [corpus("a", {"a.py": private + "y\n" + public})],
        corpus(PUBLIC, {"r.py": public}),
        6,
        reader,
    )
    assert found.covered_lines == {"a": 16}
    assert found.exclusive_lines == {"a": 8}
    assert (found.public_lines, found.owned_lines, found.share) == (8, 8, 8 / 17)
    assert [(match.start, match.lines, [o.org for o in match.owners]) for match in found.matches] == [
        (1, 8, [PUBLIC, "a"]),
        (10, 8, ["a"]),
    ]


def test_a_hundred_thousand_equal_lines() -> None:
    """A run of all of one's lines begins at every place of the other that leaves room for it."""
    short, long = "same\n" * 60_000, "same\n" * 100_000
    found = scan(corpus("g", {"g.py": long}), [corpus("a", {"a.py": short})], None, 6, reader)
    assert [match.start for match in found.matches] == list(range(1, 40_002))
    assert {(match.lines, match.owners[0].count) for match in found.matches} == {(60_000, 1)}
    assert found.covered_lines == {"a": 100_000}
    (match,) = scan(corpus("g", {"g.py": short}), [corpus("a", {"a.py": long})], None, 6, reader).matches
    assert (match.start, match.lines, match.owners[0].count) == (1, 60_000, 40_001)


def test_lines_of_a_megabyte() -> None:
    """Two of six lines differ in their last byte alone."""
    lines = ["v" * (1 << 20) + str(i) for i in range(8)]
    other = [*lines[:7], lines[7][:-1] + "x"]
    text = "\n".join(lines)
    found = scan(corpus("g", {"g.py": text}), [corpus("a", {"a.py": "\n".join(other)})], None, 6, reader)
    assert [(match.start, match.lines) for match in found.matches] == [(1, 7)]
    assert found.covered_lines == {"a": 7}
