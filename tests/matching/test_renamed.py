"""Matches under other names against Python's own tokenizer and every pair of windows."""

from collections.abc import Sequence

import pyarrow as pa
import pytest
from blind_reference import line_counts
from examples import scaled
from hypothesis import given, settings
from hypothesis import strategies as st

from raysim.corpus.files import SourceFile
from raysim.matching.line_index import build_index
from raysim.matching.matches import match, prompt_context
from raysim.matching.renamed import chance_rows, match_renamed, texts_before
from raysim.matching.token_index import TokenIndex, build_token_index

SECRET = b"secret"
COLUMNS = ("tokens", "covered_tokens", "lines", "covered", "exclusive", "shared", "public")


def files(texts: Sequence[str]) -> list[SourceFile]:
    return [SourceFile(f"{i}.py", text, "r") for i, text in enumerate(texts)]


def token_index(texts: Sequence[str], min_tokens: int) -> TokenIndex:
    return build_token_index(files(texts), min_tokens, SECRET)


def found(
    prompt: str, text: str, owners: dict[str, list[str]], public: list[str], min_tokens: int, min_lines: int = 2
) -> dict[str, dict[str, int]]:
    generations = pa.table({"prompt": ["p"], "sample": pa.array([0], pa.int32()), "text": [text]})
    prompts = pa.table({"prompt": ["p"], "kind": ["function"], "file": ["p.py"], "text": [prompt], "truth": [""]})
    lines = {name: build_index(files(texts), min_lines, SECRET) for name, texts in owners.items()}
    context = prompt_context(prompts, min_lines, SECRET)
    _, matches = match(generations, context, lines, None, min_lines, SECRET)
    indexes = {name: token_index(texts, min_tokens) for name, texts in owners.items()}
    reference = token_index(public, min_tokens) if public else None
    before = texts_before(prompts, {})
    rows = match_renamed(generations, matches, before, indexes, reference, min_tokens, SECRET).to_pylist()
    return {row["owner"]: row for row in rows}


ROWS = st.sampled_from(
    [
        "{a} = {b} + 1",
        "{a} = {b} + {a}",
        "{a}({b}, 'x')",
        "if {a}: {b} = 2",
        "{a}.{b} = {a}",
        "{a}({b}={a}, z=1)",
        "",
        "# {a}",
        "{a} = [{b}, {a}]",
        "return {a}",
    ]
)
NAMES = st.sampled_from(["x", "y", "z"])
LINE = st.builds(lambda row, a, b: row.format(a=a, b=b), ROWS, NAMES, NAMES)
CODE = st.lists(LINE, max_size=6).map("\n".join)
OWNED = st.lists(CODE, min_size=1, max_size=2)


@given(CODE, CODE, st.fixed_dictionaries({"X": OWNED, "Y": OWNED}), st.lists(CODE, max_size=1), st.integers(2, 6))
@settings(max_examples=scaled(150), deadline=None)
def test_by_brute_force(
    prompt: str, text: str, owners: dict[str, list[str]], public: list[str], min_tokens: int
) -> None:
    prompt += "\n"
    rows = found(prompt, text, owners, public, min_tokens)
    expected = line_counts(prompt, text, owners, public, min_tokens)
    assert {owner: {name: row[name] for name in COLUMNS} for owner, row in rows.items()} == expected
    for row in rows.values():
        assert row["covered"] == row["exclusive"] + row["shared"] + row["public"]
        assert 0 <= row["hidden"] <= row["exclusive"]


OWN = """\
total = start
for item in items:
    total = total + item.size
    if total > limit:
        raise Full(total)
"""
DISGUISED = """\
amount = first
for each in (
        everything):  # sums
    amount = amount + each.length

    if amount > most:
        raise TooMuch(amount)
""".replace("(\n        everything)", "everything")


def test_renamed_code_is_hidden_from_verbatim_matching_by_hand() -> None:
    (row,) = found("def f():\n", DISGUISED, {"X": [OWN]}, [], 20).values()
    counts = [row[name] for name in ("tokens", "covered_tokens", "lines", "covered", "exclusive", "hidden")]
    assert counts == [25, 25, 5, 5, 5, 5]


def test_what_verbatim_matching_sees_is_not_hidden() -> None:
    """Of five lines the first two are equal, a run of two lines; the fourth is, too, and is none."""
    assert found("def f():\n", OWN, {"X": [OWN]}, [], 20)["X"]["hidden"] == 0
    text = OWN.replace("item.size", "item.length").replace("Full", "TooMuch")
    row = found("def f():\n", text, {"X": [OWN]}, [], 20)["X"]
    assert (row["exclusive"], row["hidden"]) == (5, 3)


