import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysim.corpus.files import SourceFile
from raysim.matching.line_index import LineIndex, build_index
from raysim.matching.matches import fragment_id, match, prompt_context
from raysim.matching.truths import count_copies, truth_windows

SECRET = b"secret"


def index(min_lines: int, *texts: str) -> LineIndex:
    return build_index([SourceFile(f"f{i}.py", t, "r") for i, t in enumerate(texts)], min_lines, SECRET)


def prompts(truth: str = "", **texts: str) -> pa.Table:
    return pa.table({"prompt": list(texts), "text": list(texts.values()), "truth": [truth] * len(texts)})


def generations(*rows: tuple[str, int, str]) -> pa.Table:
    names = ["prompt", "sample", "text"]
    columns = [list(column) for column in zip(*rows, strict=True)]
    schema = pa.schema([("prompt", pa.string()), ("sample", pa.int32()), ("text", pa.string())])
    return pa.table(dict(zip(names, columns, strict=True)), schema=schema)


def run(
    text: str,
    prompt: str,
    indexes: dict[str, LineIndex],
    reference: LineIndex | None,
    min_lines: int,
    window_in_prompt: bool = False,
) -> tuple[dict[str, tuple[int, ...]], list[dict[str, object]]]:
    samples, matches = match(
        generations(("p", 0, text)),
        prompt_context(prompts(p=prompt), min_lines, SECRET),
        indexes,
        reference,
        min_lines,
        SECRET,
        window_in_prompt,
    )
    names = ("lines", "covered", "exclusive", "shared", "public")
    return {row["owner"]: tuple(row[n] for n in names) for row in samples.to_pylist()}, matches.to_pylist()


def test_exclusive_shared_and_public_by_hand() -> None:
    # a b c d e f: X owns a-d, Y owns c-f, the reference has e-f; windows of 2.
    samples, _ = run(
        "a\nb\nc\nd\ne\nf\nnobody's",
        "",
        {"X": index(2, "a\nb\nc\nd"), "Y": index(2, "c\nd\ne\nf"), "Z": index(2, "a\nz\nb")},
        index(2, "e\nf"),
        2,
    )
    assert samples == {"X": (7, 4, 2, 2, 0), "Y": (7, 4, 0, 2, 2), "Z": (7, 0, 0, 0, 0)}


def test_a_window_lies_in_the_continuation() -> None:
    """Of a-b-c-d two lines are the prompt's: what the model wrote of it is shorter than a window."""
    assert run("c\nd", "a\nb\n", {"X": index(4, "a\nb\nc\nd")}, None, 4) == ({"X": (2, 0, 0, 0, 0)}, [])
    assert run("c\nd", "a\nb\n", {"X": index(2, "a\nb\nc\nd")}, None, 2)[0] == {"X": (2, 2, 2, 0, 0)}
    # The line that the continuation goes on with is its own; one that the prompt finished is not.
    assert run("b = 1\nc", "a\n  b", {"X": index(2, "a\n  bb = 1\nc")}, None, 2)[0] == {"X": (2, 2, 2, 0, 0)}
    assert run("\nc", "a\nb", {"X": index(2, "a\nb\nc")}, None, 2)[0] == {"X": (1, 0, 0, 0, 0)}


def test_a_window_may_begin_in_the_prompt_if_asked_for_but_prompt_lines_do_not_count() -> None:
    owner = {"X": index(4, "# head\n\na\nb\nc\nd\n")}
    samples, matches = run("c\nd", "a\nb\n", owner, None, 4, window_in_prompt=True)
    assert samples == {"X": (2, 2, 2, 0, 0)}
    assert [(m["start"], m["lines"], m["text"], m["file"], m["line"], m["places"]) for m in matches] == [
        (1, 2, "c\nd", "f0.py", 5, 1)
    ]


def test_prompt_alone_is_no_match() -> None:
    assert run("\nzzz", "a\nb\nc\n", {"X": index(3, "a\nb\nc")}, None, 3, window_in_prompt=True)[0] == {
        "X": (1, 0, 0, 0, 0)
    }


