import pytest
from code_in_languages import CODE

from raysim.corpus.files import SourceFile
from raysim.corpus.languages import language_of, languages_of


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a/b.java", "java"),
        ("a.JSX", "javascript"),
        ("a.cjs", "javascript"),
        ("include/a.h", "c"),
        ("a.go", "go"),
        ("lib.rs", "rust"),
        ("a.py", "python"),
        ("a.go/b.py", "python"),
        ("train.jsonl.gz#12", "python"),
        ("Makefile", "python"),
        ("a.kt", "python"),
    ],
)
def test_the_ending_tells_the_language(path: str, expected: str) -> None:
    assert language_of(path) == expected


def test_languages_of_files_are_named_once() -> None:
    files = [SourceFile(code.path, code.text, "r") for code in CODE.values()] * 2
    assert languages_of(files) == ("c", "go", "java", "javascript", "rust")
    assert languages_of([]) == ()
