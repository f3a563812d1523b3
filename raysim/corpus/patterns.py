"""Glob patterns over ``/``-separated paths: `*` and `?` stay inside one part, `**` crosses any number of them.

By hand, because which files a pattern takes decides the content of corpora, and with it keys: `pathspec` (gitignore
rules: ``a`` takes all below ``a``) and `wcmatch` (``a**`` stays inside one part, a backslash escapes; four times as
slow) take other files.
"""

import re
from collections.abc import Callable, Sequence

_TOKEN = re.compile(r"\*\*/|/\*\*$|\*\*|\*|\?|\[!?[^\]/]+\]|.", re.DOTALL)


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """The regular expression that a path matches in full exactly if it matches the glob `pattern`.

    ``**/`` matches no folder as well as several, and ``a/**`` for everything below ``a``.
    """
    return re.compile("".join(_translate(token) for token in _TOKEN.findall(pattern)), re.DOTALL)


def _translate(token: str) -> str:
    fixed = {"**/": "(?:.*/)?", "/**": "/.*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    if token in fixed:
        return fixed[token]
    if len(token) > 1:
        body = token[1:-1].replace("\\", "\\\\")
        return f"[^{body[1:]}]" if body.startswith("!") else f"[{body}]"
    return re.escape(token)


def matcher(patterns: Sequence[str]) -> Callable[[str], bool]:
    """Whether a path matches one of `patterns`."""
    if not patterns:
        return lambda path: False
    either = re.compile("|".join(f"(?:{compile_pattern(pattern).pattern})" for pattern in patterns), re.DOTALL)
    return lambda path: either.fullmatch(path) is not None


def selector(include: Sequence[str], exclude: Sequence[str]) -> Callable[[str], bool]:
    """Whether a path matches one of `include` and none of `exclude`."""
    wanted, unwanted = matcher(include), matcher(exclude)
    return lambda path: wanted(path) and not unwanted(path)
