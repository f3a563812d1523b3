"""Two clients with adapters of rank 1, and more of them by brute force over merged matrices."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from raysim.strategies.adapters import average_products, truncated
from raysim.strategies.fedavg import FedAvg, FedAvgSettings
from raysim.strategies.fedavgm import FedAvgM
from raysim.strategies.fedopt import FedAdam
from raysim.strategies.scaffold import Scaffold

from raysim.core.errors import InputError
from raysim.simulation.strategy import ClientInfo, ClientUpdate, Federation, TrainInstruction
from raysim.training.adapters import Adapter, Adapters, Factor
from raysim.training.lora import LoraSettings

OUT, RANK, IN = 5, 2, 7
SCALE = 1.5
BASE = Factor(RANK * (OUT + IN), OUT, IN)
PLAIN = Adapter(Factor(RANK * IN, OUT, RANK), Factor(0, RANK, IN), SCALE, BASE)
TURNED = Adapter(PLAIN.b, PLAIN.a, SCALE, Factor(BASE.offset, IN, OUT), transposed=True)


def found(adapter: Adapter) -> tuple[Adapter, ...]:
    return (adapter,)


def federation(adapter: Adapter | None, **lora: Any) -> Federation:
    """Clients of 1 and 3 sequences."""
    clients = (ClientInfo("a", 1, 64, 1.0, 0.0), ClientInfo("b", 3, 192, 1.0, 0.0))
    adapters = Adapters(LoraSettings(**lora), partial(found, adapter)) if adapter else None
    return Federation(clients, 4, "reset", adapters=adapters)


def update(name: str, count: int, weights: np.ndarray) -> ClientUpdate:
    return ClientUpdate(TrainInstruction((name,), "m", 1, 1), name, count, weights.astype(np.float32))


def merged(adapter: Adapter, flat: np.ndarray) -> np.ndarray:
    """W + alpha / r * B A, ``[out, in]``, from slices by hand."""
    a = flat[: RANK * IN].reshape(RANK, IN).astype(np.float64)
    b = flat[RANK * IN : RANK * (IN + OUT)].reshape(OUT, RANK).astype(np.float64)
    base = flat[RANK * (IN + OUT) :]
    base = base.reshape(IN, OUT).T if adapter.transposed else base.reshape(OUT, IN)
    return base + SCALE * b @ a


def played(adapter: Adapter, rounds: int = 1, **settings: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each round the average of the clients' merged matrices, and the server's merged matrix."""
    (strategy,) = FedAvg.variants(FedAvgSettings(**settings), federation(adapter, carry_base=True))
    draw = np.random.Generator(np.random.Philox(5))
    start = draw.normal(size=BASE.offset + OUT * IN).astype(np.float32)
    state, shares = strategy.init("m", start), (0.5, 0.5) if settings.get("weighting") == "uniform" else (0.25, 0.75)
    ends = []
    for number in range(rounds):
        sent = [state.tensors["weights"].copy() for _ in shares]
        for one in sent:  # adapters alone are trained
            one[: BASE.offset] += draw.normal(size=BASE.offset).astype(np.float32)
        results = [update(name, count, one) for name, count, one in zip("ab", (1, 3), sent, strict=True)]
        state = strategy.apply(state, results, f"model {number}")
        wanted = sum(share * merged(adapter, one) for share, one in zip(shares, sent, strict=True))
        ends.append((np.asarray(wanted), merged(adapter, state.tensors["weights"])))
    return ends


@pytest.mark.parametrize("weighting", ["examples", "uniform"])
@pytest.mark.parametrize("adapter", [PLAIN, TURNED], ids=["plain", "transposed"])
def test_exact_is_the_average_of_merged_matrices_round_after_round(adapter: Adapter, weighting: str) -> None:
    for wanted, made in played(adapter, 3, adapters="exact", weighting=weighting):
        assert np.linalg.norm(made - wanted) <= 1e-6 * np.linalg.norm(wanted)


