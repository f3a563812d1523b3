"""Who is there in a round, and how long it takes: by hand, and paired over settings and policies."""

import math
from typing import Any

import numpy as np
import pytest
from raysim.strategies.availability import Availability, AvailabilitySettings, PolicySettings
from raysim.strategies.fedavg import FedAvg, FedAvgSettings
from raysim.strategies.federated import FederatedStrategy
from raysim.strategies.fedopt import FedOptSettings, FedYogi
from raysim.strategies.krum import Krum, KrumSettings, MultiKrum, MultiKrumSettings
from raysim.strategies.personalized import Personalized, PersonalizedSettings
from raysim.strategies.scaffold import Scaffold, ScaffoldSettings
from scipy.stats import binomtest, kstest

from raysim.core.errors import InputError
from raysim.core.settings import validate
from raysim.simulation.participation import RoundParticipation
from raysim.simulation.registry import resolve
from raysim.simulation.strategy import ClientInfo, ClientUpdate, Federation, State
from raysim.training.control_variates import CONTROL

NAMES = "abcde"
HALF = {"dropout": 0.5}


def federation_of(names: str = NAMES, seed: int = 0, client_state: Any = "reset") -> Federation:
    """Organizations of 1, 2, ... sequences of 1,000 tokens, 10 epochs, batches of 4."""
    clients = tuple(ClientInfo(name, i + 1, 1000 * (i + 1), 1.0, 0.0) for i, name in enumerate(names))
    return Federation(clients, 10, client_state, seed, sequence_length=1000, batch_size=4)


def model(names: str = "abc", seed: int = 0, **settings: Any) -> Availability:
    """Organizations that train on 1,000, 2,000, ... tokens a round."""
    tokens = {name: 1000 * (i + 1) for i, name in enumerate(names)}
    return Availability(AvailabilitySettings(**settings), seed, tokens)


def fedavg(federation: Federation | None = None, **settings: Any) -> FedAvg:
    (strategy,) = FedAvg.variants(FedAvgSettings(**{"rounds": 6, **settings}), federation or federation_of())
    return strategy


def missed(strategy: FederatedStrategy) -> list[set[str]]:
    """Organizations that were selected and do not take part, by round."""
    return [{one.organization for one in there.clients if not one.took_part} for there in strategy.participation()]


def reasons(there: RoundParticipation) -> list[str]:
    return [one.reason for one in there.clients]


def test_a_round_of_simulated_time_by_hand() -> None:
    """At 2 s a thousand tokens and 3 s of transfer, 1, 2 and 3 thousand tokens take 5, 7 and 9 s."""
    settings: dict[str, Any] = {"seconds_per_1k_tokens": 2, "transfer_s": 3}
    there = model(**settings).round(0, "abc")
    assert [one.seconds for one in there.clients] == [5.0, 7.0, 9.0]
    assert (there.seconds, there.attempts, there.names) == (9.0, 1, {"a", "b", "c"})
    late = model(**settings, deadline_s=7).round(0, "abc")
    assert (late.seconds, late.names, reasons(late)) == (7.0, {"a", "b"}, ["", "", "late"])
    assert [one.seconds for one in late.clients] == [5.0, 7.0, 9.0]
    waits = model(**settings, deadline_s=7, policy="wait").round(0, "abc")
    assert (waits.seconds, waits.names, reasons(waits)) == (9.0, {"a", "b", "c"}, ["", "", "late"])
    stops = model(**settings, deadline_s=7, policy="stop").round(4, "abc")
    assert stops.ends == "round 5: c is late (9 s, of 7), and availability.policy is stop"
    assert stops.names == set()
    by_name = model(seconds_per_1k_tokens={"a": 9, "b": 1, "c": 2}).round(0, "abc")
    assert [one.seconds for one in by_name.clients] == [9.0, 2.0, 6.0]


