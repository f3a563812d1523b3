"""What `scan` and `clones` mean, in the plainest words: every place against every place."""

from collections.abc import Mapping
from typing import Any

from raysim.corpus.lines import significant_lines

Files = Mapping[str, str]
Suffixes = list[tuple[str, list[str], list[int]]]


def suffixes(files: Files) -> Suffixes:
    found = []
    for path, text in sorted(files.items()):
        lines, numbers = significant_lines(text)
        found += [(path, lines[i:], numbers[i:]) for i in range(len(lines))]
    return found


def common(left: list[str], right: list[str]) -> int:
    return next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))


def matches(asked: Files, owners: Mapping[str, Files], min_lines: int) -> list[dict[str, Any]]:
    rows = []
    before: dict[str, int] = {}
    for path, lines, numbers in suffixes(asked):
        runs: dict[int, list[dict[str, Any]]] = {}
        now = {}
        for org, files in sorted(owners.items()):
            there = [(common(lines, own), where, place) for where, own, place in suffixes(files)]
            now[org] = max((length for length, _, _ in there), default=0)
            if now[org] >= min_lines and before.get(org) != now[org] + 1:
                places = [(where, place[0]) for length, where, place in there if length >= now[org]]
                owner = {"org": org, "path": places[0][0], "start": places[0][1], "count": len(places)}
                runs.setdefault(now[org], []).append(owner)
        before = now
        for length in sorted(runs, reverse=True):
            end = numbers[length - 1]
            rows.append({"path": path, "start": numbers[0], "end": end, "lines": length, "owners": runs[length]})
    return rows


def covered(asked: Files, other: Files, min_lines: int, own: bool = False) -> set[tuple[str, int]]:
    """Lines (file and number) of `asked` in a window that `other` has; if they are the same, in another place."""
    windows = [tuple(lines[:min_lines]) for _, lines, _ in suffixes(other) if len(lines) >= min_lines]
    return {
        (path, number)
        for path, lines, numbers in suffixes(asked)
        if len(lines) >= min_lines and windows.count(tuple(lines[:min_lines])) > own
        for number in numbers[:min_lines]
    }
