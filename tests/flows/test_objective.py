"""A strategy with a local objective, both from outside the package, on a small real run."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from foreign_package import installed_package
from raysim.strategies.fedavg import FedAvg, FedAvgSettings

from raysim.cluster.backend import InlineBackend
from raysim.core.errors import InputError
from raysim.simulation.loop import StrategyRun
from raysim.simulation.registry import StrategyConfig
from raysim.simulation.run_context import RunContext
from raysim.simulation.strategy import State, TrainInstruction
from raysim.training.objectives import ObjectiveConfig

PULL = '''
from raysim.core.settings import Settings
from raysim.training.objectives import Objective


class PullSettings(Settings):
    mu: float


class Pull(Objective):
    """A proximal term."""

    Settings = PullSettings

    def __init__(self, settings):
        self._mu = settings.mu

    def recipe(self):
        return {"version": 1, "mu": self._mu}

    def penalty(self, parameters, start):
        return self._mu / 2 * sum((p - s).square().sum() for p, s in zip(parameters, start, strict=True))
'''


@pytest.fixture(autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("site") / "pull"
    with installed_package(folder, "pull_objective", PULL, "raysim.objectives", "pull = pull_objective:Pull"):
        yield


class FedProx(FedAvg):
    """FedAvg whose clients are pulled to the weights that they got."""

    objective: ObjectiveConfig | None = None

    def plan(self, state: State) -> Sequence[TrainInstruction]:
        return [replace(one, objective=self.objective) for one in super().plan(state)]


def strategy_run(context: RunContext, objective: ObjectiveConfig | None) -> StrategyRun:
    settings = FedAvgSettings(rounds=1)
    strategy = FedProx(settings, context.federation)
    strategy.objective = objective
    return StrategyRun(StrategyConfig("fedprox", FedProx, settings), strategy, context)


def test_it_changes_keys_and_models(run_study) -> None:
    configs = [None, ObjectiveConfig("pull", {"mu": 1e-3}), ObjectiveConfig("pull", {"mu": 1e3})]
    results = run_study(
        InlineBackend(), [], choose=lambda context: [strategy_run(context, config) for config in configs]
    )
    assert len({stage.key for stage in results.plan.stages}) == len(results.plan.stages) == 3 * 2
    weights = results.weights()
    start = weights[results.context.initial_key()]
    free, little, strong = (weights[stage.key] for stage in results.plan.stages[::2])
    distances = [float(np.linalg.norm(one - start)) for one in (free, little, strong)]
    assert distances[2] < 0.8 * distances[0]
    assert len({one.tobytes() for one in (free, little, strong)}) == 3


def test_without_one_keys_are_those_of_fedavg(make_context) -> None:
    context = make_context({"a": 3, "b": 4})
    instruction = TrainInstruction(("a",), "model", 2, 2)
    recipe = context.stage(instruction).recipe
    assert "objective" not in recipe
    with_one = context.stage(replace(instruction, objective=ObjectiveConfig("pull", {"mu": 1.0}))).recipe
    assert with_one == {**recipe, "objective": {"name": "pull", "version": 1, "mu": 1.0}}


def test_one_that_is_not_installed_is_refused_before_anything_trains(run_study) -> None:
    for config, told in (
        (
            ObjectiveConfig("push"),
            "^strategies: fedprox: objective: unknown objective 'push'; known:"
            " ascent, control_variates, dp_sgd, ewc, proximal, pull",
        ),
        (ObjectiveConfig("pull"), r"^strategies: fedprox: objective\.pull: mu: missing"),
    ):
        with pytest.raises(InputError, match=told):
            run_study(InlineBackend(), [], choose=lambda context, c=config: [strategy_run(context, c)])


def test_a_backend_that_cannot_apply_it_refuses_it(make_context) -> None:
    zero = {"backend": "deepspeed", "deepspeed": {"zero_optimization": {"stage": 1}}}
    context = make_context({"a": 3}, **zero)
    instruction = TrainInstruction(("a",), "model", 2, 2, objective=ObjectiveConfig("pull", {"mu": 1.0}))
    with pytest.raises(InputError, match=r"^trainer\.deepspeed\.zero_optimization\.stage: is 1, .*'pull'"):
        context.stage(instruction)