def test_a_round_of_too_few_is_begun_again_and_its_time_counts() -> None:
    """Only a round of all three is enough; each attempt takes as long as the slowest of it, dropped out or not."""
    always = model(dropout=0.6, policy={"proceed_with": 3, "attempts": 100})
    found = [always.round(number, "abc") for number in range(40)]
    assert all(there.names == {"a", "b", "c"} for there in found)
    assert {there.seconds for there in found} == {3.0 * there.attempts for there in found}
    # Of 0.4 ** 3 of the attempts all come through.
    assert binomtest(40, sum(there.attempts for there in found), 0.4**3).pvalue > 0.001
    short = model(dropout=0.99, deadline_s=2, policy={"proceed_with": 2, "attempts": 3}).round(1, "abc")
    assert (short.attempts, short.seconds, short.names) == (3, 6.0, set())
    assert short.ends == (
        "round 2: 0 of 3 organizations come through the last of 3 attempts (a drops out, b drops out, c drops out),"
        " and availability.policy.proceed_with is 2"
    )


def test_who_drops_out_begins_again_where_the_server_waits() -> None:
    waits = model(dropout=0.5, policy="wait")
    rounds = [waits.round(number, "abc") for number in range(200)]
    for there in rounds:
        assert there.names == {"a", "b", "c"}
        assert [one.seconds for one in there.clients] == [one.attempts * (i + 1) for i, one in enumerate(there.clients)]
        assert there.seconds == max(one.seconds or 0 for one in there.clients)
        assert [one.reason == "dropped out" for one in there.clients] == [one.attempts > 1 for one in there.clients]
    attempts = sum(one.attempts for there in rounds for one in there.clients)
    assert binomtest(600, attempts, 0.5).pvalue > 0.001
    # Who goes on without them misses the same dropouts.
    proceeds = model(dropout=0.5, policy={"attempts": 1})
    assert [reasons(proceeds.round(number, "abc")) for number in range(200)] == [reasons(there) for there in rounds]


def test_draws_are_what_they_are_said_to_be() -> None:
    many = model("a", dropout=0.3, policy={"attempts": 1})
    dropped = sum(bool(many.round(number, "a").ends) for number in range(2000))
    assert binomtest(dropped, 2000, 0.3).pvalue > 0.001
    for name, draws in (
        ("round_spread", [model("a", round_spread=0.7).round(n, "a").seconds for n in range(1000)]),
        ("organization_spread", [model("a", s, organization_spread=0.7).round(1, "a").seconds for s in range(1000)]),
    ):
        logs = [math.log(draw or 0) / 0.7 for draw in draws]
        assert kstest(logs, "norm").pvalue > 0.001, name
    own = model("abc", organization_spread=0.7)
    assert own.round(0, "abc") == own.round(9, "abc")


def test_a_higher_rate_drops_out_whom_a_lower_one_does_and_more() -> None:
    low, high = (missed(fedavg(rounds=30, availability={"dropout": rate})) for rate in (0.2, 0.4))
    assert all(few <= many for few, many in zip(low, high, strict=True))
    assert low != high
    named = missed(fedavg(rounds=30, availability={"dropout": {"b": 0.4}}))
    assert named == [many & {"b"} for many in high]


def test_settings_of_one_seed_see_the_same_dropouts_whatever_their_strategy() -> None:
    found = [missed(fedavg(availability=HALF)), missed(fedavg(availability=HALF))]
    found.append(missed(FedYogi(FedOptSettings(rounds=6, eta=0.5, availability=HALF), federation_of())))  # type: ignore[arg-type]
    found.append(missed(Scaffold(ScaffoldSettings(rounds=6, availability=HALF), federation_of())))  # type: ignore[arg-type]
    assert found == [found[0]] * 4
    assert any(found[0])
    assert missed(fedavg(federation_of(seed=1), availability=HALF)) != found[0]
    # The clients that are drawn are those without dropouts, too.
    drawn, whole = fedavg(clients=3, availability=HALF), fedavg(clients=3)
    for with_some, with_all in zip(drawn.participation(), whole.participation(), strict=True):
        assert [one.organization for one in with_some.clients] == [one.organization for one in with_all.clients]


def test_a_federation_without_an_organization_sees_the_dropouts_of_the_whole_one() -> None:
    settings = FedAvgSettings(rounds=6, leave_one_out=True, availability={"dropout": 0.3})  # type: ignore[arg-type]
    whole, *parts = FedAvg.variants(settings, federation_of())
    for left, part in zip(NAMES, parts, strict=True):
        for all_of_them, there in zip(whole.participation(), part.participation(), strict=True):
            if all_of_them.attempts == there.attempts == 1:
                assert there.names == all_of_them.names - {left}


