"""What can only be seen on a GPU: training at full speed beside a bare loop, DeepSpeed, generation, the quickstart.

Needs no network: weights are random, and code comes from installed packages. Prints a table for experiments/LOG.md and
ends with 1 if something failed or is slower than it should be. Without a CUDA device it says so and ends with 0.
    python experiments/gpu_check.py [--batch 16] [--steps 60] [--pairs 3] [--skip-quickstart]
With `--device cpu` the same happens on a CPU to a tiny model, which tells that this script works and nothing else.
"""

import argparse
import importlib.util
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from benchmarks.train import bare_deepspeed, bare_torch, make_model, make_sequences, with_raysim

from raysim.corpus.tokenizer import train_tokenizer
from raysim.inference.engine import Generator
from raysim.inference.prompts import PREFIX, prompt_id
from raysim.measures.memorization.settings import MemorizationSettings, PromptCounts
from raysim.training.dry_run import step_memory
from raysim.training.model_host import ModelSpec
from raysim.training.models import ModelSettings
from raysim.training.request import TrainerSettings
from raysim.training.weights import flatten


@dataclass(frozen=True)
class Size:
    """What is trained."""

    config: dict[str, Any]
    vocabulary: int
    length: int


SIZES = {
    # The defaults of GPT-2's config are the 124M model; a multiple of 64 tokens is what matrix units like.
    "cuda": Size({"model_type": "gpt2"}, 50_304, 1024),
    "cpu": Size({"model_type": "gpt2", "n_layer": 1, "n_head": 2, "n_embd": 16}, 320, 32),
}
AT_LEAST_OF_BARE = 0.97
AT_LEAST_OF_PEAK = 0.35
ROOT = Path(__file__).parent.parent


def training(backend: str, options: argparse.Namespace, compiled: bool = False, zero: int = 1) -> dict[str, Any]:
    """Rates of raysim's loop and of the bare one: pairs in turn, of which the first warms up and does not count."""
    size = SIZES[options.device]
    sequences = make_sequences(options.batch * options.steps, size.vocabulary, size.length)
    tokens = sequences.size
    shards = {"zero_optimization": {"stage": zero}} if backend == "deepspeed" else {}
    settings: dict[str, Any] = {
        "backend": backend,
        "deepspeed": shards,
        "batch_size": options.batch,
        "precision": "bf16",
        "device": options.device,
        "compile": compiled,
    }
    model = make_model(size.config, size.vocabulary, size.length)
    weights, pairs, updates = flatten(model), [], []
    for _ in range(options.pairs + 1):
        updates.append(with_raysim(model, sequences, 1, weights, **settings))
        other = make_model(size.config, size.vocabulary, size.length).to(options.device)
        if backend == "deepspeed":
            seconds = bare_deepspeed(other, sequences, options.steps, options.batch, True, zero)
        else:
            bare_torch(other, sequences, 3, options.batch, True, compiled)  # compiles, where it does
            seconds = bare_torch(other, sequences, options.steps, options.batch, True, compiled)
        pairs.append((updates[-1].speed.tokens_per_s, tokens / seconds))
        del other
        if options.device == "cuda":
            torch.cuda.empty_cache()
    ours, theirs = (float(np.median(side)) for side in zip(*pairs[1:], strict=True))
    ratio = float(np.median([mine / bare for mine, bare in pairs[1:]]))
    speed = updates[-1].speed
    flop_per_s = speed.flop_per_token * ours
    share = flop_per_s / speed.peak_flop_per_s if speed.peak_flop_per_s else None
    if not updates[-1].metrics["last_epoch_loss"] < updates[-1].metrics["first_loss"]:
        raise RuntimeError("the loss did not fall")
    spec = ModelSpec(ModelSettings(config=size.config), size.vocabulary, 0, size.length)
    said = step_memory(spec, TrainerSettings(**settings, sequence_length=size.length)).peak
    found = {"tokens/s": ours, "bare": theirs, "ratio": ratio, "of peak": share}
    return {**found, "memory": speed.peak_memory_bytes, "said": said}


