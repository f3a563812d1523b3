"""Sums of indexes, against every pair of them."""

from collections.abc import Mapping

import hypothesis.strategies as st
from examples import scaled
from hypothesis import given, settings

from raysim.corpus.files import SourceFile
from raysim.matching.clones import clone_rows
from raysim.matching.crowd import merged, nearest, without
from raysim.matching.line_index import LineIndex, build_index
from raysim.matching.overlap import seen_rows
from raysim.tables.names import OTHERS

SECRET = b"secret"
TEXT = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=8).map("\n".join)
CORPORA = st.fixed_dictionaries({name: st.lists(TEXT, min_size=1, max_size=3) for name in "wxyz"})


def files(texts: list[str]) -> list[SourceFile]:
    return [SourceFile(f"f{i}.py", text, "r") for i, text in enumerate(texts)]


def indexes_of(corpora: Mapping[str, list[str]]) -> dict[str, LineIndex]:
    return {name: build_index(files(texts), 2, SECRET) for name, texts in corpora.items()}


@settings(max_examples=scaled(100), deadline=None)
@given(CORPORA)
def test_all_others_together_are_what_each_of_them_holds(corpora: dict[str, list[str]]) -> None:
    indexes = indexes_of(corpora)
    total = merged(list(indexes.values()))
    for name, own in indexes.items():
        others = {name: own, OTHERS: without(total, own, own.windows)}
        bound = seen_rows(name, files(corpora[name]), 2, others, None, SECRET).to_pylist()
        every = seen_rows(name, files(corpora[name]), 2, indexes, None, SECRET).to_pylist()
        assert [(row["others"], row["seen"]) for row in bound] == [([OTHERS], every[-1]["seen"])]
        rows = clone_rows(name, files(corpora[name]), 2, others, None, SECRET).to_pylist()
        assert [row["other"] for row in rows] == [name, OTHERS]
        assert rows[1]["covered"] == bound[0]["seen"]


@settings(max_examples=scaled(100), deadline=None)
@given(CORPORA)
def test_the_nearest_hold_most_windows(corpora: dict[str, list[str]]) -> None:
    indexes = indexes_of(corpora)
    found = nearest(indexes, merged(list(indexes.values())), 2)
    for name, own in indexes.items():
        held = {
            other: int((index.places(own.windows)[1] > 0).sum()) for other, index in indexes.items() if other != name
        }
        ranked = sorted((other for other in held if held[other]), key=lambda other: -held[other])
        assert found[name] == ranked[:2]


def test_places_add_up() -> None:
    indexes = indexes_of({"w": ["a\nb\na\nb"], "x": ["a\nb"], "y": ["c"], "z": ["c\nd"]})
    total = merged(list(indexes.values()))
    assert total.places(indexes["x"].windows)[1].tolist() == [3]
    assert without(total, indexes["x"], indexes["x"].windows).counts.tolist() == [2]
    assert len(without(total, indexes["z"], indexes["z"].windows).windows) == 0
    assert nearest(indexes, merged(list(indexes.values()))) == {"w": ["x"], "x": ["w"], "y": [], "z": []}
