"""Whether two syntax trees are one but for what a transformation says that it changes: each result is checked by it."""

import ast
import re
from collections.abc import Mapping
from itertools import groupby
from typing import Any

_SIMPLE = (ast.Assign, ast.AnnAssign, ast.Import, ast.ImportFrom, ast.alias)
_IDENTIFIERS = {
    (ast.Name, "id"),
    (ast.arg, "arg"),
    (ast.FunctionDef, "name"),
    (ast.AsyncFunctionDef, "name"),
    (ast.ExceptHandler, "name"),
    (ast.Nonlocal, "names"),
}
"""Where a name of a local variable is; not those of attributes, keyword arguments, modules and classes."""

_Names = Mapping[str, str]


def same_tree(
    one: ast.AST, other: ast.AST, renamed: Mapping[tuple[str, int], _Names] | None = None, *, reordered: bool = False
) -> bool:
    """Compares two trees node by node.

    Args:
        one: the tree before.
        other: the tree after.
        renamed: for functions of `one`, by name and line, other names of what is local to their bodies.
        reordered: whether neighbouring assignments and imports may have another order.
    """
    stack: list[tuple[Any, Any, _Names]] = [(one, other, {})]
    while stack:
        a, b, names = stack.pop()
        if type(a) is not type(b):
            return False
        if isinstance(a, list):
            if len(a) != len(b):
                return False
            pairs = zip(_sorted(a, names), _sorted(b, {}), strict=True) if reordered else zip(a, b, strict=True)
            stack += [(x, y, names) for x, y in pairs]
        elif isinstance(a, ast.AST):
            own = renamed.get((a.name, a.lineno)) if renamed and isinstance(a, _FUNCTIONS) else None
            for field in a._fields:
                x, y = getattr(a, field, None), getattr(b, field, None)
                if names and (type(a), field) in _IDENTIFIERS:
                    x = [names.get(i, i) for i in x] if isinstance(x, list) else names.get(x or "", x)
                if x is not y:  # as names, contexts and operators are, if they are equal
                    stack.append((x, y, own if own and field == "body" else names))
        elif a != b or (isinstance(a, float | complex) and repr(a) != repr(b)):  # 0.0 == -0.0
            return False
    return True


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def _sorted(nodes: list[Any], names: _Names) -> list[Any]:
    """With each run of neighbours that may change places in the order that they have once renamed."""
    found: list[Any] = []
    for simple, run in groupby(nodes, lambda node: isinstance(node, _SIMPLE)):
        members = list(run)
        found += sorted(members, key=lambda node: _key(node, names)) if simple and len(members) > 1 else members
    return found


def _key(node: ast.AST, names: _Names) -> str:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return f"{getattr(node, 'module', '')} {sorted(map(ast.dump, node.names))}"
    return _ID.sub(lambda found: f"id={names.get(found[1], found[1])!r}", ast.dump(node))


_ID = re.compile(r"id='(\w+)'")