def test_line_that_the_prompt_finished_is_not_generated_but_belongs_to_windows() -> None:
    # The prompt ends in "b", the continuation begins with the line end.
    samples, matches = run("\nc", "a\nb", {"X": index(3, "a\nb\nc")}, None, 3, window_in_prompt=True)
    assert samples == {"X": (1, 1, 1, 0, 0)}
    assert [(m["start"], m["text"]) for m in matches] == [(2, "c")]
    assert run("\nz", "a\nb", {"X": index(2, "a\nb")}, None, 2, window_in_prompt=True)[0] == {"X": (1, 0, 0, 0, 0)}


def test_line_that_the_continuation_finished_is_generated() -> None:
    """Its beginning, which is the prompt's, is matched and named by its hash, and is in no text."""
    samples, matches = run("urn x", "def f():\n    ret", {"X": index(1, "def f():\n  return x")}, None, 1)
    assert samples == {"X": (1, 1, 1, 0, 0)}
    assert [(m["start"], m["text"], m["fragment"]) for m in matches] == [(1, "urn x", fragment_id(["return x"]))]


def test_character_that_the_prompt_cuts_is_generated_if_the_continuation_completes_it() -> None:
    owner = {"X": index(1, "a = 'é'")}
    assert run("é'", "a = '\ufffd", owner, None, 1)[0] == {"X": (1, 1, 1, 0, 0)}
    # What it does not complete stands for bytes of the prompt.
    assert run("\ufffd\nb", "a = '\ufffd", owner, None, 1)[0] == {"X": (1, 0, 0, 0, 0)}


def test_white_space_alone_does_not_make_a_line_generated() -> None:
    assert run("  \nc", "b", {"X": index(1, "b")}, None, 1)[0] == {"X": (1, 0, 0, 0, 0)}


def test_match_row_names_fragment_first_place_and_number_of_places() -> None:
    x = index(2, "q\na\nb", "a\n\nb\nc", "a\nb")
    _, matches = run("z\n  a\n\n  b\n  c\nz", "", {"X": x}, None, 2)
    assert matches == [
        {
            "prompt": "p",
            "sample": 0,
            "owner": "X",
            "start": 2,
            "lines": 3,
            "fragment": fragment_id(["a", "b", "c"]),
            "text": "  a\n\n  b\n  c",
            "file": "f0.py",
            "line": 2,
            "places": 3,
        }
    ]


def test_index_of_other_windows_is_refused() -> None:
    with pytest.raises(ValueError, match="windows of 3 lines, not of 2"):
        run("a", "", {"X": index(3, "a")}, None, 2)


def test_no_generations_give_empty_tables() -> None:
    empty = generations(("p", 0, "")).slice(0, 0)
    samples, matches = match(empty, prompt_context(prompts(), 2, SECRET), {"X": index(2)}, None, 2, SECRET)
    assert (len(samples), len(matches)) == (0, 0)


def continued(prompt: str, truth: str, text: str) -> int:
    asked = prompt_context(prompts(truth, p=prompt), 2, SECRET)
    samples, _ = match(generations(("p", 0, text)), asked, {"X": index(2)}, None, 2, SECRET)
    return samples["continued"][0].as_py()


def test_true_lines_that_a_sample_begins_with() -> None:
    assert continued("def f():\n", "  a\n\n  b\n  c\n", " a\nb\nc\nd") == 3
    assert continued("def f():\n", "  a\n  b\n", "  a\n  z\n  b\n") == 1
    assert continued("def f():\n", "  a\n  b\n", "  z\n  a\n  b\n") == 0
    # The line in which the continuation begins counts if something of it is to come, with what the prompt has of it.
    assert continued("x\nret", "urn 1\nb\n", "urn 1\nb\nc") == 2
    assert continued("x\nret", "urn 1\nb\n", "urn 2\nb\nc") == 0
    assert continued("x\ny", "\na\nb\n", "\na\nb") == 2
    assert continued("x\ny", "\na\nb\n", "z\na\nb") == 0
    assert continued("x\n", "", "a") == continued("x\n", "a\n", "") == 0


LINES = st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=8).map("\n".join)


def brute_covered(
    context: list[str], lines: list[str], generated: list[bool], owner: str, m: int, window_in_prompt: bool
) -> list[bool]:
    whole = context + lines
    owned = [line for line in owner.split("\n") if line]
    covered = [False] * len(whole)
    flags = [False] * len(context) + generated
    for at in range(len(whole) - m + 1):
        window = whole[at : at + m]
        hit = any(owned[k : k + m] == window for k in range(len(owned) - m + 1))
        if hit and (any if window_in_prompt else all)(flags[at : at + m]):
            covered[at : at + m] = [True] * m
    return [c and f for c, f in zip(covered, flags, strict=True)][len(context) :]


