import hashlib
import math
import platform
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from train_requests import make_request

from raysim.core.errors import RunError
from raysim.core.keys import seed_of
from raysim.training.model_host import ModelSpec
from raysim.training.models import build_model
from raysim.training.optimizers import make_optimizer
from raysim.training.request import EpochCheckpoint, Event, Progress, ResumeState, TrainState, TrainTask, Update
from raysim.training.schedule import rate_at
from raysim.training.torch_engine import TorchTrainer
from raysim.training.weights import assign, flatten


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def build(spec: ModelSpec) -> "transformers.PreTrainedModel":
    return build_model(spec.settings, spec.vocab_size, spec.bos_id, spec.context, seed=3)


@pytest.fixture
def model(gpt2_spec) -> "transformers.PreTrainedModel":
    return build(gpt2_spec(dropout=0.1))


def train(model, task: TrainTask, sequences, weights, client_state=None, resume=None) -> tuple[Update, list[Event]]:
    events = list(TorchTrainer(model).train(make_request(task, sequences, weights, client_state, resume)))
    assert isinstance(events[-1], Update)
    return events[-1], events


def bits(weights: np.ndarray) -> bytes:
    return np.ascontiguousarray(weights).tobytes()


# Against a bare loop.


def bare_loop(model, sequences: np.ndarray, seed: int, epochs: int) -> np.ndarray:
    """The loop as one would write it without raysim: peak 3e-3, cosine, a quarter of warm-up, batches of 4, float32."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim == 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
        lr=3e-3, betas=(0.9, 0.999), eps=1e-8, fused=True,
    )  # fmt: skip
    steps = epochs * math.ceil(len(sequences) / 4)
    warmup = round(steps / 4)
    model.train()
    step = 0
    for epoch in range(epochs):
        order = np.random.Generator(np.random.Philox(seed_of(seed, "batch order", epoch))).permutation(len(sequences))
        for start in range(0, len(sequences), 4):
            if step < warmup:
                rate = 3e-3 * (step + 1) / warmup
            else:
                rate = 3e-3 * (0.5 * (1 + math.cos(math.pi * ((step - warmup) / (steps - warmup)))))
            for group in optimizer.param_groups:
                group["lr"] = rate
            ids = torch.tensor(sequences[order[start : start + 4]], dtype=torch.long)
            torch.manual_seed(seed_of(seed, "dropout", step))
            logits = model(input_ids=ids, use_cache=False).logits
            loss = torch.nn.functional.cross_entropy(
                logits[:, :-1].reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1)
            )
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            step += 1
    return flatten(model)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_equals_a_bare_loop_bit_for_bit(dropout: float, gpt2_spec, sequences, make_task) -> None:
    model = build(gpt2_spec(dropout=dropout))
    start = flatten(model)
    expected = bare_loop(model, sequences, 11, epochs=3)
    update, _ = train(model, make_task(epochs=3, horizon_epochs=3), sequences, start)
    assert bits(update.weights) == bits(expected)
    assert not np.array_equal(expected, start)


def test_llama_equals_a_bare_loop_too(llama_spec: ModelSpec, sequences, make_task) -> None:
    model = build(llama_spec)
    start = flatten(model)
    expected = bare_loop(model, sequences, 11, epochs=1)
    update, _ = train(model, make_task(epochs=1, horizon_epochs=1), sequences, start)
    assert bits(update.weights) == bits(expected)


def test_dropout_is_on_while_training(gpt2_spec, sequences, make_task) -> None:
    """It stays on however the model was left: the study lost it after the first evaluation."""
    weights = {}
    for dropout in (0.0, 0.5):
        model = build(gpt2_spec(dropout=dropout))
        start = flatten(model)
        first, _ = train(model, make_task(), sequences, start)
        again, _ = train(model.eval(), make_task(), sequences, start)
        assert bits(first.weights) == bits(again.weights)
        assert not model.training
        weights[dropout] = first.weights
    assert not np.array_equal(weights[0.0], weights[0.5])


def test_equal_arguments_give_equal_bits_and_seeds_differ(model, sequences, make_task) -> None:
    start = flatten(model)
    one, _ = train(model, make_task(), sequences, start)
    torch.manual_seed(99)
    same, _ = train(model, make_task(label="another name"), sequences, start)
    other, _ = train(model, make_task(seed=12), sequences, start)
    assert bits(one.weights) == bits(same.weights)
    assert one.metrics == same.metrics
    assert bits(one.weights) != bits(other.weights)


def test_the_global_generator_and_the_inputs_are_left_alone(model, sequences, make_task) -> None:
    start, rows = flatten(model), sequences.copy()
    for array in (start, rows):
        array.flags.writeable = False
    before = torch.random.get_rng_state()
    train(model, make_task(), rows, start)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert np.array_equal(rows, sequences)


# Cut and resumed.


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_resumed_at_any_step_equals_uninterrupted(precision: str, model, sequences, make_task) -> None:
    start = flatten(model)
    task = make_task(epochs=3, horizon_epochs=3, precision=precision, keep_state=True)
    whole, _ = train(model, task, sequences, start)
    cut = make_task(epochs=3, horizon_epochs=3, precision=precision, keep_state=True, checkpoint_every_s=0.0)
    same, events = train(model, cut, sequences, start)
    checkpoints = [e.state for e in events if isinstance(e, ResumeState)]
    assert bits(same.weights) == bits(whole.weights)
    assert [c.counters["step"] for c in checkpoints] == list(range(1, 9))
    for checkpoint in checkpoints:
        # Weights that the model happens to hold, and those that the task would start from, do not count.
        resumed, _ = train(model, task, sequences, np.zeros_like(start), resume=checkpoint)
        assert bits(resumed.weights) == bits(whole.weights)
        assert resumed.metrics == whole.metrics
        assert resumed.client_state is not None
        assert whole.client_state is not None
        for name in ("exp_avg", "exp_avg_sq"):
            assert bits(resumed.client_state.arrays[name]) == bits(whole.client_state.arrays[name])


def test_a_checkpoint_survives_json_and_the_disk(model, sequences, make_task, tmp_path: Path) -> None:
    import json

    start = flatten(model)
    whole, events = train(model, make_task(checkpoint_every_s=0.0), sequences, start)
    state = next(e.state for e in events if isinstance(e, ResumeState))
    for name, array in state.arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    arrays = {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in state.arrays}
    back = TrainState(arrays, json.loads(json.dumps(dict(state.counters), allow_nan=False)))
    resumed, _ = train(model, make_task(), sequences, start, resume=back)
    assert bits(resumed.weights) == bits(whole.weights)


def test_a_kept_client_that_is_cut_in_its_second_round(model, sequences, make_task) -> None:
    start = flatten(model)
    first, _ = train(model, make_task(horizon_epochs=4, keep_state=True), sequences, start)
    second = {"horizon_epochs": 4, "keep_state": True, "seed": 12}
    whole, events = train(
        model, make_task(**second, checkpoint_every_s=0.0), sequences, first.weights, first.client_state
    )
    for checkpoint in [e.state for e in events if isinstance(e, ResumeState)]:
        resumed, _ = train(model, make_task(**second), sequences, first.weights, first.client_state, resume=checkpoint)
        assert bits(resumed.weights) == bits(whole.weights)


# Client state.


def test_two_kept_rounds_equal_one_of_twice_the_epochs(gpt2_spec, sequences, make_task) -> None:
    """Where seeds decide nothing: one sequence, so that all batches are the same, and no dropout."""
    model = build(gpt2_spec(dropout=0.0))
    start = flatten(model)
    same = {"batch_size": 1, "horizon_epochs": 6, "keep_state": True, "schedule": "cosine"}
    one = sequences[:1]
    whole, _ = train(model, make_task(epochs=6, **same), one, start)
    first, _ = train(model, make_task(epochs=2, **same), one, start)
    second, _ = train(model, make_task(epochs=4, seed=12, **same), one, first.weights, first.client_state)
    assert bits(second.weights) == bits(whole.weights)
    assert second.metrics["learning_rate_sum"] + first.metrics["learning_rate_sum"] == pytest.approx(
        whole.metrics["learning_rate_sum"]
    )
    assert second.client_state is not None
    assert whole.client_state is not None
    assert second.client_state.counters == whole.client_state.counters == {"past_steps": 6}
    assert set(second.client_state.arrays) == {"exp_avg", "exp_avg_sq"}


def test_fresh_rounds_differ_from_kept_ones(model, sequences, make_task) -> None:
    start = flatten(model)
    first, _ = train(model, make_task(keep_state=True), sequences, start)
    kept, _ = train(model, make_task(seed=12), sequences, first.weights, first.client_state)
    fresh, _ = train(model, make_task(seed=12), sequences, first.weights)
    assert bits(kept.weights) != bits(fresh.weights)


def test_state_leaves_only_where_it_is_kept(model, sequences, make_task) -> None:
    update, _ = train(model, make_task(keep_state=False), sequences, flatten(model))
    assert update.client_state is None


# Events and metrics.


def test_snapshots_are_the_weights_after_each_epoch(model, sequences, make_task) -> None:
    """With a horizon that does not move, the epoch checkpoint after epoch e is the result of a task of e epochs."""
    start = flatten(model)
    plain, _ = train(model, make_task(epochs=3, horizon_epochs=3), sequences, start)
    update, events = train(model, make_task(epochs=3, horizon_epochs=3, checkpoint_epochs=True), sequences, start)
    assert bits(update.weights) == bits(plain.weights)
    epoch_checkpoints = [e for e in events if isinstance(e, EpochCheckpoint)]
    assert [s.epoch for s in epoch_checkpoints] == [1, 2, 3]
    assert bits(epoch_checkpoints[2].weights) == bits(update.weights)
    for epoch_checkpoint in epoch_checkpoints[:2]:
        shorter, _ = train(model, make_task(epochs=epoch_checkpoint.epoch, horizon_epochs=3), sequences, start)
        assert bits(epoch_checkpoint.weights) == bits(shorter.weights)


def test_metrics(model, sequences, make_task) -> None:
    update, events = train(model, make_task(schedule="constant", warmup_fraction=0), sequences, flatten(model))
    metrics = update.metrics
    assert (metrics["steps"], metrics["tokens"], metrics["sequences"]) == (6, 2 * 10 * 16, 10)
    assert metrics["learning_rate_sum"] == pytest.approx(6 * 3e-3)
    assert metrics["first_loss"] == pytest.approx(math.log(300), abs=0.05)
    assert metrics["last_epoch_loss"] < metrics["first_loss"]
    last = [e for e in events if isinstance(e, Progress)][-1]
    assert (last.step, last.steps, last.epoch, last.tokens) == (6, 6, 2, 320)


def test_the_rates_are_those_of_the_schedule(model, sequences, make_task) -> None:
    update, _ = train(model, make_task(horizon_epochs=5, schedule="linear"), sequences, flatten(model))
    assert update.metrics["learning_rate_sum"] == pytest.approx(
        sum(rate_at(step, 15, 3e-3, 0.25, "linear") for step in range(6))
    )


@pytest.mark.parametrize("optimizer", ["adamw", "adafactor", "yogi"])
def test_weight_decay_is_on_matrices_alone(optimizer: str, model, make_task) -> None:
    decayed, free = make_optimizer(model, make_task(optimizer=optimizer, weight_decay=0.3).settings).param_groups
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.3, 0.0)
    names = {id(p): name for name, p in model.named_parameters()}
    assert all(names[id(p)].endswith(("bias", "ln_1.weight", "ln_2.weight", "ln_f.weight")) for p in free["params"])
    assert all(names[id(p)].endswith("weight") and p.ndim == 2 for p in decayed["params"])
    assert len(decayed["params"]) + len(free["params"]) == len(names)


# Failure.


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_loss_that_is_not_finite_names_the_stage(precision: str, model, sequences, make_task) -> None:
    task = make_task(learning_rate=1e30, label="fedavg, round 3: google", precision=precision)
    with pytest.raises(RunError, match=r"^fedavg, round 3: google: loss .* at step \d+ are not finite"):
        train(model, task, sequences, flatten(model))


def test_a_model_that_failed_can_be_trained_again(model, sequences, make_task) -> None:
    start = flatten(model)
    expected, _ = train(model, make_task(), sequences, start)
    with pytest.raises(RunError):
        train(model, make_task(learning_rate=1e30), sequences, start)
    again, _ = train(model, make_task(), sequences, start)
    assert bits(again.weights) == bits(expected.weights)


def test_gradients_that_a_failed_step_left_do_not_count(model, sequences, make_task) -> None:
    start = flatten(model)
    expected, _ = train(model, make_task(), sequences, start)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    again, _ = train(model, make_task(), sequences, start)
    assert bits(again.weights) == bits(expected.weights)


def test_gradients_are_clipped(model, sequences, make_task) -> None:
    """With a tiny norm Adam's moments are tiny, and epsilon rules: the weights hardly move."""
    start = flatten(model)
    moved = {}
    for clip in (1e-12, 1.0):
        update, _ = train(model, make_task(gradient_clip=clip, weight_decay=0), sequences, start)
        moved[clip] = float(np.abs(update.weights - start).max())
    assert moved[1e-12] < 1e-5 < moved[1.0]


