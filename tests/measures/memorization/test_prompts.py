import ast
import json
from collections import Counter
from collections.abc import Sequence
from textwrap import indent

import numpy as np
import pyarrow as pa
import pytest
from code_in_languages import CODE

from raysim.core.errors import InputError
from raysim.core.keys import seed_of
from raysim.corpus.corpus import Corpus, Packed
from raysim.corpus.files import SourceFile
from raysim.corpus.packing import is_trained_on
from raysim.corpus.packing import pack as pack_files
from raysim.corpus.planted_functions import PlantSettings, plant_functions
from raysim.corpus.tokenizer import CodeTokenizer, train_tokenizer
from raysim.inference.prompts import prompt_id
from raysim.measures.memorization.functions import functions_with_docstrings
from raysim.measures.memorization.prompts import (
    extract_prompts,
    mark_eligible,
    prompt_counts,
)
from raysim.measures.memorization.settings import MemorizationSettings, PromptCounts


class Bytes:
    """A token a byte; 0 is BOS."""

    bos_id = 0
    is_bytewise = True

    def encode(self, text: str) -> list[int]:
        return [byte + 1 for byte in text.encode()]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        return [self.encode(text) for text in texts]

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


def test_functions_of_every_language_are_asked_for() -> None:
    """By the ending of its file, in one corpus."""
    files = [source(code.path, code.text) for code in CODE.values()] + [source("a.py", functions(1))]
    table = extract(files, length=400, prompts={"function": 99}, min_lines=3)
    asked = Counter(table["file"].to_pylist())
    assert asked == {**{code.path: len(code.functions) for code in CODE.values()}, "a.py": 1}
    text_of = {file.path: file.text for file in files}
    for row in table.to_pylist():
        assert row["tokens"] == [0, *Bytes().encode(row["text"])]
        assert row["text"] + row["truth"] in text_of[row["file"]]
    assert prompt_counts(table)["function"].get("unparsable_file") is None


def test_held_out_functions_of_another_language_are_no_copies() -> None:
    go = CODE["go"]
    other = go.text.replace("Sum", "Add").replace("total", "whole").replace("at zero", "never")
    held_out = extract([source("a.go", go.text)], [source("b.go", other)], 400, prompts={"held_out": 9})
    assert [row["text"].split("\n")[0] for row in held_out.to_pylist()] == ["// Add adds numbers up."]


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


def composed(tokenizer: CodeTokenizer) -> CodeTokenizer:
    """The same, behind a step for which two ways to write a letter are one."""
    return CodeTokenizer(json.dumps({**json.loads(tokenizer.json), "normalizer": {"type": "NFC"}}), tokenizer.bos_id)


def all_tokenized(
    corpus: Corpus, packed: Packed, tokenizer: CodeTokenizer, settings: MemorizationSettings
) -> tuple[list[tuple[str, list[int], bool]], int, int]:
    """What is drawn where every function, and every file up to it, is tokenized before; how many there were to draw
    from, and how many were too long."""
    found: dict[str, tuple[str, list[int], bool]] = {}
    too_long = 0
    for file in corpus.train:
        for function in functions_with_docstrings(file.text):
            tokens = [tokenizer.bos_id, *tokenizer.encode(function.prompt)]
            if len(tokens) > settings.function_tokens:
                too_long += 1
                continue
            num_tokens = len(tokenizer.encode(file.text[: function.place[2]]))
            name = prompt_id("function", tokens)
            found.setdefault(name, (name, tokens, is_trained_on(corpus, packed, file.path, num_tokens)))
    seed = seed_of(1, corpus.train_fingerprint, "function")
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(found))
    rows = list(found.values())
    return sorted(rows[i] for i in order[: settings.prompts.function]), len(rows), too_long


