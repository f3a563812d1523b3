"""Reads YAML 1.2: ``on``, ``yes`` and ``no`` are words, a key named twice is refused, an error says where it is.

The parser is imported when the first document is read, so that help and actors do without it.
"""

import functools
import json
from pathlib import Path
from typing import Any

from raysim.core.errors import InputError


def parse_yaml(text: str, origin: str) -> Any:
    """Parses one YAML document into plain mappings, lists, text, numbers, dates, booleans and None.

    Raises:
        InputError: broken YAML or a key named twice, with file, line and column.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.reader import ReaderError

    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = _constructor()
    try:
        return yaml.load(text)
    except ReaderError as error:  # it knows an offset alone
        before = text[: error.position].split("\n")
        where = f"line {len(before)}, column {len(before[-1]) + 1}"
        raise InputError(f"{origin}, {where}: not valid YAML: character {error.character!r} is not allowed") from None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{origin}, line {mark.line + 1}, column {mark.column + 1}" if mark else origin
        raise InputError(f"{where}: not valid YAML: {error.problem or error.context}") from None
    except (YAMLError, ValueError, LookupError) as error:  # a number beyond Unicode
        raise InputError(f"{origin}: not valid YAML: {error}") from None
    except RecursionError:
        raise InputError(f"{origin}: nested too deeply") from None


def load_yaml(path: Path) -> dict[str, Any]:
    """Reads a YAML file that holds a mapping.

    Raises:
        InputError: missing or unreadable file, broken YAML, or something that is no mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from None
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
                problem = f"{key!r} is named twice; give each a name of its own"
                raise ConstructorError(None, None, problem, key_node.start_mark)
            return True

        def construct_object(self, node: Any, deep: bool = False) -> Any:
            if node in self.recursive_objects and node not in self.constructed_objects:
                raise ConstructorError(None, None, "a node lies inside itself", node.start_mark)
            try:
                return super().construct_object(node, deep=True)
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):  # a month 13, a lone sign
                problem = f"{node.value!r} is no {node.tag.rpartition(':')[2]}"
                raise ConstructorError(None, None, problem, node.start_mark) from None

    return Constructor
