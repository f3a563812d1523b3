"""The DeepSpeed backend: ZeRO 0 to 3, 16-bit parameters, offload; with the optimizer and schedule of the torch one.

Whatever a rank holds of weights and moments, they leave as whole flat buffers in the order of the model's parameters,
and are cut again on their way in: a checkpoint knows nothing of shards.
"""

import copy
import logging
import math
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from raysim.core.errors import RunError
from raysim.core.keys import versions_of
from raysim.training.deepspeed_config import check_config, decisive, keeps_bits, stage_of
from raysim.training.dp_sgd import DP_SGD
from raysim.training.loop import run_loop
from raysim.training.objectives import AppliedObjective
from raysim.training.optimizers import begin_state, export_state, make_optimizer, restore_state, state_shapes
from raysim.training.process_group import ALONE, ProcessGroup, join_alone
from raysim.training.request import Event, TrainerSettings, TrainRequest, TrainState
from raysim.training.throughput import flop_per_token
from raysim.training.torch_engine import checkpointing, next_token_loss
from raysim.training.weights import Flat, assign, assign_tensors, flatten_tensors, trainable, trained_part

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_SCALER = ("cur_scale", "cur_iter", "last_overflow_iter", "cur_hysteresis")


@contextmanager
def _ignoring_warnings() -> Iterator[None]:
    """Ignores the warnings that DeepSpeed gets, since it calls torch by older names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class DeepSpeedTrainer:
    """Implements `raysim.training.request.Trainer`; one for each rank of `group`, which has been joined."""

    def __init__(self, model: "PreTrainedModel", group: ProcessGroup = ALONE) -> None:
        self._model = model
        self._group = group

    @classmethod
    def check(cls, settings: TrainerSettings, objective: str | None = None) -> None:
        """Refuses what DeepSpeed cannot do; see `raysim.training.request.Trainer.check`."""
        if settings.compile:
            raise ValueError("compile: is for backend: torch; leave it out")
        check_config(settings.deepspeed, settings.precision)
        stage = stage_of(settings.deepspeed)
        if settings.optimizer == "adafactor" and stage:
            raise ValueError(
                f"optimizer: adafactor needs whole matrices, and ZeRO stage {stage} has flat shards of them; write"
                " deepspeed.zero_optimization.stage: 0, or optimizer: adamw or yogi"
            )
        if settings.optimizer == "sgd" and stage:
            raise ValueError(
                f"optimizer: sgd keeps nothing that ZeRO stage {stage} could shard; write"
                " deepspeed.zero_optimization.stage: 0, or backend: torch"
            )
        if objective == DP_SGD:
            raise ValueError("backend: deepspeed sees no single sequences, which dp_sgd clips; write backend: torch")
        if objective and stage:
            raise ValueError(
                f"deepspeed.zero_optimization.stage: is {stage}, where no rank has whole gradients, and the objective"
                f" {objective!r} needs them; write stage: 0, or backend: torch"
            )

    @classmethod
    def recipe(cls, settings: TrainerSettings) -> dict[str, Any]:
        """What of DeepSpeed's config decides numbers, and its version."""
        return {"deepspeed": decisive(settings.deepspeed), "libraries": versions_of("deepspeed")}

    def train(self, request: TrainRequest) -> Iterator[Event]:
        """See `raysim.training.request.Trainer.train`."""
        import torch

        settings = request.task.settings
        torch.set_num_threads(settings.threads)
        # DeepSpeed rewrites a model, and leaves traces in it.
        model = copy.deepcopy(self._model)
        with torch.random.fork_rng(devices=[]), checkpointing(model, settings.checkpoint_activations):
            engine = _DeepSpeedEngine(model, request, self._group)
            try:
                if request.initial_state:
                    engine.restore(request.initial_state)
                model.train()
                yield from run_loop(engine, request, self._group)
            finally:
                engine.close()


