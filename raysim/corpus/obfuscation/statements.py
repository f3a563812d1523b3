"""Puts imports and statements into another order where no order can be told from another.

Moved are neighbours that have whole lines to themselves and nothing between them:

- imports of Python's own modules at the top level of a file, and the names within one. Other modules may do something
  when they are imported, as may one of Python's that is named below;
- assignments of literals and of parameters to local variables of a function, none of which another one of them reads.
"""

import ast
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from raysim.corpus.obfuscation.python_text import REFLECTIVE, Edit, PythonText, functions_of

_WITH_EFFECTS = {"__future__", "antigravity", "this", "readline", "rlcompleter", "site", "sitecustomize", "turtle"}
"""Modules that do something when they are imported."""

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def reorder_statements(code: PythonText, generator: np.random.Generator) -> list[Edit]:
    """Draws another order for each run of statements that has several."""
    edits = list[Edit]()
    for run in _runs(code, code.tree.body, _imported, _each_once):
        edits += _reordered(code, run, generator, _with_other_names)
    for function in functions_of(code.tree):
        known = _Known(function)
        for block in _blocks(function):
            for run in _runs(code, block, known.assigned, known.apart):
                edits += _reordered(code, run, generator, lambda text, node, generator: text)
    return edits


def _runs(
    code: PythonText,
    block: Sequence[ast.stmt],
    names_of: Callable[[ast.stmt], list[str]],
    apart: Callable[[list[ast.stmt]], bool],
) -> Iterator[list[ast.stmt]]:
    """Neighbours that may change places.

    Args:
        code: the file.
        block: statements one after the other.
        names_of: what a statement binds, if it may be moved at all, else nothing.
        apart: whether statements that may be moved have nothing to do with each other.
    """
    run = list[ast.stmt]()
    for statement in block:
        movable = bool(names_of(statement)) and _has_lines(code, statement)
        follows = bool(run) and statement.lineno == (run[-1].end_lineno or 0) + 1
        if not (movable and follows and apart([*run, statement])):
            yield run
            run = []
        if movable:
            run.append(statement)
    yield run


def _has_lines(code: PythonText, statement: ast.stmt) -> bool:
    """Whether nothing else, but a comment behind it, is on its lines."""
    start, end = code.span(statement)
    first, last = code.line_starts[statement.lineno - 1], (statement.end_lineno or 0) - 1
    behind = code.text[end : code.line_starts[last] + len(code.lines[last])].strip()
    return not code.text[first:start].strip(" \t") and (not behind or behind.startswith("#"))


def _reordered(
    code: PythonText,
    run: list[ast.stmt],
    generator: np.random.Generator,
    rewritten: Callable[[str, ast.stmt, np.random.Generator], str],
) -> Iterator[Edit]:
    """The edit that gives the lines of a run another order, if there is one."""
    if not run:
        return
    lines = [
        rewritten("\n".join(code.lines[node.lineno - 1 : node.end_lineno]), node, generator)
        for node in run
    ]  # fmt: skip
    order = generator.permutation(len(run)).tolist()
    if order == sorted(order):
        order = order[1:] + order[:1]
    last = (run[-1].end_lineno or 0) - 1
    start, end = code.line_starts[run[0].lineno - 1], code.line_starts[last] + len(code.lines[last])
    text = "\n".join(lines[number] for number in order)
    if text != code.text[start:end]:
        yield Edit(start, end, text)


def _imported(statement: ast.stmt) -> list[str]:
    """The names that an import binds, if it is one of Python's own modules, which only define something."""
    match statement:
        case ast.Import(names=names):
            modules = [alias.name for alias in names]
        case ast.ImportFrom(module=str(module), level=0, names=names) if names[0].name != "*":
            modules = [module]
        case _:
            return []
    tops = {module.partition(".")[0] for module in modules}
    if not tops <= sys.stdlib_module_names or tops & _WITH_EFFECTS:
        return []
    return [alias.asname or alias.name.partition(".")[0] for alias in names]


def _each_once(statements: list[ast.stmt]) -> bool:
    names = [name for statement in statements for name in _imported(statement)]
    return len(set(names)) == len(names)


def _with_other_names(text: str, node: ast.stmt, generator: np.random.Generator) -> str:
    """An import with its names in another order, if it is written on one line as usual."""
    assert isinstance(node, ast.Import | ast.ImportFrom)
    usual = ast.unparse(node)
    bound = _imported(node)
    if len(node.names) < 2 or len(set(bound)) < len(bound) or not text.startswith(usual):
        return text
    order = generator.permutation(len(node.names))
    names = [node.names[number] for number in order]
    other = ast.Import(names) if isinstance(node, ast.Import) else ast.ImportFrom(node.module, names, node.level)
    return ast.unparse(other) + text.removeprefix(usual)


def _blocks(function: _Function) -> Iterator[list[ast.stmt]]:
    """The blocks of a function, without those of functions and classes in it."""
    stack: list[ast.AST] = [function]
    while stack:
        node = stack.pop()
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list):
                yield block
                stack += [inner for inner in block if not isinstance(inner, _Function | ast.ClassDef)]
        stack += [*getattr(node, "handlers", ()), *getattr(node, "cases", ())]


class _Known:
    """What of a function's variables is certain.

    Args:
        function: whose variables they are.
    """

    def __init__(self, function: _Function) -> None:
        every = function.args
        parameters = {given.arg for given in (*every.posonlyargs, *every.args, *every.kwonlyargs)}
        self._always_bound = parameters
        self._seen_outside = set[str]()
        for node in ast.walk(function):
            match node:
                case ast.Name(id=name, ctx=ast.Del()) | ast.ExceptHandler(name=str(name)):
                    self._always_bound.discard(name)
                case ast.Global(names=names) | ast.Nonlocal(names=names):
                    self._seen_outside.update(names)
                    self._always_bound.difference_update(names)
                case ast.Name(id=name) if name in REFLECTIVE:
                    self._always_bound, self._seen_outside = set(), {"*"}
                    return
                case _:
                    pass

    def assigned(self, statement: ast.stmt) -> list[str]:
        """The local variable that gets a literal or a parameter, and nothing else happens; or none."""
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.expr() as value):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value, simple=1):
                pass
            case _:
                return []
        hidden = name in self._seen_outside or "*" in self._seen_outside
        return [] if hidden or not all(map(self._is_certain, _parts(value))) else [name]

    def apart(self, statements: list[ast.stmt]) -> bool:
        """Whether each binds a name of its own, which no other one reads."""
        names = [name for statement in statements for name in self.assigned(statement)]
        used = [part.id for statement in statements for part in ast.walk(statement) if isinstance(part, ast.Name)]
        return all(used.count(name) == 1 for name in names)

    def _is_certain(self, part: ast.AST) -> bool:
        """Whether a part of a value is there whatever happens before, and makes nothing happen."""
        match part:
            case ast.Constant() | ast.Load() | ast.USub():
                return True
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() | complex())):
                return True
            case ast.Tuple() | ast.List():
                return True
            case ast.Dict(keys=keys) | ast.Set(elts=keys):
                return all(isinstance(key, ast.Constant) for key in keys)
            case ast.Name(id=name):
                return name in self._always_bound
            case _:
                return False


def _parts(value: ast.expr) -> Iterable[ast.AST]:
    return ast.walk(value)
