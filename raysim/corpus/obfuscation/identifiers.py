"""Renames what is local to a function: the scrambling of identifiers of Collberg, Thomborson & Low (1997).

A name is renamed in all of an outermost function's body, or not at all. As every binding of the name gets the same
new one, which occurs nowhere in the file, no scope hides or uncovers anything that it did not before; what has to be
known is only that no use of it means something outside the function. The compiler's own table of scopes says so.

A name stays as it is if it

- is a parameter, since callers may name it; but for those of a nested function that is only ever called, and not by
  this name;
- is a nested function that is decorated or does not stay in place, since others can ask for its name;
- means something outside in any scope of the function, or occurs in a class body, which others can look into;
- is a class or an import;
- stands in a text, an f-string, an annotation, a decorator or a ``match`` pattern; docstrings, which nothing looks up,
  do not count.

Functions that look at their own variables by name (``locals``, ``eval``, ...) stay as they are.
"""

import ast
import builtins
import keyword
import re
import symtable
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from raysim.corpus.obfuscation.python_text import REFLECTIVE, Edit, PythonText

Place = tuple[str, int]
"""Name of a function and the line of its ``def``."""

_Function = ast.FunctionDef | ast.AsyncFunctionDef

_FRAMES = re.compile(r"\b(?:f_locals|_getframe|currentframe|co_varnames|inspect\.(?:stack|trace)|getclosurevars)\b")
"""What a file looks into its frames with: none of its functions is changed."""

_NAME = re.compile(r"[^\W\d]\w*")
_BEFORE_FUNCTION = re.compile(r"(?:async\s+)?def\s+")
_BEFORE_HANDLER = re.compile(r"[\s)]+as\s+")

_WORDS = """
    amount area batch block bound branch bucket buffer bundle cargo carry case cell chain chunk clause cluster
    column content context copy corner count cursor cycle delta depth detail digest draft edge element entry event
    extra fact factor field figure final first flag flow folder frame front gap goal grade grid group guide handle
    head height hint holder image inner item join joint kind label layer leaf left length level limit line link
    local lower map mark mask measure member mode model module name near node note number offset order other outer
    owner pair part patch path pattern piece place plan point pool position prefix previous price probe queue rank
    rate ratio reader record region rest result right root round row rule sample scale scope score second section
    seen sequence series share shift side sign size slot source span spot stage start state step stop store stream
    style suffix table tail target task term text thing tick title token total trace track tree trial turn unit
    upper user value view wave weight whole width window word writer zone
"""


def rename_identifiers(
    code: PythonText, generator: np.random.Generator
) -> tuple[list[Edit], dict[Place, dict[str, str]]]:
    """New names for what is local, drawn for each outermost function of the file.

    Returns:
        the edits, and for each function that they are in the new name of each of its names.
    """
    edits, renamed = list[Edit](), dict[Place, dict[str, str]]()
    if _FRAMES.search(code.text):
        return edits, renamed
    taken = {*_NAME.findall(code.text), *keyword.kwlist, *keyword.softkwlist, *dir(builtins)}
    words = [word for word in _WORDS.split() if word not in taken]
    tables = _tables(code.scopes)
    for function in _outermost(code.tree):
        table = tables.get(_place(function))
        found = _Occurrences(code)
        if table is None or getattr(function, "type_params", None) or not found.read(function):
            continue
        names = sorted(_renameable(table, found))
        new = dict(zip(names, _new_names(words, taken, generator), strict=False))
        for name in names:
            edits += [Edit(start, end, new[name]) for start, end in found.spans[name]]
        if new:
            renamed[_place(function)] = new
    return edits, renamed


def _place(function: _Function) -> Place:
    return function.name, function.lineno


def _outermost(tree: ast.Module) -> Iterator[_Function]:
    """Functions that are in no other, in the order of the text."""
    stack: list[ast.AST] = [tree]
    while stack:
        if isinstance(node := stack.pop(), _Function):
            yield node
        else:
            stack += reversed(list(ast.iter_child_nodes(node)))


def _tables(scopes: symtable.SymbolTable) -> dict[Place, symtable.SymbolTable]:
    """The scope of each function, but for those that share name and line."""
    found = defaultdict[Place, list[symtable.SymbolTable]](list)
    for table in _subtree(scopes):
        if table.get_type() == "function":
            found[table.get_name(), table.get_lineno()].append(table)
    return {place: tables[0] for place, tables in found.items() if len(tables) == 1}


