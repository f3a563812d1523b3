from raysim.corpus.files import SourceFile
from raysim.matching.clones import clone_rows
from raysim.matching.line_index import build_index
from raysim.tables.names import PUBLIC

SECRET = b"secret"


def files(*texts: str) -> list[SourceFile]:
    return [SourceFile(f"f{i}.py", text, "r") for i, text in enumerate(texts)]


def rows(*x_texts: str) -> dict[str, tuple[object, ...]]:
    x = files(*x_texts)
    indexes = {"X": build_index(x, 2, SECRET), "Y": build_index(files("a\nb\nc\nq\nd\ne"), 2, SECRET)}
    table = clone_rows("X", x, 2, indexes, build_index(files("d\ne"), 2, SECRET), SECRET)
    return {
        row["other"]: (row["lines"], row["covered"], row["share"], row["fragments"])
        for row in table.to_pylist()
        if row["organization"] == "X"
    }


def test_lines_shared_with_others_inside_and_with_the_reference() -> None:
    # abc and de stand in Y; ab stands twice in X itself; de is public.
    assert rows("a\nb\nc\nz\nd\ne", "y\n a\n\nb\n") == {
        "X": (9, 4, 4 / 9, 1),
        "Y": (9, 7, 7 / 9, 3),
        PUBLIC: (9, 2, 2 / 9, 1),
    }


def test_runs_do_not_join_across_files() -> None:
    assert rows("d\ne", "a\nb")["Y"] == (4, 4, 1.0, 2)


def test_no_lines_share_nothing() -> None:
    assert rows("\n", "")["Y"] == (0, 0, 0.0, 0)
