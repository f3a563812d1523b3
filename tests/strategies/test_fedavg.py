import numpy as np
import numpy.typing as npt
from raysim.strategies.fedavg import FedAvg, FedAvgSettings
from raysim.strategies.fedopt import FedOptSettings, FedYogi

from raysim.simulation.strategy import Federation


def f32(*values: float) -> npt.NDArray[np.float32]:
    return np.array(values, np.float32)


def make(federation: Federation, **settings) -> FedAvg:
    return FedAvg(FedAvgSettings(**settings), federation)


def test_uniform_weighting_counts_organizations_and_not_their_sequences(federation: Federation, play) -> None:
    states = play(make(federation, rounds=1, weighting="uniform"), [0, 0, 0], lambda _, i, w: w + f32(6, 3, -6) * i)
    assert states[-1].tensors["weights"].tolist() == [6, 3, -6]


def test_the_default_weighting_is_in_no_key_and_no_arm(federation: Federation) -> None:
    assert make(federation).recipe() == {"strategy": "fedavg", "version": 1}
    assert make(federation, weighting="uniform").recipe() == {
        "strategy": "fedavg", "version": 1, "weighting": "uniform"
    }  # fmt: skip
    assert FedAvgSettings().of_arm() == {"rounds": 10, "local_epochs": None, "clients": None}
    assert FedAvgSettings(weighting="uniform").of_arm()["weighting"] == "uniform"
    assert FedYogi(FedOptSettings(), federation).recipe() == {
        "strategy": "fedyogi", "version": 1, "eta": 0.01, "beta_1": 0.9, "beta_2": 0.99, "tau": 0.001,
        "variant": "paper",
    }  # fmt: skip
