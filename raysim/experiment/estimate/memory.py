"""What a run needs of memory at once, against what there is; and what to lower where that is not enough."""

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysim.core.errors import InputError
from raysim.measures.base import GenerationLoad
from raysim.training.libraries import load_transformers
from raysim.training.lora import LoraSettings
from raysim.training.model_host import ModelHost, ModelSpec
from raysim.training.request import TrainerSettings, shares_of

if TYPE_CHECKING:
    from raysim.training.dry_run import StepMemory

PROCESS_BYTES = 400_000_000
"""A process with Python, torch and transformers before it has a model. Measured in this project."""
ALLOCATOR_RESERVE = 1.4
"""What a process takes of the system over what its tensors hold. Measured in this project with glibc's allocator: 1.2
to 1.9, and 1.0 where it gives every block back (``MALLOC_MMAP_THRESHOLD_=65536``)."""
CONTEXT_BYTES = 500_000_000
"""What CUDA takes of a device for each process that uses it."""
_CACHING_RESERVE = 1.1
"""What torch's allocator takes of a device over what tensors hold there."""
_USABLE = 0.95
"""Of the memory of a node; Ray ends processes beyond that (``RAY_memory_usage_threshold``)."""


@dataclass(frozen=True)
class Machine:
    """What there is: on the smallest node of a cluster.

    Attributes:
        memory_bytes: of a node.
        nodes: how many there are.
        device_bytes: of a GPU; None: there is none here to ask.
    """

    memory_bytes: int
    nodes: int = 1
    device_bytes: int | None = None


@dataclass(frozen=True)
class Load:
    """What is to be held in memory.

    Attributes:
        spec: of the model.
        trainer: its settings.
        generation_loads: ways in which models are asked for text.
        slots: processes at work at once.
        actors: processes that may have a model, busy or not.
        shared: sets of weights that lie where all can read them.
        devices: ranks that the GPUs have room for at once; None: training is not on GPUs.
        one_process: whether all actors live in one.
    """

    spec: ModelSpec
    trainer: TrainerSettings
    generation_loads: tuple[GenerationLoad, ...]
    slots: int
    actors: int
    shared: int
    devices: int | None = None
    one_process: bool = False


def foresee(client: ModelHost, load: Load, machine: Machine) -> dict[str, Any]:
    """Estimates what a run needs; runs at a client, where torch is loaded anyway."""
    del client
    return memory_needs(load, machine)


def memory_needs(load: Load, machine: Machine) -> dict[str, Any]:
    """Memory of one process of each kind, of all at once on a node, and warnings where that is more than there is.

    Returns:
        ``training`` (``process_bytes``, ``device_bytes`` on a GPU, ``at_once_bytes``, and the parts of a step),
        ``generation`` by section (``process_bytes``, ``at_once_bytes``), ``memory_bytes`` and ``device_memory_bytes``
        of the machine, ``warnings``; in place of all but the last, ``unknown`` if a model cannot be tried so.

    Raises:
        InputError: the model cannot be built.
    """
    load_transformers()
    from raysim.inference.dry_run import generation_memory
    from raysim.training.dry_run import step_memory

    try:
        step = step_memory(load.spec, load.trainer)
        generating = {
            generation_load.section: generation_memory(
                load.spec,
                generation_load.sampling,
                generation_load.numerics,
                generation_load.num_prompts,
                generation_load.prompt_tokens,
            )
            for generation_load in load.generation_loads
        }
    except InputError:
        raise
    except Exception as error:  # whatever a model's own code does that shapes alone cannot answer
        said = str(error).strip().partition("\n")[0]
        return {"unknown": f"{type(error).__name__}: {said[:200]}".rstrip(": "), "warnings": []}
    training = _training(load, step, machine)
    generation = {
        section: _generation(load, num_bytes, step.flat, machine) for section, num_bytes in generating.items()
    }
    return {
        "training": training,
        "generation": generation,
        "memory_bytes": machine.memory_bytes,
        "device_memory_bytes": machine.device_bytes,
        "warnings": [*_training_warnings(load, training, machine), *_generation_warnings(generation, machine)],
    }


def _training(load: Load, step: "StepMemory", machine: Machine) -> dict[str, Any]:
    flat = step.flat
    on_device = load.trainer.device == "cuda"
    copies = step.weights if load.trainer.backend == "deepspeed" else 0  # it works on a copy of the client's model
    resting = step.weights + copies if on_device else step.weights + step.optimizer + copies
    handing_over = resting + step.offloaded + step.checkpoint
    held = handing_over if on_device else max(step.peak + copies, handing_over)
    process = round(PROCESS_BYTES + flat + ALLOCATOR_RESERVE * held)
    busy = min(load.slots, load.devices or load.slots)
    if load.one_process:
        others = (load.actors - 1) * step.weights
        at_once = process + others + load.shared * flat
    else:
        busy = math.ceil(busy / machine.nodes)
        idle = max(0, math.ceil(load.actors / machine.nodes) - busy)
        at_once = busy * process + idle * (PROCESS_BYTES + step.weights) + PROCESS_BYTES + load.shared * flat
    found: dict[str, Any] = {"process_bytes": process, "processes": 1 if load.one_process else busy}
    if on_device:
        found["device_bytes"] = round(CONTEXT_BYTES + _CACHING_RESERVE * step.peak)
        sharing = (
            1 if load.one_process or load.trainer.ranks > 1 else max(1, min(load.slots, shares_of(load.trainer.gpus)))
        )
        found |= {"on_a_device": sharing, "device_at_once_bytes": sharing * found["device_bytes"]}
    return found | {"at_once_bytes": at_once, "step": asdict(step)}


