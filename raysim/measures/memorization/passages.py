"""Passages that models are asked to recite: word for word from training sequences. No model is needed here.

A passage is a stretch of one packed training sequence, out of which each length of prefix takes its part: some tokens
that a model is shown, and the true suffix right behind them. What it then recites is called discoverably extracted by
Carlini et al. (ICLR 2023, arXiv 2202.07646). All lengths use the same passages.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from raysim.core.keys import seed_of
from raysim.corpus.corpus import Corpus, Packed
from raysim.corpus.planted_functions import PLANTS
from raysim.inference.prompts import prompt_id
from raysim.measures.memorization.settings import ExtractionSettings


@dataclass(frozen=True)
class Passage:
    """A passage of one file.

    Attributes:
        name: 16 hexadecimal digits of its tokens.
        file: path of its file.
        repository: of its file.
        begin: of its first token in the training sequence.
        tokens: int32 ``[longest]``.
    """

    name: str
    file: str
    repository: str
    begin: int
    tokens: npt.NDArray[np.int32]


def part_of(passage: Passage, prefix_tokens: int, settings: ExtractionSettings) -> tuple[int, npt.NDArray[np.int32]]:
    """The part of a passage that a length of prefix takes.

    At the start of a sequence all prefixes begin together, since models with absolute positions recite what they were
    trained on where they saw it; anywhere else all lead to the same suffix, shown with less or more before it.

    Returns:
        where in the training sequence the suffix begins, and int32 ``[prefix_tokens + suffix_tokens]``.
    """
    skipped = 0 if settings.place == "start" else settings.prefix_tokens[-1] - prefix_tokens
    end = skipped + prefix_tokens + settings.suffix_tokens
    return passage.begin + skipped + prefix_tokens, passage.tokens[skipped:end]


def choose_passages(
    corpus: Corpus, packed: Packed, bos_id: int, settings: ExtractionSettings, split_seed: int
) -> list[Passage]:
    """Draws passages for every model and setting alike: at most one of a sequence, so that none overlap.

    A passage lies in one sequence, since nobody was trained on tokens across the cut, and holds no BOS: behind one
    there is another file, which the packing put there and nobody owns together with the one before.

    Fewer than asked for: all sequences with a long enough stretch of one file have been used, and of equal passages
    the first is taken for all.
    """
    seed = seed_of(split_seed, "extraction", corpus.train_fingerprint)
    found: dict[str, Passage] = {}
    for passage in _candidates(corpus, packed, bos_id, settings, seed):
        found.setdefault(passage.name, passage)
        if len(found) == settings.passages:
            break
    return list(found.values())


def _candidates(
    corpus: Corpus, packed: Packed, bos_id: int, settings: ExtractionSettings, seed: int
) -> Iterator[Passage]:
    num_sequences, length = packed.sequences.shape
    generator = np.random.Generator(np.random.Philox(seed))
    order, where = generator.permutation(num_sequences), generator.random(num_sequences)
    by_path = {source.path: source for source in corpus.train}
    starts = np.array([start for _, start, _ in packed.file_spans])
    for number in order:
        sequence = packed.sequences[number]
        before = np.concatenate([[0], np.cumsum(sequence == bos_id)])
        whole = np.flatnonzero(before[settings.longest :] == before[: -settings.longest])
        if settings.place == "start":
            whole = whole[whole == 0]
        if not len(whole):
            continue
        begin = int(whole[int(where[number] * len(whole))])
        tokens = np.array(sequence[begin : begin + settings.longest])
        path = packed.file_spans[int(np.searchsorted(starts, number * length + begin, side="right")) - 1][0]
        if by_path[path].repository != PLANTS:
            yield Passage(prompt_id("extraction", tokens.tolist()), path, by_path[path].repository, begin, tokens)
