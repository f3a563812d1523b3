"""Which public files a base is trained on, and which nobody trains on.

The same hash decides as for organizations' files, so that a file which an organization validates on is not in the base.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from raysim.core.keys import seed_of
from raysim.corpus.files import SourceFile
from raysim.corpus.split import SplitSettings, split_of
from raysim.corpus.tokenizer import is_learnable


@dataclass(frozen=True)
class PublicSplit:
    """Public files by what becomes of them.

    Attributes:
        trained: what the base is trained on.
        held_out: what nobody trains on: neutral prompts are drawn from it.
    """

    trained: tuple[SourceFile, ...]
    held_out: tuple[SourceFile, ...]


def split_public(
    files: Sequence[SourceFile], settings: SplitSettings, limit: int | None, split_seed: int
) -> PublicSplit:
    """Splits public files by their content.

    Args:
        files: the references.
        settings: shares, as for organizations; validation and test files are held out.
        limit: bytes to train on at most, taken in seeded order; None: all that fall to training.
        split_seed: of split and order.
    """
    learnable = [source for source in files if source.text and is_learnable(source.text)]
    falls = [split_of(source.text, settings, split_seed) for source in learnable]
    trained: list[SourceFile] = []
    left_bytes = float("inf") if limit is None else limit
    for source in sorted(
        (source for source, place in zip(learnable, falls, strict=True) if place == "train"),
        key=lambda f: (seed_of(split_seed, "public", f.repository, f.path), f.text),
    ):
        if source.num_bytes <= left_bytes:
            left_bytes -= source.num_bytes
            trained.append(source)
    held_out = tuple(source for source, place in zip(learnable, falls, strict=True) if place != "train")
    return PublicSplit(tuple(sorted(trained, key=lambda f: (f.repository, f.path))), held_out)
