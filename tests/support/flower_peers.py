"""Flower's own strategies driven by hand, as an independent reference; and classes of a user's own."""

import gc
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import flwr.serverapp.strategy as flower_strategies
import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.supercore.differential_privacy import compute_adaptive_clip_model_update
from flwr.supercore.task_identity import TaskIdentity

from raysim.core.keys import seed_of
from raysim.simulation.strategy import ClientInfo, Federation
from raysim.training.weights import Flat

FLOWER = "flwr.serverapp.strategy"

INNER = {"strategy": {"strategy": f"{FLOWER}.FedAvgM", "arguments": {"server_momentum": 0.5}}}
NOISE = {"noise_multiplier": 0.3, "num_sampled_clients": 7}
NEURAL: dict[str, dict[str, Any]] = {
    "FedAvg": {},
    "FedAvgM": {"server_momentum": 0.9, "server_learning_rate": 0.7},
    "FedProx": {"proximal_mu": 0.1},
    "FedMedian": {},
    "FedTrimmedAvg": {"beta": 0.2},
    "Krum": {"num_malicious_nodes": 1},
    "MultiKrum": {"num_malicious_nodes": 1, "num_nodes_to_select": 3},
    "Bulyan": {"num_malicious_nodes": 1},
    "QFedAvg": {"client_learning_rate": 0.1, "q": 0.5},
    "FedAdam": {"eta": 0.03},
    "FedYogi": {"eta": 0.03},
    "FedAdagrad": {"eta": 0.03},
    "DifferentialPrivacyServerSideFixedClipping": {**INNER, **NOISE, "clipping_norm": 2.0},
    "DifferentialPrivacyClientSideFixedClipping": {**INNER, **NOISE, "clipping_norm": 2.0},
    "DifferentialPrivacyServerSideAdaptiveClipping": {**INNER, **NOISE, "clipped_count_stddev": 0.5},
    "DifferentialPrivacyClientSideAdaptiveClipping": {**INNER, **NOISE, "clipped_count_stddev": 0.5},
}
"""Arguments for each of Flower's strategies that works on neural networks, for seven organizations."""


def federation_of(num_clients: int, seed: int = 0) -> Federation:
    """Organizations a, b, ... of 1, 2, ... sequences."""
    clients = [ClientInfo("abcdefghi"[i], i + 1, 64 * (i + 1), 1.0, 0.0) for i in range(num_clients)]
    return Federation(tuple(clients), 10, "reset", seed)


class _Nodes:
    def __init__(self, nodes: Sequence[int]) -> None:
        self._nodes = nodes

    def get_node_ids(self) -> list[int]:
        return list(self._nodes)


def by_hand(
    name: str,
    arguments: Mapping[str, Any],
    start: Flat,
    train: Callable[[int, int, Flat], Flat],
    losses: Callable[[int], float],
    rounds: int,
    seed: int,
    nodes: int = 7,
) -> list[Flat]:
    """The server's weights after each round, from one object of Flower's class that lives through all of them.

    Args:
        name: of the class.
        arguments: of it.
        start: weights at first.
        train: weights that a node has after a round, from those that it was sent.
        losses: ``train_loss`` of a node; its number of examples is its id.
        rounds: to play.
        seed: of the experiment.
        nodes: how many there are.
    """
    inner = arguments.get("strategy")
    given = dict(arguments)
    if isinstance(inner, dict):
        inner_class = getattr(flower_strategies, inner["strategy"].rpartition(".")[2])
        given["strategy"] = inner_class(**inner.get("arguments", {}))
    strategy = getattr(flower_strategies, name)(**given)
    before = TaskIdentity._task_id, TaskIdentity._run_id, TaskIdentity._node_id
    TaskIdentity._task_id, TaskIdentity._run_id, TaskIdentity._node_id = 1, 1, 1
    weights, found, config, grid = start, [], ConfigRecord(), _Nodes(range(1, nodes + 1))
    gc.freeze()  # Flower collects garbage by hand
    try:
        for number in range(1, rounds + 1):
            _seed(seed, "configure", number)
            asked = list(strategy.configure_train(number, _record(weights), config, grid))
            asked.sort(key=lambda message: message.metadata.dst_node_id)
            replies = [_reply(message, train, losses, number, weights) for message in asked]
            _seed(seed, "aggregate", number)
            arrays, _ = strategy.aggregate_train(number, replies)
            weights = arrays["weights"].numpy().astype(np.float32)
            found.append(weights)
    finally:
        gc.unfreeze()
        TaskIdentity._task_id, TaskIdentity._run_id, TaskIdentity._node_id = before
    return found


