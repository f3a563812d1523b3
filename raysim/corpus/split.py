"""The split of a corpus into training, validation and test files, by what the files hold.

Where a file falls depends on its content and a seed alone, so that equal files fall alike in every organization, and
nothing has to be exchanged for it: no organization trains on a file that another one validates on.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from math import isclose
from typing import Any, Literal

import pydantic

from raysim.core.keys import seed_of
from raysim.core.settings import Settings
from raysim.corpus.files import SourceFile

Split = Literal["train", "valid", "test"]


class SplitSettings(Settings):
    """Shares of the files (of the bytes when split by repository), which add up to 1 and hold in expectation."""

    train: float = pydantic.Field(default=0.8, gt=0, le=1, description="trained on; unset: what the others leave")
    valid: float = pydantic.Field(
        default=0.2,
        ge=0,
        lt=1,
        description="held out: measured while training, and what best epochs are chosen on; 0: all is trained on",
    )
    test: float = pydantic.Field(
        default=0.0, ge=0, lt=1, description="held out of every choice as well, to report what was chosen on valid"
    )

    @pydantic.model_validator(mode="before")
    @classmethod
    def _train_on_the_rest(cls, raw: Any) -> Any:
        if not isinstance(raw, dict) or "train" in raw:
            return raw
        held_out = [raw.get("valid", 0.2), raw.get("test", 0.0)]
        return {"train": round(1 - sum(held_out), 9), **raw} if all(map(_is_number, held_out)) else raw

    @pydantic.model_validator(mode="after")
    def _whole(self) -> "SplitSettings":
        if not isclose(total := self.train + self.valid + self.test, 1, abs_tol=1e-9):
            raise ValueError(f"train, valid and test add up to {total:g}, not to 1")
        return self


def split_of(text: str, settings: SplitSettings, split_seed: int) -> Split:
    """Where a file with this text falls, whoever has it.

    White space does not count, as it does not where exact copies are left out.
    """
    digest = hashlib.sha256("".join(text.split()).encode()).hexdigest()
    return _at(seed_of(split_seed, "split", digest) / 2**63, settings)


def split_files(
    files: Sequence[SourceFile], settings: SplitSettings, by_repository: bool, split_seed: int
) -> dict[Split, tuple[SourceFile, ...]]:
    """The files of each split, in the order of `files`; a split may be empty.

    Args:
        files: what preparation keeps.
        settings: shares.
        by_repository: whether repositories stay whole. Which of them are held out then depends on the others' sizes,
            so that copies of a file in different repositories may fall apart.
        split_seed: of the draws.
    """
    where: list[Split]
    if by_repository:
        places = _repositories(files, settings, split_seed)
        where = [places[source.repository] for source in files]
    else:
        where = [split_of(source.text, settings, split_seed) for source in files]
    found: dict[Split, list[SourceFile]] = {"train": [], "valid": [], "test": []}
    for source, place in zip(files, where, strict=True):
        found[place].append(source)
    return {place: tuple(chosen) for place, chosen in found.items()}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _at(draw: float, settings: SplitSettings) -> Split:
    """The split that a draw from [0, 1) falls into: with or without a test split, the same files are validated on."""
    if draw < settings.valid:
        return "valid"
    return "test" if draw < settings.valid + settings.test else "train"


def _repositories(files: Sequence[SourceFile], settings: SplitSettings, split_seed: int) -> dict[str, Split]:
    """Held out are repositories in seeded order while they fit into the share of bytes; the smallest if none does."""
    sizes: defaultdict[str, int] = defaultdict(int)
    for source in files:
        sizes[source.repository] += source.num_bytes
    places: dict[str, Split] = dict.fromkeys(sizes, "train")
    shares: tuple[tuple[Split, float], ...] = (("valid", settings.valid), ("test", settings.test))
    for split, share in shares:
        left = [name for name, place in places.items() if place == "train"]
        if share and len(left) > 1:
            chosen = _fitting({name: sizes[name] for name in left}, share * sum(sizes.values()), split_seed)
            places.update((name, split) for name in chosen)
    return places


def _fitting(sizes: dict[str, int], left_bytes: float, split_seed: int) -> list[str]:
    chosen: list[str] = []
    for repository in sorted(sizes, key=lambda name: (seed_of(split_seed, "split", name), name)):
        if sizes[repository] <= left_bytes:
            left_bytes -= sizes[repository]
            chosen.append(repository)
    return chosen or [min(sizes, key=lambda name: (sizes[name], name))]
