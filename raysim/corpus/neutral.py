"""Neutral code: a part of the public references that is set aside, so that nobody is ever trained on it.

Prompts from it ask what models give away to somebody who holds nothing of theirs.
"""

import hashlib
from collections.abc import Iterable

from raysim.core.keys import seed_of
from raysim.corpus.files import SourceFile

_ONE_IN = 10


def is_neutral(source: SourceFile, split_seed: int) -> bool:
    """Whether a public file is set aside: one in ten, by its own text, so that equal files fall alike."""
    text = hashlib.sha256(source.text.encode("utf-8", "surrogatepass")).hexdigest()
    return seed_of(split_seed, "neutral", text) % _ONE_IN == 0


def neutral_files(references: Iterable[SourceFile], split_seed: int) -> tuple[SourceFile, ...]:
    """The public files that are set aside; whoever trains on references trains on the others alone."""
    return tuple(source for source in references if is_neutral(source, split_seed))
