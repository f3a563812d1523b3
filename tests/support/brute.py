"""What `scan` and `clones` mean, in the plainest words: every place beside every place that begins alike."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from raysim.corpus.lines import significant_lines

Files = Mapping[str, str]


class Place(NamedTuple):
    """The significant lines of a file from one of them on."""

    path: str
    lines: list[str]
    numbers: list[int]
    at: int


def places(files: Files) -> list[Place]:
    return [
        Place(path, lines, numbers, at)
        for path, (lines, numbers) in ((path, significant_lines(text)) for path, text in sorted(files.items()))
        for at in range(len(lines))
    ]


def by_window(files: Files, min_lines: int) -> dict[Sequence[str], list[Place]]:
    found = defaultdict(list)
    for place in places(files):
        if place.at + min_lines <= len(place.lines):
            found[tuple(place.lines[place.at : place.at + min_lines])].append(place)
    return found


def common(left: Place, right: Place) -> int:
    most = min(len(left.lines) - left.at, len(right.lines) - right.at)
    return next((i for i in range(most) if left.lines[left.at + i] != right.lines[right.at + i]), most)


def matches(asked: Files, owners: Mapping[str, Files], min_lines: int) -> list[dict[str, Any]]:
    windows = {org: by_window(files, min_lines) for org, files in sorted(owners.items())}
    rows = []
    before: dict[str, int] = {}
    for place in places(asked):
        runs: dict[int, list[dict[str, Any]]] = {}
        now = {}
        for org, by in windows.items():
            there = [(common(place, p), p) for p in by.get(tuple(place.lines[place.at : place.at + min_lines]), [])]
            longest = now[org] = max((length for length, _ in there), default=0)
            if longest and before.get(org) != longest + 1:
                same = [p for length, p in there if length == longest]
                owner = {"org": org, "path": same[0].path, "start": same[0].numbers[same[0].at], "count": len(same)}
                runs.setdefault(longest, []).append(owner)
        before = now
        for length in sorted(runs, reverse=True):
            start, end = place.numbers[place.at], place.numbers[place.at + length - 1]
            rows.append({"path": place.path, "start": start, "end": end, "lines": length, "owners": runs[length]})
    return rows


def covered(asked: Files, other: Files, min_lines: int, own: bool = False) -> set[tuple[str, int]]:
    """Lines (file and number) of `asked` in a window that `other` has; if they are the same, in another place."""
    there = by_window(other, min_lines)
    return {
        (place.path, number)
        for window, found in by_window(asked, min_lines).items()
        if len(there.get(window, [])) > own
        for place in found
        for number in place.numbers[place.at : place.at + min_lines]
    }