# Golden bits.


def like_machines() -> str:
    """What decides bits besides the recipe: libraries, instruction set, and the maker whose code paths MKL takes."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    maker = next((line.split(":")[1].strip() for line in lines if line.startswith("vendor_id")), "unknown")
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    capability = torch.backends.cpu.get_cpu_capability() + (" AMX" if "amx_tile" in flags else "")
    major = ".".join(transformers.__version__.split(".")[:2])
    return f"torch {torch.__version__}, transformers {major}, {platform.machine()}, {maker}, {capability}"


GOLDEN = {
    f"torch 2.13.0+cpu, transformers {version}, x86_64, GenuineIntel, AVX512":
        "197e18da4f77e169371c84289b333bdf5d3ada7d899ef82aa153931131910aa2"
    for version in ("5.23", "5.24")
}  # fmt: skip
"""For each kind of machine the hash of the weights; the test says which one to add."""


def test_golden_bits(gpt2_spec, sequences, make_task) -> None:
    """Three steps of a tiny GPT-2 in float32 from weights and tokens that no library draws."""
    machine = like_machines()
    if machine not in GOLDEN:
        pytest.skip(f"no golden bits for this kind of machine: {machine}")
    model = build(gpt2_spec(dropout=0.1))
    scattered = np.arange(flatten(model).size, dtype=np.uint64) * 2654435761 % 2**16
    start = (scattered.astype(np.float32) - np.float32(2**15)) / np.float32(2**20)  # exact: from -1/32 to 1/32
    assign(model, start)
    update, _ = train(model, make_task(epochs=1, horizon_epochs=1), sequences, start)
    assert update.metrics["steps"] == 3
    found = hashlib.sha256(bits(update.weights)).hexdigest()
    assert found == GOLDEN[machine], (
        "training gives other bits than before: raise TRAIN_VERSION if this change is meant"
    )


# Other ways to the same weights.


def test_activations_are_computed_twice_where_that_is_asked_for(model, sequences, make_task) -> None:
    counts = {}
    for wanted in (False, True):
        calls = []
        # Before it: the second time, a layer ends where nothing more of it is needed.
        hook = model.transformer.h[0].mlp.register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
        update, _ = train(model, make_task(checkpoint_activations=wanted), sequences, flatten(model))
        hook.remove()
        counts[wanted] = len(calls) / update.metrics["steps"]
    assert counts == {False: 1, True: 2}


@pytest.mark.slow
def test_a_compiled_model_comes_to_nearly_the_same_weights(gpt2_spec, sequences, make_task) -> None:
    from torch._dynamo.utils import counters

    model = build(gpt2_spec(dropout=0.0))
    start = flatten(model)
    plain, _ = train(model, make_task(), sequences, start)
    counters.clear()
    compiled, _ = train(model, make_task(compile=True), sequences, start)
    assert counters["stats"]["unique_graphs"] > 0
    assert np.linalg.norm(compiled.weights - plain.weights) < 1e-4 * np.linalg.norm(plain.weights)