def generation(device: str) -> str:
    """Text from a GPU is the text that the CPU gives, where both compute in float32 and take the likeliest token."""
    text = (ROOT / "raysim/core/keys.py").read_text(encoding="utf-8")
    tokenizer = train_tokenizer([text], 512)
    settings = MemorizationSettings(
        prompts=PromptCounts(prefix=8), samples=2, new_tokens=32, temperature=0.0, precision="fp32"
    )
    tokens = [tokenizer.encode(text)[at : at + 32] for at in range(0, 256, 32)]
    prompts = [
        {"prompt": prompt_id(PREFIX, row), "kind": PREFIX, "organization": "meta", "tokens": row, "text": "a\n"}
        for row in tokens
    ]
    found, seconds = [], 0.0
    for place in ("cpu", device):
        model = make_model({"model_type": "gpt2", "n_layer": 2, "n_embd": 128, "n_head": 4}, tokenizer.vocab_size, 128)
        generator = Generator(model, tokenizer, settings, 1, place)
        started_s = time.monotonic()
        found.append(generator.generate(None, pa.Table.from_pylist(prompts), seed=1)["text"].to_pylist())
        seconds = time.monotonic() - started_s
    same = sum(one == other for one, other in zip(*found, strict=True))
    if same < 0.9 * len(found[0]):
        raise RuntimeError(f"only {same} of {len(found[0])} samples are those of the CPU")
    return f"{same} of {len(found[0])} samples as on the CPU, in {seconds:.1f} s"


def quickstart(device: str) -> str:
    """experiments/quickstart.yaml with training on the device and few epochs: the whole way to a report."""
    with tempfile.TemporaryDirectory(prefix="raysim-") as folder:
        command = [sys.executable, "-c", "from raysim.cli.main import main; main()", "run"]
        command += [str(ROOT / "experiments/quickstart.yaml"), "--out", f"{folder}/run"]
        command += ["--set", f"trainer.device={device}", "--set", "trainer.epochs=4", "--set", "trainer.precision=bf16"]
        started_s = time.monotonic()
        subprocess.run(command, check=True, cwd=ROOT)
        if not (Path(folder) / "run/report.html").is_file():
            raise RuntimeError("there is no report")
    return f"{time.monotonic() - started_s:.0f} s with 4 epochs"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--skip-quickstart", action="store_true")
    parser.add_argument("--device", choices=tuple(SIZES), default="cuda")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("There is no CUDA device here, so nothing was checked.")
        return
    size, bad = SIZES[options.device], []
    name = torch.cuda.get_device_name() if options.device == "cuda" else "CPU (a try)"
    model = make_model(size.config, size.vocabulary, size.length)
    parameters = f"{sum(p.numel() for p in model.parameters()) / 1e6:.3g}M parameters"
    print(f"{name}, torch {torch.__version__}; GPT-2, {parameters}, length {size.length}, batch {options.batch}, bf16")
    print("\n| what | raysim, tokens/s | bare loop | ratio | of the bf16 peak (6N) | memory | said before |")
    print("|---|---|---|---|---|---|---|")
    cases: dict[str, tuple[Callable[[], dict[str, Any]], bool]] = {
        "torch": (lambda: training("torch", options), False),
        "torch, compiled": (lambda: training("torch", options, compiled=True), True),
        "DeepSpeed, ZeRO 1": (lambda: training("deepspeed", options, zero=1), False),
        "DeepSpeed, ZeRO 2": (lambda: training("deepspeed", options, zero=2), False),
    }
    if importlib.util.find_spec("deepspeed") is None:
        cases = {case: work for case, work in cases.items() if "DeepSpeed" not in case}
    for case, (work, must_reach_peak) in cases.items():
        try:
            found = work()
        except Exception as error:
            traceback.print_exc()
            bad.append(f"{case}: {error}")
            continue
        share = "not known" if found["of peak"] is None else f"{100 * found['of peak']:.1f} %"
        figures = f"{found['tokens/s']:,.0f} | {found['bare']:,.0f} | {found['ratio']:.3f} | {share}"
        print(f"| {case} | {figures} | {found['memory'] / 1e9:.1f} GB | {found['said'] / 1e9:.1f} GB |", flush=True)
        if options.device == "cuda" and found["ratio"] < AT_LEAST_OF_BARE:
            bad.append(f"{case}: {found['ratio']:.3f} of the bare loop, and should be {AT_LEAST_OF_BARE}")
        if must_reach_peak and found["of peak"] is not None and found["of peak"] < AT_LEAST_OF_PEAK:
            bad.append(f"{case}: {found['of peak']:.3f} of the peak, and should be {AT_LEAST_OF_PEAK}")
    print()
    others: dict[str, Callable[[str], str]] = {"generation": generation}
    if not options.skip_quickstart:
        others["quickstart"] = quickstart
    for case, check in others.items():
        try:
            print(f"- {case}: {check(options.device)}", flush=True)
        except Exception as error:
            traceback.print_exc()
            bad.append(f"{case}: {error}")
    for problem in bad:
        print(f"- FAILED: {problem}")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