def _subtree(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    stack = [table]
    while stack:
        yield (top := stack.pop())
        stack += top.get_children()


def _renameable(table: symtable.SymbolTable, found: "_Occurrences") -> set[str]:
    """The names of a function that mean nothing outside of it, and that nobody outside can see."""
    in_place = found.in_place() - _methods(table)
    names_in_place = {name for name, _ in in_place}
    local, kept = set[str](), found.kept | (found.functions.keys() - names_in_place)
    kept.update(*(found.keywords[name] for name in names_in_place))
    for scope in _subtree(table):
        parameters_are_seen = (scope.get_name(), scope.get_lineno()) not in in_place
        for symbol in scope.get_symbols():
            name = symbol.get_name()
            if symbol.is_local():
                local.add(name)
            if (
                scope.get_type() != "function"
                or symbol.is_global()
                or symbol.is_imported()
                or (symbol.is_namespace() and name not in names_in_place)
                or (symbol.is_parameter() and parameters_are_seen)
            ):
                kept.add(name)
    return {name for name in local - kept if name in found.spans and _is_plain(name)}


def _methods(table: symtable.SymbolTable) -> set[Place]:
    """Functions in the bodies of classes: whoever has the object calls them, with names of arguments."""
    classes = (scope for scope in _subtree(table) if scope.get_type() == "class")
    return {(method.get_name(), method.get_lineno()) for scope in classes for method in scope.get_children()}


def _is_plain(name: str) -> bool:
    return name.isascii() and name not in ("_", "self", "cls") and not name.startswith("__")


def _new_names(words: list[str], taken: set[str], generator: np.random.Generator) -> Iterator[str]:
    """Words, and then two of them together, that the file does not have, each once; without end."""
    order = [words[number] for number in generator.permutation(len(words))]
    yield from order
    number = 0
    while True:
        number += 1
        for word in order or _WORDS.split():
            name = f"{word}_{number}"
            if name not in taken:
                yield name


@dataclass
class _Occurrences:
    """What the body of a function says of its names.

    Attributes:
        code: the file.
        spans: where each name is used as a variable.
        kept: names that must stay.
        functions: the nested functions of each name.
        called: how often each name is called, and nothing else done with it.
        used: how often each name is read or written.
        keywords: names of arguments that are given by name, and ``**``, for each name that is called.
    """

    code: PythonText
    spans: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    kept: set[str] = field(default_factory=set)
    functions: dict[str, list[_Function]] = field(default_factory=lambda: defaultdict(list))
    called: Counter[str] = field(default_factory=Counter)
    used: Counter[str] = field(default_factory=Counter)
    keywords: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def read(self, function: _Function) -> bool:
        """Reads its body, and what decorates it; false if it looks at its variables by name."""
        self._keep_decorated(function)
        stack: list[ast.AST] = [*function.body]
        while stack:
            node = stack.pop()
            looked_into = ast.walk(node) if isinstance(node, ast.JoinedStr) else [node]
            if any(isinstance(part, ast.Name) and part.id in REFLECTIVE for part in looked_into):
                return False
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                continue  # a docstring
            if isinstance(node, ast.JoinedStr):  # where its parts lie depends on the version of Python
                self._keep_all(node)
                continue
            self._read_node(node)
            stack += ast.iter_child_nodes(node)
        return True

    def in_place(self) -> set[Place]:
        """The nested functions that nothing is done with but to call them."""
        return {
            _place(functions[0])
            for name, functions in self.functions.items()
            if len(functions) == 1
            and not functions[0].decorator_list
            and self.used[name] == self.called[name]
            and "**" not in self.keywords[name]
        }

    def _read_node(self, node: ast.AST) -> None:
        match node:
            case ast.Name():
                self.used[node.id] += 1
                self._add(node.id, self.code.span(node)[0])
            case ast.arg():
                self._add(node.arg, self.code.span(node)[0])
                self._keep_all(node.annotation)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self.functions[node.name].append(node)
                self._add_behind(_BEFORE_FUNCTION, node.name, self.code.span(node)[0])
                self._keep_all(node.returns)
                self._keep_decorated(node)
            case ast.ExceptHandler(name=str(name), type=ast.expr() as caught):
                self.used[name] += 1
                self._add_behind(_BEFORE_HANDLER, name, self.code.span(caught)[1])
            case ast.Nonlocal():
                self._read_nonlocal(node)
            case ast.Call(func=ast.Name(id=name)):
                self.called[name] += 1
                self.keywords[name].update(given.arg or "**" for given in node.keywords)
            case ast.AnnAssign():
                self._keep_all(node.annotation)
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
                self.kept.add(name)
            case ast.ClassDef() | ast.Global():
                self.kept.update(node.names if isinstance(node, ast.Global) else [node.name])
            case ast.Constant(value=str(text)):
                self.kept.update(_NAME.findall(text))
            case _:
                pass

    def _add(self, name: str, start: int) -> None:
        """Notes a place of `name`, or, where the text has something else there, that it must stay."""
        end = start + len(name)
        if self.code.text[start:end] == name:
            self.spans[name].append((start, end))
        else:
            self.kept.add(name)

    def _add_behind(self, before: re.Pattern[str], name: str, start: int) -> None:
        found = before.match(self.code.text, start)
        self._add(name, found.end() if found else len(self.code.text))

    def _read_nonlocal(self, node: ast.Nonlocal) -> None:
        start, end = self.code.span(node)
        places = [found.start() for found in _NAME.finditer(self.code.text, start, end)][1:]
        for name, place in zip(node.names, places, strict=True):
            self._add(name, place)

    def _keep_decorated(self, function: _Function) -> None:
        """Keeps what decorators name: some declare the types of local variables."""
        for decorator in function.decorator_list:
            self._keep_all(decorator)
            self.kept.update(part.arg for part in ast.walk(decorator) if isinstance(part, ast.keyword) and part.arg)

    def _keep_all(self, node: ast.AST | None) -> None:
        """Keeps all names in a part of the tree."""
        for part in ast.walk(node) if node else ():
            match part:
                case ast.Name(id=name) | ast.arg(arg=name):
                    self.kept.add(name)
                case ast.Constant(value=str(text)):
                    self.kept.update(_NAME.findall(text))
                case _:
                    pass
