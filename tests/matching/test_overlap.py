"""Bounds, emissions and copies, against every window of every file compared with every other as text."""

from collections.abc import Mapping, Sequence

import hypothesis.strategies as st
import pyarrow as pa
from examples import scaled
from hypothesis import given, settings

from raysim.corpus.files import SourceFile
from raysim.corpus.line_digests import digest_lines, digest_windows
from raysim.corpus.lines import significant_lines
from raysim.matching.line_index import LineIndex, build_index, extended
from raysim.matching.matches import MATCH_SCHEMA
from raysim.matching.overlap import (
    Written,
    by_places,
    copies_by_organization,
    emission_rows,
    groups_of,
    seen_rows,
    written_windows,
)
from raysim.matching.truths import truth_windows
from raysim.measures.memorization.settings import MemorizationSettings, PromptCounts

SECRET = b"secret"
Corpora = Mapping[str, Sequence[str]]
Window = tuple[str, ...]


def files(texts: Sequence[str]) -> list[SourceFile]:
    return [SourceFile(f"f{i}.py", text, "r") for i, text in enumerate(texts)]


def indexes(corpora: Corpora, min_lines: int, secret: bytes = SECRET) -> dict[str, LineIndex]:
    return {name: build_index(files(texts), min_lines, secret) for name, texts in corpora.items()}


def windows(text: str, min_lines: int) -> list[Window]:
    lines = significant_lines(text)[0]
    return [tuple(lines[i : i + min_lines]) for i in range(len(lines) - min_lines + 1)]


def lines_in(texts: Sequence[str], wanted: set[Window], min_lines: int) -> set[tuple[int, int]]:
    """Lines (of which text, which line) that lie in a wanted window."""
    return {
        (number, start + offset)
        for number, text in enumerate(texts)
        for start, window in enumerate(windows(text, min_lines))
        if window in wanted
        for offset in range(min_lines)
    }


def all_windows(corpora: Corpora, names: Sequence[str], min_lines: int) -> set[Window]:
    return {window for name in names for text in corpora[name] for window in windows(text, min_lines)}


TEXT = st.lists(st.sampled_from(["a", " b", "c ", "", "d"]), max_size=10).map("\n".join)
CORPORA = st.fixed_dictionaries({name: st.lists(TEXT, min_size=1, max_size=3) for name in "xyz"})


def test_groups_of() -> None:
    assert groups_of("ab") == [("a",), ("b",), ("a", "b")]
    assert len(groups_of("abcdef")) == 63
    assert groups_of("abcdefg") == [*((name,) for name in "abcdefg"), tuple("abcdefg")]


def test_the_bound_by_hand() -> None:
    """abc stands in y, de in z and in the reference; q nowhere."""
    corpora = {"x": ["a\nb\nc\nq\nd\ne"], "y": ["b\nc", "a\nb"], "z": ["d\ne\nf"]}
    table = seen_rows("x", files(corpora["x"]), 2, indexes(corpora, 2), build_index(files(["d\ne"]), 2, SECRET), SECRET)
    assert [tuple(row.values()) for row in table.to_pylist()] == [
        ("x", ["y"], 6, 3, 0),
        ("x", ["z"], 6, 2, 2),
        ("x", ["y", "z"], 6, 5, 2),
    ]


@settings(max_examples=scaled(150), deadline=None)
@given(CORPORA, st.lists(TEXT, max_size=2), st.integers(1, 3))
def test_the_bound_is_every_window_of_the_others(corpora: Corpora, public: list[str], min_lines: int) -> None:
    reference = build_index(files(public), min_lines, SECRET)
    table = seen_rows("x", files(corpora["x"]), min_lines, indexes(corpora, min_lines), reference, SECRET)
    known = {window for text in public for window in windows(text, min_lines)}
    assert sorted(sorted(row["others"]) for row in table.to_pylist()) == [["y"], ["y", "z"], ["z"]]
    for row in table.to_pylist():
        seen = lines_in(corpora["x"], all_windows(corpora, row["others"], min_lines), min_lines)
        assert row["lines"] == sum(len(significant_lines(text)[0]) for text in corpora["x"])
        assert row["seen"] == len(seen)
        assert row["public"] == len(seen & lines_in(corpora["x"], known, min_lines))


def matches(runs: Sequence[str], owner: str = "x") -> pa.Table:
    rows = [{"prompt": "p", "owner": owner, "start": 2, "text": text} for text in runs]
    return pa.Table.from_pylist(rows, schema=MATCH_SCHEMA)


def test_emissions_by_hand() -> None:
    """A model of y wrote ab, which y has, and de, which it has not and which is public; both lines of each are x's."""
    corpora = {"x": ["a\nb\nc\nq\nd\ne"], "y": ["b\nc", "a\nb"]}
    reference = build_index(files(["d\ne"]), 2, SECRET)
    wrote = written_windows(matches(["  a\n\n\tb", "d\ne", "a\nb"]), {}, "x", 2, SECRET)
    assert len(wrote) == 2
    of = [Written(("y",), wrote), Written((), wrote), Written(("x",), wrote), Written(("y",), wrote[:0])]
    tables = emission_rows("x", files(corpora["x"]), 2, of, indexes(corpora, 2), reference, SECRET)
    assert [tuple(table.to_pylist()[0].values()) for table in tables] == [
        ("x", 6, 3, 4, 2, 2),
        ("x", 6, 0, 4, 0, 2),
        ("x", 6, 6, 4, 4, 2),
        ("x", 6, 3, 0, 0, 0),
    ]


