"""The Flower backend: a user's own `ClientApp` (message API of Flower 1.41) trains an organization's model.

Beutel, Topal, Mathur, Qiu, Fernandez-Marques, Gao, Sani, Li, Parcollet, de Gusmao & Lane: Flower: A Friendly Federated
Learning Research Framework, 2020, arXiv 2007.14390. A stage is one train message: it has the model by the names of its
state, and what the trainer's settings ask for; the reply has the model that became of it. All global generators that an
app may draw from are seeded around the call.
"""

import json
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from raysim.core.errors import Diverged, InputError, RunError
from raysim.core.keys import canonical_json, versions_of
from raysim.training.batches import Batches
from raysim.training.flower_app import fresh_app, source_sha256
from raysim.training.process_group import ALONE, ProcessGroup
from raysim.training.process_memory import peak_memory_bytes
from raysim.training.request import (
    EpochCheckpoint,
    Event,
    Progress,
    TrainerSettings,
    TrainRequest,
    TrainState,
    TrainTask,
    Update,
)
from raysim.training.throughput import Speed, flop_per_token
from raysim.training.weights import Flat, assign, layout_of

if TYPE_CHECKING:
    from flwr.app import Context, Message
    from transformers import PreTrainedModel

_UNTOLD = {
    *("app", "app_config", "backend", "client_state", "deepspeed", "device", "epochs", "goldfish", "gpus", "ranks"),
    "threads",
}
"""Settings of the trainer that an app is not told, or by another name, or has none of."""

_STATE = "app_state"
"""Names the JSON of `context.state` among the arrays of a client state."""

Arrays = Mapping[str, npt.NDArray[Any]]


class FlowerTrainer:
    """Implements `raysim.training.request.Trainer`."""

    reads_folder = True

    def __init__(self, model: "PreTrainedModel", group: ProcessGroup = ALONE) -> None:
        self._model = model  # the group is of one rank: see check

    @classmethod
    def check(cls, settings: TrainerSettings, objective: str | None = None) -> None:
        """Refuses what an app cannot be asked for, and an app that cannot be imported."""
        if settings.app is None:
            raise ValueError("app: backend flower needs one; write app: module:app, your flwr.clientapp.ClientApp")
        if settings.ranks > 1 or settings.device != "cpu":
            raise ValueError(
                "backend: an app of Flower's trains in its organization's own process, which has no ranks and reserves"
                " no GPU; write ranks: 1 and device: cpu, or backend: torch"
            )
        if settings.goldfish:
            raise ValueError(
                "goldfish: an app of Flower's has a loss of its own; leave it out, or write backend: torch"
            )
        if objective not in (None, "proximal"):
            raise ValueError(
                f"backend: an app of Flower's cannot be asked for the local objective {objective!r}; write backend:"
                " torch"
            )
        with fresh_app(settings.app):
            pass

    @classmethod
    def recipe(cls, settings: TrainerSettings) -> dict[str, Any]:
        """The app's source, and versions of Flower and of what raysim tells an app; its configuration is a setting."""
        assert settings.app is not None, "check() comes first"
        named = {"engine": "flower", "version": 1}
        return {**named, "source": source_sha256(settings.app), "libraries": versions_of("flwr")}

    def train(self, request: TrainRequest) -> Iterator[Event]:
        """See `raysim.training.request.Trainer.train`.

        Raises:
            InputError: the stage asks for what an app cannot do.
            RunError: the app failed, or does not answer with a model and how many sequences it is of.
            Diverged: its model is not finite.
        """
        task, sequences = request.task, request.sequences
        _refuse(self._model, task)
        _check_source(task)
        per_epoch = Batches(task.seed, len(sequences), task.settings.batch_size).per_epoch
        steps, tokens = task.epochs * per_epoch, task.epochs * sequences.size
        started_s = time.monotonic()
        weights, state, loss = self._call(request, steps)
        seconds = time.monotonic() - started_s
        if loss is not None:
            yield Progress(steps, steps, task.epochs, loss, tokens)
        if task.checkpoint_epochs:
            yield EpochCheckpoint(1, weights)
        metrics = {
            "steps": steps,
            "tokens": tokens,
            "sequences": len(sequences),
            "learning_rate_sum": steps * task.settings.learning_rate,
            **({} if loss is None else {"last_epoch_loss": loss}),
        }
        speed = Speed(tokens, seconds, 0.0, peak_memory_bytes(task.settings.device), flop_per_token(self._model), None)
        yield Update(weights, state, metrics, speed)

    def _call(self, request: TrainRequest, steps: int) -> tuple[Flat, TrainState | None, float | None]:
        """Weights, what the app keeps, and the loss that it reports."""
        import torch

        task, settings = request.task, request.task.settings
        assert settings.app is not None, "check() comes first"
        assert request.folder is not None, "reads_folder"
        torch.set_num_threads(settings.threads)
        assign(self._model, request.weights)
        self._model.config.to_json_file(request.folder / "config.json", use_diff=False)
        with fresh_app(settings.app) as app, torch.random.fork_rng(devices=[]):
            from raysim.training.flower_calls import Refused, explained, flower_call

            try:
                with flower_call(task.seed) as heard:
                    torch.manual_seed(task.seed)
                    context = _context(request)
                    reply = app(_message(self._model, request), context)
                    if not hasattr(reply, "has_error"):
                        raise Refused(f"returns {type(reply).__name__}; return Message(content, reply_to=message)")
                    if reply.has_error():
                        raise Refused(explained(f"answers with an error: {reply.error.reason}", heard))
                    weights, loss = _answer(self._model, reply, len(request.sequences))
                    kept = _kept(context, request, steps)
            except Refused as refused:
                if isinstance(refused.__cause__, MemoryError | RuntimeError):
                    _raise_if_out_of_memory(refused.__cause__)
                raise RunError(
                    f"{task.label}: app {settings.app}: {refused}; mend the app, and run the same command again"
                ) from refused
        if not np.isfinite(weights).all():
            raise Diverged(
                f"{task.label}: app {settings.app}: makes a model that is not finite; lower trainer.learning_rate, or"
                " mend the app"
            )
        return weights, kept, loss


