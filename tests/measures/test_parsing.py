import pytest

from raysim.measures.parsing import parses


@pytest.mark.parametrize(
    "text",
    [
        "def f(x):\n    return x\n",
        "    def f(self):\n        return 1\n",  # a method, with its indentation
        "def f(x):\n    y = x\n    return (y +",  # the last line ran into the length limit
        "x = '\\d'",  # a deprecated escape is a warning, not an error
    ],
)
def test_parses(text: str) -> None:
    assert parses(text)


@pytest.mark.parametrize("text", ["def f(:\n    pass\n", "return (", "def f():\n  x = (\n  y\n", "a = 1\x00"])
def test_does_not_parse(text: str) -> None:
    assert not parses(text)
