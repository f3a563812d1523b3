import pytest

from raysim.measures.memorization.functions import functions_with_docstrings

SOURCE = '''import os


class A:
    @property
    async def outer(self, a: int = 1) -> "int":
        """One.

        Two."""
        def inner():
            "three"
            return 3

        return inner()

    def bare(self):
        return 1


def last():
    r"""Raw \\d."""
    return 2'''


def test_functions_are_exact_source() -> None:
    found = functions_with_docstrings(SOURCE)
    assert [(f.prompt, f.truth) for f in found] == [
        (
            '    async def outer(self, a: int = 1) -> "int":\n        """One.\n\n        Two."""\n',
            '        def inner():\n            "three"\n            return 3\n\n        return inner()\n',
        ),
        ('        def inner():\n            "three"\n', "            return 3\n"),
        ('def last():\n    r"""Raw \\d."""\n', "    return 2"),
    ]


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
def test_line_ends_and_form_feeds_do_not_shift_functions(end: str) -> None:
    text = end.join(["x = 'a\x0c\x1c\u2028b'", "\x0c", "def f():", "    'doc'", "    return 1", "", "y = 2"])
    (function,) = functions_with_docstrings(text)
    assert function.prompt == f"def f():{end}    'doc'{end}"
    assert function.truth == f"    return 1{end}"
    assert text[: function.place[2]].endswith(function.truth)


def test_file_that_ends_with_a_docstring_gets_a_line_end() -> None:
    (function,) = functions_with_docstrings("def f():\n    'doc'")
    assert (function.prompt, function.truth) == ("def f():\n    'doc'\n", "")


@pytest.mark.parametrize("text", ["def f(:", "a\x00b", "(" * 500])
def test_what_is_no_python_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match="not Python"):
        functions_with_docstrings(text)