def trained(strategy: FederatedStrategy, size: int = 3) -> tuple[list[State], list[dict[str, np.ndarray]]]:
    """Plays all rounds; the states, and what each client sent in each round."""
    states = [strategy.init("initial", np.linspace(-1, 1, size, dtype=np.float32))]
    sent: list[dict[str, np.ndarray]] = []
    while instructions := strategy.plan(states[-1]):
        number = len(states)
        names = [one.organizations[0] for one in instructions]
        sent.append({n: states[-1].tensors["weights"] + np.float32(NAMES.index(n) + number) for n in names})
        results = [
            ClientUpdate(one, f"{name} {number}", NAMES.index(name) + 1, sent[-1][name], {"learning_rate_sum": 2.0})
            for one, name in zip(instructions, names, strict=True)
        ]
        states.append(strategy.apply(states[-1], results, f"model {number}"))
    return states, sent


def test_only_who_takes_part_is_trained_and_averaged() -> None:
    strategy = fedavg(availability=HALF)
    states, sent = trained(strategy)
    assert [set(one) for one in sent] == [there.names for there in strategy.participation()]
    assert any(len(one) < 5 for one in sent)
    for after, one in zip(states[1:], sent, strict=True):
        expected = np.average(list(one.values()), axis=0, weights=[NAMES.index(name) + 1 for name in one])
        np.testing.assert_allclose(after.tensors["weights"], expected, rtol=1e-6)


def test_scaffold_without_those_that_are_missing() -> None:
    """c moves by |S| / N times the mean over S of (x - y) / (K eta) - c, here with N = 5 and K eta = 2."""
    states, sent = trained(Scaffold(ScaffoldSettings(rounds=6, availability=HALF), federation_of()))  # type: ignore[arg-type]
    control = np.zeros(3)
    for before, after, one in zip(states, states[1:], sent, strict=False):
        x = before.tensors["weights"].astype(float)
        control = control + sum((x - y) / 2 - control for y in one.values()) / 5
        np.testing.assert_allclose(after.tensors["weights"], np.mean(list(one.values()), axis=0), rtol=1e-6)
        np.testing.assert_allclose(after.tensors[CONTROL], control, rtol=1e-5)


def test_a_client_that_was_missing_goes_on_from_its_last_stage_and_its_schedule_ends_with_its_last_round() -> None:
    strategy = fedavg(federation_of(client_state="keep"), availability=HALF, local_epochs=2)
    state, last, times = strategy.init("initial", np.zeros(1, np.float32)), dict[str, str](), dict[str, int]()
    horizons: dict[str, set[int]] = {}
    while instructions := strategy.plan(state):
        for one in instructions:
            (name,) = one.organizations
            assert one.client_state == last.get(name)
            last[name], times[name] = f"{name} {state.round}", times.get(name, 0) + 1
            horizons.setdefault(name, set()).add(one.horizon_epochs)
        results = [ClientUpdate(one, last[one.organizations[0]], 1, np.zeros(1, np.float32)) for one in instructions]
        state = strategy.apply(state, results, f"model {state.round}")
    assert horizons == {name: {2 * count} for name, count in times.items()}
    assert len(set(times.values())) > 1


def test_the_run_ends_where_the_policy_says_so() -> None:
    strategy = fedavg(availability={"dropout": 0.1, "policy": "stop"}, rounds=30)
    states, _ = trained(strategy)
    *through, end = strategy.participation()
    assert [strategy.ends(state) for state in states] == ["" for _ in through] + [end.ends]
    assert end.ends.startswith(f"round {len(states)}: ")
    assert not any(checkpoint.final for state in states for checkpoint in strategy.checkpoints(state))
    own = Personalized.variants(PersonalizedSettings(rounds=2, availability=HALF), federation_of())  # type: ignore[arg-type]
    assert [one.ends(states[0]) for one in own] == [""] * 5
    assert len(trained(own[0])[0]) == 4