@given(st.lists(st.tuples(LINES, LINES), min_size=1, max_size=4), LINES, LINES, LINES, st.integers(1, 3), st.booleans())
def test_counts_equal_brute_force(
    samples: list[tuple[str, str]], x: str, y: str, public: str, m: int, window_in_prompt: bool
) -> None:
    # Prompts of whole characters only: the continuation begins in the middle of a line if the prompt has no line end.
    table = generations(*((f"p{i}", i, c) for i, (_, c) in enumerate(samples)))
    contexts = prompt_context(prompts(y, **{f"p{i}": p for i, (p, _) in enumerate(samples)}), m, SECRET)
    indexes = {"X": index(m, x), "Y": index(m, y)}
    rows, matches = match(table, contexts, indexes, index(m, public), m, SECRET, window_in_prompt)
    got = {(row["sample"], row["owner"]): row for row in rows.to_pylist()}
    runs: dict[tuple[int, str], int] = {}
    for row in matches.to_pylist():
        runs[row["sample"], row["owner"]] = runs.get((row["sample"], row["owner"]), 0) + row["lines"]
    for i, (p, c) in enumerate(samples):
        begin = p.rfind("\n") + 1
        context = [line for line in p[:begin].split("\n") if line]
        text, lead = p[begin:] + c, len(p) - begin
        pairs = [(line, n > 0 or bool(line[lead:])) for n, line in enumerate(text.split("\n")) if line]
        lines, generated = [a for a, _ in pairs], [b for _, b in pairs]
        masks = {
            o: brute_covered(context, lines, generated, t, m, window_in_prompt)
            for o, t in (("X", x), ("Y", y), ("", public))
        }
        # The prompt really goes on with y.
        written = [line for line, own in zip(lines, generated, strict=True) if own]
        to_come = [(line, n > 0 or bool(line[lead:])) for n, line in enumerate((p[begin:] + y).split("\n")) if line]
        true = [line for line, own in to_come if own]
        continued = next(
            (k for k, (a, b) in enumerate(zip(written, true, strict=False)) if a != b), min(len(written), len(true))
        )
        for owner, other in (("X", "Y"), ("Y", "X")):
            row = got[i, owner]
            triples = list(zip(masks[owner], masks[other], masks[""], strict=True))
            assert (row["lines"], row["continued"]) == (sum(generated), continued)
            assert row["covered"] == sum(a for a, _, _ in triples) == runs.get((i, owner), 0)
            assert row["exclusive"] == sum(a and not b and not q for a, b, q in triples)
            assert row["shared"] == sum(a and b and not q for a, b, q in triples)
            assert row["public"] == sum(a and q for a, _, q in triples)


def test_another_secret_gives_the_same_tables() -> None:
    """So the secret of a run, which keys all line hashes, stands in no recipe."""
    owners = {"X": "a\nb\nc\nd\na\nb", "Y": "c\nd\ne\nf"}
    asked = prompts(p="z\na\n", q="c\n")
    asked = asked.set_column(2, "truth", pa.array(["b\nc\nd\n", "d\ne\n"]))
    prompt_stats = []
    for secret in (b"one", b"another"):
        indexes = {name: build_index([SourceFile("f.py", text, "r")], 2, secret) for name, text in owners.items()}
        reference = build_index([SourceFile("f.py", "e\nf", "r")], 2, secret)
        answers = generations(("p", 0, "b\nc\nq\n"), ("q", 0, "d\ne\nf\n"))
        context = prompt_context(asked, 2, secret)
        copies = count_copies(truth_windows(asked, 2, secret), indexes, {"p": "X", "q": "Y"}, reference)
        prompt_stats.append((*match(answers, context, indexes, reference, 2, secret), copies))
    assert all(one.equals(other) for one, other in zip(*prompt_stats, strict=True))
    assert prompt_stats[0][0]["covered"].to_pylist() == [2, 0, 0, 3]
    assert prompt_stats[0][0]["continued"].to_pylist() == [2, 2, 2, 2]
