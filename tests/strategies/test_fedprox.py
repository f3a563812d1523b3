import numpy as np
from raysim.strategies.fedavg import FedAvg, FedAvgSettings
from raysim.strategies.fedprox import FedProx, FedProxSettings

from raysim.simulation.strategy import Federation
from raysim.training.objectives import ObjectiveConfig


def test_every_instruction_names_the_pull(federation: Federation) -> None:
    strategy = FedProx(FedProxSettings(rounds=2, mu=0.5), federation)
    instructions = strategy.plan(strategy.init("m", np.zeros(1, np.float32)))
    assert [i.objective for i in instructions] == [ObjectiveConfig("proximal", {"mu": 0.5})] * 3


def test_without_a_pull_it_is_fedavgs_very_work(federation: Federation, play) -> None:
    plain = FedAvg(FedAvgSettings(rounds=2), federation)
    prox = FedProx(FedProxSettings(rounds=2, mu=0), federation)
    assert prox.recipe() == plain.recipe()
    for one, other in zip(*(play(s, [0, 1], lambda n, i, w: w + n * i) for s in (plain, prox)), strict=True):
        assert plain.plan(one) == prox.plan(other)
        assert one.tensors["weights"].tolist() == other.tensors["weights"].tolist()