def _reply(
    message: Message,
    train: Callable[[int, int, Flat], Flat],
    losses: Callable[[int], float],
    number: int,
    weights: Flat,
) -> Message:
    node = message.metadata.dst_node_id
    trained = [train(number, node, weights)]
    metrics: dict[str, Any] = {"num-examples": node, "train_loss": losses(node)}
    config: dict[str, Any] = dict(message.content.config_records["config"])
    if "clipping_norm" in config:
        metrics["norm_bit"] = int(compute_adaptive_clip_model_update(trained, [weights], config["clipping_norm"]))
    content = RecordDict({"arrays": _record(trained[0]), "metrics": MetricRecord(metrics)})
    return Message(content, reply_to=message)


def _record(weights: Flat) -> ArrayRecord:
    return ArrayRecord({"weights": Array(weights)})


def _seed(seed: int, purpose: str, number: int) -> None:
    drawn = seed_of(seed, "flower", purpose, number)
    random.seed(drawn)
    np.random.seed([drawn >> 32, drawn & 0xFFFFFFFF])  # noqa: NPY002


FedAvg = flower_strategies.FedAvg


class Remembering(FedAvg):
    """Keeps one of everything that can be written, and makes the model of it and of the replies."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale
        self.average = self._average
        self.history: list[Any] = []

    def _average(self, values: Sequence[float]) -> float:
        return sum(values) / len(values)

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> Any:
        arrays, metrics = super().aggregate_train(server_round, replies)
        assert arrays is not None
        now = arrays["weights"].numpy()
        self.history.append((server_round, float(now[0]), np.float64(now[1]), {"round": [server_round, None, True]}))
        before = getattr(self, "table", np.zeros((2, now.size)))
        self.table = np.stack([before[1], now])
        self.record = arrays
        change = self.scale * self.average([entry[1] for entry in self.history]) + self.table.mean(0)
        return ArrayRecord({"weights": Array(now + change)}), metrics


class Choosy(FedAvg):
    """Trains those again whose average was above a half."""

    low = False

    def configure_train(self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Any) -> Any:
        messages = list(super().configure_train(server_round, arrays, config, grid))
        return messages[:2] if self.low else messages

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> Any:
        arrays, metrics = super().aggregate_train(server_round, replies)
        assert arrays is not None
        self.low = float(arrays["weights"].numpy()[0]) < -10
        return arrays, metrics


class Changed(FedAvg):
    """Gives something else than a model, as `how` says, where the model is larger than a rehearsal's."""

    def __init__(self, how: str, always: bool = False) -> None:
        super().__init__()
        self.how, self.always = how, always

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> Any:
        arrays, metrics = super().aggregate_train(server_round, replies)
        assert arrays is not None
        now = arrays["weights"].numpy()
        if not self.always and (now.size == 4 or server_round < 2):
            return arrays, metrics
        match self.how:
            case "nothing":
                return None, None
            case "longer":
                return ArrayRecord({"weights": Array(np.append(now, now))}), metrics
            case "another name":
                return ArrayRecord({"0": Array(now)}), metrics
            case "an error":
                raise ZeroDivisionError("by zero\nsecond line")
            case "a generator":
                self.generator = np.random.default_rng(1)
            case "a lock":
                self.inner = {"deep": [object()]}
        return arrays, metrics


class Sending(FedAvg):
    """Sends its clients what `what` says beside, or in place of, the server's model."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what = what

    def configure_train(self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Any) -> Any:
        match self.what:
            case "a rate":
                config["lr"] = 0.1
            case "another model":
                arrays = ArrayRecord({"weights": Array(arrays["weights"].numpy() + 1)})
            case "another model in its place":
                arrays["weights"] = Array(arrays["weights"].numpy() + 1)
            case "to all by itself":
                grid.send_and_receive([])
        messages = list(super().configure_train(server_round, arrays, config, grid))
        match self.what:
            case "variates":
                messages[0].content["variates"] = ArrayRecord({"weights": arrays["weights"]})
            case "twice":
                return [*messages, messages[0]]
            case "a query":
                messages = [Message(message.content, message.metadata.dst_node_id, "query") for message in messages]
            case "nothing":
                return []
        return messages


class Waiting(FedAvg):
    """Waits in a loop of its own for a hundred nodes."""

    def configure_train(self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Any) -> Any:
        while len(list(grid.get_node_ids())) < 100:
            pass
        return super().configure_train(server_round, arrays, config, grid)


class Starting(FedAvg):
    """Has a loop of its own."""

    def start(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError


class Halving(FedAvg):
    """Halves the proximal term's weight from round to round, in the configuration that it finds."""

    def configure_train(self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Any) -> Any:
        config["proximal-mu"] = float(dict[str, Any](config).get("proximal-mu", 2.0)) / 2
        return super().configure_train(server_round, arrays, config, grid)
