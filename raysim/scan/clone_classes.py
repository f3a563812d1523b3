"""Clone classes: all places of one fragment together, where matches have two places each.

Roy, Cordy & Koschke: Comparison and Evaluation of Code Clone Detection Techniques and Tools, 2009, section 2.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from raysim.scan.matches import Match
from raysim.scan.reading import Unit

_Place = tuple[str, str, int]
"""Owner, path, and the line where it begins."""


@dataclass(frozen=True)
class CloneClass:
    """A fragment that is in several places.

    Attributes:
        length: units that it has.
        places: owner, path and first line of each that a match names, in that order.
        count: of all places.
    """

    length: int
    places: tuple[_Place, ...]
    count: int

    def to_json(self, unit: Unit) -> dict[str, Any]:
        """For people and programs."""
        places = [{"org": org, "path": path, "start": start} for org, path, start in self.places]
        return {unit: self.length, "count": self.count, "places": places}


def clone_classes(matches: Sequence[tuple[str, Match]]) -> list[CloneClass]:
    """The classes of `matches`, each with the name of the corpus that it is of; those with the most code come first."""
    parents: dict[tuple[int, _Place], tuple[int, _Place]] = {}

    def root(place: tuple[int, _Place]) -> tuple[int, _Place]:
        parents.setdefault(place, place)
        while parents[place] != place:
            parents[place] = parents[parents[place]]
            place = parents[place]
        return place

    for org, match in matches:
        here = match.lines, (org, match.path, match.start)
        for owner in match.owners:
            one, other = root(here), root((match.lines, (owner.org, owner.path, owner.start)))
            parents[max(one, other)] = min(one, other)
    places, counts = defaultdict[Any, set[_Place]](set), defaultdict[Any, dict[str, int]](dict)
    for place in parents:
        places[root(place)].add(place[1])
    for org, match in matches:
        of_class = counts[root((match.lines, (org, match.path, match.start)))]
        for owner in match.owners:
            of_class[owner.org] = max(of_class.get(owner.org, 0), owner.count + (owner.org == org))
    found = []
    for head, known in places.items():
        named = {org: sum(place[0] == org for place in known) for org, _, _ in known}
        count = sum(max(number, counts[head].get(org, 0)) for org, number in named.items())
        found.append(CloneClass(head[0], tuple(sorted(known)), count))
    return sorted(found, key=lambda one: (-one.length * (one.count - 1), one.places))
