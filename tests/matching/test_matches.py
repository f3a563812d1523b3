import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysim.corpus.files import SourceFile
from raysim.matching.line_index import LineIndex, build_index
from raysim.matching.matches import count_copies, fragment_id, match, prompt_context, truth_windows

SECRET = b"secret"


def index(min_lines: int, *texts: str) -> LineIndex:
    return build_index([SourceFile(f"f{i}.py", t, "r") for i, t in enumerate(texts)], min_lines, SECRET)


def prompts(**texts: str) -> pa.Table:
    return pa.table({"prompt": list(texts), "text": list(texts.values())})


def generations(*rows: tuple[str, int, str]) -> pa.Table:
    names = ["prompt", "sample", "text"]
    columns = [list(column) for column in zip(*rows, strict=True)]
    schema = pa.schema([("prompt", pa.string()), ("sample", pa.int32()), ("text", pa.string())])
    return pa.table(dict(zip(names, columns, strict=True)), schema=schema)


def run(
    text: str, prompt: str, indexes: dict[str, LineIndex], reference: LineIndex | None, min_lines: int
) -> tuple[dict[str, tuple[int, ...]], list[dict[str, object]]]:
    samples, matches = match(
        generations(("p", 0, text)),
        prompt_context(prompts(p=prompt), min_lines, SECRET),
        indexes,
        reference,
        min_lines,
        SECRET,
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


def test_a_window_may_begin_in_the_prompt_but_prompt_lines_do_not_count() -> None:
    samples, matches = run("c\nd", "a\nb\n", {"X": index(4, "# head\n\na\nb\nc\nd\n")}, None, 4)
    assert samples == {"X": (2, 2, 2, 0, 0)}
    assert [(m["start"], m["lines"], m["text"], m["file"], m["line"], m["places"]) for m in matches] == [
        (1, 2, "c\nd", "f0.py", 5, 1)
    ]


def test_prompt_alone_is_no_match() -> None:
    assert run("\nzzz", "a\nb\nc\n", {"X": index(3, "a\nb\nc")}, None, 3)[0] == {"X": (1, 0, 0, 0, 0)}


def test_line_that_the_prompt_finished_is_not_generated_but_belongs_to_windows() -> None:
    # The prompt ends in "b", the continuation begins with the line end.
    samples, matches = run("\nc", "a\nb", {"X": index(3, "a\nb\nc")}, None, 3)
    assert samples == {"X": (1, 1, 1, 0, 0)}
    assert [(m["start"], m["text"]) for m in matches] == [(2, "c")]
    assert run("\nz", "a\nb", {"X": index(2, "a\nb")}, None, 2)[0] == {"X": (1, 0, 0, 0, 0)}


def test_line_that_the_continuation_finished_is_generated() -> None:
    """Its beginning, which is the prompt's, is matched and named by its hash, and is in no text."""
    samples, matches = run("urn x", "def f():\n    ret", {"X": index(2, "def f():\n  return x")}, None, 2)
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


LINES = st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=8).map("\n".join)


def brute_covered(context: list[str], lines: list[str], generated: list[bool], owner: str, m: int) -> list[bool]:
    whole = context + lines
    owned = [line for line in owner.split("\n") if line]
    covered = [False] * len(whole)
    flags = [False] * len(context) + generated
    for at in range(len(whole) - m + 1):
        window = whole[at : at + m]
        hit = any(owned[k : k + m] == window for k in range(len(owned) - m + 1))
        if hit and any(flags[at : at + m]):
            covered[at : at + m] = [True] * m
    return [c and f for c, f in zip(covered, flags, strict=True)][len(context) :]


@given(st.lists(st.tuples(LINES, LINES), min_size=1, max_size=4), LINES, LINES, LINES, st.integers(1, 3))
def test_counts_equal_brute_force(samples: list[tuple[str, str]], x: str, y: str, public: str, m: int) -> None:
    # Prompts of whole characters only: the continuation begins in the middle of a line if the prompt has no line end.
    table = generations(*((f"p{i}", i, c) for i, (_, c) in enumerate(samples)))
    contexts = prompt_context(prompts(**{f"p{i}": p for i, (p, _) in enumerate(samples)}), m, SECRET)
    indexes = {"X": index(m, x), "Y": index(m, y)}
    rows, matches = match(table, contexts, indexes, index(m, public), m, SECRET)
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
        masks = {o: brute_covered(context, lines, generated, t, m) for o, t in (("X", x), ("Y", y), ("", public))}
        for owner, other in (("X", "Y"), ("Y", "X")):
            row = got[i, owner]
            triples = list(zip(masks[owner], masks[other], masks[""], strict=True))
            assert row["lines"] == sum(generated)
            assert row["covered"] == sum(a for a, _, _ in triples) == runs.get((i, owner), 0)
            assert row["exclusive"] == sum(a and not b and not q for a, b, q in triples)
            assert row["shared"] == sum(a and b and not q for a, b, q in triples)
            assert row["public"] == sum(a and q for a, _, q in triples)


def test_copies_of_the_true_continuation_by_hand() -> None:
    table = pa.table(
        {
            "prompt": ["function", "prefix", "short", "finished"],
            "text": ["def f():\n", "x\nab", "def g():\n", "x\na"],
            "truth": ["a\nb\nz", "c\nd", "a", "\nb\nc"],
        }
    )
    windows = truth_windows(table, 2, SECRET)
    x, y = index(2, "a\nb", "abc\nd", "q\nb\nc", "a\n b"), index(2, "a\nb\nabc\nd", "a\nb")
    owners = {"function": "X", "prefix": "X", "short": "X", "finished": "X"}
    counted = count_copies(windows, {"X": x, "Y": y}, owners, index(2, "a\nb"))
    assert [tuple(row.values()) for row in counted.to_pylist()] == [
        ("function", 1, 2, 1),
        ("prefix", 0, 1, 0),
        ("short", None, None, None),
        ("finished", 0, 0, 0),
    ]


def test_another_secret_gives_the_same_tables() -> None:
    """So the secret of a run, which keys all line hashes, stands in no recipe."""
    owners = {"X": "a\nb\nc\nd\na\nb", "Y": "c\nd\ne\nf"}
    asked = prompts(p="z\na\n", q="c\n").append_column("truth", pa.array(["b\nc\nd\n", "d\ne\n"]))
    prompt_stats = []
    for secret in (b"one", b"another"):
        indexes = {name: build_index([SourceFile("f.py", text, "r")], 2, secret) for name, text in owners.items()}
        reference = build_index([SourceFile("f.py", "e\nf", "r")], 2, secret)
        answers = generations(("p", 0, "b\nc\nq\n"), ("q", 0, "d\ne\nf\n"))
        context = prompt_context(asked, 2, secret)
        copies = count_copies(truth_windows(asked, 2, secret), indexes, {"p": "X", "q": "Y"}, reference)
        prompt_stats.append((*match(answers, context, indexes, reference, 2, secret), copies))
    assert all(one.equals(other) for one, other in zip(*prompt_stats, strict=True))
    assert prompt_stats[0][0]["covered"].to_pylist() == [2, 1, 0, 3]
