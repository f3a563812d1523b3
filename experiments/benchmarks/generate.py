"""Tokens a second of probing: our batched sampler beside a `model.generate` for each prompt, as the study does it.

Interleaved rounds, medians; the model has random weights and the prompts random tokens, so nothing ends early.
    python experiments/benchmarks/generate.py [--rounds 5]
"""

import argparse
import json
import statistics
import time
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from transformers import GenerationConfig

from raysim.memorization.generation import DTYPES, Generator
from raysim.memorization.prompts import prompt_id
from raysim.memorization.settings import MemorizationSettings, PromptCounts
from raysim.training.models import ModelSettings, build_model

VOCABULARY, PROMPTS, PROMPT_TOKENS, NEW_TOKENS, SAMPLES = 1024, 36, 64, 128, 5
PEER_PROMPTS = 4
"""The peer's cost grows with the prompts, so a few of them tell its rate."""


class Numbers:
    """A tokenizer whose text is the ids themselves: decoding is no part of what is measured."""

    bos_id = 0

    def encode(self, text: str) -> list[int]:
        return [int(word) for word in text.split()]

    def decode(self, ids: Any) -> str:
        return " ".join(map(str, ids))


def prompts_table() -> pa.Table:
    generator = np.random.Generator(np.random.Philox(1))
    tokens = generator.integers(1, VOCABULARY, (PROMPTS, PROMPT_TOKENS)).tolist()
    return pa.table(
        {
            "prompt": [prompt_id("prefix", row) for row in tokens],
            "kind": ["prefix"] * PROMPTS,
            "organization": ["org"] * PROMPTS,
            "tokens": pa.array(tokens, pa.list_(pa.int32())),
            "text": [Numbers().decode(row) for row in tokens],
        }
    )


def ours(generator: Generator, prompts: pa.Table) -> float:
    started_s = time.perf_counter()
    answers = generator.generate(None, prompts, 1)
    return sum(answers["new_tokens"].to_pylist()) / (time.perf_counter() - started_s)


def peer(model: Any, prompts: pa.Table) -> float:
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
    started_s, tokens = time.perf_counter(), 0
    for row in prompts["tokens"].to_pylist()[:PEER_PROMPTS]:
        ids = torch.tensor([row])
        with torch.inference_mode():
            answer = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)
        tokens += answer[:, PROMPT_TOKENS:].numel()
    return tokens / (time.perf_counter() - started_s)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    config = {"model_type": "gpt2", "n_layer": 2, "n_head": 4, "n_embd": 192}
    settings = MemorizationSettings(prompts=PromptCounts(prefix=PROMPTS), samples=SAMPLES, new_tokens=NEW_TOKENS)
    prompts = prompts_table()
    rows = []
    for precision, dtype in DTYPES.items():
        model = build_model(ModelSettings(config=config), VOCABULARY, 0, 256, seed=1)
        generator = Generator(model, Numbers(), settings, 1, dtype=dtype)
        pairs = [(ours(generator, prompts), peer(model, prompts)) for _ in range(rounds + 1)][1:]
        mine, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
        ratio = statistics.median(a / b for a, b in pairs)
        rows.append(
            {
                "case": f"36 prompts of 64 tokens, 128 new, 5 samples, {precision}",
                "raysim": round(mine),
                "peer": round(theirs),
                "unit": "new tokens/s on one thread",
                "ratio": round(ratio, 2),
            }
        )
        print(rows[-1])
    print(json.dumps({"benchmark": "generate", "rows": rows}))


if __name__ == "__main__":
    main()
