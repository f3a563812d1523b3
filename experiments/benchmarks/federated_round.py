"""Seconds of a federated round whose training does nothing, beside Flower's engine and a loop over bare Ray actors.

Clients answer with the weights that they were given, so a round is what the framework itself takes: weights there
and back, aggregation, and with raysim either everything stored (`store.keep: all`), written behind the rounds, or the
last model alone (`store.keep: leaves`, `store.write: kept`); the time of the last write counts. Flower runs in an
environment of its own, which the script makes, since its engine wants another Ray, and without rounds of evaluation.
More than ten clients share three processes, as with `execution.share_actors`, and with bare Ray and Flower's engine
they do, too. Rounds after the first, which starts processes; medians. All take turns.
    python experiments/benchmarks/federated_round.py [--sizes 1e4 1e7 124e6] [--clients 3] [--rounds 6] [--pairs 3]
        [--only-raysim]
"""

import argparse
import asyncio
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from raysim.cluster.actor_pool import ActorPool
from raysim.cluster.ray_backend import RayBackend
from raysim.cluster.retries import Retrying, RetryPolicy
from raysim.cluster.scheduler import Scheduler
from raysim.experiment.observer import PartialObserver
from raysim.measures.validation import validation_tasks
from raysim.organizations.client_stats import ClientStats
from raysim.simulation.executor import TrainedModel, TrainingExecutor
from raysim.simulation.loop import simulate, strategy_runs
from raysim.simulation.planner import plan
from raysim.simulation.registry import resolve
from raysim.simulation.run_context import RunContext
from raysim.simulation.validated_rounds import ValidatedRounds
from raysim.store.retention import Retention, StoreSettings
from raysim.store.store import Store
from raysim.store.task_log import TaskLog
from raysim.tasks.executor import TaskExecutor
from raysim.training.model_host import ModelSpec
from raysim.training.models import ModelSettings
from raysim.training.request import TrainerSettings, Update
from raysim.training.throughput import Speed

PROCESSES = 3
"""That clients live in."""
STORES = {
    "everything stored": StoreSettings(keep="all"),
    "the last model stored": StoreSettings(keep="leaves", write="kept"),
}
STRATEGIES = {"FedAvg": "fedavg", "FedYogi": "fedyogi"}
FLOWER, RAY = "Flower's engine", "bare Ray, nothing stored"
FLOWER_PACKAGE = "flwr[simulation]==1.41.*"
FLOWER_ROUNDS = """
import json, sys, time
import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp, strategy
from flwr.simulation import run_simulation

name, size, rounds, clients = sys.argv[1], *map(int, sys.argv[2:])
ended = []
client_app, server_app = ClientApp(), ServerApp()

@client_app.train()
def train(message: Message, context: Context) -> Message:
    content = {"arrays": message.content["arrays"], "metrics": MetricRecord({"num-examples": 1})}
    return Message(content=RecordDict(content), reply_to=message)

@server_app.main()
def main(grid: Grid, context: Context) -> None:
    chosen = getattr(strategy, name)(fraction_evaluate=0.0)
    aggregate = chosen.aggregate_train
    def timed(*args, **kwargs):
        result = aggregate(*args, **kwargs)
        ended.append(time.monotonic())
        return result
    chosen.aggregate_train = timed
    chosen.start(grid, ArrayRecord([np.zeros(size, np.float32)]), num_rounds=rounds)

run_simulation(server_app, client_app, clients, backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0.0}})
print(json.dumps([after - before for before, after in zip(ended, ended[1:])]))
"""


class Echo:
    """A client that answers with the weights that it was given."""

    def train(self, request: Any, weights: np.ndarray, launcher: Any) -> Iterator[Any]:
        yield weights
        metrics = {"steps": 1, "learning_rate_sum": 1.0, "tokens": 64}
        yield Update(np.empty(0, np.float32), None, metrics, Speed(64, 1e-6, 0.0, 0, 0))


class EchoHost:
    """Very many of them in one process."""

    def __init__(self, client: type) -> None:
        self._client = client

    def stream(self, name: str, method: str, *args: Any) -> Iterator[Any]:
        yield from getattr(self._client(), method)(*args)


class Bare:
    """As `Echo`, for a loop without raysim."""

    def echo(self, weights: np.ndarray) -> np.ndarray:
        return weights


class Quiet(PartialObserver):
    """An observer that shows nothing but notes."""

    def note(self, text: str) -> None:
        print(text, file=sys.stderr)


def with_raysim(
    backend: RayBackend,
    strategy: str,
    size: int,
    rounds: int,
    clients: int,
    store: StoreSettings,
    client: type = Echo,
    slots: int = PROCESSES,
    after_round: Callable[[], object] = lambda: None,
) -> list[float]:
    """Seconds of each round but the first; the last one's end when everything is written.

    Args:
        backend: where clients live.
        strategy: of the rounds.
        size: parameters.
        rounds: of all clients.
        clients: more than ten share processes.
        store: what is stored.
        client: a client.
        slots: clients at work at once.
        after_round: called after each round.
    """
    with tempfile.TemporaryDirectory(prefix="raysim-") as folder:
        shape = strategy, size, rounds, clients
        return asyncio.run(_rounds(backend, *shape, store, client, slots, after_round, Path(folder)))