def test_by_hand_two_clients_of_rank_one() -> None:
    """B A of 1 x 2 and of 3 x 4: the average is (2 + 12) / 2 = 7, of factors 2 x 3 = 6; what is lost goes to W = 10."""
    one = Adapter(Factor(0, 1, 1), Factor(1, 1, 1), 1.0, Factor(2, 1, 1))
    sent = [np.array([1, 2, 10], np.float32), np.array([3, 4, 10], np.float32)]
    average = np.array([2, 3, 10], np.float32)
    average_products("exact", [one], sent, [0.5, 0.5], sent[0], average)
    assert average.tolist() == [2, 3, 11]
    average = np.array([2, 3, 10], np.float32)
    average_products("refactored", [one], sent, [0.5, 0.5], sent[0], average)
    assert average.tolist() == pytest.approx([7**0.5, 7**0.5, 10])


def test_refactored_is_the_best_of_its_rank_and_exact_where_the_rank_is_no_higher() -> None:
    draw = np.random.Generator(np.random.Philox(6))
    left, right = draw.normal(size=(OUT, 4)), draw.normal(size=(4, IN))
    u, values, v = np.linalg.svd(left @ right)
    b, a = truncated(left, right, 2)
    np.testing.assert_allclose(b @ a, u[:, :2] * values[:2] @ v[:2], atol=1e-12)
    assert np.linalg.norm(left @ right - b @ a) == pytest.approx(np.linalg.norm(values[2:]))
    assert np.linalg.norm(b) == pytest.approx(np.linalg.norm(a))
    twice = truncated(np.hstack([left[:, :2], left[:, :2]]), np.vstack([right[:2], right[2:]]), 2)
    np.testing.assert_allclose(twice[0] @ twice[1], left[:, :2] @ (right[:2] + right[2:]), atol=1e-12)
    wide = truncated(left[:, :1], right[:1], 3)
    np.testing.assert_allclose(wide[0] @ wide[1], left[:, :1] @ right[:1], atol=1e-12)
    with np.errstate(invalid="ignore"):  # as an aggregation has it
        assert np.isnan(truncated(left * np.inf, right, 2)[0]).all()


def test_one_factor_that_is_frozen_needs_nothing_more() -> None:
    (strategy,) = FedAvg.variants(FedAvgSettings(), federation(Adapter(Factor(0, 1, 1), None, 1.0), train="b"))
    results = [update("a", 1, np.array([4.0])), update("b", 3, np.array([8.0]))]
    assert strategy.apply(strategy.init("m", np.zeros(1, np.float32)), results, "k").tensors["weights"] == [7.0]


def test_what_does_not_fit_is_refused() -> None:
    plain, carrying = federation(PLAIN), federation(PLAIN, carry_base=True)
    for way, clients, told in (
        ("exact", federation(None), "model.lora is unset"),
        ("refactored", federation(PLAIN, train="b"), "model.lora.train is b"),
        ("exact", plain, "write model.lora.carry_base: true"),
        ("factors", carrying, "that only adapters: exact changes"),
        ("refactored", carrying, "that only adapters: exact changes"),
    ):
        with pytest.raises(InputError, match=told):
            FedAvg.variants(FedAvgSettings.model_validate({"adapters": way}), clients)
    for strategy in (Scaffold, FedAdam, FedAvgM):
        with pytest.raises(InputError, match="that only adapters: exact changes"):
            strategy.variants(strategy.Settings(), carrying)  # type: ignore[arg-type]

    class Stepping(FedAvg):
        def _server_step(self, state: Any, average: Any) -> Any:
            return super()._server_step(state, average)

    with pytest.raises(InputError, match="the server does more than average"):
        Stepping.variants(FedAvgSettings(adapters="refactored"), plain)
    with pytest.raises(ValueError, match="carry_base: averages of train: b are exact without it"):
        LoraSettings(train="b", carry_base=True)


def test_the_default_is_in_no_key_and_no_arm() -> None:
    plain, exact = FedAvgSettings(), FedAvgSettings(adapters="exact")
    recipe = {"strategy": "fedavg", "version": 1}
    assert FedAvg(plain, federation(PLAIN)).recipe() == recipe
    assert FedAvg(exact, federation(PLAIN, carry_base=True)).recipe() == {**recipe, "adapters": "exact"}
    assert "adapters" not in plain.of_arm()
    assert exact.of_arm()["adapters"] == "exact"
