"""Flower's strategies over raysim's organizations, beside Flower's own classes driven by hand."""

import itertools
import json
import pickle
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flwr.serverapp.strategy as flower_strategies
import numpy as np
import pytest
from flower_peers import FLOWER, NEURAL, by_hand, federation_of
from raysim.strategies.fedavg import FedAvg, FedAvgSettings
from raysim.strategies.flower import Flower, FlowerSettings

from raysim.core.array_files import open_array_file, write_array_file
from raysim.core.errors import Adjusted, InputError, RunError
from raysim.core.keys import versions_of
from raysim.simulation.strategy import ClientUpdate, Federation, State
from raysim.simulation.strategy_actor import NO_WEIGHTS
from raysim.training.objectives import ObjectiveConfig
from raysim.training.weights import Flat

SIZE = 40
START = np.linspace(-1, 1, SIZE, dtype=np.float32)
Train = Callable[[int, int, Flat], Flat]


def make(path: str, arguments: dict[str, Any] | None = None, federation: Federation | None = None, **more) -> Flower:
    path = path if "." in path or ":" in path else f"{FLOWER}.{path}"
    settings = FlowerSettings(**{"rounds": 4, "strategy": path, "arguments": arguments or {}, **more})
    (strategy,) = Flower.variants(settings, federation or federation_of(7))
    return strategy


def own(name: str, arguments: dict[str, Any] | None = None, federation: Federation | None = None, **more) -> Flower:
    """A strategy of a user's own module."""
    return make(f"flower_peers:{name}", arguments, federation or federation_of(3), **more)


def moved(number: int, node: int, weights: Flat) -> Flat:
    """What a client makes of the weights: each parameter moves at a scale of its own."""
    generator = np.random.Generator(np.random.Philox([number, node]))
    scale = np.logspace(-3, 1, weights.size).astype(np.float32)
    return np.add(weights, scale * generator.standard_normal(weights.size, np.float32), dtype=np.float32)


def loss_of(node: int) -> float:
    return 0.5 + node / 4


def play(strategy: Flower, start: Any, train: Train = moved, between: Callable[[State], State] | None = None):
    """All states; a client of node n has n examples. `between` is done to a state before the next round."""
    states = [strategy.init("initial", np.asarray(start, np.float32))]
    while instructions := strategy.plan(states[-1]):
        number, state = len(states), between(states[-1]) if between else states[-1]
        nodes = ["abcdefghi".index(one.organizations[0]) + 1 for one in instructions]
        results = [
            ClientUpdate(
                one,
                f"stage {number}.{node}",
                node,
                train(number, node, state.tensors["weights"]),
                {"last_epoch_loss": loss_of(node)},
            )
            for one, node in zip(instructions, nodes, strict=True)
        ]
        states.append(strategy.apply(state, results, f"model {number}"))
    return states


def weights_of(states: list[State]) -> list[Flat]:
    return [state.tensors["weights"] for state in states[1:]]


@pytest.fixture
def through_files(tmp_path: Path) -> Callable[[State], State]:
    """Sends a state through files, as a store does: it comes back with read-only arrays that lie in them."""

    def send(state: State) -> State:
        for name, array in state.tensors.items():
            with (tmp_path / f"{state.round}-{name}.npy").open("wb") as file:
                write_array_file(file, array)
        arrays = {name: open_array_file(tmp_path / f"{state.round}-{name}.npy") for name in state.tensors}
        return State(**json.loads(json.dumps(state.control())), tensors=arrays)

    return send


def test_all_of_flowers_strategies_for_neural_networks_are_here() -> None:
    trees = {"FedXgbBagging", "FedXgbCyclic"}
    assert set(flower_strategies.__all__) - {"Result", "Strategy"} - trees == NEURAL.keys()


