"""Where continuations end, with a tokenizer whose tokens are characters."""

from typing import Any

import pytest

from raysim.inference.stopping import END_OF_FILE, LENGTH, STOP, Endings


@pytest.fixture
def endings(characters: Any) -> Endings:
    return Endings(characters, None)


def test_tokens_that_end_a_file(characters: Any) -> None:
    assert Endings(characters, None).tokens == [0]
    assert Endings(characters, 5).tokens == [0, 5]
    assert Endings(characters, [7, 5, 0]).tokens == [0, 5, 7]


def test_the_tail_is_the_file_that_goes_on(endings: Endings) -> None:
    assert endings.tail([3, 0, 4, 0, 5, 6]) == [5, 6]
    assert endings.tail([3, 4]) == [3, 4]
    assert endings.tail([3, 0]) == []


@pytest.mark.parametrize(
    ("prompt", "continuation", "expected"),
    [
        ("ab\ncd", "ef", {"text": "cdef", "lead": 2, "new_tokens": 2, "ended": LENGTH}),
        ("ab\ncd", "ef\nif x", {"text": "cdef", "lead": 2, "new_tokens": 5, "ended": STOP}),
        ("ab\nif", "x", {"text": "ifx", "lead": 2, "new_tokens": 1, "ended": LENGTH}),
        ("ab", "", {"text": "ab", "lead": 2, "new_tokens": 0, "ended": LENGTH}),
    ],
)
def test_a_continuation_by_hand(
    endings: Endings, characters: Any, prompt: str, continuation: str, expected: dict[str, Any]
) -> None:
    """A stop string counts in what was generated alone, and the fewest tokens that contain it."""
    tail, generated = characters.encode(prompt), characters.encode(continuation)
    assert endings.finish(tail, generated, ("\nif",)) == expected
    assert endings.stopped(tail, generated, ("\nif",)) == (expected["ended"] == STOP)


def test_an_end_of_file_cuts_what_follows(endings: Endings, characters: Any) -> None:
    generated = [*characters.encode("ef"), 0, *characters.encode("\nif")]
    found = endings.finish(characters.encode("cd"), generated, ("\nif",))
    assert found == {"text": "cdef", "lead": 2, "new_tokens": 2, "ended": END_OF_FILE}


def test_recent_tokens_say_whether_to_look_closer(endings: Endings, characters: Any) -> None:
    assert endings.may_stop(characters.encode("x\nif"), ("\nif",))
    assert not endings.may_stop(characters.encode("x if"), ("\nif",))
