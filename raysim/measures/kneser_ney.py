"""Interpolated Kneser-Ney n-grams over token ids: what a model must beat to have learned more than counts.

Kneser and Ney (ICASSP 1995), in the interpolated form and with the discounts of Chen and Goodman (Computer Speech &
Language 13, 1999, equations 22 to 25 of the technical report TR-10-98): the highest order counts n-grams, every lower
one the distinct tokens that come before. What begins a file has nothing before it, so there n-grams are counted
themselves (as in Heafield et al., ACL 2013). The lowest order is interpolated with the uniform distribution.

Libraries that were looked at: nltk.lm walks Python dicts, one call a token; KenLM knows words, not numbers of tokens,
and is to be compiled. This one takes a second for a million tokens.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Tokens = npt.NDArray[np.int32]
_Ids = npt.NDArray[np.int64]
_Reals = npt.NDArray[np.float64]

_UNKNOWN = -1


@dataclass(frozen=True)
class _Order:
    """The n-grams of one order, each a number: the number of its first n - 1 tokens, and its last token.

    Attributes:
        keys: sorted, int64: ``context * vocab_size + token``.
        counts: of each: occurrences, or distinct tokens before it.
        totals: by context, sum of the counts of what follows it.
        types: by context, how many of these are above 0.
        discount: taken from every count.
    """

    keys: _Ids
    counts: _Reals
    totals: _Reals
    types: _Reals
    discount: float

    def find(self, keys: _Ids) -> _Ids:
        """Numbers of n-grams by their keys; `_UNKNOWN` for those that are not there."""
        places = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[places] == keys, places, _UNKNOWN)


class KneserNey:
    """An n-gram model of files, each of which begins with a BOS.

    Args:
        streams: token ids; a stream begins with a BOS, and may hold several files. Tokens behind a BOS follow none of
            the tokens before it.
        vocab_size: ids, that of the BOS among them.
        bos_id: begins a file; never predicted.
        order: the longest n-gram.

    Raises:
        ValueError: no token to count.
    """

    def __init__(self, streams: list[Tokens], vocab_size: int, bos_id: int, order: int = 5) -> None:
        self._vocab_size, self._bos_id, self._order = vocab_size, bos_id, order
        tokens = np.concatenate([np.asarray(stream, dtype=np.int64) for stream in streams])
        depth = _depth(tokens, bos_id)
        if not (depth > 1).any():
            raise ValueError("n-grams need a token behind a BOS")
        self._orders = self._count(tokens, depth)

    def nats(self, stream: Tokens) -> _Reals:
        """Negative log-likelihood of every token of a stream but its BOS, in their order."""
        tokens = np.asarray(stream, dtype=np.int64)
        depth = _depth(tokens, self._bos_id)
        chances = np.full(len(tokens), 1 / self._vocab_size)
        before = np.zeros(len(tokens), dtype=np.int64)  # number of the n - 1 tokens before
        for order in self._orders:
            ids = self._numbers(order, tokens, before)
            known = before != _UNKNOWN
            context = np.where(known, before, 0)
            total = np.where(known, order.totals[context], 0.0)
            counts = np.where(ids != _UNKNOWN, order.counts[ids], 0.0)
            safe = np.maximum(total, 1.0)
            held_back = order.discount * order.types[context] / safe
            chances = np.where(total > 0, np.maximum(counts - order.discount, 0) / safe + held_back * chances, chances)
            before = _shifted(ids, depth)
        return -np.log(chances[depth > 1])

    def _count(self, tokens: _Ids, depth: _Ids) -> list[_Order]:
        """The orders from the lowest on. A context's number is that of its n-gram one order below."""
        numbers: list[_Ids] = []
        keys: list[_Ids] = []
        occurrences: list[_Ids] = []
        first: list[_Ids] = []
        before = np.zeros(len(tokens), dtype=np.int64)
        for _ in range(self._order):
            there = np.flatnonzero(before != _UNKNOWN)
            own, where, inverse, counts = np.unique(
                before[there] * self._vocab_size + tokens[there],
                return_index=True,
                return_inverse=True,
                return_counts=True,
            )
            ids = np.full(len(tokens), _UNKNOWN, dtype=np.int64)
            ids[there] = inverse
            numbers.append(ids)
            keys.append(own)
            occurrences.append(counts)
            first.append(there[where])
            before = _shifted(ids, depth)
        orders: list[_Order] = []
        for n in range(self._order):
            counts = occurrences[n].astype(np.float64)
            if n + 1 < self._order:
                # Each distinct n-gram of the next order is one more token before its end.
                longer = numbers[n][first[n + 1]]
                at_start = depth[first[n]] == n + 1
                counts = np.where(at_start, counts, np.bincount(longer, minlength=len(counts)))
            if n == 0:
                counts[keys[0] == self._bos_id] = 0
            contexts = keys[n] // self._vocab_size
            size = 1 if n == 0 else len(keys[n - 1])
            totals = np.bincount(contexts, weights=counts, minlength=size).astype(np.float64)
            types = np.bincount(contexts, weights=counts > 0, minlength=size).astype(np.float64)
            orders.append(_Order(keys[n], counts, totals, types, _discount(counts)))
        return orders

    def _numbers(self, order: _Order, tokens: _Ids, before: _Ids) -> _Ids:
        ids = np.full(len(tokens), _UNKNOWN, dtype=np.int64)
        there = np.flatnonzero(before != _UNKNOWN)
        ids[there] = order.find(before[there] * self._vocab_size + tokens[there])
        return ids


def _depth(tokens: _Ids, bos_id: int) -> _Ids:
    """For each token its place in its file, from 1: that of the BOS.

    Raises:
        ValueError: the first token is no BOS.
    """
    if not len(tokens) or tokens[0] != bos_id:
        raise ValueError("a stream begins with a BOS")
    places = np.arange(len(tokens))
    begins = np.maximum.accumulate(np.where(tokens == bos_id, places, 0))
    return places - begins + 1


def _shifted(ids: _Ids, depth: _Ids) -> _Ids:
    """For each place the number of the n-gram that ends before it; `_UNKNOWN` where its file has none so long."""
    before = np.concatenate([[_UNKNOWN], ids[:-1]])
    return np.where(depth > 1, before, _UNKNOWN)


def _discount(counts: _Reals) -> float:
    """n1 / (n1 + 2 n2), of how many n-grams are counted once and twice; a half where none is counted once."""
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    return once / (once + 2 * twice) if once else 0.5