@pytest.mark.parametrize("name", NEURAL)
def test_rounds_equal_flowers_bit_for_bit_from_what_files_keep(name: str, through_files) -> None:
    """By hand one object lives through all rounds; here each round begins with a new one."""
    strategy = make(name, NEURAL[name], federation_of(7, seed=5))
    theirs = by_hand(name, NEURAL[name], START, moved, loss_of, 4, 5)
    ours = weights_of(play(strategy, START, between=through_files))
    assert len(ours) == 4
    for one, other in zip(ours, theirs, strict=True):
        assert one.dtype == np.float32
        assert np.array_equal(one, other)
    assert not np.array_equal(ours[0], START)


@pytest.mark.parametrize("name", ["FedAvg", "FedAdam", "DifferentialPrivacyServerSideAdaptiveClipping"])
def test_those_who_train_are_flowers_draw(name: str) -> None:
    some = {"fraction_train": 0.5}
    arguments = {**NEURAL[name], **some}
    if "strategy" in arguments:
        arguments = {**NEURAL[name], "strategy": {"strategy": f"{FLOWER}.FedAvg", "arguments": some}}
        arguments["num_sampled_clients"] = 3
    asked: list[list[int]] = []

    def noted(number: int, node: int, weights: Flat) -> Flat:
        asked.append([number, node])
        return moved(number, node, weights)

    theirs = by_hand(name, arguments, START, noted, loss_of, 4, 9)
    drawn, asked = asked, []
    ours = weights_of(play(make(name, arguments, federation_of(7, seed=9)), START, noted))
    assert asked == drawn
    assert [sum(number == r for number, _ in drawn) for r in (1, 2, 3, 4)] == [3, 3, 3, 3]
    assert len({node for _, node in drawn}) > 3
    assert all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True))


def test_three_rounds_of_fedavgm_by_hand() -> None:
    """Clients' mean moves by 1: momentum 1, then .5 * 1 + 1 = 1.5, then 1.75, as in the paper's section 4.3."""
    strategy = make("FedAvgM", {"server_momentum": 0.5}, federation_of(3), rounds=3)
    states = play(strategy, [0.0], lambda _, __, weights: weights + np.float32(1))
    assert [state.tensors["weights"].tolist() for state in states[1:]] == [[1.0], [2.5], [4.25]]


def test_krum_takes_the_client_nearest_to_the_others() -> None:
    """With n - f - 2 = 2: squared distances to the nearest two are 9 + 16 of a, 9 + 1 of b, 16 + 1 of c."""
    trained = {1: [4.0, 1.0], 2: [1.0, 1.0], 3: [0.0, 1.0], 4: [100.0, 1.0]}
    strategy = make("Krum", federation=federation_of(4), rounds=1)
    (_, state) = play(strategy, [0.0, 0.0], lambda _, node, __: np.array(trained[node], np.float32))
    assert state.tensors["weights"].tolist() == [1.0, 1.0]


def test_the_median_of_each_parameter() -> None:
    trained = {1: [1.0, 9.0], 2: [2.0, 2.0], 3: [30.0, 4.0]}
    strategy = make("FedMedian", federation=federation_of(3), rounds=1)
    (_, state) = play(strategy, [0.0, 0.0], lambda _, node, __: np.array(trained[node], np.float32))
    assert state.tensors["weights"].tolist() == [2.0, 4.0]


@pytest.mark.parametrize("side", ["Server", "Client"])
def test_updates_are_clipped_to_their_norm(side: str) -> None:
    """From (1, 1): an update (3, 4) of norm 5 is clipped to 1, (.6, .8); (0, .5) and (.5, 0) are let through."""
    update = {1: [3.0, 4.0], 2: [0.0, 0.5], 3: [0.5, 0.0]}
    arguments = {
        "strategy": {"strategy": f"{FLOWER}.FedAvg"},
        **{"noise_multiplier": 0.0, "clipping_norm": 1.0, "num_sampled_clients": 3},
    }
    strategy = make(f"DifferentialPrivacy{side}SideFixedClipping", arguments, federation_of(3), rounds=1)
    (_, state) = play(strategy, [1.0, 1.0], lambda _, node, w: w + np.array(update[node], np.float32))
    expected = [1 + (0.6 + 3 * 0.5) / 6, 1 + (0.8 + 2 * 0.5) / 6]
    np.testing.assert_allclose(state.tensors["weights"], expected, rtol=1e-6)


