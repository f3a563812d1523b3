"""Which continuations are blocked, and where: beside the real matcher, and beside plain comparison of lines."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raysim.core.bloom import BloomFilter
from raysim.corpus.files import SourceFile
from raysim.corpus.lines import significant_lines
from raysim.inference.output_filter import Beginning, LineWatch, OutputFilter
from raysim.matching.line_index import build_index
from raysim.matching.matches import match, prompt_context

KEY = b"key"


def filter_of(
    owners: dict[str, list[str]], lines: int, in_prompt: bool = False, attempts: int = 0, rate: float = 1e-12
) -> OutputFilter:
    """Of the texts of the files of each owner."""
    indexes = {name: build_index(files_of(texts), lines, KEY) for name, texts in owners.items()}
    filters = {name: BloomFilter.of(index.windows, rate) for name, index in indexes.items()}
    return OutputFilter(lines, attempts, in_prompt, KEY, filters)


def files_of(texts: list[str]) -> list[SourceFile]:
    return [SourceFile(f"{number}.py", text, "repository") for number, text in enumerate(texts)]


def covered(owners: dict[str, list[str]], prompt: str, texts: list[str], lines: int, in_prompt: bool) -> list[int]:
    """Lines of each continuation that somebody covers, by the matcher."""
    indexes = {name: build_index(files_of(files), lines, b"run") for name, files in owners.items()}
    asked = pa.table({"prompt": ["p"], "text": [prompt], "truth": [""]})
    answers = pa.table({"prompt": ["p"] * len(texts), "sample": pa.array(range(len(texts)), pa.int32()), "text": texts})
    samples, _ = match(answers, prompt_context(asked, lines, b"run"), indexes, None, lines, b"run", in_prompt)
    found = [0] * len(texts)
    for row in samples.to_pylist():
        found[row["sample"]] += row["covered"]
    return found


TEXTS = st.text(st.sampled_from("ab\n \ufffd"), max_size=14)


@settings(deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=3), TEXTS, st.lists(TEXTS, max_size=4), st.integers(1, 3), st.booleans())
def test_blocked_is_what_the_matcher_finds_and_nothing_is_left(
    files: list[str], prompt: str, texts: list[str], lines: int, in_prompt: bool
) -> None:
    owners = {"acme": files, "beta": ["a\nb\na\n"]}
    made = filter_of(owners, lines, in_prompt)
    blocks = made.first_blocks([made.beginning(prompt)] * len(texts), texts)
    assert [block is not None for block in blocks] == [n > 0 for n in covered(owners, prompt, texts, lines, in_prompt)]
    cut = [text[: block.start] if block else text for text, block in zip(texts, blocks, strict=True)]
    assert covered(owners, prompt, cut, lines, in_prompt) == [0] * len(texts)
    # And up to the end of that line it is blocked, and not a line earlier.
    through = [text[: block.end] for text, block in zip(texts, blocks, strict=True) if block]
    assert all(n > 0 for n in covered(owners, prompt, through, lines, in_prompt))


@pytest.mark.parametrize(
    ("prompt", "text", "in_prompt", "expected"),
    [
        ("x\n", "one\n\n  two\nthree\nfour\n", False, (11, 16)),  # the third line completes the window
        ("x\n", "one\ntwo\nthre", False, None),
        ("x\n", "one\ntwo\n three", False, (8, 14)),  # a line counts without its line end
        ("x\non", "e\ntwo\nthree", False, (6, 11)),
        ("one\n", "two\nthree", False, None),
        ("one\n", "two\nthree", True, (4, 9)),
        ("zero\none", "\ntwo\nthree", True, (1, 4)),
        ("zero\none", "\ntwo\nthree", False, None),
        ("one\ntwo\nth", "ree\nx", True, (0, 3)),
        ("one\ntwo\nthree", "\nx", True, None),  # it does not end in the continuation
    ],
)
def test_blocks_by_hand(prompt: str, text: str, in_prompt: bool, expected: tuple[int, int] | None) -> None:
    made = filter_of({"acme": ["zero\none\ntwo\nthree\n"]}, 3, in_prompt)
    (block,) = made.first_blocks([made.beginning(prompt)], [text])
    assert (block and (block.start, block.end)) == expected


def test_windows_do_not_reach_across_samples_or_files() -> None:
    made = filter_of({"acme": ["a\nb\n", "c\nd\n"]}, 2)
    assert made.first_blocks([Beginning((), "", "")] * 3, ["b\nc", "a", "b\n"]) == [None] * 3


def test_nothing_is_blocked_without_owners() -> None:
    assert filter_of({}, 2).first_blocks([Beginning((), "", "")], ["a\nb"]) == [None]


@settings(deadline=None)
@given(st.text(st.sampled_from("ab\n "), max_size=30), st.integers(1, 3), st.booleans(), st.data())
def test_a_watch_finds_a_window_once_its_last_line_is_finished(
    text: str, lines: int, in_prompt: bool, data: st.DataObject
) -> None:
    """Whatever the steps in which it looks; a token is a character."""
    prompt = data.draw(st.sampled_from(["", "a\n", "b\na", "a\nb\n"]))
    made = filter_of({"acme": ["a\nb\na\nb\nb\n", "b\naa\n"]}, lines, in_prompt)
    begins = made.beginning(prompt)
    watch = LineWatch(made, lambda tokens: "".join(map(str, tokens)), [begins])
    looks = sorted({*data.draw(st.lists(st.integers(0, len(text)))), len(text)})
    found = [look for look in looks if watch.hits({0: list(text[:look])})]  # type: ignore[dict-item]
    (block,) = made.first_blocks([begins], [text[: text.rfind("\n") + 1]])
    assert found[:1] == ([next(look for look in looks if look > block.end)] if block else [])


def test_a_line_that_the_prompt_ends_alone_completes_nothing() -> None:
    """All that the continuation adds to it is its end."""
    made = filter_of({"acme": ["a\nb\n"]}, 1, True)
    begins = made.beginning("b\na")
    watch = LineWatch(made, lambda tokens: "".join(map(str, tokens)), [begins])
    assert made.first_blocks([begins], ["\n"]) == [None]
    assert not watch.hits({0: ["\n"]})  # type: ignore[dict-item]
    assert watch.hits({0: ["\n", "b", "\n"]})  # type: ignore[dict-item]


def brute(lines: list[str], files: list[str], length: int) -> int | None:
    """The place of the first line that completes a window of the files."""
    windows = set[tuple[str, ...]]()
    for text in files:
        known = significant_lines(text)[0]
        windows |= {tuple(known[i : i + length]) for i in range(len(known) - length + 1)}
    ends = range(length, len(lines) + 1)
    return next((end - 1 for end in ends if tuple(lines[end - length : end]) in windows), None)


@given(st.lists(st.sampled_from("abc"), max_size=20), st.lists(st.sampled_from("abc"), max_size=12), st.integers(1, 4))
def test_the_first_window_of_plain_lines(lines: list[str], file: list[str], length: int) -> None:
    made = filter_of({"acme": ["\n".join(file)]}, length)
    (found,) = made.completed([lines], [0])
    assert (found and found[0]) == brute(lines, ["\n".join(file)], length)


def test_the_filter_may_block_what_nobody_has() -> None:
    """At a rate of a half about half of all windows, and the same ones each time."""
    made = filter_of({"acme": ["\n".join(f"own {i}" for i in range(50))]}, 2, rate=0.5)
    rows: list[list[str]] = [[f"other {i}", f"another {i}"] for i in range(400)]
    blocked = [bool(found) for found in made.completed(rows, [0] * 400)]
    assert 100 < sum(blocked) < 300
    again: Any = made.completed(rows, [0] * 400)
    assert [bool(found) for found in again] == blocked
