"""Memory that was said beforehand beside the peak of a real stage, each in a process of its own, on the CPU.

    python experiments/benchmarks/memory.py

A row also says the peak with an allocator that gives every block back (``MALLOC_MMAP_THRESHOLD_=65536``), and what the
tensors alone should take then: the difference between the two estimates is
`raysim.experiment.estimate.memory.ALLOCATOR_RESERVE`.
"""

import json
import os
import subprocess
import sys
from typing import Any

import numpy as np

from raysim.experiment.estimate.memory import Load, Machine, memory_needs
from raysim.training.model_host import ModelHost, ModelSpec
from raysim.training.models import ModelSettings
from raysim.training.rank_worker import train_here
from raysim.training.request import TrainerSettings, TrainRequest, TrainTask, Update

STEPS = 4


def gpt2(layers: int, width: int) -> dict[str, Any]:
    return {"model_type": "gpt2", "n_layer": layers, "n_head": width // 64, "n_embd": width}


def llama(layers: int, width: int) -> dict[str, Any]:
    heads = {"num_attention_heads": width // 64, "num_key_value_heads": width // 128}
    sizes = {"num_hidden_layers": layers, "hidden_size": width, "intermediate_size": 8 * width // 3}
    return {"model_type": "llama", **sizes, **heads}


CASES: dict[str, tuple[dict[str, Any], int, dict[str, Any]]] = {
    "GPT-2, 6 x 384, vocabulary 4096": (gpt2(6, 384), 4096, {"sequence_length": 512, "batch_size": 4}),
    "GPT-2, 8 x 512, vocabulary 16384": (gpt2(8, 512), 16384, {"sequence_length": 256, "batch_size": 4}),
    "the same, 8 rows as 2 gradients, activations again": (
        gpt2(8, 512),
        16384,
        {"sequence_length": 256, "batch_size": 8, "accumulation": 2, "checkpoint_activations": True},
    ),
    "Llama, 6 x 512, vocabulary 8192, bf16": (
        llama(6, 512),
        8192,
        {"sequence_length": 256, "batch_size": 8, "precision": "bf16"},
    ),
    "Llama, 8 x 640, vocabulary 8192, 4 gradients": (
        llama(8, 640),
        8192,
        {"sequence_length": 128, "batch_size": 4, "accumulation": 4},
    ),
}


def load_of(case: str) -> Load:
    config, vocabulary, trainer = CASES[case]
    settings = TrainerSettings(**trainer)
    spec = ModelSpec(ModelSettings(config=config), vocabulary, 0, settings.sequence_length)
    return Load(spec, settings, (), slots=1, actors=1, shared=0)


def train(case: str) -> None:
    """Prints the peak of this process in bytes after a stage; a checkpoint is made on the way."""
    load = load_of(case)
    weights = np.full(load.spec.count_parameters().trained, 0.01, np.float32)
    shape = (STEPS * load.trainer.batch_size, load.trainer.sequence_length)
    sequences = np.random.default_rng(1).integers(0, load.spec.vocab_size, shape).astype(np.int32)
    task = TrainTask(case, load.trainer, 1, 1, 1, checkpoint_every_s=0.0)
    request = TrainRequest(load.spec, task).at_client(sequences, weights)
    for event in train_here(ModelHost("a"), request):
        if isinstance(event, Update):
            print(event.speed.peak_memory_bytes)
        del event


def measured(case: str, **environment: str) -> int:
    command = [sys.executable, __file__, case]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **environment})
    return int(ended.stdout.splitlines()[-1])


def main() -> None:
    if len(sys.argv) > 1:
        train(sys.argv[1])
        return
    print("| case | parameters | said, MB | measured, MB | said / measured | measured, nothing kept, MB |")
    print("|---|---|---|---|---|---|")
    rows = []
    for case in CASES:
        load = load_of(case)
        said = memory_needs(load, Machine(1 << 40))["training"]["process_bytes"]
        found, bare = measured(case), measured(case, MALLOC_MMAP_THRESHOLD_="65536")
        size = f"{load.spec.count_parameters().total / 1e6:.1f}M"
        print(f"| {case} | {size} | {said / 1e6:,.0f} | {found / 1e6:,.0f} | {said / found:.2f} | {bare / 1e6:,.0f} |")
        rows.append({"case": case, "raysim": said, "peer": found, "unit": "bytes", "ratio": round(said / found, 3)})
    print(json.dumps({"benchmark": "memory", "rows": rows}))


if __name__ == "__main__":
    main()
