"""The torch backend: any causal language model, with DistributedDataParallel where there are several ranks."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from raysim.core.errors import InputError
from raysim.training.dp_sgd import DP_SGD, PrivateSteps, private_settings
from raysim.training.goldfish import goldfish_loss
from raysim.training.loop import run_loop
from raysim.training.objectives import AppliedObjective
from raysim.training.optimizers import export_state, make_optimizer, restore_state
from raysim.training.process_group import ALONE, ProcessGroup
from raysim.training.request import Event, TrainerSettings, TrainRequest
from raysim.training.throughput import flop_per_token
from raysim.training.weights import Flat, assign, flatten, trainable, trained_part

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


class TorchTrainer:
    """Implements `raysim.training.request.Trainer`; one for each rank of `group`, which has been joined."""

    def __init__(self, model: "PreTrainedModel", group: ProcessGroup = ALONE) -> None:
        self._model = model
        self._group = group

    @classmethod
    def check(cls, settings: TrainerSettings, objective: str | None = None) -> None:
        """Refuses what gradients of single sequences do not go with; else every valid setting works here."""
        if objective != DP_SGD:
            return
        if settings.ranks > 1:
            raise ValueError(f"ranks: {settings.ranks} ranks, and dp_sgd draws the batches of one; write ranks: 1")
        if settings.precision != "fp32":
            raise ValueError("precision: dp_sgd clips gradients in float32; write precision: fp32")
        for name in ("compile", "checkpoint_activations"):
            if getattr(settings, name):
                raise ValueError(f"{name}: hides layers of which dp_sgd needs every sequence's gradient; leave it out")

    @classmethod
    def recipe(cls, settings: TrainerSettings) -> dict[str, Any]:
        """Nothing beside the settings; torch's version is in the recipe of the stage."""
        return {}

    def train(self, request: TrainRequest) -> Iterator[Event]:
        """See `raysim.training.request.Trainer.train`."""
        import torch

        settings = request.task.settings
        torch.set_num_threads(settings.threads)
        model = self._model
        with torch.random.fork_rng(devices=[]), checkpointing(model, settings.checkpoint_activations):
            engine = _TorchEngine(model, request, self._group)
            model.train()
            try:
                yield from run_loop(engine, request, self._group)
            finally:
                engine.close()
        model.eval()


class _TorchEngine:
    """Implements `raysim.training.loop.Engine`."""

    def __init__(self, model: "PreTrainedModel", request: TrainRequest, group: ProcessGroup) -> None:
        import torch

        settings = self._settings = request.task.settings
        torch.nn.Module.to(model, torch.device(settings.device))
        self._model = model
        self._optimizer = make_optimizer(model, settings)
        self._parameters = trainable(model)
        self._ranks = group.size
        assign(model, request.current_weights)
        start = trained_part(model, request.weights)
        self._objective = AppliedObjective(request.task.objective, self._parameters, start, request.objective_buffers)
        model.zero_grad(set_to_none=True)  # a step that failed before may have left its gradients
        if state := request.initial_state:
            # Steps of all rounds, which correct the bias of moments and shorten Adafactor's steps.
            steps = state.counters["past_steps"] + state.counters.get("step", 0)
            restore_state(self._optimizer, settings, self._parameters, state.arrays, steps)
        self.flop_per_token = flop_per_token(model)
        self._forward: Any = torch.compile(model) if settings.compile else model
        private = private_settings(request.task.objective)
        self._private = PrivateSteps(model, self._parameters, private, settings.batch_size) if private else None
        if self._private:
            self._forward = self._private.forward
        if group.size > 1:
            with warnings.catch_warnings():
                # Another name for it is on its way; this one is in all versions of torch that raysim works with.
                warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated", category=FutureWarning)
                self._forward = torch.nn.parallel.DistributedDataParallel(self._forward, broadcast_buffers=False)

    def step(self, pieces: "list[tuple[torch.Tensor, float, int]]", rate: float) -> "tuple[torch.Tensor, torch.Tensor]":
        import torch

        for group in self._optimizer.param_groups:
            group["lr"] = rate
        parts = self._private_gradients(pieces) if self._private else self._gradients(pieces)
        self._objective.correct_gradients()
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, self._settings.gradient_clip)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return sum(parts[1:], parts[0]), norm

    def _gradients(self, pieces: "list[tuple[torch.Tensor, float, int]]") -> "list[torch.Tensor]":
        """Leaves the gradient of a step with the parameters; parts of its loss."""
        import torch

        parts = []
        for number, (ids, share, seed) in enumerate(pieces):
            torch.manual_seed(seed)
            # Gradients are summed over ranks once, with the last piece.
            wait = self._ranks > 1 and number < len(pieces) - 1
            with self._forward.no_sync() if wait else nullcontext():
                loss = next_token_loss(self._forward, ids, self._settings)
                # DistributedDataParallel takes the mean over ranks, and a step wants the sum.
                weight = share * self._ranks
                whole = self._objective.add_to(loss)
                (whole if weight == 1 else whole * weight).backward()
            parts.append(loss.detach() if share == 1 else loss.detach() * share)
        return parts

    def _private_gradients(self, pieces: "list[tuple[torch.Tensor, float, int]]") -> "list[torch.Tensor]":
        """As `_gradients`, of sequences that are clipped one by one; a step without any is noise alone."""
        import torch

        assert self._private
        parts = [torch.zeros((), device=self._settings.device)]
        for ids, share, seed in pieces:
            if not len(ids):
                continue
            torch.manual_seed(seed)
            loss = next_token_loss(self._forward, ids, self._settings)
            self._private.add(loss)
            parts.append(loss.detach() * share)
        self._private.finish(pieces[0][2])
        return parts

    def close(self) -> None:
        """Leaves the model as it was found, but for its weights."""
        if self._private:
            self._private.close()

    def set_dropout(self, on: bool) -> None:
        self._model.train(on)

    def weights(self) -> Flat:
        return flatten(self._model)

    def optimizer_state(self) -> dict[str, Flat]:
        return export_state(self._optimizer, self._settings, self._parameters)

    def counters(self) -> dict[str, float]:
        return {}


def next_token_loss(
    model: Any, ids: "torch.Tensor", settings: TrainerSettings, autocast: bool | None = None
) -> "torch.Tensor":
    """Mean loss in nats a token of token ids ``[rows, sequence_length]``; the forward pass runs in the precision.

    Of the goldfish loss, of the tokens that count.

    Args:
        model: called with ``input_ids``.
        ids: what it reads.
        settings: say device and precision.
        autocast: whether bf16 runs under autocast; None: as the precision says.
    """
    import torch

    enabled = settings.precision == "bf16" if autocast is None else autocast
    with torch.autocast(settings.device, torch.bfloat16, enabled=enabled):
        logits = model(input_ids=ids, use_cache=False).logits
    if settings.goldfish:
        return goldfish_loss(logits, ids, settings.goldfish)
    return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten())


@contextmanager
def checkpointing(model: Any, wanted: bool) -> Iterator[None]:
    """While it lasts, activations of each layer are computed again in the backward pass, if `wanted`.

    Raises:
        InputError: the model cannot do that.
    """
    if not wanted:
        yield
        return
    # transformers has begun to call it activation checkpointing.
    verb = "activation" if hasattr(model, "activation_checkpointing_enable") else "gradient"
    try:
        getattr(model, f"{verb}_checkpointing_enable")({"use_reentrant": False})
    except ValueError as error:
        raise InputError(f"trainer.checkpoint_activations: {error}; leave it out for this model") from error
    try:
        yield
    finally:
        getattr(model, f"{verb}_checkpointing_disable")()
