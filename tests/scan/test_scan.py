"""`scan` and `clones` against brute force, and against closed forms where that would take too long."""

import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import brute
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from raysim.scan.clones import find_clones
from raysim.scan.corpora import CodeCollection
from raysim.scan.reading import Reader
from raysim.scan.scan import scan
from raysim.tables.names import PUBLIC

Files = Mapping[str, str]

# Few different lines, so that many are equal; ends of lines and white space of every kind, and what only looks like it.
LINE = st.sampled_from(
    ["a", "b", "  a", "a\t", "\tb ", "x = 'é\u2028'", "\u00a0a\u2003", "\ufeffa", "", " ", "\x0c", "a\x0cb", "ß"]
)
END = st.sampled_from(["\n", "\n", "\n", "\r\n", "\r", "\n\n", "\x0c\n", "\x1c", "\x85"])
TEXT = st.lists(st.tuples(LINE, END), max_size=14).map(lambda parts: "".join(line + end for line, end in parts))
TEXT |= st.tuples(TEXT, LINE).map("".join)  # no line feed at the end
TEXT |= st.integers(0, 300).map(lambda count: "same\n" * count)
FILES = st.dictionaries(st.sampled_from(["a.py", "b.py", "d/c.py"]), TEXT, min_size=1, max_size=3)


def corpus(name: str, files: Files) -> CodeCollection:
    paths = sorted(files)
    return CodeCollection(name, paths, lambda number: files[paths[number]].encode("utf-8", "surrogatepass"))


reader = Reader()


@settings(max_examples=50, deadline=None)
@given(generated=FILES, owners=st.dictionaries(st.sampled_from("xyz"), FILES, min_size=1), min_lines=st.integers(1, 6))
@example(generated={"a.py": ""}, owners={"x": {"a.py": "\n"}}, min_lines=6)
@example(generated={"a.py": "same\n" * 300}, owners={"x": {"a.py": "same\n" * 299, "b.py": "same"}}, min_lines=6)
def test_scan_equals_brute_force(generated: Files, owners: Mapping[str, Files], min_lines: int) -> None:
    compare_scan(generated, owners, min_lines)


def compare_scan(generated: Files, owners: Mapping[str, Files], min_lines: int) -> None:
    found = scan(corpus("g", generated), [corpus(n, f) for n, f in owners.items()], None, min_lines, reader).to_json()
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


@settings(max_examples=50, deadline=None)
@given(owners=st.dictionaries(st.sampled_from("xyz"), FILES, min_size=1), min_lines=st.integers(1, 6))
def test_clones_equal_brute_force(owners: Mapping[str, Files], min_lines: int) -> None:
    compare_clones(owners, min_lines)


def compare_clones(owners: Mapping[str, Files], min_lines: int) -> None:
    found = find_clones([corpus(n, f) for n, f in owners.items()], min_lines, reader).to_json()
    pairs = {(pair["org"], pair["other"]): pair for pair in found["pairs"]}
    assert pairs.keys() == {(org, other) for org in owners for other in owners}
    shared = 0
    for org, files in owners.items():
        covered = {n: brute.covered(files, others, min_lines, own=n == org) for n, others in owners.items()}
        assert {n: pairs[org, n]["covered"] for n in owners} == {n: len(lines) for n, lines in covered.items()}
        assert {pairs[org, n]["lines"] for n in owners} == {len(brute.places(files))}
        shared += len(set().union(*(lines for n, lines in covered.items() if n != org)))
        for n, lines in covered.items():
            assert pairs[org, n]["fragments"] == stretches(files, lines)
    assert found["totals"]["shared_lines"] == shared
    names = list(owners)
    expected = [
        {"org": org, **row}
        for at, org in enumerate(names)
        for row in brute.matches(owners[org], {n: owners[n] for n in names[at + 1 :]}, min_lines)
    ]
    assert found["matches"] == expected


def stretches(files: Files, covered: set[tuple[str, int]]) -> int:
    """Distinct longest stretches of covered lines of one file."""
    found: set[tuple[str, ...]] = set()
    for path, text in files.items():
        stretch: list[str] = []
        for line, number in [*zip(*brute.significant_lines(text), strict=True), ("", 0)]:
            if (path, number) in covered:
                stretch.append(line)
            elif stretch:
                found.add(tuple(stretch))
                stretch = []
    return len(found)


REAL = {
    "meta": ["torch/nn", "torch/ao", "torch/quantization", "torch/distributed/optim"],
    "microsoft": ["deepspeed/runtime", "deepspeed/ops"],
    "google": ["google/protobuf", "google/api_core", "google/auth", "grpc"],
}


def real_files(*folders: str) -> Files:
    """The Python files in some folders of the installed packages, as they stand."""
    client = Path(sysconfig.get_path("purelib"))
    return {
        str(file.relative_to(client)): file.read_bytes().decode()
        for folder in folders
        for file in sorted((client / folder).rglob("*.py"))
    }


@pytest.mark.parametrize("min_lines", [2, 6])
def test_real_code_of_three_owners_equals_brute_force(min_lines: int) -> None:
    owners = {name: real_files(*folders) for name, folders in REAL.items()}
    compare_clones(owners, min_lines)
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


def test_hashes_that_collide_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the first seed all units have one hash; what is found is what stands there all the same."""
    from raysim.scan import chunks

    hash_units = chunks.hash_units
    seeds = []

    def hash_badly(units: Any, seed: int) -> Any:
        seeds.append(seed)
        return hash_units(units, seed) * (seed > 0)

    monkeypatch.setattr(chunks, "hash_units", hash_badly)
    found = scan(
        corpus("g", {"g.py": "".join(f"g{i}\n" for i in range(9))}),
        [corpus("a", {"a.py": "".join(f"a{i}\n" for i in range(9))})],
        None,
        6,
        reader,
    )
    assert found.matches == []
    assert set(seeds) == {0, 1}


def test_what_does_not_fit_in_memory_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four files, a chunk each; two of them fit."""
    from raysim.scan import chunks, source

    files = {f"{i}.py": "".join(f"line {i} {n}\n" for n in range(9)) for i in range(4)}
    reads = []

    def counted(name: str) -> CodeCollection:
        plain = corpus(name, files)
        return CodeCollection(name, plain.paths, lambda number: (reads.append((name, number)), plain.read(number))[1])

    monkeypatch.setattr(chunks, "CHUNK_BYTES", 1)
    expected = find_clones([counted("a"), counted("b")], 6, reader).to_json()
    assert sorted(reads) == [(name, number) for name in "ab" for number in range(4)]
    with chunks.Workers(reader) as workers:
        num_bytes = next(workers.make(corpus("a", files), 0, lambda chunk: chunk.num_bytes))
    monkeypatch.setattr(source, "_KEPT_BYTES", int(2.5 * num_bytes))
    reads.clear()
    assert find_clones([counted("a"), counted("b")], 6, reader).to_json() == expected
    assert sorted(reads) == [(name, number) for name in "ab" for number in (0, 1, 2, 2, 3, 3)]
