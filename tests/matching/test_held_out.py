"""Held-out lines in training splits, counted by hand in windows of two lines."""

from raysim.corpus.files import SourceFile
from raysim.matching.held_out import held_out_rows
from raysim.matching.line_index import build_index

SECRET = b"secret"


def files(*texts: str) -> list[SourceFile]:
    return [SourceFile(f"f{i}.py", text, "r") for i, text in enumerate(texts)]


def rows(splits, public="d\ne"):
    indexes = {"X": build_index(files("a\nb\nc"), 2, SECRET), "Y": build_index(files("b\nc\nd\ne"), 2, SECRET)}
    reference = build_index(files(public), 2, SECRET) if public else None
    table = held_out_rows("X", {name: files(*texts) for name, texts in splits.items()}, 2, indexes, reference, SECRET)
    return [tuple(row.values()) for row in table.to_pylist()]


def test_an_edited_copy_keeps_the_windows_that_were_not_touched():
    # a b in its own; c d e in Y's: b c stand in neither's next to x.
    assert rows({"valid": ["a\nb\nx\nc\nd\ne", "q\nr"]}) == [
        ("X", "valid", "f0.py", 6, 2, 3, 5, 2),
        ("X", "valid", "f1.py", 2, 0, 0, 0, 0),
    ]


def test_what_two_organizations_train_on_counts_once():
    assert rows({"test": ["a\nb\nc\nd"]}, public="") == [("X", "test", "f0.py", 4, 3, 3, 4, 0)]


def test_windows_do_not_reach_over_files():
    assert rows({"valid": ["z\nb", "c\nz"]}) == [
        ("X", "valid", "f0.py", 2, 0, 0, 0, 0),
        ("X", "valid", "f1.py", 2, 0, 0, 0, 0),
    ]


def test_no_files_have_no_rows():
    assert rows({"valid": [], "test": [""]}) == [("X", "test", "f0.py", 0, 0, 0, 0, 0)]
