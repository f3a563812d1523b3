"""Attention of many samples over a prompt that is held once, and over what each of them generated.

The samples of a prompt ask the prompt's keys together (as in Juravsky et al., Hydragen, arXiv 2402.05099). With one new
token a row attention is little arithmetic over many bytes, so what counts is to read keys and values once and in order:
what is generated lies in blocks, each contiguous over all rows, and everything is a batched product of matrices. The
CPU's flash kernel, whose tiles are made for many queries, takes thrice the time.
"""

import torch

# Measured: 64 is a tenth slower in fp32 and no faster in bf16, 8 twice as slow.
_BLOCK_TOKENS = 32


class SharedPrefix:
    """Keys and values of one layer: those of prompts, and beside them those of what their samples generated.

    Rows are the samples of the first prompt, then those of the second. Legend of shapes: P prompts, S samples of each,
    K key heads, G query heads to each of them, L tokens of the longest prompt, B tokens of a block, D of a head.
    """

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None, samples: int) -> None:
        """Takes over what the prompts left in a cache.

        Args:
            keys: ``[P, K, L, D]``.
            values: ``[P, K, L, D]``.
            mask: bool ``[P, L]``, False on padding; or None.
            samples: rows of each prompt.
        """
        self._samples = samples
        self._prefix = (keys.contiguous(), values.contiguous())
        self._bias = None if mask is None else keys.new_zeros(mask.shape).masked_fill_(~mask, -torch.inf)
        self._blocks: list[tuple[torch.Tensor, torch.Tensor]] = []  # [P, K, S, B, D] each
        self._length = 0

    def select(self, prompts: torch.Tensor) -> None:
        """Keeps some prompts (int64 indices) with all of their rows."""
        self._prefix = (self._prefix[0][prompts], self._prefix[1][prompts])
        self._bias = None if self._bias is None else self._bias[prompts]
        self._blocks = [(keys[prompts], values[prompts]) for keys, values in self._blocks]

    def attend(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float) -> torch.Tensor:
        """Attention of one new token a row over prompt, continuation and itself.

        Args:
            query: ``[P * S, K * G * D]``.
            key: ``[P * S, K * D]``, kept for the tokens to come.
            value: ``[P * S, K * D]``, likewise.
            scaling: of the scores.

        Returns:
            ``[P * S, K * G * D]``.
        """
        self._append(key, value)
        prompts, heads, length, dim = self._prefix[0].shape
        grouped = (query * scaling).view(prompts, self._samples, heads, -1, dim)
        group = grouped.shape[3]
        own = grouped.transpose(1, 2).reshape(-1, group, dim)  # [P * K * S, G, D]
        shared = own.view(prompts * heads, -1, dim)  # [P * K, S * G, D]
        before = torch.bmm(shared, self._prefix[0].view(-1, length, dim).transpose(1, 2))
        if self._bias is not None:
            before.view(prompts, -1, length).add_(self._bias[:, None])
        scores = [before.view(-1, group, length)]
        scores += [torch.bmm(own, keys.view(-1, _BLOCK_TOKENS, dim).transpose(1, 2)) for keys, _ in self._blocks]
        joined = torch.cat(scores, 2)
        joined[:, :, length + self._length :] = -torch.inf  # the rest of the last block
        weights = joined.softmax(2)
        before = weights.view(prompts * heads, -1, weights.shape[2])[:, :, :length]
        result = torch.bmm(before, self._prefix[1].view(-1, length, dim)).view_as(own)
        for part, (_, values) in zip(weights[:, :, length:].split(_BLOCK_TOKENS, 2), self._blocks, strict=True):
            result.baddbmm_(part, values.view(-1, _BLOCK_TOKENS, dim))
        return result.view(prompts, heads, self._samples, -1).transpose(1, 2).reshape(query.shape)

    def _append(self, key: torch.Tensor, value: torch.Tensor) -> None:
        prompts, heads, _, dim = self._prefix[0].shape
        at = self._length % _BLOCK_TOKENS
        if at == 0:
            shape = (prompts, heads, self._samples, _BLOCK_TOKENS, dim)
            self._blocks.append((key.new_zeros(shape), value.new_zeros(shape)))
        for block, states in zip(self._blocks[-1], (key, value), strict=True):
            block[:, :, :, at] = states.view(prompts, self._samples, heads, dim).transpose(1, 2)
        self._length += 1