def _refuse(model: "PreTrainedModel", task: TrainTask) -> None:
    """Refuses stages that an app, which trains in one call, cannot do.

    Raises:
        InputError: names the setting.
    """
    problems = {
        "model.lora: an app trains whole models; leave it out": not all(p.requires_grad for p in model.parameters()),
        "local_steps: an app counts epochs; leave it out": task.epoch_steps is not None,
        "dropout_epochs: an app says itself when it drops out; leave it out": task.dropout_epochs is not None,
        "when: models after every epoch of a stage are not to be had of an app, which trains all of them in one call;"
        " leave every_epoch out": task.checkpoint_epochs and task.epochs > 1,
    }
    for problem, found in problems.items():
        if found:
            raise InputError(f"{task.label}: {problem}, or write trainer.backend: torch")


def _check_source(task: TrainTask) -> None:
    """Refuses an app that is another one here than where the stage's key was made.

    Raises:
        RunError: its code has changed since, or this node has another version of it.
    """
    app = task.settings.app or ""
    if task.recipe and task.recipe["source"] != source_sha256(app):
        raise RunError(
            f"{task.label}: app {app}: its code is another here than when the run began; have the same on every node,"
            " and run the same command again"
        )


def _config(request: TrainRequest) -> dict[str, Any]:
    """What an app is asked for, by names in Flower's manner; ``past-epochs`` is 0 unless it keeps a state."""
    task = request.task
    told = task.settings.model_dump(mode="json", exclude=_UNTOLD)
    past = request.client_state.counters.get("past_epochs", 0) if request.client_state else 0
    return {
        **{name.replace("_", "-"): value for name, value in told.items()},
        "lr": task.settings.learning_rate,
        "local-epochs": task.epochs,
        "past-epochs": int(past),
        "horizon-epochs": task.horizon_epochs,
        "num-examples": len(request.sequences),
        "seed": task.seed,
        **({"proximal-mu": float(task.objective.settings["mu"])} if task.objective else {}),
    }


def _message(model: "PreTrainedModel", request: TrainRequest) -> "Message":
    from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MessageType, RecordDict

    arrays = ArrayRecord({name: Array(tensor.detach().numpy()) for name, tensor in model.state_dict().items()})
    content = RecordDict({"arrays": arrays, "config": ConfigRecord(_config(request))})
    return Message(content, 1, MessageType.TRAIN)


