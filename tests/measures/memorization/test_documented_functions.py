"""Functions of other languages than Python: whole, documented, and where their files have them."""

import subprocess
import sys

import pytest
from code_in_languages import CODE

from raysim.core.errors import InputError
from raysim.corpus.files import SourceFile
from raysim.corpus.languages import Language
from raysim.measures.memorization import documented_functions as module
from raysim.measures.memorization.documented_functions import documented_functions, grammars_of
from raysim.measures.memorization.functions import functions_of


@pytest.mark.parametrize("language", CODE)
def test_documented_functions_are_found_with_their_documentation(language: Language) -> None:
    path, text, expected = CODE[language]
    found = functions_of(SourceFile(path, text, "r"))
    assert len(found) == len(expected)
    for function, (begins, asks, goes_on, ends) in zip(found, expected, strict=True):
        assert function.prompt.startswith(begins)
        assert function.prompt.endswith(asks + "\n")
        assert function.truth.startswith(goes_on)
        assert function.truth.endswith("\n" + ends + "\n")
        assert function.prompt + function.truth in text


@pytest.mark.parametrize("language", CODE)
def test_line_ends_of_two_characters_change_nothing(language: Language) -> None:
    path, text, _ = CODE[language]
    plain, other = (functions_of(SourceFile(path, t, "r")) for t in (text, text.replace("\n", "\r\n")))
    assert [(f.prompt, f.truth) for f in plain] == [
        (f.prompt.replace("\r\n", "\n"), f.truth.replace("\r\n", "\n")) for f in other
    ]


def test_a_function_with_a_syntax_error_is_left_out_and_others_stay() -> None:
    text = CODE["go"].text.replace("range numbers {", "range {{ numbers")
    assert len(documented_functions(text, "go")) < 2
    later = CODE["go"].text + "\n// Bad is.\nfunc Bad( int {\n\treturn 1\n}\n"
    assert len(documented_functions(later, "go")) == 2


def test_a_file_that_ends_with_its_function() -> None:
    text = "// One is one.\nfunc One() int {\n\treturn 1\n}"
    assert [text[rest:end] for _, rest, end in documented_functions(text, "go")] == ["\treturn 1\n}"]
    assert documented_functions("", "go") == []


def test_a_comment_behind_code_documents_nothing() -> None:
    text = "int a; // a variable\nint f(int a) {\n    return a;\n}\n"
    assert documented_functions(text, "c") == []


def test_grammars_are_named_for_other_languages_alone() -> None:
    assert grammars_of(("python",)) == grammars_of(()) == ""
    named = grammars_of(("go", "python", "rust"))
    assert named.startswith("tree-sitter 0.")
    assert "tree-sitter-go 0." in named
    assert "tree-sitter-rust 0." in named
    assert "java" not in named


def test_without_the_package_python_needs_none_and_others_are_refused() -> None:
    """In a process in which it is not to be found."""
    program = """
import sys
sys.modules["tree_sitter_go"] = None
from raysim.core.errors import InputError
from raysim.corpus.files import SourceFile
from raysim.measures.memorization.functions import functions_of
assert functions_of(SourceFile("a.py", "def f():\\n    'x'\\n    return 1\\n", "r"))
try:
    functions_of(SourceFile("a.go", "package a", "r"))
except InputError as error:
    print(error)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "functions in go need the package tree_sitter_go; pip install 'raysim[languages]'" in ended.stdout


def test_a_grammar_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import PackageNotFoundError

    def missing(*names: str) -> str:
        raise PackageNotFoundError(names[-1])

    monkeypatch.setattr(module, "versions_of", missing)
    with pytest.raises(InputError, match="functions in go need the package tree-sitter-go"):
        grammars_of(("go",))