def test_tokens_of_a_round_are_those_of_its_epochs_or_steps() -> None:
    def seconds(**settings: Any) -> list[float | None]:
        first = next(iter(fedavg(availability={}, **settings).participation()))
        return [one.seconds for one in first.clients]

    assert seconds(local_epochs=2) == [2.0, 4.0, 6.0, 8.0, 10.0]
    # Three steps of four sequences at most: passes over 1, 2, 3 and 4 of them; of 5, four, one, and four again.
    assert seconds(local_steps=3) == [3.0, 6.0, 9.0, 12.0, 9.0]


def test_arms_without_it_are_what_they_were() -> None:
    arms = [resolve({"fedavg": settings}, "s").arm for settings in ({}, {"availability": None}, {"availability": {}})]
    assert arms[0] == arms[1] != arms[2]


def test_krum_counts_on_those_who_are_there_at_least() -> None:
    def made(kind: type[Krum], own: type[KrumSettings], least: int, **settings: Any) -> Krum:
        policy = {"dropout": 0.3, "policy": {"proceed_with": least, "attempts": 50}}
        return kind(own(rounds=6, availability=policy, **settings), federation_of())  # type: ignore[arg-type]

    with pytest.raises(InputError, match=r"^byzantine: 1 of 4 clients a round at least, .* write at most 0"):
        made(Krum, KrumSettings, 4, byzantine=1)
    assert made(Krum, KrumSettings, 5, byzantine=1)
    with pytest.raises(InputError, match="selected: 4, but a round has 3 clients at least"):
        made(MultiKrum, MultiKrumSettings, 3, selected=4)
    # All but the suspects of a round, however many there are.
    states, sent = trained(made(MultiKrum, MultiKrumSettings, 2))
    assert len({len(one) for one in sent}) > 1
    for after, one in zip(states[1:], sent, strict=True):
        np.testing.assert_allclose(after.tensors["weights"], np.mean(list(one.values()), axis=0), rtol=1e-6)
    recipes = [made(MultiKrum, MultiKrumSettings, 2, selected=n).recipe()["selected"] for n in (None, 2)]
    assert recipes == [None, 2]
    assert MultiKrum(MultiKrumSettings(), federation_of()).recipe()["selected"] == 5


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"dropout": {"x": 0.1}}, r"^availability\.dropout: no organization is called x"),
        ({"seconds_per_1k_tokens": {"a": 1}}, r"^availability\.seconds_per_1k_tokens: says nothing of b, c, d, e"),
        ({"policy": {"proceed_with": 6}}, r"^availability\.policy\.proceed_with: 6, but a round has 5 organizations"),
    ],
)
def test_what_does_not_fit_the_organizations_is_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        fedavg(availability=settings)


def test_leaving_one_out_leaves_too_few() -> None:
    with pytest.raises(InputError, match="proceed_with: 5, but a round has 4 organizations"):
        FedAvg.variants(
            FedAvgSettings(leave_one_out=True, availability={"policy": {"proceed_with": 5}}),  # type: ignore[arg-type]
            federation_of(),
        )
    named = {"dropout": {"a": 0.5}, "seconds_per_1k_tokens": dict.fromkeys(NAMES, 1.0)}
    assert len(FedAvg.variants(FedAvgSettings(leave_one_out=True, availability=named), federation_of())) == 6  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"dropout": 1}, "availability.dropout.number: input should be less than or equal to 0.99"),
        ({"dropout": {"a": -1}}, r"availability.dropout.mapping.a: input should be greater than or equal to 0"),
        ({"policy": "sometimes"}, "availability.policy.kind: input should be 'proceed', 'wait' or 'stop'"),
        ({"policy": {"kind": "wait", "proceed_with": 2}}, "proceed_with, attempts: say when to go on .*; wait never"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem) as refused:
        validate(FedAvgSettings, {"availability": settings}, "strategies.fedavg")
    assert "\n" not in str(refused.value)


def test_policies_in_short() -> None:
    for kind in ("proceed", "wait", "stop"):
        assert validate(AvailabilitySettings, {"policy": kind}, "s").policy == PolicySettings(kind=kind)
    whole = validate(AvailabilitySettings, {"policy": "wait"}, "s")
    assert validate(AvailabilitySettings, whole.model_dump(mode="json"), "s") == whole
