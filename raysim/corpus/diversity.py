"""How diverse the lines of a corpus are: a property of the data, before any training."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from raysim.core.hash_groups import HashGroups
from raysim.core.rarefaction import chance_seen
from raysim.corpus.files import SourceFile
from raysim.corpus.line_digests import digest_batches
from raysim.corpus.lines import expected_lines

Spectrum = tuple[tuple[int, int], ...]
"""How many distinct lines occur exactly that often: ascending pairs (times, lines). Counts only, no content."""


def line_spectrum(files: Sequence[SourceFile], folder: Path | None = None) -> Spectrum:
    """The abundances of the significant lines of `files`.

    Args:
        files: in any order.
        folder: where hashes of lines lie that do not fit into memory; None: where temporary files do.
    """
    groups = HashGroups(expected_lines(files), folder)
    for digested in digest_batches(files, b""):
        groups.add(digested.digests, np.zeros(len(digested.digests), dtype=np.int64))
    abundances = Counter[int]()
    for _, _, begins in groups.parts():
        abundances.update(np.diff(begins).tolist())
    return tuple(sorted(abundances.items()))


def num_lines(spectrum: Spectrum) -> int:
    """Significant lines, repeats counted."""
    return sum(times * lines for times, lines in spectrum)


def diversities(spectra: Mapping[str, Spectrum]) -> dict[str, float]:
    """For each corpus its rarefied richness, as a share, all at the size of the smallest.

    That is the share of distinct lines to expect among m lines drawn without replacement, where m is the number of
    lines of the smallest corpus (see `raysim.core.rarefaction`): 1 if no line occurs twice, 1 / m if one line makes up
    the corpus. It is unbiased: a corpus that is larger, but drawn from the same lines, is expected to be as diverse. It
    does not see that lines differ by a name only, nor in which order they come.

    Raises:
        ValueError: a corpus without a line.
    """
    size = smallest(spectra)
    return {name: _rarefied_richness(spectrum, size) / size for name, spectrum in spectra.items()}


def smallest(spectra: Mapping[str, Spectrum]) -> int:
    """Lines of the smallest corpus, the size at which all are compared.

    Raises:
        ValueError: a corpus without a line.
    """
    empty = [name for name, spectrum in spectra.items() if not spectrum]
    if empty:
        raise ValueError(f"{empty[0]} has no line; there is nothing to compare")
    return min(map(num_lines, spectra.values()))


def line_entropy(spectrum: Spectrum) -> float:
    """Shannon entropy of the lines, in bits (Bell System Technical Journal 27, 1948). It grows with the corpus."""
    total = num_lines(spectrum)
    return sum(lines * times / total * math.log2(total / times) for times, lines in spectrum)


def _rarefied_richness(spectrum: Spectrum, size: int) -> float:
    """Distinct lines to expect among `size` lines."""
    seen = chance_seen([times for times, _ in spectrum], num_lines(spectrum), size)
    return math.fsum(float(chance) * lines for chance, (_, lines) in zip(seen, spectrum, strict=True))