class _DeepSpeedEngine:
    """Implements `raysim.training.loop.Engine`."""

    @_ignoring_warnings()
    def __init__(self, model: "PreTrainedModel", request: TrainRequest, group: ProcessGroup) -> None:
        import torch

        settings, weights = request.task.settings, request.current_weights
        deepspeed = load_deepspeed(settings.device)
        # ZeRO 3 puts functions of its own in their place, for the whole process.
        self._functions = {name: getattr(torch.nn.functional, name) for name in ("linear", "embedding")}
        join_alone(settings.device)
        torch.nn.Module.to(model, torch.device(settings.device))
        assign(model, weights)
        self._settings = settings
        self._stage = stage_of(settings.deepspeed)
        self._bits = keeps_bits(settings.deepspeed)
        self._ranks = group.size
        self._parameters: list[Any] = list(trainable(model))
        start, trained = trained_part(model, request.weights), trained_part(model, weights)
        self._carried = weights[trained.size :]
        self._objective = AppliedObjective(request.task.objective, self._parameters, start, request.objective_buffers)
        self.flop_per_token = flop_per_token(model)
        self._shapes = [p.shape for p in self._parameters]
        optimizer, config = make_optimizer(model, settings), config_of(settings)
        try:
            self._engine, self._optimizer, _, _ = deepspeed.initialize(model=model, optimizer=optimizer, config=config)
        except (ValueError, TypeError, AssertionError, NotImplementedError) as error:
            # Errors of pydantic are ValueErrors of several lines; an assertion may say nothing.
            said = " ".join(str(error).split())[:300] or type(error).__name__
            raise RunError(f"{request.task.label}: DeepSpeed refuses trainer.deepspeed: {said}") from error
        self._begin_state(0)
        if self._bits:
            # Masters were made from rounded weights.
            self._set(trained, None)

    @_ignoring_warnings()
    def step(self, pieces: "list[tuple[torch.Tensor, float, int]]", rate: float) -> "tuple[torch.Tensor, torch.Tensor]":
        import torch

        engine, parts, norm = self._engine, [], None
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        for ids, share, seed in pieces:
            torch.manual_seed(seed)
            # What has 16 bits anyway needs no autocast.
            loss = next_token_loss(engine, ids, self._settings, autocast=False if self._bits else None)
            weight = share * self._ranks
            whole = self._objective.add_to(loss)
            engine.backward(whole if weight == 1 else whole * weight, scale_wrt_gas=False)
            if self._stage == 0 and engine.is_gradient_accumulation_boundary():
                self._objective.correct_gradients()
                norm = torch.nn.utils.clip_grad_norm_(self._parameters, self._settings.gradient_clip)
            engine.step()
            parts.append(loss.detach() if share == 1 else loss.detach() * share)
        return sum(parts[1:], parts[0]), self._norm() if norm is None else norm

    def set_dropout(self, on: bool) -> None:
        self._engine.module.train(on)

    @_ignoring_warnings()
    def weights(self) -> Flat:
        trained = self._get(None)
        return np.concatenate([trained, self._carried]) if self._carried.size else trained

    @_ignoring_warnings()
    def optimizer_state(self) -> dict[str, Flat]:
        if self._stage == 0:
            return export_state(self._base(), self._settings, self._parameters)
        return {name: self._get(name) for name in self._names()}

    def counters(self) -> dict[str, float]:
        """The state of fp16's loss scale, and how many steps it did not skip."""
        if self._bits != "fp16":
            return {}
        scaler = self._optimizer.loss_scaler
        scale = {name: float(getattr(scaler, name)) for name in _SCALER if hasattr(scaler, name)}
        return {**scale, "steps_applied": float(self._base().state[self._held()[0]]["step"])}

    @_ignoring_warnings()
    def restore(self, state: TrainState) -> None:
        """Puts the optimizer's state, step count and loss scale back."""
        counters = state.counters
        steps = counters.get("steps_applied", counters["past_steps"] + counters.get("step", 0))
        if self._stage == 0:
            restore_state(self._base(), self._settings, self._parameters, state.arrays, steps)
            return
        self._begin_state(steps)
        for name in self._names():
            self._set(state.arrays[name], name)
        if self._bits == "fp16":
            for name in _SCALER:
                if name in counters:
                    kind = type(getattr(self._optimizer.loss_scaler, name))
                    setattr(self._optimizer.loss_scaler, name, kind(counters[name]))

    @_ignoring_warnings()
    def close(self) -> None:
        """Takes DeepSpeed's hooks off, and its functions out of torch."""
        import torch

        self._engine.destroy()
        for name, function in self._functions.items():
            setattr(torch.nn.functional, name, function)

    def _base(self) -> Any:
        """The torch optimizer inside."""
        return self._optimizer.optimizer if self._stage else self._optimizer

    def _held(self) -> "list[torch.Tensor]":
        """What the torch optimizer steps on: parameters, or this rank's flat shards of them."""
        if self._stage == 0:
            return list(self._parameters)
        if self._stage == 3:
            return list(self._optimizer.fp32_partitioned_groups_flat)
        return list(self._optimizer.single_partition_of_fp32_groups)

    def _names(self) -> tuple[str, ...]:
        """What the optimizer keeps of flat shards."""
        return tuple(state_shapes(self._settings, (1,)))

    def _begin_state(self, steps: float) -> None:
        """A state of zeros, as if after `steps` steps.

        DeepSpeed finds moments by parameter only where all of them are there when it looks, once.
        """
        begin_state(self._base(), self._settings, self._held(), steps)
        if self._stage in (1, 2):
            self._optimizer._hp_optimizer_states_linked = False
            self._optimizer._lazy_init_hp_params_optimizer_state()

    def _get(self, moment: str | None) -> Flat:
        """Weights, or a moment under ZeRO, put together from all ranks."""
        from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

        if self._stage == 0:
            return flatten_tensors([p.detach() for p in self._parameters])
        wholes: list[Any] = [
            safe_get_full_fp32_param(p) if moment is None else safe_get_full_optimizer_state(p, moment)
            for p in self._parameters
        ]
        return flatten_tensors(wholes)

    def _set(self, flat: Flat, moment: str | None) -> None:
        """Hands this rank its part of weights or of a moment, under ZeRO."""
        import torch
        from deepspeed.utils import safe_set_full_fp32_param, safe_set_full_optimizer_state

        wholes = [torch.empty(shape) for shape in self._shapes]
        assign_tensors(wholes, flat)
        for parameter, whole in zip(self._parameters, wholes, strict=True):
            if moment is None:
                safe_set_full_fp32_param(parameter, whole)
            else:
                safe_set_full_optimizer_state(parameter, whole, moment)

    def _norm(self) -> "torch.Tensor":
        """Norm of the last step's whole gradient; NaN if it was no number, 0 if fp16 skipped the step to try again."""
        import torch

        found = self._engine.get_global_grad_norm()
        if not self._engine.was_step_applied():
            found = 0.0 if self._bits == "fp16" else math.nan
        return torch.as_tensor(0.0 if found is None else found, device=self._settings.device)


def config_of(settings: TrainerSettings) -> dict[str, Any]:
    """The config that DeepSpeed gets: the user's, and what raysim's own settings mean there."""
    config: Mapping[str, Any] = copy.deepcopy(settings.deepspeed)
    return {
        **config,
        "train_micro_batch_size_per_gpu": settings.batch_size // (settings.ranks * settings.accumulation),
        "gradient_accumulation_steps": settings.accumulation,
        # Without ZeRO the loop clips, since DeepSpeed does not return the norm.
        "gradient_clipping": settings.gradient_clip if stage_of(config) else 0.0,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
    }


def load_deepspeed(device: str) -> Any:
    """DeepSpeed, on the device and without compiling anything; it must not have been imported for another before."""
    os.environ["DS_ACCELERATOR"] = device
    os.environ.setdefault("DS_BUILD_OPS", "0")
    os.environ.setdefault("LOCAL_RANK", "0")
    import deepspeed
    import deepspeed.ops

    for name in ("DeepSpeed", "deepspeed"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # Its shared-memory sums need a compiler, and are others than gloo's.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    return deepspeed
