"""Near-duplicate files by MinHash, as the study's optional preparation step."""

import re
from collections.abc import Sequence

from raysim.corpus.files import SourceFile

_NOT_WORD = re.compile(r"[^A-Za-z_0-9]+")


def words_of(text: str) -> list[str]:
    """The words of a file: runs of ASCII letters, digits and underscores."""
    return [word for word in _NOT_WORD.split(text) if word]


def near_duplicates(
    files: Sequence[SourceFile], jaccard: float, min_words: int, num_permutations: int, seed: int
) -> set[int]:
    """Positions of the files that nearly repeat an earlier kept one.

    Candidates come from MinHash with locality-sensitive hashing (Broder 1997; Lee et al., arXiv 2107.06499), and the
    exact Jaccard index of the two sets of words decides. A pair that the hashing misses stays.

    Args:
        files: in the order of precedence.
        jaccard: files at least so similar are near-duplicates.
        min_words: files with fewer words are never near-duplicates.
        num_permutations: of the MinHash.
        seed: of the permutations.
    """
    from datasketch import MinHash, MinHashLSH

    # False candidates cost only the exact comparison, misses cost a duplicate: the bands are chosen against misses.
    index = MinHashLSH(threshold=jaccard, num_perm=num_permutations, weights=(0.1, 0.9))
    kept: dict[int, frozenset[str]] = {}
    dropped: set[int] = set()
    blank = MinHash(num_perm=num_permutations, seed=seed)
    for position, source in enumerate(files):
        words = words_of(source.text)
        if len(words) < min_words:
            continue
        vocabulary = frozenset(words)
        sketch = blank.copy()
        sketch.update_batch([word.encode() for word in sorted(vocabulary)])
        candidates = [kept[key] for key in index.query(sketch) if isinstance(key, int)]
        if any(len(vocabulary & other) >= jaccard * len(vocabulary | other) for other in candidates):
            dropped.add(position)
        else:
            kept[position] = vocabulary
            index.insert(position, sketch, check_duplication=False)
    return dropped
