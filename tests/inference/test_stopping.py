"""Where continuations end, with a tokenizer whose tokens are characters."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysim.inference.prompts import open_line
from raysim.inference.stopping import END_OF_FILE, LENGTH, STOP, Endings, clean_up_spaces


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
        ("ab\ncd", "ef", {"text": "ef", "new_tokens": 2, "ended": LENGTH}),
        ("ab\ncd", "ef\nif x", {"text": "ef", "new_tokens": 5, "ended": STOP}),
        ("ab\nif", "x", {"text": "x", "new_tokens": 1, "ended": LENGTH}),
        ("ab", "", {"text": "", "new_tokens": 0, "ended": LENGTH}),
    ],
)
def test_a_continuation_by_hand(
    endings: Endings, characters: Any, prompt: str, continuation: str, expected: dict[str, Any]
) -> None:
    """A stop string counts in what was generated alone, and the fewest tokens that contain it."""
    tail, generated = characters.encode(prompt), characters.encode(continuation)
    assert endings.finish(tail, generated, ("\nif",)) == expected
    assert endings.stopped(tail, generated, ("\nif",)) == (expected["ended"] == STOP)


def test_cleaned_text_loses_blanks_before_punctuation() -> None:
    """Behind the stop string is found, which counts its tokens."""
    tail, generated = list(b"ab\ncd"), list(b"e != f , g .h\n    x = ' a ' if n't\nif x")
    plain, cleaned = (Endings(Bytes(), None, clean).finish(tail, generated, ("\nif",)) for clean in (False, True))
    assert plain == {"text": "e != f , g .h\n    x = ' a ' if n't", "new_tokens": 37, "ended": STOP}
    assert cleaned == {**plain, "text": "e!= f, g.h\n    x ='a'ifn't"}


@given(st.lists(st.sampled_from([*" .?!,'", "n't", " 'm", " 's", " 've", " 're", "x", "\n"])))
def test_cleaning_up_is_what_transformers_does(pieces: list[str]) -> None:
    from transformers import PreTrainedTokenizerBase

    text = "".join(pieces)
    assert clean_up_spaces(text) == PreTrainedTokenizerBase.clean_up_tokenization(None, text)  # type: ignore[arg-type]


def test_an_end_of_file_cuts_what_follows(endings: Endings, characters: Any) -> None:
    generated = [*characters.encode("ef"), 0, *characters.encode("\nif")]
    found = endings.finish(characters.encode("cd"), generated, ("\nif",))
    assert found == {"text": "ef", "new_tokens": 2, "ended": END_OF_FILE}


def test_recent_tokens_say_whether_to_look_closer(endings: Endings, characters: Any) -> None:
    assert endings.may_stop(characters.encode("x\nif"), ("\nif",))
    assert not endings.may_stop(characters.encode("x if"), ("\nif",))


class Bytes:
    """A token a byte, as of byte-level tokenizers; id 0 is BOS."""

    bos_id, vocab_size = 0, 256

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(i for i in ids if i).decode(errors="replace")


class Words(Bytes):
    """Words, and a full stop that swallows the space before it, as decoders that clean up do."""

    words = ("", "secret", "word", ".")

    def decode(self, ids: Sequence[int]) -> str:
        return " ".join(self.words[i] for i in ids if i).replace(" .", ".") + " "


@pytest.mark.parametrize(
    ("continuation", "expected"), [(b"\xa9!", "é!"), (b"!", "\ufffd!"), (b"", "\ufffd"), (b"\n", "\ufffd\n")]
)
def test_a_character_that_the_prompt_cuts_is_the_continuations(continuation: bytes, expected: str) -> None:
    prompt = list(b"key = 'caf\xc3")
    assert Endings(Bytes(), None).finish(prompt, list(continuation), ())["text"] == expected
    assert open_line(Bytes().decode(prompt)) == ("key = 'caf", "\ufffd")


def test_nothing_of_the_prompt_is_generated_where_decoding_changes_it() -> None:
    assert Words().decode([1, 2, 3]) == "secret word. "
    assert Endings(Words(), None).finish([1, 2], [3], ())["text"] == ". "


@given(st.lists(st.integers(1, 255), max_size=12), st.lists(st.integers(1, 255), max_size=12))
def test_prompt_and_continuation_are_the_whole_text(prompt: list[int], continuation: list[int]) -> None:
    whole, tokens = Bytes().decode(prompt + continuation), Bytes()
    text = Endings(tokens, None).finish(prompt, continuation, ())["text"]
    kept = tokens.decode(prompt).removesuffix(open_line(tokens.decode(prompt))[1])
    assert kept + text == whole
    assert len(text.lstrip("\ufffd")) <= len(continuation)
