import numpy as np
import pytest
from raysim.strategies.fedtrimmedavg import FedTrimmedAvg, FedTrimmedAvgSettings
from scipy.stats import trim_mean

from raysim.simulation.strategy import ClientInfo, ClientUpdate, Federation


@pytest.mark.parametrize(("beta", "cut"), [(0.0, 0), (0.19, 1), (0.2, 2), (0.4, 4), (0.49, 4)])
def test_equals_scipys_trimmed_mean(beta: float, cut: int) -> None:
    generator = np.random.Generator(np.random.Philox(4))
    names = [f"o{i}" for i in range(10)]
    strategy = FedTrimmedAvg(
        FedTrimmedAvgSettings(beta=beta), Federation(tuple(ClientInfo(n, 1, 64, 1.0, 0.0) for n in names), 10, "reset")
    )
    state = strategy.init("m", np.zeros(500, np.float32))
    weights = generator.standard_normal((10, 500), np.float32)
    results = [ClientUpdate(a, "k", 1, w) for a, w in zip(strategy.plan(state), weights, strict=True)]
    found = strategy.apply(state, results, "next").tensors["weights"]
    np.testing.assert_allclose(found, trim_mean(weights.astype(float), beta), atol=1e-6)
    kept = np.sort(weights.astype(float), axis=0)[cut : 10 - cut]
    np.testing.assert_allclose(found, kept.mean(axis=0), atol=1e-6)
