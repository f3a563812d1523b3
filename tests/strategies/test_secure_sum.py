"""The average of masked updates beside plain averaging, and who may not have it."""

from typing import Any

import numpy as np
import pytest
from raysim.strategies.fedavg import FedAvg, FedAvgSettings
from raysim.strategies.fedopt import FedAdam, FedOptSettings
from raysim.strategies.personalized import Personalized, PersonalizedSettings

from raysim.core.errors import InputError
from raysim.core.settings import validate
from raysim.simulation.registry import resolve
from raysim.simulation.round_norms import norms_of, told
from raysim.simulation.strategy import ClientUpdate, Federation, State, TrainInstruction
from raysim.training.masking import Masked
from raysim.training.weights import Flat

SEQUENCES = {"a": 1, "b": 2, "c": 5}
START = np.linspace(-1, 1, 50, dtype=np.float32)


def trained(instruction: TrainInstruction) -> Flat:
    return START + np.float32(0.01 * SEQUENCES[instruction.organizations[0]]) * np.cos(np.arange(50, dtype=np.float32))


def results_of(strategy: FedAvg, state: State) -> list[ClientUpdate]:
    """What arrives of all clients of a round, masked where their form says so."""
    results = []
    for one in strategy.plan(state):
        weights = trained(one)
        sent = one.upload.send(START, weights, {}, 0).array if one.upload else weights
        results.append(ClientUpdate(one, f"stage {one.organizations[0]}", SEQUENCES[one.organizations[0]], sent))
    return results


def make(federation: Federation, **settings: Any) -> FedAvg:
    return FedAvg(validate(FedAvgSettings, {"rounds": 2, **settings}, "test"), federation)


@pytest.mark.parametrize("weighting", ["examples", "uniform"])
def test_it_is_the_plain_average_within_a_step(weighting: str, federation: Federation) -> None:
    plain, secure = (make(federation, weighting=weighting, **more) for more in ({}, {"secure_aggregation": {}}))
    ends = []
    for strategy in (plain, secure):
        state = strategy.init("initial", START)
        ends.append(strategy.apply(state, results_of(strategy, state), "model").tensors["weights"])
    assert ends[1].dtype == np.float32
    np.testing.assert_allclose(ends[1], ends[0], atol=2e-7)
    assert np.abs(ends[0] - START).max() > 0.01


def test_it_is_the_average_of_those_who_are_left(federation: Federation) -> None:
    secure, plain = make(federation, secure_aggregation={"threshold": 2}), make(federation)
    state = secure.init("initial", START)
    left = [slice(0, 2), slice(1, 3)]
    for part in left:
        ours = secure.apply(state, results_of(secure, state)[part], "model").tensors["weights"]
        theirs = plain.apply(state, results_of(plain, state)[part], "model").tensors["weights"]
        np.testing.assert_allclose(ours, theirs, atol=2e-7)
    with pytest.raises(InputError, match=r"1 of the 3 clients of round 1 are left"):
        secure.apply(state, results_of(secure, state)[:1], "model")


def test_in_a_plan_too_few_are_refused_without_any_weights(federation: Federation) -> None:
    secure = make(federation, secure_aggregation={})
    empty = np.empty(0, np.float32)
    state = secure.init("initial", empty)
    results = [ClientUpdate(one, "stage", 1) for one in secure.plan(state)]
    assert secure.apply(state, results, "model").tensors["weights"].size == 0
    with pytest.raises(InputError, match="are left"):
        secure.apply(state, results[:1], "model")


def test_a_server_that_steps_by_itself_steps_by_the_sum(federation: Federation) -> None:
    after = []
    for more in ({}, {"secure_aggregation": {}}):
        strategy = FedAdam(validate(FedOptSettings, {"rounds": 1, **more}, "test"), federation)
        state = strategy.init("initial", START)
        after.append(strategy.apply(state, results_of(strategy, state), "model").tensors)
    for name in ("weights", "m", "v"):
        np.testing.assert_allclose(after[1][name], after[0][name], rtol=1e-3, atol=1e-7)


def test_a_personalized_model_is_masked_in_rounds_and_whole_after_them(federation: Federation) -> None:
    settings = validate(PersonalizedSettings, {"rounds": 1, "secure_aggregation": {}}, "test")
    strategy, *_ = Personalized.variants(settings, federation)
    state = strategy.init("initial", START)
    state = strategy.apply(state, results_of(strategy, state), "model")
    (last,) = results_of(strategy, state)
    assert last.instruction.upload is None
    assert np.array_equal(strategy.apply(state, [last], "own").tensors["weights"], last.weights)


def test_clients_agree_on_other_masks_in_every_round_and_seed(federation: Federation) -> None:
    secure = make(federation, secure_aggregation={}, clients=2)
    state = secure.init("initial", START)
    agreements = []
    for number in range(2):
        plan = secure.plan(State("model", number, tensors=state.tensors))
        uploads = [one.upload for one in plan if isinstance(one.upload, Masked)]
        assert len(uploads) == len(plan) == 2
        assert len({upload.agreement for upload in uploads}) == 1
        assert [upload.client for upload in uploads] == list(uploads[0].agreement.names)
        agreements.append(uploads[0].agreement)
    assert [agreement.round for agreement in agreements] == [0, 1]
    assert {agreement.threshold for agreement in agreements} == {2}


def test_the_norms_of_hidden_updates_are_not_known(federation: Federation) -> None:
    secure = make(federation, secure_aggregation={})
    state = secure.init("initial", START)
    results = results_of(secure, state)
    norms = norms_of(START, results, START + np.float32(0.5))
    assert norms == {"updates": [None] * 3, "step": pytest.approx(0.5 * np.sqrt(50))}
    assert told(norms, results, {}).endswith("updates a hidden, b hidden, c hidden")


@pytest.mark.parametrize("name", ["krum", "multikrum", "fedmedian", "fedtrimmedavg", "flower", "scaffold"])
def test_servers_that_need_each_update_refuse_it(name: str) -> None:
    with pytest.raises(InputError, match=r"secure_aggregation: this server needs each client's update") as caught:
        resolve({name: {"secure_aggregation": {}}}, "strategies")
    assert "\n" not in str(caught.value)


def test_it_goes_with_no_compression_and_not_with_one_client(federation: Federation) -> None:
    with pytest.raises(InputError, match="leave it or compression out"):
        resolve({"fedavg": {"secure_aggregation": {}, "compression": {"int8": {}}}}, "strategies")
    for settings, refused in (({"threshold": 4}, "threshold: 4"), ({"threshold": 3}, None)):
        if refused:
            with pytest.raises(InputError, match=refused):
                make(federation, secure_aggregation=settings)
        else:
            make(federation, secure_aggregation=settings)
    with pytest.raises(InputError, match="takes two or more"):
        make(federation, secure_aggregation={}, clients=1)
