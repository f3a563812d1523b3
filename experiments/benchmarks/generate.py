"""Tokens a second of probing beside a `model.generate` for each prompt, as the study does, and what each measure adds.

Interleaved rounds, medians; the model has random weights and the prompts random tokens. Each row has the measures of
those before it and one more; the last is raysim as it is. The nuclei hold hundreds of tokens, where those of a trained
model hold a few: the worst case for our sampling. Early stop has rows of its own, as it acts only where answers end.
Seconds are those that the one thread had a core, so that others on the machine disturb less.
The peer computes in the precision, raysim in what that comes to on this processor (`raysim.inference.numerics`).
    python experiments/benchmarks/generate.py [--rounds 5] [--precision bf16]
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import torch
from transformers import GenerationConfig, TemperatureLogitsWarper, TopPLogitsWarper

from raysim.inference import decoder as decoding
from raysim.inference import engine as generation
from raysim.inference.engine import Generator
from raysim.inference.numerics import knows_bf16, numerics_of
from raysim.inference.prompts import prompt_id
from raysim.inference.settings import Precision
from raysim.measures.memorization.settings import MemorizationSettings, PromptCounts
from raysim.training.models import ModelSettings, build_model

VOCABULARY, PROMPTS, PROMPT_TOKENS, NEW_TOKENS, SAMPLES = 1024, 36, 64, 128, 5
PEER_PROMPTS = 4
"""The peer's cost grows with the prompts, so a few of them tell its rate."""
CONFIG = {"model_type": "gpt2", "n_layer": 2, "n_head": 4, "n_embd": 192}
STOPS = (" 77", " 88", " 99")
"""In the text of random numbers about one token in thirty ends an answer."""

DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}
"""Of the peer's model."""

Measure = Callable[[], float]


class Numbers:
    """A tokenizer whose text is the ids themselves: decoding is no part of what is measured."""

    bos_id = 0

    def encode(self, text: str) -> list[int]:
        return [int(word) for word in text.split()]

    def decode(self, ids: Any) -> str:
        return " ".join(map(str, ids))


def prompts_table(kind: str = "prefix") -> pa.Table:
    generator = np.random.Generator(np.random.Philox(1))
    tokens = generator.integers(1, VOCABULARY, (PROMPTS, PROMPT_TOKENS)).tolist()
    return pa.table(
        {
            "prompt": [prompt_id(kind, row) for row in tokens],
            "kind": [kind] * PROMPTS,
            "organization": ["org"] * PROMPTS,
            "tokens": pa.array(tokens, pa.list_(pa.int32())),
            "text": [Numbers().decode(row) for row in tokens],
        }
    )


def settings_of(**changes: Any) -> MemorizationSettings:
    counts = PromptCounts(prefix=PROMPTS)
    return MemorizationSettings(prompts=counts, samples=SAMPLES, new_tokens=NEW_TOKENS, **changes)


def hugging_face(model: Any, prompts: pa.Table, together: int) -> float:
    """New tokens a second of `model.generate` for so many prompts at a time."""
    config = GenerationConfig(
        do_sample=True,
        temperature=0.6,
        top_p=0.6,
        top_k=0,
        repetition_penalty=1.1,
        max_new_tokens=NEW_TOKENS,
        min_new_tokens=NEW_TOKENS,
        num_return_sequences=SAMPLES,
        pad_token_id=0,
    )
    started_s, tokens = time.process_time(), 0
    rows = prompts["tokens"].to_pylist()
    for at in range(0, len(rows), together):
        ids = torch.tensor(rows[at : at + together])
        with torch.inference_mode():
            answer = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)
        tokens += answer[:, PROMPT_TOKENS:].numel()
    return tokens / (time.process_time() - started_s)


def sorted_draw(logits: torch.Tensor, uniforms: torch.Tensor, temperature: float, top_p: float) -> torch.Tensor:
    """What Hugging Face does at each step: sorts the vocabulary."""
    scaled = TemperatureLogitsWarper(temperature)(None, logits)  # type: ignore[arg-type]
    kept = TopPLogitsWarper(top_p)(None, scaled)  # type: ignore[arg-type]
    return torch.multinomial(kept.softmax(1), 1)[:, 0]