@pytest.mark.parametrize("side", ["Server", "Client"])
def test_the_clipping_norm_follows_the_share_that_was_clipped(side: str) -> None:
    """One of three is clipped where half should be: the norm grows by exp(-.2 (1/3 - 1/2))."""
    update = {1: 3.0, 2: 0.5, 3: 0.25}
    arguments = {
        "strategy": {"strategy": f"{FLOWER}.FedAvg"},
        **{"noise_multiplier": 0.0, "num_sampled_clients": 3, "initial_clipping_norm": 1.0},
    }
    strategy = make(f"DifferentialPrivacy{side}SideAdaptiveClipping", arguments, federation_of(3), rounds=1)
    (_, state) = play(strategy, [0.0], lambda _, node, w: w + np.float32(update[node]))
    assert state.memory["attributes"]["clipping_norm"] == pytest.approx(1.0338951)


def test_a_class_of_ones_own_keeps_whatever_can_be_written(through_files) -> None:
    strategy = own("Remembering", {"scale": 0.5})
    whole, pieces = (weights_of(play(strategy, START, between=between)) for between in (None, through_files))
    assert all(np.array_equal(one, other) for one, other in zip(whole, pieces, strict=True))
    # Round 1: mean of the weights is 1, history (1), table (0, 1): 1 + .5 * 1 + .5 * 1 = 2. Round 2: 3, history (1, 3),
    # table (1, 3): 3 + .5 * 2 + 2 = 6.
    states = play(own("Remembering", {"scale": 0.5}, rounds=2), [0.0, 0.0], lambda _, __, w: w + np.float32(1))
    assert [state.tensors["weights"].tolist() for state in states] == [[0, 0], [2, 2], [6, 6]]


GONE = {"dropout": 0.4, "policy": {"proceed_with": 5, "attempts": 50}}


@pytest.mark.parametrize(
    ("name", "mean"),
    [
        ("FedAvg", lambda sent, counts: np.average(sent, axis=0, weights=counts)),
        ("FedMedian", lambda sent, _: np.median(sent, axis=0)),
    ],
    ids=["mean", "median"],
)
def test_flower_aggregates_those_who_are_there(name: str, mean: Callable[..., Any]) -> None:
    """Seven organizations are asked, some of them fail; beside NumPy, and the same are missing as under FedAvg."""
    federation = federation_of(7)
    strategy = make(name, federation=federation, availability=GONE)
    states = play(strategy, START)
    (paired,) = FedAvg.variants(FedAvgSettings(rounds=4, availability=GONE), federation)  # type: ignore[arg-type]
    assert list(strategy.participation()) == list(paired.participation())
    number_there = set()
    for number, (before, after) in enumerate(itertools.pairwise(states), start=1):
        there = ["abcdefg".index(one.organizations[0]) + 1 for one in strategy.plan(before)]
        number_there.add(len(there))
        sent = [moved(number, node, before.tensors["weights"]) for node in there]
        np.testing.assert_allclose(after.tensors["weights"], mean(sent, there), rtol=1e-5, atol=1e-6)
    assert len(number_there) > 1


def test_flower_refuses_beforehand_to_go_on_without_some() -> None:
    """Differential privacy takes no failures, and Bulyan needs seven replies."""
    name = "DifferentialPrivacyServerSideFixedClipping"
    for one, settings in ((name, NEURAL[name]), ("Bulyan", NEURAL["Bulyan"])):
        with pytest.raises(InputError, match=r"in a rehearsal of round 1: .*makes no model of \d replies and \d fail"):
            make(one, settings, availability={"dropout": 0.6})
        assert len(play(make(one, settings, availability={"dropout": 0.6, "policy": "wait"}), START)) == 5


