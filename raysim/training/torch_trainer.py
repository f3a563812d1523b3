"""A clear PyTorch training loop: the study's optimizer and schedules, on any causal language model."""

import math
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from raysim.errors import RunError
from raysim.recipe import seed_of
from raysim.training.schedule import rate_at
from raysim.training.trainer import Checkpoint, Event, Progress, Snapshot, Task, TrainerSettings, TrainState, Update
from raysim.training.weights import Flat, assign, assign_tensors, flatten, flatten_tensors

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_MOMENTS = ("exp_avg", "exp_avg_sq")
_PROGRESS_EVERY_S = 0.5


class TorchTrainer:
    """Implements `raysim.training.trainer.Trainer` with AdamW on one device."""

    def __init__(self, model: "PreTrainedModel") -> None:
        self._model = model

    def train(
        self,
        task: Task,
        sequences: npt.NDArray[np.int32],
        weights: Flat,
        client_state: TrainState | None = None,
        resume: TrainState | None = None,
    ) -> Iterator[Event]:
        """See `raysim.training.trainer.Trainer.train`."""
        import torch

        settings = task.settings
        torch.set_num_threads(settings.threads)
        model = self._model
        torch.nn.Module.to(model, torch.device(settings.device))
        optimizer = make_optimizer(model, settings)
        start = resume or client_state
        assign(model, resume.arrays["weights"] if resume else weights)
        model.zero_grad(set_to_none=True)  # a step that failed before may have left its gradients
        if start:
            _restore_moments(optimizer, model, start)
        past_steps = int(start.counters["past_steps"]) if start else 0
        step = int(resume.counters["step"]) if resume else 0
        rate_sum = resume.counters["learning_rate_sum"] if resume else 0.0
        first_loss = resume.counters["first_loss"] if resume else math.nan
        epoch_loss = resume.counters["epoch_loss"] if resume else 0.0

        steps_per_epoch = math.ceil(len(sequences) / settings.batch_size)
        num_steps, horizon_steps = task.epochs * steps_per_epoch, task.horizon_epochs * steps_per_epoch
        tokens = 0
        started_s = time.monotonic()
        last_progress_s = last_checkpoint_s = started_s
        model.train()
        with torch.random.fork_rng(devices=[]):
            while step < num_steps:
                epoch, in_epoch = divmod(step, steps_per_epoch)
                if in_epoch == 0:
                    epoch_loss = 0.0
                rate = rate_at(
                    past_steps + step,
                    horizon_steps,
                    settings.learning_rate,
                    settings.warmup_fraction,
                    settings.schedule,
                )
                batch = sequences[batch_rows(task.seed, epoch, in_epoch, len(sequences), settings.batch_size)]
                # Dropout is seeded for each step, so that a checkpoint needs no random state.
                torch.manual_seed(seed_of(task.seed, "dropout", step))
                loss = self._step(optimizer, batch, rate, task, step)
                first_loss = loss if step == 0 else first_loss
                epoch_loss += loss * len(batch)
                rate_sum += rate
                tokens += batch.size
                step += 1
                now_s = time.monotonic()
                if now_s - last_progress_s >= _PROGRESS_EVERY_S or step == num_steps:
                    yield Progress(step, num_steps, epoch + 1, loss, tokens)
                    last_progress_s = now_s
                if task.snapshot_epochs and step % steps_per_epoch == 0:
                    yield Snapshot(epoch + 1, flatten(model))
                if now_s - last_checkpoint_s >= task.checkpoint_every_s and step < num_steps:
                    counters = {
                        "step": step,
                        "past_steps": past_steps,
                        "learning_rate_sum": rate_sum,
                        "first_loss": first_loss,
                        "epoch_loss": epoch_loss,
                    }
                    yield Checkpoint(TrainState(_arrays(model, optimizer), counters))
                    last_checkpoint_s = time.monotonic()
        model.eval()
        arrays = _arrays(model, optimizer)
        state = None
        if task.keep_state:
            moments = {name: arrays[name] for name in _MOMENTS}
            state = TrainState(moments, {"past_steps": past_steps + num_steps})
        metrics = {
            "steps": num_steps,
            "tokens": task.epochs * sequences.size,
            "sequences": len(sequences),
            "learning_rate_sum": rate_sum,
            "first_loss": first_loss,
            "last_epoch_loss": epoch_loss / len(sequences),
        }
        yield Update(arrays["weights"], state, metrics, time.monotonic() - started_s)

    def _step(
        self, optimizer: "torch.optim.Optimizer", batch: npt.NDArray[np.int32], rate: float, task: Task, step: int
    ) -> float:
        """One optimizer step on token ids ``[batch_size, sequence_length]``; returns the mean loss in nats a token."""
        import torch

        settings = task.settings
        ids = torch.from_numpy(batch.astype(np.int64)).to(settings.device)
        for group in optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast(settings.device, torch.bfloat16, enabled=settings.precision == "bf16"):
            logits = self._model(input_ids=ids, use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten())
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self._model.parameters(), settings.gradient_clip)
        value = float(loss.detach())
        if not (math.isfinite(value) and math.isfinite(float(norm))):
            optimizer.zero_grad(set_to_none=True)
            raise RunError(
                f"{task.label}: loss {value} and gradient norm {float(norm)} at step {step + 1} are not finite;"
                " lower trainer.learning_rate, or use precision: fp32 (the last checkpoint is kept)"
            )
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return value


def batch_rows(seed: int, epoch: int, index: int, num_sequences: int, batch_size: int) -> npt.NDArray[np.int64]:
    """Rows of batch `index` of a permutation of all sequences, seeded by task and epoch; the last may be short."""
    order = np.random.Generator(np.random.Philox(seed_of(seed, "batch order", epoch))).permutation(num_sequences)
    return order[index * batch_size : (index + 1) * batch_size]


def make_optimizer(model: "PreTrainedModel", settings: TrainerSettings) -> "torch.optim.AdamW":
    """AdamW with weight decay on matrices alone, as the study has it: none on biases and layer norms."""
    import torch

    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(
        groups, lr=settings.learning_rate, betas=settings.adam_betas, eps=settings.adam_epsilon, fused=True
    )


def _arrays(model: "PreTrainedModel", optimizer: "torch.optim.Optimizer") -> dict[str, Flat]:
    """Weights and moments as flat buffers, all in the order of `model.parameters()`."""
    # A parameter that never had a gradient has no moments yet; zeros are what it would start with.
    moments = {
        name: flatten_tensors([optimizer.state[p].get(name, p.new_zeros(p.shape)) for p in model.parameters()])
        for name in _MOMENTS
    }
    return {"weights": flatten(model), **moments}


def _restore_moments(optimizer: "torch.optim.Optimizer", model: "PreTrainedModel", state: TrainState) -> None:
    """Puts moments and step count back; the step count is that of all rounds, for Adam's bias correction."""
    import torch

    steps = state.counters["past_steps"] + state.counters.get("step", 0)
    for parameter in model.parameters():
        optimizer.state[parameter] = {
            "step": torch.tensor(float(steps), dtype=torch.float32, device=parameter.device),
            **{name: torch.zeros_like(parameter) for name in _MOMENTS},
        }
    for name in _MOMENTS:
        assign_tensors([optimizer.state[p][name] for p in model.parameters()], state.arrays[name])
