"""SCAFFOLD beside the published algorithm in NumPy: clients with quadratic losses, whose minima lie apart."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from raysim.strategies.scaffold import Scaffold, ScaffoldSettings

from raysim.core.settings import Settings
from raysim.simulation.strategy import ClientUpdate, Federation
from raysim.training.control_variates import CONTROL, OWN, ControlVariates
from raysim.training.objectives import AppliedObjective, ObjectiveConfig
from raysim.training.weights import Flat

STEPS, RATE = 8, 0.1
CURVES = {"a": np.array([1.0, 4.0]), "b": np.array([3.0, 0.5]), "c": np.array([2.0, 2.0])}
MINIMA = {"a": np.array([0.0, 3.0]), "b": np.array([5.0, -1.0]), "c": np.array([-2.0, 1.0])}
OPTIMUM = sum(CURVES[n] * MINIMA[n] for n in CURVES) / sum(CURVES.values())


def published(rounds: list[tuple[str, ...]], eta: float) -> tuple[np.ndarray, np.ndarray]:
    """Algorithm 1, option II, in float64: the server's weights and control variate in the end."""
    x, c, own = np.zeros(2), np.zeros(2), {name: np.zeros(2) for name in CURVES}
    for drawn in rounds:
        moved, changed = [], []
        for name in drawn:
            y = x.copy()
            for _ in range(STEPS):
                y -= RATE * (CURVES[name] * (y - MINIMA[name]) - own[name] + c)
            new = own[name] - c + (x - y) / (STEPS * RATE)
            moved, changed = [*moved, y - x], [*changed, new - own[name]]
            own[name] = new
        x, c = x + eta * np.mean(moved, axis=0), c + np.sum(changed, axis=0) / len(CURVES)
    return x, c


def train(name: str, start: Flat, buffers: Mapping[str, Flat]) -> tuple[Flat, Flat]:
    """A client's stage by the objective itself: its weights, and what it keeps."""
    w = torch.nn.Parameter(torch.from_numpy(start.copy()))
    applied = AppliedObjective(ObjectiveConfig("control_variates"), [w], start, buffers)
    curve, minimum = (torch.from_numpy(array[name].astype(np.float32)) for array in (CURVES, MINIMA))
    optimizer = torch.optim.SGD([w], lr=RATE)
    for _ in range(STEPS):
        optimizer.zero_grad()
        (curve / 2 * (w - minimum).square()).sum().backward()
        applied.correct_gradients()
        optimizer.step()
    end, zeros = w.detach().numpy(), np.zeros_like(start)
    whole = {CONTROL: zeros, OWN: zeros, **buffers}
    return end, ControlVariates(Settings()).end(whole, start, end, STEPS * RATE)[OWN]


@pytest.mark.parametrize(("clients", "eta"), [(None, 1.0), (None, 0.5), (2, 1.0), (1, 0.25)])
def test_rounds_equal_the_published_algorithm(clients: int | None, eta: float, federation: Federation) -> None:
    strategy = Scaffold(ScaffoldSettings(rounds=12, clients=clients, eta=eta), federation)
    state = strategy.init("initial", np.zeros(2, np.float32))
    kept: dict[str, Flat] = {}
    rounds = []
    while instructions := strategy.plan(state):
        results = []
        for instruction in instructions:
            (name,) = instruction.organizations
            buffers = {k: v for k, v in state.tensors.items() if k == CONTROL}
            if instruction.objective_state:
                buffers[OWN] = kept[instruction.objective_state]
            end, own = train(name, state.tensors["weights"], buffers)
            key = f"{name} {len(rounds)}"
            kept[key] = own
            results.append(ClientUpdate(instruction, key, 1, end, {"learning_rate_sum": STEPS * RATE}))
        rounds.append(tuple(i.organizations[0] for i in instructions))
        state = strategy.apply(state, results, f"model {len(rounds)}")
    weights, control = published(rounds, eta)
    np.testing.assert_allclose(state.tensors["weights"], weights, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(state.tensors[CONTROL], control, rtol=1e-4, atol=1e-4)


def test_it_reaches_the_joint_minimum_that_averaging_misses() -> None:
    """Averaged minima of many local steps are not the minimum of the sum; control variates mend that."""
    x, _ = published([tuple(CURVES)] * 200, 1.0)
    np.testing.assert_allclose(x, OPTIMUM, atol=1e-6)
    drifted = np.zeros(2)
    for _ in range(200):
        ends = [minimum + (1 - RATE * CURVES[name]) ** STEPS * (drifted - minimum) for name, minimum in MINIMA.items()]
        drifted = np.mean(ends, axis=0)
    assert np.abs(drifted - OPTIMUM).max() > 0.1


def test_a_client_that_is_not_drawn_keeps_its_variate_and_optimizers_start_anew(federation: Federation) -> None:
    strategy = Scaffold(ScaffoldSettings(rounds=9, clients=1), federation)
    state, last = strategy.init("m", np.zeros(1, np.float32)), {}
    for number in range(9):
        (instruction,) = strategy.plan(state)
        (name,) = instruction.organizations
        assert (instruction.client_state, instruction.keep_state) == (None, False)
        assert instruction.objective_state == last.get(name)
        last[name] = f"stage {number}"
        update = ClientUpdate(instruction, last[name], 1, np.ones(1, np.float32), {"learning_rate_sum": 1.0})
        state = strategy.apply(state, [update], "k")
        assert state.client_states == last
