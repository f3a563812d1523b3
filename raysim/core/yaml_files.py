"""Reads YAML 1.2: ``on``, ``yes`` and ``no`` are words, a key named twice is refused, an error says where it is.

What would take long or become very large is refused at once: deep nesting, aliases of aliases, endless numbers. The
parser is imported when the first document is read, so that help and actors do without it.
"""

import functools
import io
import json
from pathlib import Path
from typing import Any

from raysim.core.errors import InputError
from raysim.core.lfs import refuse_lfs_pointer

_MOST_CHARACTERS = 300_000
"""Of a document: seconds of parsing."""

_MOST_BYTES = 4 * _MOST_CHARACTERS

_DEEPEST = 50
"""Levels of a document: the parser needs several frames of Python's stack for each."""

_MOST_REPEATED = 100_000
"""Nodes and characters that all aliases of a document may repeat."""

_LARGEST_BITS = 1024
"""Of a whole number; Python writes none of many thousand digits."""

_SHOWN = 80


def short(value: Any) -> str:
    """`value` as an error shows it: its beginning, if it is long."""
    try:
        text = repr(value)
    except ValueError:  # a number that is too long to be written
        return f"a {type(value).__name__} too long to show"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def dump_yaml(value: Any) -> str:
    """Plain mappings, lists, text, numbers, booleans and None as a YAML document, in the order that they have."""
    from ruamel.yaml import YAML

    yaml, text = YAML(typ="safe", pure=True), io.StringIO()
    yaml.default_flow_style, yaml.allow_unicode, yaml.width = False, True, 120
    yaml.representer.sort_base_mapping_type_on_output = False
    yaml.dump(value, text)
    return text.getvalue()


def parse_yaml(text: str, origin: str) -> Any:
    """Parses one YAML document into plain mappings, lists, text, numbers, dates, booleans and None.

    Raises:
        InputError: broken YAML or a key named twice, with file, line and column; or more than is read.
    """
    if len(text) > _MOST_CHARACTERS:
        raise InputError(
            f"{origin}: is longer than {_MOST_CHARACTERS:,} characters; name a folder in place of its files"
        )
    from ruamel.yaml import YAML
    from ruamel.yaml.composer import MaxDepthExceededError
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.reader import ReaderError

    yaml = YAML(typ="safe", pure=True)
    yaml.Composer, yaml.Constructor, yaml.max_depth = _composer(), _constructor(), _DEEPEST
    try:
        return yaml.load(text)
    except ReaderError as error:  # it knows an offset alone
        before = text[: error.position].split("\n")
        where = f"line {len(before)}, column {len(before[-1]) + 1}"
        raise InputError(f"{origin}, {where}: not valid YAML: character {error.character!r} is not allowed") from None
    except MaxDepthExceededError as error:
        mark = error.problem_mark
        where = f"{origin}, line {mark.line + 1}, column {mark.column + 1}"
        raise InputError(f"{where}: nested too deeply; at most {_DEEPEST} levels are read") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{origin}, line {mark.line + 1}, column {mark.column + 1}" if mark else origin
        raise InputError(f"{where}: not valid YAML: {error.problem or error.context}") from None
    except (YAMLError, ValueError, LookupError) as error:  # a number beyond Unicode
        raise InputError(f"{origin}: not valid YAML: {error}") from None


def load_yaml(path: Path) -> dict[str, Any]:
    """Reads a YAML file that holds a mapping.

    Raises:
        InputError: missing or unreadable file, broken YAML, or something that is no mapping.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        text = content.decode(errors="strict" if len(content) <= _MOST_BYTES else "replace")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
    refuse_lfs_pointer(text, str(path))
    raw = parse_yaml(text, str(path))
    if not isinstance(raw, dict):
        raise InputError(f"{path}: expected a mapping of settings, found {type(raw).__name__}")
    return raw


def yaml_text(text: str) -> str:
    """`text` as a key or a value of YAML mappings and lists: plain if it reads as itself everywhere, else quoted."""
    try:
        in_flow, in_block = parse_yaml(f"{{{text}: [{text}]}}", ""), parse_yaml(f"a:\n  {text}: {text}", "")
        plain = in_flow == {text: [text]} and in_block == {"a": {text: text}}
    except (InputError, TypeError):  # a key may be something that is no key
        plain = False
    if plain:
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted)


@functools.cache
def _constructor() -> type:
    from ruamel.yaml.constructor import ConstructorError, SafeConstructor

    class Constructor(SafeConstructor):
        """Builds safe values only; whatever is wrong with one is an error with its place."""

        def check_mapping_key(self, node: Any, key_node: Any, mapping: Any, key: Any, value: Any) -> bool:
            if key in mapping:
                problem = f"{short(key)} is named twice; give each a name of its own"
                raise ConstructorError(None, None, problem, key_node.start_mark)
            return True

        def construct_object(self, node: Any, deep: bool = False) -> Any:
            if node in self.recursive_objects and node not in self.constructed_objects:
                raise ConstructorError(None, None, "a node lies inside itself", node.start_mark)
            try:
                value = super().construct_object(node, deep=True)
                if isinstance(value, int) and value.bit_length() > _LARGEST_BITS:
                    raise ValueError
                return value
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):  # a month 13, a lone sign
                problem = f"{short(node.value)} is no {node.tag.rpartition(':')[2]}"
                raise ConstructorError(None, None, problem, node.start_mark) from None

    return Constructor


@functools.cache
def _composer() -> type:
    from ruamel.yaml import composer, events

    class Composer(composer.Composer):
        """Adds up what aliases repeat, before anything is made of it."""

        def __init__(self, loader: Any = None) -> None:
            super().__init__(loader)
            self._repeated = 0
            self._sizes: dict[int, int] = {}

        def compose_node(self, parent: Any, index: Any) -> Any:
            event = self.parser.peek_event()
            node = super().compose_node(parent, index)
            if isinstance(event, events.AliasEvent):
                self._repeated += self._size(node)
                if self._repeated > _MOST_REPEATED:
                    problem = f"aliases repeat more than {_MOST_REPEATED:,} characters; write less, or write it out"
                    raise composer.ComposerError(None, None, problem, event.start_mark)
            return node

        def _size(self, node: Any) -> int:
            """Nodes and characters of `node` with all that its aliases stand for."""
            if id(node) not in self._sizes:
                self._sizes[id(node)] = 1  # also where it lies inside itself, which is refused later
                parts = node.value
                if not isinstance(parts, str):
                    parts = [part for item in parts for part in (item if isinstance(item, tuple) else (item,))]
                size = len(parts) if isinstance(parts, str) else sum(map(self._size, parts))
                self._sizes[id(node)] = 1 + size
            return self._sizes[id(node)]

    return Composer