async def _rounds(
    backend: RayBackend,
    strategy: str,
    size: int,
    rounds: int,
    clients: int,
    settings: StoreSettings,
    client: type,
    slots: int,
    after_round: Callable[[], object],
    folder: Path,
) -> list[float]:
    replicas = slots if clients > 10 else 1  # of a client, or of the host of all
    retrying = Retrying(RetryPolicy(0), print, backend.await_failure_detection)
    pool = ActorPool(backend, Scheduler(slots, replicas), retrying)

    actors: list[Any] = []

    async def make() -> Any:
        actors.append(backend.spawn(EchoHost, client) if clients > 10 else backend.spawn(client))
        return actors[-1]

    names = [f"client-{number}" for number in range(clients)]
    if clients > 10:
        pool.register_hosted(names, "hosts", make)
    else:
        for name in names:
            pool.register(name, make)
    spec = ModelSpec(ModelSettings(config={"model_type": "gpt2", "n_layer": 1}), 300, 0, 64)
    stats = {
        name: ClientStats(name, name, name, {"train": {"sequences": 1, "tokens": 64}}, (), {}, 0, ((1, 9),))
        for name in names
    }
    trainer = TrainerSettings(epochs=rounds, sequence_length=64)
    context = RunContext(spec, trainer, "tokenizer", stats, 1, 1, "libraries", True)
    chosen = strategy_runs(resolve({strategy: {"rounds": rounds}}, "strategies"), context)
    planned = await plan(chosen)
    store = Store(folder / "store")
    weights = np.random.default_rng(1).standard_normal(size, np.float32)
    store.put(context.initial, {"site": "a"}, {"weights": weights})
    retention = Retention(settings.keep, planned.recipes, planned.leaves, write=settings.write)
    executor = TaskExecutor(store, pool, retention, TaskLog(folder / "log.jsonl"), "s", Quiet())
    ended: list[float] = []

    def reached(model: TrainedModel) -> None:
        if model.checkpoint.moment == "round":
            ended.append(time.monotonic())
            after_round()

    validated = ValidatedRounds(executor, validation_tasks([]))
    runner = TrainingExecutor(executor, planned.urgency(), 1e9, lambda _: False, reached, validated)
    for run in chosen:
        await simulate(run, runner)
    ended[-1] = time.monotonic()
    final = store.get(planned.models[-1].checkpoint.model)
    assert final is not None
    assert np.abs(final.array("weights") - weights).max() < 1e-5 + 1e-6 * clients, (
        "clients that change nothing change nothing"
    )
    for actor in actors:
        backend.kill(actor)
    return [after - before for before, after in itertools.pairwise(ended)]


def with_bare_ray(strategy: str, size: int, rounds: int, clients: int) -> list[float]:
    """The loop that one would write: actors, references handed on, an average or FedYogi in place; nothing stored."""
    import ray

    actors: list[Any] = [ray.remote(num_cpus=0)(Bare).remote() for _ in range(PROCESSES)]
    weights = np.zeros(size, np.float32)
    momentum, variance = np.zeros_like(weights), np.full_like(weights, 1e-6)
    seconds = []
    for _ in range(rounds):
        started_s = time.monotonic()
        reference = ray.put(weights)
        results = ray.get([actors[number % PROCESSES].echo.remote(reference) for number in range(clients)])
        average = sum(result * np.float32(1 / len(results)) for result in results)
        if strategy == "fedyogi":
            change = average - weights
            momentum = 0.9 * momentum + 0.1 * change
            variance -= 0.01 * change**2 * np.sign(variance - change**2)
            average = weights + 0.01 * momentum / (np.sqrt(variance) + 1e-3)
        weights = average
        seconds.append(time.monotonic() - started_s)
    for actor in actors:
        ray.kill(actor)
    return seconds[1:]


def flower_python() -> Path:
    """The interpreter of an environment with Flower's engine, made where it is not there."""
    home = Path("build/flower")
    python = home / "bin" / "python"
    if not (home / "complete").exists():
        venv.create(home, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", FLOWER_PACKAGE], check=True)
        (home / "complete").touch()
    return python.absolute()


def with_flower(python: Path, name: str, size: int, rounds: int, clients: int) -> list[float]:
    environment = {**os.environ, "FLWR_TELEMETRY_ENABLED": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    command = [python, "-c", FLOWER_ROUNDS, name, str(size), str(rounds), str(clients)]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if ended.returncode:
        sys.exit(f"Flower: {ended.stderr[-2000:]}")
    return json.loads(ended.stdout.strip().splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=float, nargs="+", default=[1e4, 1e7, 124e6])
    parser.add_argument("--clients", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--only-raysim", action="store_true", help="no peers")
    options = parser.parse_args()
    python = None if options.only_raysim else flower_python()
    rows = []
    backend = RayBackend(None, PROCESSES)
    for size in map(int, options.sizes):
        for name, strategy in STRATEGIES.items():
            seconds: dict[str, list[float]] = {who: [] for who in (*STORES, RAY, FLOWER)}
            shape = size, options.rounds, options.clients
            for _ in range(options.pairs):
                for stored, settings in STORES.items():
                    seconds[stored].append(statistics.median(with_raysim(backend, strategy, *shape, settings)))
                if python:
                    seconds[RAY].append(statistics.median(with_bare_ray(strategy, *shape)))
                    seconds[FLOWER].append(statistics.median(with_flower(python, name, *shape)))
                print(name, size, {who: [round(s, 4) for s in found] for who, found in seconds.items()}, flush=True)
            medians = {who: statistics.median(found) for who, found in seconds.items() if found}
            rows += [
                {
                    "case": f"{name}, {options.clients} clients, {size:.0e} parameters, {stored}, beside {peer}",
                    "raysim": medians[stored],
                    "peer": medians.get(peer),
                    "unit": "s a round",
                    "ratio": medians[peer] / medians[stored] if peer in medians else None,
                }
                for stored in STORES
                for peer in (FLOWER, RAY)
            ]
    memory = psutil.Process().memory_info().rss
    backend.close()
    print(json.dumps({"benchmark": "federated_round", "rows": rows, "driver_bytes": memory}))


if __name__ == "__main__":
    main()
