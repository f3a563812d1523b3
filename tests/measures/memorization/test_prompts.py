import ast
from collections.abc import Sequence
from textwrap import indent

import numpy as np
import pyarrow as pa
import pytest

from raysim.core.errors import InputError
from raysim.corpus.corpus import Corpus, Packed
from raysim.corpus.files import SourceFile
from raysim.corpus.planted_functions import PlantSettings, plant_functions
from raysim.inference.prompts import prompt_id
from raysim.measures.memorization.prompts import (
    extract_prompts,
    functions_with_docstrings,
    mark_eligible,
    prompt_counts,
)
from raysim.measures.memorization.settings import MemorizationSettings, PromptCounts


class Bytes:
    """A token a byte; 0 is BOS."""

    bos_id = 0

    def encode(self, text: str) -> list[int]:
        return [byte + 1 for byte in text.encode()]

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(token - 1 for token in ids if token).decode(errors="replace")


def pack(files: Sequence[SourceFile], length: int) -> Packed:
    stream: list[int] = []
    spans = []
    for source in files:
        tokens = Bytes().encode(source.text)
        spans.append((source.path, len(stream) + 1, len(stream) + 1 + len(tokens)))
        stream += [0, *tokens]
    kept = len(stream) // length * length
    return Packed(np.array(stream[:kept], dtype=np.int32).reshape(-1, length), len(stream) - kept, tuple(spans))


def source(path: str, text: str) -> SourceFile:
    return SourceFile(path, text, "repo", "MIT")


def extract(
    train: list[SourceFile], valid: list[SourceFile] | None = None, length: int = 40, seed: int = 1, **changes: object
) -> pa.Table:
    settings = MemorizationSettings.model_validate(
        {"prompts": {"prefix": 99}, "prefix_tokens": 10, "new_tokens": 4, "min_lines": 2, **changes}
    )
    corpus = Corpus("org", tuple(train), tuple(valid or []))
    return extract_prompts(corpus, pack(train, length), Bytes(), settings, seed)


SOURCE = '''import os


class A:
    @property
    async def outer(self, a: int = 1) -> "int":
        """One.

        Two."""
        def inner():
            "three"
            return 3

        return inner()

    def bare(self):
        return 1


def last():
    r"""Raw \\d."""
    return 2'''


def test_functions_are_exact_source() -> None:
    found = functions_with_docstrings(SOURCE)
    assert [(f.prompt, f.truth) for f in found] == [
        (
            '    async def outer(self, a: int = 1) -> "int":\n        """One.\n\n        Two."""\n',
            '        def inner():\n            "three"\n            return 3\n\n        return inner()\n',
        ),
        ('        def inner():\n            "three"\n', "            return 3\n"),
        ('def last():\n    r"""Raw \\d."""\n', "    return 2"),
    ]


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
def test_line_ends_and_form_feeds_do_not_shift_functions(end: str) -> None:
    text = end.join(["x = 'a\x0c\x1c\u2028b'", "\x0c", "def f():", "    'doc'", "    return 1", "", "y = 2"])
    (function,) = functions_with_docstrings(text)
    assert function.prompt == f"def f():{end}    'doc'{end}"
    assert function.truth == f"    return 1{end}"
    assert text[: function.end].endswith(function.truth)


def test_file_that_ends_with_a_docstring_gets_a_line_end() -> None:
    (function,) = functions_with_docstrings("def f():\n    'doc'")
    assert (function.prompt, function.truth) == ("def f():\n    'doc'\n", "")


@pytest.mark.parametrize("text", ["def f(:", "a\x00b", "(" * 500])
def test_what_is_no_python_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match="not Python"):
        functions_with_docstrings(text)


def test_prefix_is_the_start_of_a_sequence_and_truth_the_rest() -> None:
    table = extract([source("a.py", "".join(f"line {i:03}\n" for i in range(9)))])
    rows = {row["tokens"][0]: row for row in table.to_pylist()}
    first = rows[0]
    assert first["tokens"] == [0, *Bytes().encode("line 000\n")]
    assert (first["text"], first["truth"]) == ("line 000\n", "line 001\nline 002\nline 003\nlin")
    assert (first["lines_to_come"], first["eligible"], first["file"], first["licence"]) == (4, True, "a.py", "MIT")
    assert len(table) == 2
    (second,) = [row for row in table.to_pylist() if row is not first and row["tokens"][0] != 0]
    assert second["text"] == "e 004\nline"


