"""Kneser-Ney against its definition, written down once more with dicts, and against what a distribution must be."""

from collections import Counter, defaultdict
from math import exp, log

import numpy as np
import pytest

from raysim.measures.kneser_ney import KneserNey

BOS = 0


class Slow:
    """P_n(w | h) = max(c(hw) - D, 0) / c(h) + D t(h) / c(h) P_{n-1}(w | h'), by the book: contexts are tuples."""

    def __init__(self, files: list[list[int]], vocab_size: int, order: int) -> None:
        self.vocab_size, self.order = vocab_size, order
        grams = {
            n: Counter(tuple(f[i - n + 1 : i + 1]) for f in ([BOS, *f] for f in files) for i in range(n - 1, len(f)))
            for n in range(1, order + 1)
        }
        self.counts: dict[int, dict[tuple[int, ...], Counter[int]]] = {}
        self.discounts: dict[int, float] = {}
        for n in range(1, order + 1):
            if n < order:
                before: dict[tuple[int, ...], set[int]] = defaultdict(set)
                for gram in grams[n + 1]:
                    before[gram[1:]].add(gram[0])
                counted = {g: (c if g[0] == BOS else len(before[g])) for g, c in grams[n].items()}
            else:
                counted = dict(grams[n])
            counted.pop((BOS,), None)
            once, twice = (sum(c == k for c in counted.values()) for k in (1, 2))
            self.discounts[n] = once / (once + 2 * twice) if once else 0.5
            self.counts[n] = defaultdict(Counter)
            for gram, count in counted.items():
                self.counts[n][gram[:-1]][gram[-1]] = count

    def chance(self, context: tuple[int, ...], token: int) -> float:
        n = len(context) + 1
        lower = 1 / self.vocab_size if n == 1 else self.chance(context[1:], token)
        counts = self.counts[n].get(context, Counter())
        total, discount = sum(counts.values()), self.discounts[n]
        if not total:
            return lower
        types = sum(c > 0 for c in counts.values())
        return max(counts[token] - discount, 0) / total + discount * types / total * lower

    def nats(self, file: list[int]) -> list[float]:
        tokens = [BOS, *file]
        return [
            -log(self.chance(tuple(tokens[max(0, i - self.order + 1) : i]), tokens[i])) for i in range(1, len(tokens))
        ]


def files_of(seed: int, vocab_size: int, number: int, length: int) -> list[list[int]]:
    generator = np.random.default_rng(seed)
    # Skewed, so that n-grams repeat.
    return [(1 + (generator.pareto(1.2, length).astype(int) % (vocab_size - 1))).tolist() for _ in range(number)]


def stream(files: list[list[int]]) -> np.ndarray:
    return np.array([token for file in files for token in (BOS, *file)], dtype=np.int32)


@pytest.mark.parametrize(("order", "vocab_size"), [(1, 8), (2, 8), (3, 12), (5, 12), (5, 40)])
def test_it_is_the_definition(order: int, vocab_size: int) -> None:
    train, held_out = files_of(order, vocab_size, 12, 60), files_of(99, vocab_size, 5, 40)
    slow = Slow(train, vocab_size, order)
    fast = KneserNey([stream(train)], vocab_size, BOS, order)
    for files in (train, held_out):
        expected = [nats for file in files for nats in slow.nats(file)]
        assert fast.nats(stream(files)) == pytest.approx(expected, rel=1e-12)


def test_several_streams_are_one() -> None:
    one, other, held_out = (files_of(seed, 20, 6, 50) for seed in (1, 2, 3))
    apart = KneserNey([stream(one), stream(other)], 20, BOS).nats(stream(held_out))
    assert apart == pytest.approx(KneserNey([stream(other + one)], 20, BOS).nats(stream(held_out)), rel=1e-12)


def test_chances_sum_to_one_behind_any_context() -> None:
    model = KneserNey([stream(files_of(4, 9, 10, 80))], 9, BOS)
    for context in ([], [3], [1, 1, 2, 1], [8, 8, 8, 8, 8], [1] * 7):
        total = sum(exp(-model.nats(stream([[*context, token]]))[-1]) for token in range(1, 9))
        # The BOS keeps what the uniform distribution gives it: it is never predicted.
        assert 0.9 < total < 1


def test_a_repeated_file_is_learnt_and_a_strange_one_is_not() -> None:
    text = files_of(5, 30, 1, 200)
    model = KneserNey([stream(text * 8)], 30, BOS)
    assert model.nats(stream(text)).mean() < 0.5 < log(30) / 2 < model.nats(stream([[29, 28, 27, 26] * 20])).mean()


@pytest.mark.parametrize("tokens", [[], [5, 6], [BOS]])
def test_streams_without_a_file_are_refused(tokens: list[int]) -> None:
    with pytest.raises(ValueError):
        KneserNey([np.array(tokens, np.int32)], 10, BOS)
