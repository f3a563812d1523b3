from raysim.corpus.files import SourceFile
from raysim.matching.blind_tokens import CodeText, blind_tokens
from raysim.matching.token_index import build_token_index

SECRET = b"secret"


def holds(files: list[str], text: str, length: int) -> list[bool]:
    index = build_token_index([SourceFile(f"{i}.py", t, "r") for i, t in enumerate(files)], length, SECRET)
    return index.holds(blind_tokens([CodeText("x.py", text)], length, SECRET).windows(length)).tolist()


def test_windows_are_inside_one_file() -> None:
    assert holds(["a = 1\nb", "= 2"], "x = 5\ny", 4) == [True]
    assert holds(["a = 1\nb", "= 2"], "y = 5", 3) == [True]
    assert holds(["a = 1\nb", "= 2"], "1\nb = 2", 4) == [False]
    assert holds([], "a = 1", 3) == [False]
    assert holds(["a"], "a = 1", 3) == [False]


def test_equal_windows_are_kept_once_in_order() -> None:
    files = [SourceFile("a.py", "a = 1\nb = 2\nc = 3\n", "r"), SourceFile("b.py", "x = 9", "r")]
    index = build_token_index(files, 3, SECRET)
    assert index.windows.shape == (3, 2)
    assert sorted(index.windows[:, 0].tolist()) == index.windows[:, 0].tolist()