def _generation(load: Load, num_bytes: int, flat: int, machine: Machine) -> dict[str, int]:
    process = round(PROCESS_BYTES + flat + ALLOCATOR_RESERVE * num_bytes)
    workers = 1 if load.one_process else math.ceil(load.slots / machine.nodes)
    resting = math.ceil(load.actors / machine.nodes) * (0 if load.one_process else PROCESS_BYTES)
    return {
        "process_bytes": process,
        "processes": workers,
        "at_once_bytes": workers * process + resting + load.shared * flat,
    }


def _training_warnings(load: Load, training: dict[str, Any], machine: Machine) -> Iterator[str]:
    if training["at_once_bytes"] > _USABLE * machine.memory_bytes:
        yield (
            f"training will not fit: it needs about {_gb(training['at_once_bytes'])} at once, of which"
            f" {_gb(training['process_bytes'])} for each of {training['processes']} process(es) that train, and"
            f" {_there(machine)}; {_remedies(load, machine, 'at_once_bytes', training['at_once_bytes'])}"
        )
    device = training.get("device_at_once_bytes")
    if device and machine.device_bytes and device > machine.device_bytes:
        yield (
            f"training will not fit on the GPU: it needs about {_gb(device)}, {_gb(training['device_bytes'])} for each"
            f" of {training['on_a_device']} process(es) there, and a GPU has {_gb(machine.device_bytes)};"
            f" {_remedies(load, machine, 'device_at_once_bytes', device)}"
        )


def _generation_warnings(generation: dict[str, dict[str, int]], machine: Machine) -> Iterator[str]:
    for section, needs in generation.items():
        if needs["at_once_bytes"] > _USABLE * machine.memory_bytes:
            yield (
                f"generation will not fit: it needs about {_gb(needs['at_once_bytes'])} at once,"
                f" {_gb(needs['process_bytes'])} for each of {needs['processes']} worker(s), and {_there(machine)};"
                f" lower {section}.batch_size or execution.slots"
            )


def _remedies(load: Load, machine: Machine, figure: str, before: int) -> str:
    """What could be set otherwise, and what would be needed then, as far as it helps."""
    from raysim.training.dry_run import step_memory

    found = []
    for setting, other in _alternatives(load, on_device=figure.startswith("device")):
        # Where this model cannot do that, or its own code fails there, the estimate goes without.
        with suppress(Exception):
            needed = _training(other, step_memory(other.spec, other.trainer), machine)[figure]
            if needed < before:
                found.append((needed, setting))
    if not found:
        return "choose a smaller model"
    return "; ".join(f"{setting} needs {_gb(needed)}" for needed, setting in found)


def _alternatives(load: Load, on_device: bool) -> Iterator[tuple[str, Load]]:
    trainer = load.trainer

    def training(**changed: Any) -> Load:
        return replace(load, trainer=trainer.model_copy(update=changed))

    if load.slots > trainer.ranks and not load.one_process and not on_device:
        yield f"execution.slots: {trainer.ranks}", replace(load, slots=trainer.ranks)
    if on_device and not load.one_process and shares_of(load.trainer.gpus) > 1:
        yield "trainer.gpus: 1", training(gpus=1.0)
    if (most := trainer.batch_size // trainer.ranks) > trainer.accumulation:
        yield f"trainer.accumulation: {most} (the same batch)", training(accumulation=most)
    if not trainer.checkpoint_activations:
        yield "trainer.checkpoint_activations: true", training(checkpoint_activations=True)
    if trainer.precision == "fp32" and trainer.backend == "torch":
        yield "trainer.precision: bf16", training(precision="bf16")
    settings = load.spec.settings
    if settings.pretrained and not settings.lora:
        adapted = replace(load.spec, settings=settings.model_copy(update={"lora": LoraSettings()}))
        yield "model.lora: {}", replace(load, spec=adapted)
    if trainer.sequence_length > 8:
        half = trainer.sequence_length // 2
        yield f"trainer.sequence_length: {half}", training(sequence_length=half)


def _there(machine: Machine) -> str:
    if machine.nodes > 1:
        return f"the smallest of {machine.nodes} nodes has {_gb(machine.memory_bytes)}"
    return f"this machine has {_gb(machine.memory_bytes)}"


def _gb(count: float) -> str:
    return f"{count / 1e9:,.1f} GB"


def this_machine(device: str) -> Machine:
    """This machine: what a container may take of it, and its smallest GPU if there is one."""
    import psutil

    limits = [psutil.virtual_memory().total]
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        file = Path(name)
        if file.is_file() and (said := file.read_text().strip()).isdigit():
            limits.append(int(said))
    return Machine(min(limits), device_bytes=device_bytes() if device == "cuda" else None)


def device_bytes() -> int | None:
    """Memory of the smallest GPU of this machine."""
    import torch

    if not torch.cuda.is_available():
        return None
    return min(torch.cuda.get_device_properties(n).total_memory for n in range(torch.cuda.device_count()))