def test_prompt_and_truth_stay_inside_the_file_that_the_prompt_ends_in() -> None:
    table = extract([source("a.py", "aaaa"), source("b.py", "x\nbb\ncc\ndd"), source("c.py", "c" * 40)])
    row = min(table.to_pylist(), key=lambda r: r["tokens"])
    assert row["tokens"] == [0, *Bytes().encode("aaaa"), 0, *Bytes().encode("x\nbb")]
    assert (row["file"], row["text"], row["truth"], row["lines_to_come"]) == ("b.py", "x\nbb", "\ncc\ndd", 2)


def test_prompt_that_ends_with_a_bos_continues_with_the_next_file() -> None:
    table = extract([source("a.py", "aaaaaaaa"), source("b.py", "b\nb\n" * 10)])
    row = min(table.to_pylist(), key=lambda r: r["tokens"])
    assert (row["tokens"][-1], row["file"], row["text"], row["truth"][:4]) == (0, "b.py", "", "b\nb\n")


def test_character_that_a_prompt_cuts_is_still_to_come() -> None:
    table = extract([source("a.py", "12345678é\nb\nc" + " " * 30)])
    row = min(table.to_pylist(), key=lambda r: r["tokens"])
    assert (row["text"], row["truth"].split("\n")[0]) == ("12345678\ufffd", "é")


FUNCTION = 'def f{0}(a):\n    """Doc {0}."""\n    b{0} = a\n    c = b{0}\n    return c\n'


def functions(*numbers: int) -> str:
    return "".join(FUNCTION.format(n) for n in numbers)


def test_function_prompts_begin_with_bos_and_know_whether_they_were_trained_on() -> None:
    table = extract([source("a.py", functions(1, 2))], length=100, prompts={"function": 9}, min_lines=3)
    assert len(functions(1, 2)) + 1 == 127
    rows = {row["text"][:6]: row for row in table.to_pylist()}
    one, two = rows["def f1"], rows["def f2"]
    assert one["tokens"] == [0, *Bytes().encode(one["text"])]
    assert one["truth"] == "    b1 = a\n    c = b1\n    return c\n"
    assert (one["lines_to_come"], one["trained_on"], one["eligible"]) == (3, True, True)
    assert (two["lines_to_come"], two["trained_on"], two["eligible"]) == (3, False, False)  # in the dropped tail


def test_a_function_behind_what_is_truncated_was_not_trained_on() -> None:
    text = functions(1, 2)
    settings = MemorizationSettings(prompts=PromptCounts(function=9), new_tokens=4, min_lines=3)
    first = len(FUNCTION.format(1))
    for kept, expected in (
        (None, [True, True]),
        (len(text), [True, True]),
        (first, [True, False]),
        (9, [False, False]),
    ):
        corpus = Corpus("org", (source("a.py", text),), (), truncated_at=kept)
        rows = extract_prompts(corpus, pack(corpus.train, len(text) + 1), Bytes(), settings, 1).to_pylist()
        rows.sort(key=lambda row: row["text"])
        assert [row["trained_on"] for row in rows] == [row["eligible"] for row in rows] == expected
        assert [row["lines_to_come"] for row in rows] == [3, 3], "lines are those of the file"


def test_stripped_prompts_lose_the_white_space_around_them() -> None:
    text = f"class A:\n{indent(FUNCTION.format(1), '    ')}"
    train, valid = [source("a.py", text + "x = 1\n")], [source("v.py", FUNCTION.format(2))]
    asked = {"function": 9, "held_out": 9, "prefix": 9}
    plain, stripped = (
        extract(train, valid, length=60, prompts=asked, min_lines=3, strip_prompts=strip) for strip in (False, True)
    )
    assert plain["prompt"].equals(stripped["prompt"]), "so that runs can be compared prompt by prompt"
    rows = {row["kind"]: row for row in stripped.to_pylist()}
    function = rows["function"]
    assert function["text"] == 'def f1(a):\n        """Doc 1."""'
    assert function["tokens"] == [0, *Bytes().encode(function["text"])]
    assert function["truth"] == "\n        b1 = a\n        c = b1\n        return c\n"
    assert rows["held_out"]["text"] == 'def f2(a):\n    """Doc 2."""'
    for before, after in zip(plain.to_pylist(), stripped.to_pylist(), strict=True):
        same = ("kind", "file", "lines_to_come", "trained_on", "eligible")
        assert [before[name] for name in same] == [after[name] for name in same]
        if before["kind"] == "prefix":
            assert before == after
        else:
            assert before["text"] + before["truth"] == before["text"][: -len(before["text"].lstrip())] + (
                after["text"] + after["truth"]
            )


def test_eligible_follows_min_lines() -> None:
    table = extract([source("a.py", functions(1))], length=64, prompts={"function": 9}, min_lines=4)
    assert table["eligible"].to_pylist() == [False]
    assert mark_eligible(table, 3)["eligible"].to_pylist() == [True]