def test_only_what_the_model_wrote_of_that_owner_counts() -> None:
    both = pa.concat_tables([matches(["a\nb"]), matches(["c\nd\ne"], "y")])
    assert len(written_windows(both, {}, "x", 2, SECRET)) == 1
    assert len(written_windows(both, {}, "y", 2, SECRET)) == 2
    assert (
        len(written_windows(both, {}, "y", 4, SECRET)) == 0
    )  # a run that began in the prompt: no window is all the model's


def test_a_first_line_counts_from_where_the_prompt_began_it() -> None:
    """But not a line further down that begins like the end of one."""
    runs = pa.Table.from_pylist(
        [{"prompt": "p", "owner": "x", "start": start, "text": "urn 1\nb"} for start in (1, 3)], schema=MATCH_SCHEMA
    )
    wrote = written_windows(runs, {"p": "  ret"}, "x", 2, SECRET)
    whole, part = (digest_windows(digest_lines([line, "b"], SECRET), 2) for line in ("return 1", "urn 1"))
    assert sorted(wrote.tolist()) == sorted([*whole.tolist(), *part.tolist()])


@settings(max_examples=scaled(150), deadline=None)
@given(CORPORA, TEXT, st.sampled_from(["", "y", "z", "yz", "xy"]), st.integers(1, 3), st.binary(min_size=1, max_size=9))
def test_emissions_are_every_window(corpora: Corpora, text: str, members: str, min_lines: int, secret: bytes) -> None:
    wrote = Written(tuple(members), written_windows(matches([text]), {}, "x", min_lines, secret))
    x = files(corpora["x"])
    (table,) = emission_rows("x", x, min_lines, [wrote], indexes(corpora, min_lines, secret), None, secret)
    (row,) = table.to_pylist()
    seen, own = all_windows(corpora, members, min_lines), set(windows(text, min_lines))
    assert row["seen"] == len(lines_in(corpora["x"], seen, min_lines))
    assert row["emitted"] == len(lines_in(corpora["x"], own, min_lines))
    assert row["foreseen"] == len(lines_in(corpora["x"], own & seen, min_lines))
    assert row["public"] == 0
    assert row["foreseen"] <= min(row["seen"], row["emitted"])


def prompt_stats(truths: Sequence[str], kinds: Sequence[str], min_lines: int) -> tuple[pa.Table, pa.Table]:
    """What x tells of prompts that lead to `truths`."""
    names = [f"p{i}" for i in range(len(truths))]
    facts = pa.table({"prompt": names, "organization": ["x"] * len(truths), "kind": list(kinds)})
    prompts = pa.table({"prompt": names, "text": ["q\n"] * len(truths), "truth": list(truths)})
    memorization = MemorizationSettings(prompts=PromptCounts(prefix=1), min_lines=min_lines)
    return facts, truth_windows(prompts, memorization.min_lines, SECRET)


def test_copies_by_hand() -> None:
    """The last line of the second is cut; the third is no training text; the fourth has too few lines."""
    corpora = {"x": ["a\nb\na\nb\nc"], "y": ["a\nb", "c\nd"]}
    truths = prompt_stats(["a\nb\n", "b\nc = ", "c\nd", "a"], ["prefix", "prefix", "held_out", "prefix"], 2)
    table = copies_by_organization(*truths, indexes(corpora, 2))
    assert {(row["prompt"], row["organization"]): row["places"] for row in table.to_pylist()} == {
        ("p0", "x"): 2,
        ("p0", "y"): 1,
        ("p2", "x"): 0,
        ("p2", "y"): 1,
    }
    assert by_places(table, {"x", "y"}) == [0, 1, 1]
    assert by_places(table, {"y"}) == [0, 2, 0]
    assert by_places(table, {}) == [2, 0, 0]


@settings(max_examples=scaled(100), deadline=None)
@given(CORPORA, st.lists(st.tuples(TEXT, st.sampled_from(["prefix", "held_out"])), min_size=1, max_size=3),
       st.integers(1, 3))  # fmt: skip
def test_copies_are_every_place(corpora: Corpora, asked: list[tuple[str, str]], min_lines: int) -> None:
    truths, kinds = zip(*asked, strict=True)
    found = copies_by_organization(*prompt_stats(truths, kinds, min_lines), indexes(corpora, min_lines))

    def places(truth: str, name: str) -> int:
        return sum(windows(text, min_lines).count(windows(truth, min_lines)[0]) for text in corpora[name])

    known = [
        (f"p{i}", truth)
        for i, (truth, kind) in enumerate(asked)
        if windows(truth, min_lines) and (kind == "held_out" or places(truth, "x"))
    ]
    expected = {(prompt, name): places(truth, name) for prompt, truth in known for name in corpora}
    assert {(row["prompt"], row["organization"]): row["places"] for row in found.to_pylist()} == expected
    bins = [min(2, expected[prompt, "x"] + expected[prompt, "y"]) for prompt, _ in known]
    assert by_places(found, "xy") == [bins.count(number) for number in range(3)]


def test_originals_are_nobodys_training() -> None:
    """What an organization is trained on was written differently before: neither makes a copy of the other."""
    new = indexes({"x": ["p\nq"], "y": ["c\nd"]}, 2)
    old = indexes({"x": ["a\nb"], "y": []}, 2)
    both = new | {"x": extended(new["x"], old["x"])}
    assert both["x"].places(digest_windows(digest_lines(["a", "b"], SECRET), 2))[1].tolist() == [1]
    truths = prompt_stats(["a\nb", "p\nq", "c\nd"], ["held_out"] * 3, 2)
    assert copies_by_organization(*truths, both).equals(copies_by_organization(*truths, new))