def _context(request: TrainRequest) -> "Context":
    """The app's view of its place; an organization's name is in no key, and so it is not told."""
    from flwr.app import Context, RecordDict

    from raysim.training.flower_values import restored

    state, kept = RecordDict(), request.client_state.arrays if request.client_state else {}
    if _STATE in kept:
        state.update(restored(json.loads(kept[_STATE].tobytes()), kept))
    settings = request.task.settings
    return Context(1, 1, {"data": str(request.folder)}, state, dict(settings.app_config))


def _kept(context: "Context", request: TrainRequest, steps: int) -> TrainState | None:
    """What goes on to the organization's next stage.

    Raises:
        Refused: the app keeps something where nothing goes on.
    """
    from raysim.training.flower_calls import Refused
    from raysim.training.flower_values import ValueWriter

    task, before = request.task, request.client_state.counters if request.client_state else {}
    if context.state and task.settings.client_state == "reset":
        raise Refused(
            f"keeps {min(context.state)!r} in context.state, which trainer.client_state: reset would drop after every"
            " round; write client_state: keep"
        )
    if not task.keep_state:
        return None
    counters = {
        "past_steps": before.get("past_steps", 0) + steps,
        "past_epochs": before.get("past_epochs", 0) + task.epochs,
    }
    if not context.state:
        return TrainState({}, counters)
    writer = ValueWriter(np.empty(0, np.float32))
    written = canonical_json(writer.value(dict(context.state), "context.state"))
    arrays: dict[str, Any] = {**writer.arrays, _STATE: np.frombuffer(written.encode(), np.uint8)}
    return TrainState(arrays, counters)


def _answer(model: "PreTrainedModel", reply: "Message", num_sequences: int) -> tuple[Flat, float | None]:
    """Weights and training loss of a reply.

    Raises:
        Refused: it has no model of these shapes, or is of another number of sequences.
    """
    from raysim.training.flower_calls import Refused

    models, metrics = list(reply.content.array_records.values()), list(reply.content.metric_records.values())
    if len(models) != 1 or len(metrics) != 1:
        raise Refused(
            f"answers with {len(models)} ArrayRecords and {len(metrics)} MetricRecords; put one of each into the reply"
        )
    counted = metrics[0].get("num-examples")
    if counted != num_sequences:
        raise Refused(
            f"reports num-examples {counted}, and raysim weighs its organization by {num_sequences} training sequences;"
            ' report those, which config["num-examples"] has'
        )
    loss = metrics[0].get("train_loss")
    if loss is not None and not (isinstance(loss, int | float) and np.isfinite(loss)):
        raise Refused(f"reports train_loss {loss}; report nats a token, or leave it out")
    arrays = {name: array.numpy() for name, array in models[0].items()}
    return _flat(model, arrays), None if loss is None else float(loss)


def _flat(model: "PreTrainedModel", arrays: Arrays) -> Flat:
    """The buffer of what an app made of a model; of tied weights one name is enough, and several must agree.

    Raises:
        Refused: names or shapes are not the model's.
    """
    from raysim.training.flower_calls import Refused

    layout, names = layout_of(model), dict[int, list[str]]()
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    if unknown := sorted(arrays.keys() - model.state_dict().keys()):
        raise Refused(
            f"answers with an array {unknown[0]!r}, which the model does not have; send back the names it got"
        )
    parts = []
    for shape, known in zip(layout.shapes, names.values(), strict=True):
        found = [arrays[name] for name in known if name in arrays]
        if not found:
            raise Refused(f"answers without the array {known[0]!r}; send back all that it got")
        for array in found:
            if array.shape != shape or array.dtype.kind != "f":
                raise Refused(f"answers with {known[0]!r} as {array.dtype} {array.shape}; it is float32 {shape}")
            if not np.array_equal(array, found[0], equal_nan=True):
                raise Refused(f"answers with other values of {' and '.join(known)}, which are one array (tied weights)")
        parts.append(found[0].astype(np.float32).reshape(-1))
    return np.concatenate(parts)


def _raise_if_out_of_memory(error: BaseException) -> None:
    """Raises `error`, which says that memory ran out, for `raysim.training.process_memory.oom_hint` to explain."""
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        raise error
