"""Which lines are a licence or copyright notice: text that everybody copies, and nobody minds to see again."""

import re
from collections.abc import Iterator, Sequence

_NOTICE = re.compile(
    r"copyright|\(c\)\s*\d{4}|spdx-|licen[sc]ed? (under|:)|licen[sc]e:|under the terms of|all rights reserved"
    r"|permission is hereby granted|redistribution and use|governing permissions|without warrant"
    r"|provided .as is|as is. basis",
    re.IGNORECASE,
)
_QUOTES = re.compile(r"""[rRuUbB]{0,2}(\"{3}|'{3})""")


def notice_lines(lines: Sequence[str]) -> list[bool]:
    """For each of consecutive significant lines of Python whether it is in a licence or copyright notice.

    A notice is a block of comments, or a text in triple quotes that begins a line, with words that such notices have. A
    block may be cut at either end.
    """
    found = [False] * len(lines)
    for begin, end in _blocks(lines):
        if _NOTICE.search(" ".join(line.strip("# ") for line in lines[begin:end])):
            found[begin:end] = [True] * (end - begin)
    return found


def _blocks(lines: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Half-open ranges of comments side by side, and of texts in triple quotes."""
    at = 0
    while at < len(lines):
        end = at + 1
        if lines[at].startswith("#"):
            while end < len(lines) and lines[end].startswith("#"):
                end += 1
            yield at, end
        elif quotes := _QUOTES.match(lines[at]):
            mark = quotes.group(1)
            if mark not in lines[at][quotes.end() :]:
                while end < len(lines) and mark not in lines[end]:
                    end += 1
                end = min(end + 1, len(lines))
            yield at, end
        at = end


def begins_with_notice(before: Sequence[str], lines: Sequence[str]) -> bool:
    """Whether at least half of `lines`, which come right behind the lines `before`, are a notice; of none: not."""
    noticed = notice_lines([*before, *lines])[len(before) :]
    return bool(noticed) and 2 * sum(noticed) >= len(noticed)