def test_flower_that_asks_fewer_than_a_round_needs() -> None:
    with pytest.raises(InputError, match=r"^availability.policy.proceed_with: 5, but a round has 3 organizations"):
        make("FedAvg", {"fraction_train": 0.5}, availability=GONE)


def test_flower_that_must_stop_is_rehearsed_up_to_there() -> None:
    strategy = make("FedAvg", rounds=30, availability={"dropout": 0.05, "policy": "stop"})
    states = play(strategy, START)
    *through, end = strategy.participation()
    assert (len(states) - 1, strategy.ends(states[-1])) == (len(through), end.ends)
    assert 0 < len(through) < 29
    assert end.ends.endswith("and availability.policy is stop")


def test_a_plan_takes_no_weights() -> None:
    for name in ("FedAvgM", "DifferentialPrivacyServerSideFixedClipping"):
        strategy = make(name, NEURAL[name])
        full, empty = play(strategy, START), play(strategy, NO_WEIGHTS, lambda _, __, w: w)
        assert [list(strategy.plan(s)) for s in full] == [list(strategy.plan(s)) for s in empty]
        assert [s.tensors.keys() for s in full] == [s.tensors.keys() for s in empty]


def test_draws_follow_the_seed_and_the_round_alone() -> None:
    name = "DifferentialPrivacyServerSideFixedClipping"

    def noise(seed: int, norm: float = 1.0) -> list[Flat]:
        arguments = {**NEURAL[name], "strategy": {"strategy": f"{FLOWER}.FedAvg"}, "clipping_norm": norm}
        strategy = make(name, arguments, federation_of(7, seed), rounds=2)
        states = play(strategy, np.zeros(3), lambda _, __, w: w + np.float32(1e-6))
        first, second = weights_of(states)
        return [first, second - first]

    assert np.array_equal(noise(1)[0], noise(1)[0])
    assert np.abs(noise(1)[0] - noise(2)[0]).max() > 0.01
    assert np.abs(noise(1)[0] - noise(1)[1]).max() > 0.01
    np.testing.assert_allclose(noise(1, norm=2.0)[0], 2 * noise(1)[0], rtol=1e-3)  # paired


def test_global_generators_are_left_as_they_were() -> None:
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    expected = random.random(), np.random.random()  # noqa: NPY002
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    name = "DifferentialPrivacyClientSideAdaptiveClipping"
    play(make(name, NEURAL[name]), START)
    assert (random.random(), np.random.random()) == expected  # noqa: NPY002


def test_nothing_reaches_the_console(capfd: pytest.CaptureFixture[str]) -> None:
    play(make("FedAvg"), START)
    assert capfd.readouterr() == ("", "")


def test_proximal_terms_become_an_objective_of_the_clients() -> None:
    strategy = make("FedProx", {"proximal_mu": 0.1})
    objectives = [one.objective for one in strategy.plan(strategy.init("m", START))]
    assert objectives == [ObjectiveConfig("proximal", {"mu": 0.1})] * 7
    halving = own("Halving", rounds=3)
    mus = [[one.objective.settings["mu"] for one in halving.plan(s) if one.objective] for s in play(halving, START)]
    assert mus == [[1.0] * 3, [0.5] * 3, [0.25] * 3, []]


def test_without_a_proximal_term_stages_are_fedavgs() -> None:
    with pytest.warns(Adjusted, match=r"FedProx: Flower says: FedProx initialized with `proximal_mu=0.0`"):
        strategy = make("FedProx")
    assert {one.objective for one in strategy.plan(strategy.init("m", START))} == {None}


def test_flower_chooses_among_those_who_are_there() -> None:
    federation = federation_of(7, seed=2)
    fewer = make("FedAvg", federation=federation, clients=3, rounds=6)
    paired = FedAvg(FedAvgSettings(rounds=6, clients=3), federation)
    states = play(fewer, START)
    names = [[one.organizations for one in fewer.plan(state)] for state in states]
    assert names == [[one.organizations for one in paired.plan(state)] for state in states]


