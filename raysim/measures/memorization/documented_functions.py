"""The functions of Java, JavaScript, C, Go and Rust that prompts are made of: those with a comment that documents them.

Tree-sitter says where they are (extra ``languages``). In these languages the documentation stands above the signature,
so a prompt begins with it and ends with the line of the bracket that opens the body.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError
from typing import Any

from raysim.core.errors import InputError
from raysim.core.keys import versions_of
from raysim.corpus.languages import Language


@dataclass(frozen=True)
class _Grammar:
    """What a language calls its parts.

    Attributes:
        functions: nodes that are functions and have a body.
        around: nodes that begin where a function does and hold it alone.
        marks: how a comment begins that documents; empty: as any comment does.
    """

    functions: frozenset[str]
    around: frozenset[str] = frozenset()
    marks: tuple[str, ...] = ("",)


_GRAMMARS: dict[Language, _Grammar] = {
    "java": _Grammar(frozenset({"method_declaration", "constructor_declaration"}), marks=("/**",)),
    "javascript": _Grammar(
        frozenset(
            {
                "function_declaration",
                "generator_function_declaration",
                "method_definition",
                "arrow_function",
                "function_expression",
            }
        ),
        frozenset({"variable_declarator", "lexical_declaration", "variable_declaration", "export_statement"}),
        ("/**",),
    ),
    "c": _Grammar(frozenset({"function_definition"})),
    "go": _Grammar(frozenset({"function_declaration", "method_declaration"})),
    "rust": _Grammar(frozenset({"function_item"}), marks=("///", "/**")),
}

_COMMENTS = frozenset({"comment", "line_comment", "block_comment"})
_BETWEEN = frozenset({"attribute_item"})
"""What may stand between documentation and a function."""


def grammars_of(languages: tuple[Language, ...]) -> str:
    """Versions of the grammars that decide where functions of `languages` are, for a recipe; empty for Python alone.

    Raises:
        InputError: the package that parses one of them is not installed.
    """
    others = [language for language in languages if language in _GRAMMARS]
    try:
        return versions_of("tree-sitter", *(f"tree-sitter-{language}" for language in others)) if others else ""
    except PackageNotFoundError as error:
        raise _missing(" and ".join(others), error.name) from None


def documented_functions(text: str, language: Language) -> list[tuple[int, int, int]]:
    """Every function of a file that a comment right above it documents, in the order of the source.

    Functions with a syntax error in them, and such whose body is on the line of its opening bracket, are left out.

    Returns:
        positions in the text where the comment begins, and behind the line that opens the body and the function's last.

    Raises:
        InputError: the package that parses the language is not installed.
    """
    grammar = _GRAMMARS[language]
    begins = [0, *(i + 1 for i, character in enumerate(text) if character == "\n"), len(text)]
    lines = text.split("\n")
    found = []
    for node in _nodes(_parser(language).parse(text.encode("utf-8", "replace")).root_node):
        body = node.child_by_field_name("body") if node.type in grammar.functions else None
        if body is None or node.has_error or not body.named_children:
            continue
        whole = node
        while whole.parent is not None and whole.parent.type in grammar.around:
            whole = whole.parent
        opens, ends = body.start_point.row, whole.end_point.row
        first = _documented_from(whole, grammar)
        if first is None or body.named_children[0].start_point.row == opens or ends == opens:
            continue
        row, column = first
        if not lines[row].encode("utf-8", "replace")[:column].strip():
            found.append((begins[row], begins[opens + 1], begins[min(ends + 1, len(begins) - 1)]))
    return sorted(set(found))


def _documented_from(node: Any, grammar: _Grammar) -> tuple[int, int] | None:
    """Row and column where the comments right above a node begin, if the first of them documents it."""
    above, first = node, None
    while (before := above.prev_sibling) is not None and before.type in _COMMENTS | _BETWEEN:
        # Some line comments hold the end of their line.
        last = before.end_point.row - (before.end_point.column == 0)
        if last != above.start_point.row - 1:
            break
        above = before
        if before.type in _COMMENTS:
            first = before
    if first is None or not first.text.decode("utf-8", "replace").startswith(grammar.marks):
        return None
    return first.start_point.row, first.start_point.column


def _nodes(root: Any) -> Iterator[Any]:
    """A node and all below it."""
    pending = [root]
    while pending:
        node = pending.pop()
        yield node
        pending += node.named_children


@cache
def _parser(language: Language) -> Any:
    try:
        import tree_sitter

        grammar = import_module(f"tree_sitter_{language}")
    except ImportError as error:
        raise _missing(language, error.name) from None
    return tree_sitter.Parser(tree_sitter.Language(grammar.language()))


def _missing(languages: str, package: str | None) -> InputError:
    return InputError(
        f"measure.memorization.prompts: functions in {languages} need the package {package}; pip install"
        " 'raysim[languages]', or ask for prefix prompts alone"
    )
