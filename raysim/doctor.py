"""What is installed, which devices there are, and what will not work and why."""

import importlib
import importlib.util
import os
import shutil
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
    "flwr": "to compare strategies with Flower's own",
    "deepspeed": "as a source of code in experiments/quickstart.yaml",
    "datasets": "for organizations that live on the Hugging Face hub (source: {hub: ...})",
}


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
        torch = importlib.import_module("torch")
        facts["cuda_devices"] = [
            torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
        ]
        facts["bf16_on_cpu"] = bool(torch.cpu._is_avx512_bf16_supported()) or bool(torch.cpu._is_amx_tile_supported())
        if not facts["cuda_devices"]:
            problems.append("no CUDA device: training runs on the CPU; keep models small (raysim plan tells the hours)")
        if not facts["bf16_on_cpu"]:
            problems.append("this processor has no bf16 instructions: precision: bf16 will be slow; use fp32")
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
    if facts["disk_free_bytes"] < 2 << 30:
        problems.append("under 2 GB of disk are free: give --store a place with more room")
    facts["problems"] = problems
    return facts


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
