"""Significant lines of bytes against those of text."""

import time
from typing import Any

import numpy as np
import pytest
from examples import scaled
from hypothesis import given, settings
from hypothesis import strategies as st
from unit_texts import texts_of

from raysim.corpus.lines import significant_lines
from raysim.matching.units import Units, chain, join, lines_in

WHITE = [chr(code) for code in range(0x3100) if chr(code).isspace()]
TEXT = st.text(st.sampled_from([*WHITE, "\n", "\n", " ", " ", "a", "é", "\u200b", "\ufeff", "漢"]), max_size=40)


@settings(max_examples=scaled(300))
@given(files=st.lists(TEXT, max_size=5))
def test_lines_are_those_of_the_texts(files: list[str]) -> None:
    units = lines_in(*join([text.encode() for text in files]))
    expected = [significant_lines(text) for text in files]
    assert texts_of(units) == [lines for lines, _ in expected]
    assert units.numbers.tolist() == [number for _, numbers in expected for number in numbers]


@settings(max_examples=scaled(200))
@given(
    texts=st.lists(st.text("ab", max_size=3).map(lambda text: 40 * text) | st.text("ab", min_size=30, max_size=34)),
    draw=st.data(),
)
def test_texts_are_equal_only_one_by_one(texts: list[str], draw: st.DataObject) -> None:
    """Taken from one place or from two, in blocks of 32 bytes or longer than what is compared in blocks."""
    texts = [*texts, "a", "b", 700 * "a", 699 * "a" + "b"]
    units = Units(*join_all(texts))
    which = np.array(sorted(draw.draw(st.sets(st.sampled_from(range(len(texts))), min_size=1))))
    kept = units.texts(which)
    numbers = st.lists(st.integers(0, len(which) - 1), max_size=5)
    left, right = draw.draw(st.tuples(numbers, numbers).filter(lambda pair: len(pair[0]) == len(pair[1])))
    expected = all(texts[which[i]] == texts[which[j]] for i, j in zip(left, right, strict=True))
    assert kept.equal(np.array(left, dtype=np.int64), np.array(right, dtype=np.int64)) == expected
    twice = chain([kept, kept])
    assert twice.equal(np.arange(len(which)), np.arange(len(which)) + len(which))
    if texts[which[0]] != texts[which[-1]]:
        assert not twice.equal(np.array([0]), np.array([2 * len(which) - 1]))


def join_all(texts: list[str]) -> tuple[Any, ...]:
    buffer, begins = join([text.encode() for text in texts])
    return buffer, begins[:-1], begins[1:] - 1, np.zeros(len(texts), np.int32), np.array([0, len(texts)])


@pytest.mark.parametrize("blank", [" ", "\t", "\u3000", " \t"])
def test_white_space_without_end_is_stripped_at_once(blank: str) -> None:
    run = blank * 200_000
    started_s = time.process_time()
    units = lines_in(*join([f"{run}a{run}\n{run}\nb\n".encode()]))
    assert texts_of(units) == [["a", "b"]]
    assert time.process_time() - started_s < 1