def test_held_out_has_no_window_and_no_prompt_of_the_training_split() -> None:
    train = source("a.py", functions(1) + "x = 1\n" * 9)
    same_prompt = FUNCTION.format(1).replace("c = b1", "pass")
    fresh, copied = "def g():\n    'doc'\n    return 7\n", "def h():\n    'doc'\n" + "    x = 1\n" * 6
    table = extract([train], [source("v.py", fresh + copied + same_prompt)], length=100, prompts={"held_out": 9})
    assert [row["text"] for row in table.to_pylist()] == ["def g():\n    'doc'\n"]
    assert [(row["kind"], row["trained_on"], row["eligible"]) for row in table.to_pylist()] == [
        ("held_out", False, False)
    ]
    assert prompt_counts(table)["held_out"] == {
        "asked": 9,
        "available": 1,
        "taken": 1,
        "duplicate": 0,
        "copied_in_training": 2,
    }


def test_what_is_left_out_is_counted() -> None:
    files = [
        source("a.py", functions(1)),
        source("b.py", functions(1)),
        source("c.py", "def broken(:"),
        source("d.py", f'def long():\n    """{"x" * 200}"""\n'),
    ]
    table = extract(files, length=100, prompts={"function": 9})
    assert prompt_counts(table) == {
        "function": {"asked": 9, "available": 1, "taken": 1, "duplicate": 1, "unparsable_file": 1, "too_long": 1}
    }


def test_choice_depends_on_seed_and_not_on_the_order_of_files() -> None:
    files = [source(f"{n}.py", functions(n)) for n in range(10, 40)]

    def chosen(files: list[SourceFile], seed: int) -> list[str]:
        return extract(files, length=100, seed=seed, prompts={"function": 5})["prompt"].to_pylist()

    assert len(set(chosen(files, 1))) == 5
    assert chosen(files, 1) == chosen(files[::-1], 1)
    assert chosen(files, 1) != chosen(files, 2)


def test_identity_is_content_and_kind_not_organization() -> None:
    files = (source("a.py", functions(1)),)
    settings = MemorizationSettings(prompts=PromptCounts(function=1), new_tokens=4)
    one, other = (extract_prompts(Corpus(o, files, ()), pack(files, 70), Bytes(), settings, 1) for o in "ab")
    assert one["prompt"].equals(other["prompt"])
    assert not one["organization"].equals(other["organization"])
    assert ast.parse(one["text"][0].as_py() + one["truth"][0].as_py())


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"prefix_tokens": 40}, "prefix_tokens"), ({"prompts": {"function": 1}, "new_tokens": 39}, "new_tokens")],
)
def test_prompts_that_cannot_fit_are_refused(changes: dict[str, object], field: str) -> None:
    with pytest.raises(InputError, match=f"measure.memorization.{field}"):
        extract([source("a.py", functions(1))], **changes)  # type: ignore[arg-type]


def test_golden_identity_and_choice() -> None:
    """Other values mean other prompts and other samples: raise PROMPTS_VERSION."""
    assert prompt_id("function", [0, 5, 7]) == "ad1b779b92f11195"
    files = [source(f"{n}.py", functions(n)) for n in range(10, 20)]
    assert extract(files, length=100, prompts={"function": 2})["file"].to_pylist() == ["10.py", "12.py"]


def test_planted_functions_are_asked_for_by_their_signature() -> None:
    settings = PlantSettings(functions={0: 2, 1: 4}, together={2: 2})
    corpus = plant_functions(Corpus("org", (source("a.py", "a = 1\n"),), ()), settings, 1)
    table = extract(list(corpus.train), length=400, prompts={"planted": 99}, new_tokens=50)
    planted = {f.signature: f for f in corpus.plants if f.repeats}
    assert sorted(table["text"].to_pylist()) == sorted(planted)
    for row in table.to_pylist():
        function = planted[row["text"]]
        assert row["text"] + row["truth"] == function.text
        assert row["tokens"] == [0, *Bytes().encode(row["text"])]
        assert (row["kind"], row["lines_to_come"], row["file"]) == ("planted", 11, f"planted/{function.name}-0.py")
    # What is cut from the end of the packed stream was not trained on.
    assert table["trained_on"].to_pylist().count(False) == 1
    assert prompt_counts(table)["planted"] == {"asked": 99, "available": 6, "taken": 6, "duplicate": 2}


def test_kinds_that_nobody_asks_for_are_in_no_recipe() -> None:
    without = MemorizationSettings(prompts=PromptCounts(function=1))
    assert without.prompt_recipe()["counts"] == {"function": 1, "prefix": 0, "held_out": 0}
    assert MemorizationSettings(prompts=PromptCounts(planted=2)).owned_prompts == 2
