"""Tokens and sequences of stages. That every input is in the keys of a world is for tests/test_keys.py to show."""

import dataclasses

import pytest

from raysim.simulation.strategy import Assignment

ASSIGNMENT = Assignment(("a",), "model", 2, 4)


def test_tokens_and_sequences(make_world) -> None:
    world = make_world({"a": 3, "b": 3}, sequence_length=1024)
    both = dataclasses.replace(ASSIGNMENT, organizations=("a", "b"))
    assert world.num_sequences(both) == 6
    assert world.tokens_shown(both) == {"a": 3 * 1024 * 2, "b": 3 * 1024 * 2}
    assert world.num_tokens(both) == 2 * 3 * 1024 * 2


@pytest.mark.parametrize(
    ("sequences", "fraction", "expected"),
    [(3, 1.0, 3), (3, 0.5, 2), (4, 0.5, 2), (3, 0.01, 1), (100, 0.07, 7), (100, 0.29, 29), (1, 1e-12, 1)],
)
def test_a_fraction_is_rounded_up_as_a_person_would(make_world, sequences: int, fraction: float, expected: int) -> None:
    """In binary, 0.07 * 100 is a little over 7."""
    world = make_world({"a": sequences})
    assert world.sequences_of(dataclasses.replace(ASSIGNMENT, fraction=fraction)) == {"a": expected}
