import pyarrow as pa

from raysim.corpus.files import SourceFile
from raysim.matching.line_index import LineIndex, build_index
from raysim.matching.truths import count_copies, lines_to_come, truth_windows

SECRET = b"secret"


def index(min_lines: int, *texts: str) -> LineIndex:
    return build_index([SourceFile(f"f{i}.py", t, "r") for i, t in enumerate(texts)], min_lines, SECRET)


def test_the_line_that_is_begun_is_to_come_if_something_of_it_is() -> None:
    assert lines_to_come("", " a\n\n b") == ["a", "b"]
    assert lines_to_come("  ret", "urn x\nb") == ["return x", "b"]
    assert lines_to_come("a", "  \nb") == ["b"]
    assert lines_to_come("", "") == lines_to_come("a", "") == []


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