def without(*names: str) -> AbstractContextManager[Any]:
    """Takes measures out of raysim."""
    patches = {
        "top-p": lambda: mock.patch.object(generation, "draw", sorted_draw),
        "shared": lambda: mock.patch.object(decoding, "can_share_prefix", return_value=False),
        "in place": lambda: mock.patch.object(
            decoding, "share_out", lambda cache, samples, room: cache.batch_repeat_interleave(samples)
        ),
        "early stop": lambda: mock.patch.object(generation, "_CHECK_EVERY", NEW_TOKENS + 1),
    }
    stack = ExitStack()
    for name in names:
        stack.enter_context(patches[name]())
    return stack


def ours(generator: Generator, prompts: pa.Table, *left_out: str) -> float:
    """New tokens a second."""
    with without(*left_out):
        started_s = time.process_time()
        answers = generator.generate(None, prompts, 1)
        return sum(answers["new_tokens"].to_pylist()) / (time.process_time() - started_s)


def interleaved(measures: dict[str, Measure], peer: str, rounds: int, label: str, unit: str) -> list[dict[str, Any]]:
    """Rows with the median of each measure, and that of its ratios to the peer of the same round with their spread."""
    taken: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            taken[name].append(measure())
    rows = []
    for name, values in taken.items():
        ratios = [value / base for value, base in zip(values, taken[peer], strict=True)]
        rows.append(
            {
                "case": f"{label}: {name}",
                "raysim": round(statistics.median(values)),
                "peer": round(statistics.median(taken[peer])),
                "unit": unit,
                "ratio": round(statistics.median(ratios), 2),
                "spread": [round(min(ratios), 2), round(max(ratios), 2)],
            }
        )
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", nargs="+", choices=DTYPES, default=list(DTYPES))
    arguments = parser.parse_args()
    rounds: int = arguments.rounds
    torch.set_num_threads(1)
    fixed, ending = prompts_table(), prompts_table("function")
    rows = []
    for precision in arguments.precision:
        numerics = numerics_of(precision, knows_bf16())
        # A model each, as a generator may change the modules of its own.
        model, own, other = (build_model(ModelSettings(config=CONFIG), VOCABULARY, 0, 256, seed=1) for _ in range(3))
        torch.nn.Module.to(model, dtype=DTYPES[precision])
        probe = Generator(own, Numbers(), settings_of(), 1, numerics=numerics)
        stopping = Generator(other, Numbers(), settings_of(stop=STOPS), 1, numerics=numerics)
        few = fixed.slice(0, PEER_PROMPTS)
        hugging_face(model, few, 1)
        ours(probe, few)
        measures: dict[str, Measure] = {
            "model.generate for each prompt": lambda: hugging_face(model, few, 1),  # noqa: B023
            "+ prompts of a length together": lambda: hugging_face(model, fixed, PROMPTS),  # noqa: B023
            "+ each prompt read once, fused activation": lambda: ours(probe, fixed, "top-p", "shared", "in place"),  # noqa: B023
            "+ cache that grows in place": lambda: ours(probe, fixed, "top-p", "shared"),  # noqa: B023
            "+ prompts shared in attention, step written out": lambda: ours(probe, fixed, "top-p"),  # noqa: B023
            "+ top-p without sorting token ids (raysim)": lambda: ours(probe, fixed),  # noqa: B023
        }
        label = f"36 prompts of 64 tokens, 128 new, 5 samples, {numerics}"
        rows += interleaved(measures, next(iter(measures)), rounds, label, "new tokens/s of one thread")
        measures = {
            "no early stop": lambda: ours(stopping, ending, "early stop"),  # noqa: B023
            "early stop": lambda: ours(stopping, ending),  # noqa: B023
        }
        label = f"the same, where a stop string ends answers, {numerics}"
        rows += interleaved(measures, "no early stop", rounds, label, "new tokens that count/s of one thread")
    print(json.dumps({"benchmark": "generate", "rows": rows}))


if __name__ == "__main__":
    main()
