"""Reciting against slow, plain references: `generate` a prompt at a time, textbook Levenshtein, a pass a token."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GenerationConfig

from raysim.inference.settings import Scheme
from raysim.measures.memorization.passages import Passage, part_of
from raysim.measures.memorization.reciting import EXTRACTION_SCHEMA, continue_greedily, recite
from raysim.measures.memorization.settings import ExtractionSettings

SCHEME = Scheme(0.7, 0.9, 1.2)
SETTINGS = ExtractionSettings(passages=9, prefix_tokens=(3, 8), suffix_tokens=12, batch_size=4)


def passages(number: int, settings: ExtractionSettings = SETTINGS, vocabulary: int = 34) -> list[Passage]:
    generator = np.random.default_rng(3)
    tokens = generator.integers(1, vocabulary, (number, settings.longest)).astype(np.int32)
    return [Passage(f"p{i}", "a.py", "repo", i, row) for i, row in enumerate(tokens)]


def recited(model: Any, number: int = 2, settings: ExtractionSettings = SETTINGS) -> list[Passage]:
    """Passages that the model itself has written, behind prefixes of the longest length, without an end."""
    found = []
    for passage in passages(60, settings):
        prefix = torch.from_numpy(passage.tokens[: settings.prefix_tokens[-1]].astype(np.int64))[None]
        with torch.inference_mode():
            suffix = continue_greedily(model, prefix, settings.suffix_tokens)
        if 0 not in suffix:
            tokens = torch.cat([prefix, suffix], 1)[0].numpy().astype(np.int32)
            found.append(Passage(f"own {passage.name}", "b.py", "repo", 0, tokens))
    assert len(found) >= number
    return found[:number]


def greedy(model: Any, prefix: list[int], steps: int) -> list[int]:
    """What Hugging Face generates for one prompt, up to the token that ends it."""
    config = GenerationConfig(max_new_tokens=steps, do_sample=False, eos_token_id=0, pad_token_id=0)
    tokens = model.generate(torch.tensor([prefix]), generation_config=config)[0, len(prefix) :].tolist()
    return tokens[: tokens.index(0)] if 0 in tokens else tokens


def levenshtein(a: list[int], b: list[int]) -> int:
    """Wagner and Fischer 1974, as in textbooks."""
    table = [[max(i, j) if min(i, j) == 0 else 0 for j in range(len(b) + 1)] for i in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            swap = table[i - 1][j - 1] + (a[i - 1] != b[j - 1])
            table[i][j] = min(swap, table[i - 1][j] + 1, table[i][j - 1] + 1)
    return table[-1][-1]


def log_p(model: Any, tokens: list[int], prefix: int, scheme: Scheme) -> float:
    """A pass for each token; every nucleus by sorting, every penalty by a loop."""
    total = 0.0
    for position in range(prefix, len(tokens)):
        with torch.inference_mode():
            scores = model(input_ids=torch.tensor([tokens[:position]])).logits[0, -1].double().tolist()
        for token in set(tokens[:position]):
            penalty = scheme.repetition_penalty
            scores[token] = scores[token] * penalty if scores[token] < 0 else scores[token] / penalty
        masses = [math.exp(score / scheme.temperature) for score in scores]
        masses = [mass / sum(masses) for mass in masses]
        nucleus: list[int] = []
        for token in sorted(range(len(masses)), key=lambda t: -masses[t]):
            if sum(masses[t] for t in nucleus) < scheme.top_p:
                nucleus.append(token)
        if tokens[position] not in nucleus:
            return -math.inf
        total += math.log(masses[tokens[position]] / sum(masses[t] for t in nucleus))
    return total


@pytest.mark.parametrize("place", ["start", "anywhere"])
def test_equals_slow_references(model: Any, place: str) -> None:
    settings = SETTINGS.model_copy(update={"place": place})
    given = [*passages(5), *recited(model)]
    with torch.inference_mode():
        table = recite(model, given, 0, settings, SCHEME)
    assert table.schema == EXTRACTION_SCHEMA
    rows = {(row["passage"], row["prefix_tokens"]): row for row in table.to_pylist()}
    assert len(rows) == table.num_rows == 2 * len(given)
    for passage in given:
        for length in settings.prefix_tokens:
            row, (offset, part) = rows[passage.name, length], part_of(passage, length, settings)
            tokens = part.tolist()
            continuation, suffix = greedy(model, tokens[:length], 12), tokens[length:]
            same = [a == b for a, b in zip(continuation, suffix, strict=False)] + [False]
            assert row["verbatim"] == same.index(False)
            assert row["distance"] == levenshtein(continuation, suffix)
            assert row["log_p"] == pytest.approx(log_p(model, tokens, length, SCHEME), rel=1e-5)
            assert row["log_p_plain"] == pytest.approx(log_p(model, tokens, length, Scheme(1, 1, 1)), rel=1e-5)
            assert (row["offset"], row["suffix_tokens"], row["file"]) == (offset, 12, passage.file)


def test_what_a_model_wrote_it_recites(model: Any) -> None:
    """Behind the prefix that it wrote it behind; a token changed on the way is one error, wherever it leads."""
    (own, *_) = recited(model)
    settings = SETTINGS.model_copy(update={"prefix_tokens": (8,)})
    tokens = own.tokens.copy()
    tokens[8 + 5] = tokens[8 + 5] % 33 + 1
    changed = Passage("changed", "", "", 0, tokens)
    with torch.inference_mode():
        first, second = recite(model, [own, changed], 0, settings, Scheme(0, 1, 1)).to_pylist()
    assert (first["verbatim"], first["distance"], first["log_p"]) == (12, 0, 0.0)
    assert (second["verbatim"], second["distance"], second["log_p"]) == (5, 1, -math.inf)


def test_batches_do_not_matter(model: Any) -> None:
    given = [*passages(5), *recited(model)]
    with torch.inference_mode():
        one, many = (
            recite(model, given, 0, SETTINGS.model_copy(update={"batch_size": size}), SCHEME) for size in (1, 7)
        )
    for name in ("passage", "verbatim", "distance"):
        assert one[name].equals(many[name])
    for name in ("log_p", "log_p_plain"):
        assert one[name].to_pylist() == pytest.approx(many[name].to_pylist(), rel=1e-5)


def test_no_passage_no_row(model: Any) -> None:
    assert recite(model, [], 0, SETTINGS, SCHEME).equals(EXTRACTION_SCHEMA.empty_table())


@pytest.mark.parametrize("said_by", ["config", "tokenizer"])
def test_a_continuation_ends_where_a_text_does(model: Any, said_by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given as the token that ends: all of the suffix is still to be inserted."""
    (own, *_) = recited(model)
    settings = SETTINGS.model_copy(update={"prefix_tokens": (8,)})
    other = Passage("other", "", "", 0, np.concatenate([own.tokens[:-1], [own.tokens[-1] % 33 + 1]]).astype(np.int32))
    first = int(own.tokens[8])
    bos_id = first if said_by == "tokenizer" else 0
    if said_by == "config":
        monkeypatch.setattr(model.config, "eos_token_id", [first])
    with torch.inference_mode():
        (row,) = recite(model, [other], bos_id, settings, SCHEME).to_pylist()
    assert (row["verbatim"], row["distance"]) == (0, 12)
