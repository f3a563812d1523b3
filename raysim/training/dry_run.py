"""What a training step takes of memory, found by taking one without numbers. Imports torch, so it is imported late.

The trainer's own loss and optimizer run on tensors that have a shape, a type and a device but no storage
(`torch._subclasses.FakeTensorMode`, which `torch.compile` traces with), while every tensor that comes and goes is
counted. So the figures hold for any model, whatever it keeps for its backward pass. Not seen: what a kernel takes and
gives back within itself, what an allocator keeps in reserve, and what `torch.compile` would save.
"""

import gc
import math
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from raysim.training.deepspeed_config import keeps_bits, stage_of
from raysim.training.model_host import ModelSpec
from raysim.training.models import build_model
from raysim.training.optimizers import begin_state, make_optimizer, state_floats
from raysim.training.request import TrainerSettings
from raysim.training.torch_engine import checkpointing, next_token_loss
from raysim.training.weights import trainable

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_FLOAT32_BYTES = 4
_LIVE_PARAMETERS = 10**9
"""The most parameters that ZeRO 3 gathers at once (``stage3_max_live_parameters``, DeepSpeed's default)."""
_REDUCE_BUCKET = 5 * 10**8
"""Elements of ZeRO's bucket of gradients (``reduce_bucket_size``, DeepSpeed's default)."""


@dataclass(frozen=True)
class StepMemory:
    """Bytes that one process holds at the largest moment of an optimizer step, on the device that trains.

    Attributes:
        weights: parameters, frozen ones too, and buffers.
        optimizer: its state, with ZeRO also float32 masters of the weights.
        buckets: where gradients lie a second time for ranks to exchange them.
        working: gradients, activations, logits and what is computed of them.
        flat: one flat buffer of what is trained, which lies beside all of this in the machine's memory.
        checkpoint: all flat buffers of a checkpoint, made while weights and optimizer are there, but nothing works.
        offloaded: of the optimizer, what DeepSpeed keeps in the machine's memory instead.
    """

    weights: int
    optimizer: int
    working: int
    flat: int
    checkpoint: int
    buckets: int = 0
    offloaded: int = 0

    @property
    def peak(self) -> int:
        return self.weights + self.optimizer + self.buckets + self.working


