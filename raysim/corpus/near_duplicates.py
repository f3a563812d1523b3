"""Near-duplicate files by MinHash, as the study's optional preparation step, and between organizations."""

import re
from collections.abc import Hashable, Iterator, Sequence
from functools import cache, lru_cache
from typing import Generic, TypeVar

from raysim.core.keys import keyed_hash
from raysim.corpus.files import SourceFile

K = TypeVar("K")

Vocabulary = frozenset[Hashable]
"""The distinct words of a file, or hashes of them."""

_NOT_WORD = re.compile(r"[^A-Za-z_0-9]+")
_MOST_WORDS = 200_000
"""Whose hashes are remembered: some 30 MB."""


def words_of(text: str) -> list[str]:
    """The words of a file: runs of ASCII letters, digits and underscores."""
    return [word for word in _NOT_WORD.split(text) if word]


class Sketcher:
    """Makes what near-duplicates are found by: bands of a MinHash (Broder 1997; Lee et al., arXiv 2107.06499).

    Args:
        jaccard: files at least so similar are near-duplicates.
        min_words: files with fewer words are never near-duplicates.
        num_permutations: of the MinHash.
        seed: of the permutations.
        secret: keys the hashes of bands, so that who does not hold it cannot try texts out against them. Which bands of
            two files are equal does not depend on it.
    """

    def __init__(self, jaccard: float, min_words: int, num_permutations: int, seed: int, secret: bytes = b"") -> None:
        from datasketch import MinHash
        from datasketch.hashfunc import sha1_hash32

        self.jaccard = jaccard
        self._min_words = min_words
        self._secret = secret
        # Most words of a file are in others, too.
        self._blank = MinHash(num_perm=num_permutations, seed=seed, hashfunc=lru_cache(_MOST_WORDS)(sha1_hash32))
        self._bands = _bands(jaccard, num_permutations)

    def vocabulary(self, text: str) -> frozenset[str]:
        """The distinct words of `text`; none if it has too few words to be a near-duplicate."""
        words = words_of(text)
        return frozenset(words) if len(words) >= self._min_words else frozenset()

    def bands(self, vocabulary: frozenset[str]) -> tuple[bytes, ...]:
        """A keyed hash of each band of the MinHash of `vocabulary`; of an empty one there are none."""
        if not vocabulary:
            return ()
        sketch = self._blank.copy()
        sketch.update_batch([word.encode() for word in sorted(vocabulary)])
        return tuple(
            keyed_hash(number.to_bytes(2, "big") + sketch.hashvalues[begin:end].tobytes(), self._secret)
            for number, (begin, end) in enumerate(self._bands)
        )


@cache
def _bands(jaccard: float, num_permutations: int) -> list[tuple[int, int]]:
    """Where bands of a MinHash begin and end; numerical integrals decide."""
    from datasketch import MinHashLSH

    # False candidates cost only the exact comparison, misses cost a duplicate: the bands are chosen against misses.
    return MinHashLSH(threshold=jaccard, num_perm=num_permutations, weights=(0.1, 0.9)).hashranges


class NearIndex(Generic[K]):
    """Files by their bands: equal bands make candidates, the Jaccard index of the vocabularies decides.

    A pair that the hashing misses stays undetected.
    """

    def __init__(self, jaccard: float) -> None:
        self._jaccard = jaccard
        self._by_band: dict[bytes, list[int]] = {}
        self._files: list[tuple[K, Vocabulary]] = []

    def add(self, key: K, bands: Sequence[bytes], vocabulary: Vocabulary) -> None:
        """Enters a file under `key`."""
        for band in bands:
            self._by_band.setdefault(band, []).append(len(self._files))
        self._files.append((key, vocabulary))

    def near(self, bands: Sequence[bytes], vocabulary: Vocabulary) -> Iterator[K]:
        """Keys of the files entered so far that are near-duplicates, in their order."""
        for number in sorted({number for band in bands for number in self._by_band.get(band, ())}):
            key, other = self._files[number]
            if len(vocabulary & other) >= self._jaccard * len(vocabulary | other):
                yield key


def near_duplicates(
    files: Sequence[SourceFile], jaccard: float, min_words: int, num_permutations: int, seed: int
) -> set[int]:
    """Positions of the files that nearly repeat an earlier kept one; `files` are in the order of precedence.

    The other arguments are those of `Sketcher`.
    """
    sketcher = Sketcher(jaccard, min_words, num_permutations, seed)
    kept: NearIndex[int] = NearIndex(jaccard)
    dropped: set[int] = set()
    for position, source in enumerate(files):
        vocabulary = sketcher.vocabulary(source.text)
        bands = sketcher.bands(vocabulary)
        if any(True for _ in kept.near(bands, vocabulary)):
            dropped.add(position)
        else:
            kept.add(position, bands, vocabulary)
    return dropped