def test_names_are_replaced_one_to_one() -> None:
    """Code with the names of both is neither's."""
    mixed = "".join([*OWN.splitlines(keepends=True)[:2], *DISGUISED.splitlines(keepends=True)[2:]])
    assert found("def f():\n", mixed, {"X": [OWN]}, [], 25)["X"]["covered"] == 0
    assert found("def f():\n", DISGUISED, {"X": [OWN]}, [], 25)["X"]["covered"] == 5


def test_the_prompt_does_not_count() -> None:
    """A window that the prompt's tokens complete is none; a token that the continuation goes on with is its own."""
    head, tail = OWN[:60], OWN[60:]
    assert found(head, tail, {"X": [OWN]}, [], 20)["X"]["covered_tokens"] == 0
    assert found("to", OWN[2:], {"X": [OWN]}, [], 25)["X"]["covered_tokens"] == 25


def test_a_prompt_that_begins_within_a_string_is_read_as_its_file() -> None:
    """Without what is before it, the end of the string would begin one."""
    text = f'def f():\n    """Sums\n    up."""\n{OWN}'
    prompts = pa.table({"prompt": ["p"], "kind": ["prefix"], "file": ["0.py"], "text": ['    up."""\n'], "truth": [""]})
    generations = pa.table({"prompt": ["p"], "sample": pa.array([0], pa.int32()), "text": [DISGUISED]})
    matches = match(generations, prompt_context(prompts, 2, SECRET), {}, None, 2, SECRET)[1]
    indexes = {"X": token_index([text], 20)}

    def covered(of_file: str) -> int:
        before = texts_before(prompts, {"0.py": SourceFile("0.py", of_file, "r")})
        rows = match_renamed(generations, matches, before, indexes, None, 20, SECRET).to_pylist()
        return rows[0]["covered"]

    assert covered(text) == 5
    assert covered("another file") == 0


def test_lines_of_a_string_but_its_first_are_none() -> None:
    text = 'x = 1\ny = """\nlong\n"""\n'
    (row,) = found("", text, {"X": ['a = 2\nb = "short"\n']}, [], 6).values()
    assert (row["tokens"], row["lines"], row["covered"]) == (6, 2, 2)


def test_index_of_other_windows_is_refused() -> None:
    before = texts_before(pa.table({"prompt": ["p"], "kind": ["function"], "file": ["p.py"], "text": [""]}), {})
    generations = pa.table({"prompt": ["p"], "sample": pa.array([0], pa.int32()), "text": ["a"]})
    with pytest.raises(ValueError, match="windows of 3 tokens, not of 2"):
        match_renamed(generations, pa.table({"owner": []}), before, {"X": token_index(["a"], 3)}, None, 2, SECRET)


def test_held_out_code_against_training_splits() -> None:
    """The control is what `match_renamed` says of the same text; its own organization is no owner beside others."""
    held_out = [DISGUISED, OWN.replace("total", "sum")]
    owners = {"X": [OWN], "Y": ["nothing = 1"], "A": [OWN]}
    indexes = {name: token_index(texts, 20) for name, texts in owners.items()}
    lines = {name: build_index(files(texts), 2, SECRET) for name, texts in owners.items()}
    table = chance_rows("A", files(held_out), indexes, None, lines, 20, SECRET)
    rows = {row["owner"]: row for row in table.to_pylist()}
    assert rows.keys() == owners.keys()
    alone = [found("", text, {"X": [OWN], "Y": ["nothing = 1"]}, [], 20) for text in held_out]
    for owner in ("X", "Y"):
        for name in (*COLUMNS, "hidden"):
            assert rows[owner][name] == sum(one[owner][name] for one in alone)
    assert (rows["X"]["files"], rows["X"]["lines"], rows["X"]["exclusive"], rows["X"]["hidden"]) == (2, 10, 10, 10)
    assert (rows["A"]["covered"], rows["A"]["shared"]) == (10, 10)


def test_verbatim_copies_in_held_out_code_are_not_hidden_and_no_code_is_zeros() -> None:
    indexes, lines = {"X": token_index([OWN], 20)}, {"X": build_index(files([OWN]), 3, SECRET)}
    held_out = files(["nothing = 1\n", OWN])
    (row,) = chance_rows("X", held_out, indexes, None, lines, 20, SECRET).to_pylist()
    assert (row["exclusive"], row["hidden"]) == (5, 0)
    (row,) = chance_rows("X", [], indexes, None, lines, 20, SECRET).to_pylist()
    assert {row[name] for name in (*COLUMNS, "hidden", "files")} == {0}