def test_a_kept_schedule_spans_the_rounds_of_each_client() -> None:
    clients = federation_of(4).clients
    strategy = make("FedAvg", {"fraction_train": 0.5}, Federation(clients, 10, "keep", 1), rounds=5, local_epochs=2)
    instructions = [one for state in play(strategy, START) for one in strategy.plan(state)]
    rounds = {c.name: sum(i.organizations == (c.name,) for i in instructions) for c in clients}
    assert sum(rounds.values()) == 10
    assert {i.horizon_epochs == 2 * rounds[i.organizations[0]] for i in instructions} == {True}


def test_recipe_says_what_decides_the_numbers() -> None:
    recipe = make("Krum", {"num_malicious_nodes": 1}, label="k", rounds=2).recipe()
    assert recipe == {
        "strategy": "flower",
        "version": 1,
        "class": "flwr.serverapp.strategy.krum.Krum",
        "arguments": {"num_malicious_nodes": 1},
        "libraries": versions_of("flwr"),
    }
    assert make(f"{FLOWER}:Krum", {"num_malicious_nodes": 1}).recipe() == recipe
    assert own("Remembering", version=2).recipe()["class_version"] == 2


def test_packages_that_every_node_needs() -> None:
    assert FlowerSettings().packages() == ("flwr",)
    assert FlowerSettings(strategy="my_package.part:Mine").packages() == ("flwr", "my_package")
    assert FlowerSettings(strategy=":Mine").packages() == ("flwr",)


def test_a_pickled_strategy_plays_alike() -> None:
    strategy = make("FedYogi", NEURAL["FedYogi"])
    ends = [play(one, START)[-1].tensors["weights"] for one in (strategy, pickle.loads(pickle.dumps(strategy)))]
    assert np.array_equal(ends[0], ends[1])


DP = {"strategy": {"strategy": f"{FLOWER}.FedAvg", "arguments": {"eta": 1}}, "clipping_norm": 1.0}

