"""What an output filter costs in tokens a second, and what it tells an outsider about who was trained on what.

Speed: raysim with a filter of an owner's files beside raysim without one, in interleaved rounds; the model has random
weights, so that nothing is blocked and both generate the same. Seconds are those that the one thread had a core.

Leak: an outsider has the model write the last of some lines of a text, of which the prompt has the others (or has it
write all of them), and sees whether the sample ends before the line. Texts are windows of the owner's training files,
and of files that it did not train on, without those that its training files have, too. The model writes what it is
asked for.
    python experiments/benchmarks/output_filter.py [--rounds 7]
"""

import argparse
import json
import statistics
import sysconfig
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from raysim.core.bloom import BloomFilter
from raysim.corpus.files import SourceFile
from raysim.corpus.lines import significant_lines
from raysim.corpus.tokenizer import CodeTokenizer, train_tokenizer
from raysim.inference.engine import Generator
from raysim.inference.output_filter import OutputFilter
from raysim.inference.prompts import prompt_id
from raysim.matching.line_index import build_index
from raysim.measures.memorization.settings import MemorizationSettings, PromptCounts
from raysim.training.models import ModelSettings, build_model

LINES, RATE, KEY = 6, 1e-6, b"key of the benchmark"
VOCABULARY, PROMPTS, PROMPT_TOKENS, NEW_TOKENS, SAMPLES = 1024, 36, 64, 128, 5
CONFIG = {"model_type": "gpt2", "n_layer": 2, "n_head": 4, "n_embd": 192}
WINDOWS = 2000
"""Of members, and of non-members."""


def files() -> list[SourceFile]:
    """Of the standard library: Python that is everywhere."""
    folder = Path(sysconfig.get_path("stdlib"))
    paths = sorted(folder.glob("*.py")) + sorted(folder.glob("asyncio/*.py"))
    return [SourceFile(path.name, path.read_text(encoding="utf-8"), "stdlib") for path in paths]


def filter_of(trained: list[SourceFile], in_prompt: bool = False) -> OutputFilter:
    windows = build_index(trained, LINES, KEY).windows
    return OutputFilter(LINES, 0, in_prompt, KEY, {"owner": BloomFilter.of(windows, RATE)})


def prompts_table(tokenizer: CodeTokenizer, text: str) -> pa.Table:
    tokens = np.array(tokenizer.encode(text))[: PROMPTS * PROMPT_TOKENS].reshape(PROMPTS, PROMPT_TOKENS).tolist()
    return pa.table(
        {
            "prompt": [prompt_id("prefix", row) for row in tokens],
            "kind": ["prefix"] * PROMPTS,
            "organization": ["owner"] * PROMPTS,
            "tokens": pa.array(tokens, pa.list_(pa.int32())),
            "text": [tokenizer.decode(row) for row in tokens],
        }
    )


def speed(generator: Generator, prompts: pa.Table) -> float:
    """New tokens a second."""
    started_s = time.process_time()
    answers = generator.generate(None, prompts, 1)
    return sum(answers["new_tokens"].to_pylist()) / (time.process_time() - started_s)


def speed_row(trained: list[SourceFile], rounds: int) -> dict[str, Any]:
    texts = [one.text for one in trained]
    tokenizer = train_tokenizer(texts, VOCABULARY, sample_bytes=1_000_000)
    settings = MemorizationSettings(prompts=PromptCounts(prefix=PROMPTS), samples=SAMPLES, new_tokens=NEW_TOKENS)
    # A model each, as a generator may change the modules of its own.
    free, filtered = (
        Generator(
            build_model(ModelSettings(config=CONFIG), tokenizer.vocab_size, tokenizer.bos_id, 256, seed=1),
            tokenizer,
            settings,
            output_filter=one,
        )
        for one in (None, filter_of(trained))
    )
    prompts = prompts_table(tokenizer, max(texts, key=len)[:100_000])
    lines = [text.count("\n") for text in free.generate(None, prompts, 1)["text"].to_pylist()]
    ratios, taken = [], {"without": list[float](), "with": list[float]()}
    for number in range(rounds + 1):
        without, with_one = speed(free, prompts), speed(filtered, prompts)
        if number:  # the first warms up
            taken["without"].append(without)
            taken["with"].append(with_one)
            ratios.append(with_one / without)
    return {
        "case": f"36 prompts of 64 tokens, 128 new, 5 samples, {sum(lines) / len(lines):.1f} lines each: with a filter",
        "raysim": round(statistics.median(taken["with"])),
        "peer": round(statistics.median(taken["without"])),
        "unit": "new tokens/s of one thread",
        "ratio": round(statistics.median(ratios), 3),
        "spread": [round(min(ratios), 3), round(max(ratios), 3)],
    }


def windows_of(some: list[SourceFile], without: set[tuple[str, ...]], seed: int) -> list[tuple[str, ...]]:
    """As many windows of lines of some files as are asked for, drawn; none that is in `without`."""
    found = set[tuple[str, ...]]()
    for one in some:
        lines = significant_lines(one.text)[0]
        found |= {tuple(lines[at : at + LINES]) for at in range(len(lines) - LINES + 1)}
    left = sorted(found - without)
    chosen = np.random.Generator(np.random.Philox(seed)).permutation(len(left))[:WINDOWS]
    return [left[i] for i in chosen]


def blocked(output_filter: OutputFilter, windows: list[tuple[str, ...]], shown: int) -> float:
    """The share of windows that is blocked: the prompt has the first `shown` lines, the model writes the others."""
    beginnings = [output_filter.beginning("".join(f"{line}\n" for line in window[:shown])) for window in windows]
    blocks = output_filter.first_blocks(beginnings, ["\n".join(window[shown:]) for window in windows])
    return sum(block is not None for block in blocks) / len(blocks)


def leak_rows(trained: list[SourceFile], others: list[SourceFile]) -> list[dict[str, Any]]:
    everything = set[tuple[str, ...]]()
    for one in trained:
        lines = significant_lines(one.text)[0]
        everything |= {tuple(lines[at : at + LINES]) for at in range(len(lines) - LINES + 1)}
    members, non_members = windows_of(trained, set(), 1), windows_of(others, everything, 2)
    rows = []
    for in_prompt in (False, True):
        for shown in (LINES - 1, 0):
            made = filter_of(trained, in_prompt)
            tpr, fpr = blocked(made, members, shown), blocked(made, non_members, shown)
            rows.append(
                {
                    "case": f"members told from others: {shown} of {LINES} lines in the prompt,"
                    f" window_in_prompt: {str(in_prompt).lower()}, {len(members)} and {len(non_members)} windows",
                    "raysim": round((1 + tpr - fpr) / 2, 4),  # area under a curve of one threshold
                    "peer": 0.5,
                    "unit": "AUC (peer: a guess; higher leaks more)",
                    "ratio": round(1 / (1 + tpr - fpr), 3),
                    "true_positive_rate": tpr,
                    "false_positive_rate": fpr,
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    torch.set_num_threads(1)
    every = files()
    trained, others = [one for i, one in enumerate(every) if i % 5], every[::5]
    rows = leak_rows(trained, others)
    for row in rows:
        print(row, flush=True)
    rows.insert(0, speed_row(trained, parser.parse_args().rounds))
    print(rows[0], flush=True)
    print(json.dumps({"benchmark": "output_filter", "rows": rows}))


if __name__ == "__main__":
    main()
