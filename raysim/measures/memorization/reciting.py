"""Has a model recite passages: what greedy decoding makes of each, and how likely sampling is to draw its suffix.

Only used where there is a model, so torch is imported at the top. Everything is float32 but for the probabilities,
which are float64: whatever a model was trained in, its scores compare with those of others.
"""

from collections.abc import Sequence, Set
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from rapidfuzz.distance import Levenshtein

from raysim.inference.greedy import continue_greedily
from raysim.inference.likelihood import PLAIN, log_probabilities
from raysim.inference.settings import Scheme
from raysim.measures.memorization.passages import Passage, part_of
from raysim.measures.memorization.settings import ExtractionSettings
from raysim.tables.schemas.extraction import EXTRACTION

EXTRACTION_SCHEMA = EXTRACTION.without("model", "organization")


def recite(
    model: Any, passages: Sequence[Passage], bos_id: int, settings: ExtractionSettings, scheme: Scheme
) -> pa.Table:
    """Scores the suffix of each passage behind each length of prefix.

    A prefix is shown alone, from position 0 on, as Carlini et al. (arXiv 2202.07646) do. The probability of a suffix is
    the product over its tokens, from one pass over prefix and suffix (Hayes et al., arXiv 2410.19482).

    Args:
        model: a causal language model of Hugging Face in evaluation mode.
        passages: to recite.
        bos_id: ends a continuation, as does what the model's config says.
        settings: lengths, and how many rows at once.
        scheme: of sampling, for ``log_p``.

    Returns:
        a row for each passage and length of prefix, columns `EXTRACTION_SCHEMA`. ``verbatim`` counts the tokens that
        the greedy continuation has in common with the suffix before it first errs, ``distance`` is their Levenshtein
        distance in tokens (0: extracted); ``log_p`` and ``log_p_plain`` are natural logarithms.
    """
    ends = model.config.eos_token_id
    ends = {bos_id, *(ends if isinstance(ends, list) else [ends])}
    rows: list[dict[str, Any]] = []
    for length in settings.prefix_tokens:
        for start in range(0, len(passages), settings.batch_size):
            batch = passages[start : start + settings.batch_size]
            parts = [part_of(passage, length, settings) for passage in batch]
            tokens = torch.from_numpy(np.stack([tokens for _, tokens in parts]).astype(np.int64))
            scores = _recite_batch(model, tokens, length, ends, scheme)
            for passage, (offset, _), found in zip(batch, parts, scores, strict=True):
                rows.append(
                    {
                        "passage": passage.name,
                        "prefix_tokens": length,
                        "suffix_tokens": settings.suffix_tokens,
                        "file": passage.file,
                        "repository": passage.repository,
                        "offset": offset,
                        **found,
                    }
                )
    return pa.Table.from_pylist(rows, schema=EXTRACTION_SCHEMA)


def _recite_batch(
    model: Any, tokens_BL: torch.Tensor, prefix_tokens: int, ends: Set[int], scheme: Scheme
) -> list[dict[str, Any]]:
    """Scores of each row: ``verbatim``, ``distance``, ``log_p``, ``log_p_plain``."""
    suffix_BS = tokens_BL[:, prefix_tokens:]
    steps = suffix_BS.shape[1]
    logits_BSV = model(input_ids=tokens_BL[:, :-1], use_cache=False, logits_to_keep=steps).logits
    continuations = suffix_BS.clone()
    # Where every token is the likeliest after the true ones before it, greedy decoding has no choice.
    errs = (logits_BSV.argmax(-1) != suffix_BS).any(1)
    if bool(errs.any()):
        continuations[errs] = continue_greedily(model, tokens_BL[errs, :prefix_tokens], steps)
    rows = []
    for tokens, suffix, logits, continuation in zip(
        tokens_BL, suffix_BS.tolist(), logits_BSV, continuations.tolist(), strict=True
    ):
        end = next((i for i, token in enumerate(continuation) if token in ends), None)
        wrong = (i for i, (a, b) in enumerate(zip(continuation[:end], suffix, strict=False)) if a != b)
        rows.append(
            {
                "verbatim": next(wrong, len(continuation[:end])),
                "distance": Levenshtein.distance(continuation[:end], suffix),
                "log_p": float(log_probabilities(logits, tokens, scheme).sum()),
                "log_p_plain": float(log_probabilities(logits, tokens, PLAIN).sum()),
            }
        )
    return rows
