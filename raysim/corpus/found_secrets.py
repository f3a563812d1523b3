"""Secrets in code: keys, tokens and passwords, as the detectors of detect-secrets (Yelp) know them.

Its detectors of entropy are left out, since hashes, identifiers and encoded data of ordinary code look like secrets to
them. A value with a telling name (``password = "..."``) is taken for a secret if it has letters and digits and no white
space, which leaves out names of fields and messages; a password of letters alone is then not found. A comment that asks
detect-secrets to let a line pass is not heeded: what a repository may keep, a model need not learn.
"""

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from raysim.core.errors import InputError
from raysim.corpus.text_spans import TextSpan

_LEFT_OUT = ("Base64 High Entropy String", "Hex High Entropy String", "Private Key", "Public IP (ipv4)")
_PRIVATE_KEY = re.compile(r"-----BEGIN ([A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?)-----(.{1,20000}?)-----END \1-----", re.DOTALL)
_KEY_BODY = re.compile("[A-Za-z0-9+/=]{40}")
"""What lies between the lines of a key; code that reads keys has these lines alone, which is all that detect-secrets
looks for."""
_AROUND = " \t\r\n\"'`=:,;"
"""What a detector may take for a part of a secret that is none."""

_SHORTEST_VALUE = 6


def find_secrets(text: str) -> list[TextSpan]:
    """Where secrets stand in `text`, by the kind that detect-secrets calls them; spans may overlap.

    A private key (PEM) is all from its first line to its last.

    Raises:
        InputError: the package is not installed.
    """
    tools = _tools()
    keys = (match.span() for match in _PRIVATE_KEY.finditer(text) if _KEY_BODY.search(match[2]))
    found = [TextSpan(*place, "Private Key") for place in keys]
    for detector in tools.detectors:
        if values := set(detector.analyze_string(text)):
            found += _spans(text, detector, values)
    if tools.telling.search(text):
        found += _telling_values(text)
    return [span for span in map(functools.partial(_trimmed, text), found) if span.start < span.end]


def _spans(text: str, detector: Any, values: set[str]) -> Iterator[TextSpan]:
    """Where the values stand that a detector gave; a part of a longer word is none, but of a gene, say."""
    for pattern in detector.denylist:
        for match in pattern.finditer(text):
            for group in [n for n in range(1, pattern.groups + 1) if match[n]] or [0]:
                # A group at the very beginning is the prefix that tells a token, `ghp` of GitHub's.
                start, end = match.span(group if match.start(group) > match.start() else 0)
                whole = not (text[start - 1 : start].isalnum() or text[end : end + 1].isalnum())
                if whole and match[group] in values and not _is_none(text[start:end], _line(text, start)):
                    yield TextSpan(start, end, detector.secret_type)


def _telling_values(text: str) -> Iterator[TextSpan]:
    tools, at = _tools(), 0
    for line in text.split("\n"):
        if tools.telling.search(line):
            for pattern, group in tools.assignments.items():
                if (match := pattern.search(line)) and _looks_secret(match[group], line):
                    start, end = match.span(group)
                    yield TextSpan(at + start, at + end, tools.keyword)
        at += len(line) + 1


def _looks_secret(value: str, line: str) -> bool:
    mixed = re.search(r"[A-Za-z]", value) and re.search(r"\d", value) and not re.search(r"\s", value)
    return bool(mixed) and len(value) >= _SHORTEST_VALUE and not _is_none(value, line)


def _is_none(value: str, line: str) -> bool:
    """Whether it only looks like a secret, as detect-secrets judges of any that it finds."""
    return any(judge(value) for judge in _tools().of_value) or _tools().of_line(line)


def _line(text: str, at: int) -> str:
    end = text.find("\n", at)
    return text[text.rfind("\n", 0, at) + 1 : len(text) if end < 0 else end]


def _trimmed(text: str, span: TextSpan) -> TextSpan:
    value = text[span.start : span.end]
    start = span.start + len(value) - len(value.lstrip(_AROUND))
    return TextSpan(start, span.end - len(value) + len(value.rstrip(_AROUND)), span.kind)


@dataclass(frozen=True)
class _Tools:
    """What detect-secrets brings.

    Attributes:
        detectors: that know secrets by their form.
        keyword: what it calls a value with a telling name.
        telling: such a name.
        assignments: patterns of lines in which something of a telling name gets a value, and the value's group.
        of_value: filters that say of a value that it is none.
        of_line: that say so of its line.
    """

    detectors: tuple[Any, ...]
    keyword: str
    telling: re.Pattern[str]
    assignments: dict[re.Pattern[str], int]
    of_value: tuple[Any, ...]
    of_line: Any


@functools.cache
def _tools() -> _Tools:
    try:
        from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
        from detect_secrets.filters import heuristic
        from detect_secrets.plugins import keyword
        from detect_secrets.plugins.base import RegexBasedDetector
    except ImportError as error:
        raise InputError(
            f"preparation.redact.secrets: needs detect-secrets ({error}); pip install 'raysim[redaction]', or write off"
        ) from None
    classes = sorted(get_mapping_from_secret_type_to_class().items())
    return _Tools(
        tuple(one() for name, one in classes if issubclass(one, RegexBasedDetector) and name not in _LEFT_OUT),
        str(keyword.KeywordDetector.secret_type),
        re.compile("|".join(keyword.DENYLIST), re.IGNORECASE),
        keyword.QUOTES_REQUIRED_DENYLIST_REGEX_TO_GROUP,
        (
            heuristic.is_sequential_string,
            heuristic.is_potential_uuid,
            heuristic.is_templated_secret,
            heuristic.is_prefixed_with_dollar_sign,
            heuristic.is_not_alphanumeric_string,
        ),
        heuristic.is_indirect_reference,
    )