UNFIT: list[tuple[str, dict[str, Any], str]] = [
    ("flwr.serverapp.strategy.Nothing", {}, r"^strategy: .*Nothing' cannot be imported: Attribute.* write a class"),
    ("no_such_module:Mine", {}, r"^strategy: 'no_such_module:Mine' cannot be imported: ModuleNotFoundError"),
    ("flwr.server.strategy.Krum", {}, r"^strategy: .* is no class that derives from flwr.serverapp.strategy.Strategy"),
    ("numpy:ndarray", {}, "is no class that derives from"),
    (f"{FLOWER}.FedXgbBagging", {}, "FedXgbBagging' grows XGBoost's trees"),
    (f"{FLOWER}.FedXgbCyclic", {}, "FedXgbCyclic' grows XGBoost's trees"),
    (f"{FLOWER}.Strategy", {}, "^arguments: Strategy does not take them: Can't instantiate abstract class"),
    (f"{FLOWER}.Krum", {"beta": 1}, "^arguments: Krum does not take them: .*'beta'; it knows fraction_.*malicious"),
    (f"{FLOWER}.QFedAvg", {}, "^arguments: QFedAvg does not take them: .* required argument: 'client_learning"),
    (f"{FLOWER}.FedTrimmedAvg", {"beta": 0.5}, r"`beta` must be in the range \[0, 0.5\)"),
    (f"{FLOWER}.DifferentialPrivacyClientSideFixedClipping", DP, "^arguments.strategy.arguments: FedAvg does not take"),
    (f"{FLOWER}.FedAvg", {"min_available_nodes": 5}, r"waits for 5 organizations \(min_available_nodes: 5, .* 3;"),
    (f"{FLOWER}.FedAvg", {"min_train_nodes": 4}, "FedAvg waits for 4 organizations"),
    (f"{FLOWER}.FedAvg", {"fraction_train": 1.5}, "FedAvg waits for 4 organizations"),
    (f"{FLOWER}.FedAvg", {"fraction_train": 0.0}, "asks nobody to train"),
    (f"{FLOWER}.Bulyan", {"num_malicious_nodes": 1}, "round 1: makes no model of 3 replies; .* Required at least 7"),
    (f"{FLOWER}.QFedAvg", {"client_learning_rate": 1, "train_loss_key": "nll"}, "AggregationError: .* the key 'nll'"),
    (f"{FLOWER}.FedAvg", {"weighted_by_key": "n"}, "InconsistentMessageReplies: Missing required key `n`"),
    ("flower_peers:Waiting", {}, "waits for more than the 3 organizations"),
    ("flower_peers:Changed", {"how": "nothing", "always": True}, "round 1: makes no model"),
    ("flower_peers:Changed", {"how": "a generator", "always": True}, r"attribute generator \(Generator\) .*seeds"),
    ("flower_peers:Changed", {"how": "a lock", "always": True}, r"inner\['deep'\]\[0\] \(object\) cannot be written"),
    ("flower_peers:Sending", {"what": "another model"}, "sends a model that is not the server's"),
    ("flower_peers:Sending", {"what": "another model in its place"}, "sends a model that is not the server's"),
    ("flower_peers:Sending", {"what": "variates"}, "sends other arrays than the server's model"),
    ("flower_peers:Sending", {"what": "twice"}, "asks the nodes .* each may be asked once"),
    ("flower_peers:Sending", {"what": "a query"}, "sends messages of type 'query'"),
    ("flower_peers:Sending", {"what": "nothing"}, "asks nobody to train"),
    ("flower_peers:Sending", {"what": "to all by itself"}, "sends messages by itself"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "arguments", "problem"), UNFIT)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_cannot_run_is_refused_before_anything_starts(path: str, arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        make(path, arguments, federation_of(3))


def test_leaving_one_out_of_two_leaves_too_few_for_flower() -> None:
    settings = FlowerSettings(leave_one_out=True)
    with pytest.raises(InputError, match=r"waits for 2 organizations .* a round has 1"):
        Flower.variants(settings, federation_of(2))
    assert len(Flower.variants(settings, federation_of(3))) == 4


@pytest.mark.parametrize(
    ("how", "problem"),
    [
        ("nothing", "Changed, round 2: makes no model of 3 replies; what was trained is kept"),
        ("longer", r"round 2: makes arrays of the shapes {'weights': \(80,\)} of a model that is {'weights': \(40,\)}"),
        ("another name", "round 2: makes arrays of the shapes {'0': "),
        ("an error", "round 2: ZeroDivisionError: by zero; what was trained"),
        ("a generator", "round 2: its attribute generator"),
    ],
)
def test_what_fails_with_weights_ends_the_run_and_keeps_no_old_model(how: str, problem: str) -> None:
    with pytest.raises(RunError, match=problem) as failed:
        play(own("Changed", {"how": how}), START)
    assert failed.value.exit_code == 3


def test_who_trains_must_not_depend_on_what_training_gave() -> None:
    strategy = own("Choosy")
    assert len(play(strategy, START)) == 5
    with pytest.raises(RunError, match="round 2: asks others to train, or otherwise, than in the rehearsal"):
        play(strategy, START - 100)


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("Sending", {"what": "a rate"}, "configuration for clients has lr, which raysim's do not use"),
        ("Starting", {}, "its method start is not called"),
    ],
)
def test_what_raysim_leaves_out_is_told(name: str, arguments: dict[str, Any], told: str) -> None:
    with pytest.warns(Adjusted, match=rf"^strategies: mine: flower_peers.{name}: .*{told}"):
        own(name, arguments, label="mine")


def test_flower_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.startswith("raysim.strategies.flower_")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "flwr.app", None)
    with pytest.raises(InputError, match=r"needs Flower 1.41 .*; pip install 'raysim\[flower\]'"):
        make("FedAvg")