@pytest.mark.parametrize("truncated_at", [None, 60])
@pytest.mark.parametrize("bytewise", [True, False])
def test_prompts_are_those_that_would_be_drawn_if_all_were_tokenized(bytewise: bool, truncated_at: int | None) -> None:
    learnt = train_tokenizer([FUNCTION, "é = '漢'\n"], 300)
    tokenizer = learnt if bytewise else composed(learnt)
    assert tokenizer.is_bytewise == bytewise
    docs = ["e", "é", "e\u0301", "漢", "é" * 40, "é" * 5, "x " * 35, "\t", "ﷺ"]
    numbers = np.random.default_rng(1).integers(300, size=(30, 6)).tolist()
    files = tuple(
        source(f"{number:02}.py", "".join(f'def f{i}(a):\n    """{docs[i % 9]}"""\n    return a + {i}\n' for i in some))
        for number, some in enumerate(numbers)
    )
    corpus = Corpus("org", files, (), truncated_at=truncated_at)
    packed = pack_files(files, tokenizer, 1500, seed=1, truncated_at=truncated_at)
    settings = MemorizationSettings(
        prompts=PromptCounts(function=60), function_tokens=40, new_tokens=4, min_lines=2, prefix_tokens=10
    )
    table = extract_prompts(corpus, packed, tokenizer, settings, 1)
    expected, available, too_long = all_tokenized(corpus, packed, tokenizer, settings)
    rows = table.to_pylist()
    assert [(row["prompt"], row["tokens"], row["trained_on"]) for row in rows] == expected
    counts = prompt_counts(table)["function"]
    assert (counts["available"], counts["too_long"]) == (available, too_long)
    assert min(counts["too_long"], counts["duplicate"], available - 60) > 0
    assert {row["trained_on"] for row in rows} == {True, False}


BEGINNINGS = {"prompts": {"held_out": 99}, "held_out_prompts": "prefix", "stop": []}


def test_held_out_prefixes_are_the_beginnings_of_validation_files() -> None:
    text = "".join(f"line {i:03}\n" for i in range(9))
    table = extract(
        [source("t.md", "other\n" * 9)], [source("v.md", text), source("short.md", "123456789")], **BEGINNINGS
    )
    (row,) = table.to_pylist()
    assert row["tokens"] == [0, *Bytes().encode("line 000\n")]
    assert row["prompt"] == prompt_id("held_out", row["tokens"])
    # As far as a sequence of 40 tokens would go that begins with the file.
    assert row["text"] + row["truth"] == text[:39]
    assert (row["file"], row["kind"], row["lines_to_come"], row["eligible"]) == ("v.md", "held_out", 4, False)
    assert prompt_counts(table)["held_out"] == {
        "asked": 99, "available": 1, "taken": 1, "duplicate": 0, "too_short": 1
    }  # fmt: skip


def test_a_beginning_with_three_lines_of_training_is_no_held_out_prefix() -> None:
    lines = [f"line {i:03}\n" for i in range(9)]
    for copied, kept in ((2, 1), (3, 0)):
        train = source("t.md", "x\n" + "".join(lines[1 : 1 + copied]) + "y\n" * 30)
        table = extract([train], [source("v.md", "".join(lines))], **BEGINNINGS)
        assert len(table) == kept
        assert prompt_counts(table)["held_out"].get("copied_in_training", 0) == 1 - kept


def test_held_out_prefixes_name_their_prompts_otherwise_and_have_no_stop_strings() -> None:
    functions = MemorizationSettings.model_validate({"prompts": {"held_out": 1}, "stop": []})
    prefixes = MemorizationSettings.model_validate({**BEGINNINGS, "prompts": {"held_out": 1}})
    assert prefixes.prompt_recipe() == {**functions.prompt_recipe(), "held_out": "prefix"}
    assert (functions.longest_prefix, functions.asks_functions) == (0, True)
    assert (prefixes.longest_prefix, prefixes.asks_functions) == (64, False)
    with pytest.raises(ValueError, match=r"write stop: \[\]"):
        MemorizationSettings.model_validate({**BEGINNINGS, "stop": ["\ndef"]})
    with pytest.raises(InputError, match="prefix_tokens: 40 leaves nothing"):
        extract([source("t.md", "x\n" * 99)], [source("v.md", "y\n" * 99)], **BEGINNINGS, prefix_tokens=40)