class Tally(TorchDispatchMode):
    """Counts the bytes of the tensors that are made while it lasts, `now` and at most (`peak`)."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(found):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return found

    def _count(self, storage: torch.UntypedStorage) -> None:
        name, num_bytes = id(storage), storage.nbytes()
        if name in self._seen:
            return  # a view
        self._seen.add(name)
        self.now += num_bytes
        self.peak = max(self.peak, self.now)

        def gone() -> None:
            self._seen.discard(name)
            self.now -= num_bytes

        weakref.finalize(storage, gone).atexit = False


@contextmanager
def without_numbers() -> Iterator[Tally]:
    """What is made in the block has no storage, and is counted."""
    with FakeTensorMode(), Tally() as tally:
        yield tally
    gc.collect()  # models are cycles


def skeleton(spec: ModelSpec) -> "PreTrainedModel":
    """The model of `spec` on the meta device, to `flesh_out`; of a checkpoint only its config is read."""
    with torch.device("meta"):
        return build_model(spec.settings, spec.vocab_size, spec.bos_id, spec.context, skeleton=True)


def flesh_out(model: "PreTrainedModel", dtype: torch.dtype = torch.float32) -> None:
    """Puts a model from the meta device onto the CPU; within `without_numbers`, where that takes no memory."""
    made: dict[torch.nn.Parameter, torch.nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False, remove_duplicate=False):
            if parameter not in made:  # tied ones stay tied
                made[parameter] = torch.nn.Parameter(torch.empty(parameter.shape, dtype=dtype), parameter.requires_grad)
            module.register_parameter(name, made[parameter])
        for name, buffer in module.named_buffers(recurse=False):
            kind = dtype if buffer.is_floating_point() else buffer.dtype
            module.register_buffer(name, torch.empty(buffer.shape, dtype=kind), persistent=False)


def step_memory(spec: ModelSpec, settings: TrainerSettings) -> StepMemory:
    """Memory of an optimizer step of one rank.

    Measured with torch's own optimizer on a single rank; what ranks and ZeRO change is added up from their documented
    buffers, and no less than they take.

    Args:
        spec: of the model.
        settings: of training.

    Raises:
        InputError: the model cannot be built, or cannot checkpoint its activations.
    """
    bits = keeps_bits(settings.deepspeed) if settings.backend == "deepspeed" else None
    rows = -(-settings.batch_size // (settings.accumulation * settings.ranks))
    # Fake tensors of a GPU need one for autocast; those of the CPU run through the same layers.
    here = settings.model_copy(update={"device": "cpu"})
    dtype = {None: torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[bits]
    model = skeleton(spec).train()
    shapes = [tuple(p.shape) for p in trainable(model)]
    flat = _FLOAT32_BYTES * sum(map(math.prod, shapes))
    checkpoint = flat + _FLOAT32_BYTES * state_floats(settings, shapes)
    with (
        checkpointing(model, settings.checkpoint_activations),
        without_numbers() as tally,
        _attention_of(settings.device),
    ):
        flesh_out(model, dtype)
        weights, optimizer = tally.now, make_optimizer(model, here)

        def backward() -> None:
            ids = torch.zeros(rows, settings.sequence_length, dtype=torch.int64)
            next_token_loss(model, ids, here, autocast=False if bits else None).backward()

        begin_state(optimizer, settings, trainable(model), 0)
        held = tally.now - weights
        for _ in range(2):
            for _ in range(min(2, settings.accumulation)):  # the second one has the gradients of the first beside it
                backward()
            torch.nn.utils.clip_grad_norm_(trainable(model), settings.gradient_clip)
            if settings.optimizer != "adafactor":  # which reads its count of steps, and works matrix by matrix
                optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        found = StepMemory(weights, held, tally.peak - weights - held, flat, checkpoint)
        del optimizer
    if settings.backend == "deepspeed":
        return _with_zero(found, settings, _FLOAT32_BYTES // (2 if bits else 1))
    # DistributedDataParallel copies gradients into buckets.
    return replace(found, buckets=found.flat) if settings.ranks > 1 else found


def _with_zero(found: StepMemory, settings: TrainerSettings, item_bytes: int) -> StepMemory:
    """What DeepSpeed makes of a step: shards, masters and buckets.

    Rajbhandari, Rasley, Ruwase & He: ZeRO: Memory Optimizations Toward Training Trillion Parameter Models, SC 2020,
    arXiv 1910.02054, figure 1; buffers as DeepSpeed's config names them.
    """
    zero, stage, ranks = settings.deepspeed.get("zero_optimization", {}), stage_of(settings.deepspeed), settings.ranks
    if stage == 0:
        return replace(found, buckets=found.flat if ranks > 1 else 0)
    trained = found.flat // _FLOAT32_BYTES
    optimizer = (found.optimizer * _FLOAT32_BYTES // item_bytes + found.flat) // ranks
    gradients = item_bytes * trained
    bucket = int(zero.get("reduce_bucket_size", _REDUCE_BUCKET))
    if settings.device == "cpu":
        bucket = min(bucket, trained)  # pages that nobody wrote to take no memory
    # The step itself takes float32 gradients of this rank's shard.
    buckets = item_bytes * bucket * (2 if zero.get("overlap_comm") else 1) + found.flat // ranks
    working = found.working - (gradients - gradients // ranks if stage >= 2 else 0)
    weights = found.weights
    if stage == 3:
        live = int(zero.get("stage3_max_live_parameters", _LIVE_PARAMETERS))
        weights = weights // ranks + min(weights, item_bytes * live) if ranks > 1 else weights
    offloads = zero.get("offload_optimizer", {}).get("device", "none") != "none" and settings.device != "cpu"
    here, offloaded = (0, optimizer) if offloads else (optimizer, 0)
    return StepMemory(weights, here, working, found.flat, found.checkpoint, buckets, offloaded)


@contextmanager
def _attention_of(device: str) -> Iterator[None]:
    """Has attention keep what its kernels on `device` do: those of GPUs drop out without keeping the scores.

    A function mode would not be there any more when activations are computed again.
    """
    plain = torch.nn.functional.scaled_dot_product_attention

    def without_dropout(*args: Any, dropout_p: float = 0.0, **kwargs: Any) -> torch.Tensor:
        del dropout_p
        return plain(*args, **kwargs)

    if device == "cuda":
        torch.nn.functional.scaled_dot_product_attention = without_dropout
    try:
        yield
    finally:
        torch.nn.functional.scaled_dot_product_attention = plain
