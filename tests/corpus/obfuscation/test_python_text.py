import ast

import pytest

from raysim.corpus.obfuscation.python_text import UNREADABLE, Edit, PythonText, edited, functions_of

TEXT = "é = 'ü\u2028' ; größe = '''\né''' + b\nif é:\n\tx = f'{é!r:>{größe}}' 'c'\n"


def test_nodes_and_tokens_lie_where_their_text_is() -> None:
    """Columns of nodes count bytes, those of tokens characters, and only some line ends are Python's."""
    code = PythonText(TEXT)
    names = [node for node in ast.walk(code.tree) if isinstance(node, ast.Name | ast.BinOp | ast.If)]
    outside = [node for node in names if node.lineno < 4]
    texts = [TEXT[slice(*code.span(node))] for node in outside]
    assert texts == [ast.get_source_segment(TEXT, node) for node in outside]
    assert {"é", "größe", "b"} <= set(texts)
    for token in code.tokens:
        assert TEXT[token.start : token.end] == token.text
        assert code.line_starts[min(token.line, len(code.lines) - 1)] <= token.start
    strings = [token.text for token in code.tokens if token.text.startswith(("'", "f"))]
    assert strings == ["'ü\u2028'", "'''\né'''", "f'{é!r:>{größe}}'", "'c'"]


def test_edits_are_made_in_any_order() -> None:
    edits = [Edit(5, 6, "F"), Edit(0, 1, ""), Edit(3, 3, "("), Edit(3, 4, "D"), Edit(6, 6, ")")]
    assert edited("abcdef", edits) == "bc(DeF)"


def test_functions_are_found_at_every_depth() -> None:
    text = "def a():\n  class B:\n    async def c(self):\n      def d(): pass\nlambda: 1\n"
    assert {function.name for function in functions_of(ast.parse(text))} == {"a", "c", "d"}


@pytest.mark.parametrize(
    "text", ["print 'x'\n", "x = (\n", "\0", "if x:\n\ty\n        z\n", "((" * 3000, "-" * 100_000 + "1"]
)
def test_what_is_no_python_is_refused_as_such(text: str) -> None:
    with pytest.raises(UNREADABLE):
        PythonText(text).tree  # noqa: B018
