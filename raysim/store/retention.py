"""What of the store may be evicted: weights that nobody will read again, where an experiment bounds the disk.

Since work is a pure function of its recipe, what was evicted can be made again; what stays for good are the facts and
tables of every piece of work, and the hashes of its arrays.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Set
from typing import Any, Literal

import pydantic

from raysim.core.keys import Key
from raysim.core.settings import Settings

Keep = Literal["all", "models", "leaves", "metrics"]
Write = Literal["all", "kept"]


class StoreSettings(Settings):
    """What stays in the store; it changes no result."""

    keep: Keep = pydantic.Field(
        default="models",
        description="weights that stay when a run has ended: all; models: of every model that is reported, so not what"
        " clients sent to an aggregation that has taken place; leaves: of final models; metrics: none. What was evicted"
        " is made again if it is needed",
    )
    write: Write = pydantic.Field(
        default="all",
        description="weights that are written at all: all; kept: those that stay or are measured, the rest goes from"
        " actor to actor alone. Rounds are faster, and a run that is killed or loses an actor trains again from the"
        " last model that is there",
    )


def parents_of(recipe: Mapping[str, Any]) -> tuple[Key, ...]:
    """Keys of the work whose arrays the work of `recipe` reads."""
    importances = list(recipe.get("importances", ()))
    single = map(recipe.get, ("weights", "client_state", "objective_state", "upload_state", "state"))
    return tuple(dict.fromkeys([key for key in single if key] + list(recipe.get("results", ())) + importances))


class Retention:
    """Says, as work ends, whose arrays nobody needs any more.

    Args:
        keep: what stays.
        recipes: of all work of the run that reads or makes arrays, by key.
        leaves: keys of final models.
        referenced: keys whose arrays other runs on the same store count on, asked for anew each time.
        models: keys of all models that the run reports.
        write: what is written.
    """

    def __init__(
        self,
        keep: Keep,
        recipes: Mapping[Key, Mapping[str, Any]],
        leaves: Set[Key],
        referenced: Callable[[], Set[Key]] = frozenset,
        models: Set[Key] = frozenset(),
        write: Write = "all",
    ) -> None:
        self._keep = keep
        self._kept = {"leaves": leaves, "models": leaves | models}.get(keep, frozenset())
        self._referenced = referenced
        self._held: Counter[Key] = Counter()
        self._write = write
        self._read_in_store = {
            parent for recipe in recipes.values() for parent in parents_of(recipe) if not _hands_on(recipe, parent)
        }
        self._parents = {key: parents_of(recipe) for key, recipe in recipes.items()}
        self._readers: dict[Key, set[Key]] = {}
        for key, parents in self._parents.items():
            for parent in parents:
                self._readers.setdefault(parent, set()).add(key)

    @property
    def measure_priority(self) -> float:
        """Of scoring models: it waits while a stage could train, but comes first where weights are evicted after it."""
        return float("inf") if self.bounded else -1.0

    @property
    def bounded(self) -> bool:
        """Whether models that are to be measured are evicted before the run has ended."""
        return self._keep in ("leaves", "metrics")

    def kept(self, keys: Set[Key]) -> Set[Key]:
        """Of `keys` those whose arrays stay when the run has ended."""
        return keys if self._keep == "all" else keys & self._kept

    def hold(self, key: Key) -> None:
        """Keeps the arrays of `key` until `release`: they may become those of a final model."""
        self._held[key] += 1

    def release(self, key: Key) -> list[Key]:
        """Ends a `hold`; whose arrays may be evicted now."""
        self._held[key] -= 1
        return self._unneeded([key])

    def end_with(self, key: Key) -> None:
        """Says that a setting ends with `key`, which was not known beforehand; it stays as final models do."""
        if self._keep in ("leaves", "models"):
            self._kept |= {key}

    def left_over(self, keys: Set[Key]) -> Set[Key]:
        """Of `keys` those whose arrays nobody counts on when the run has ended, whoever was planned to read them."""
        return keys - self.kept(keys) - self._referenced()

    def in_passing(self, key: Key) -> bool:
        """Whether the arrays of `key` need not be written: they do not stay, and no reader asks the store for them."""
        stays = self._keep == "all" or key in self._kept
        return self._write == "kept" and not stays and key not in self._read_in_store

    def readers(self, key: Key) -> Set[Key]:
        """Work that has not ended and reads the arrays of `key`."""
        return self._readers.get(key, frozenset())

    def begins_again(self, work: Key) -> None:
        """Says that `work` is done once more and reads its parents' arrays; `ended` comes again, too."""
        for parent in self._parents.get(work, ()):
            self._readers[parent].add(work)

    def ended(self, work: Key, made: Iterable[Key] = ()) -> list[Key]:
        """Whose arrays may be evicted now that `work` has ended, perhaps once more, and has made `made`."""
        for parent in self._parents.get(work, ()):
            self._readers[parent].discard(work)
        return self._unneeded(dict.fromkeys([*self._parents.get(work, ()), work, *made]))

    def _unneeded(self, candidates: Iterable[Key]) -> list[Key]:
        """Of `candidates` those whose arrays nobody counts on."""
        if self._keep == "all":
            return []
        unread = [k for k in candidates if not (self._readers.get(k) or k in self._kept or self._held[k] > 0)]
        referenced = self._referenced() if unread else frozenset()
        return [key for key in unread if key not in referenced]


def _hands_on(recipe: Mapping[str, Any], parent: Key) -> bool:
    """Whether the work of `recipe` gets the arrays of `parent` from the actor that made them."""
    local = *map(recipe.get, ("client_state", "objective_state", "upload_state")), *recipe.get("importances", ())
    return recipe["kind"] in ("train", "aggregate") and parent not in local
