from dataclasses import replace

from raysim.strategies.fedavg import FedAvg, FedAvgSettings
from raysim.strategies.personalized import Personalized, PersonalizedSettings

from raysim.simulation.strategy import Federation


def test_the_rounds_are_fedavgs_and_each_organization_goes_on_alone(federation: Federation, play) -> None:
    plain = FedAvg(FedAvgSettings(rounds=2), federation)
    variants = Personalized.variants(PersonalizedSettings(rounds=2, tune_epochs=3), federation)
    assert [v.order for v in variants] == ["a + b + c > a", "a + b + c > b", "a + b + c > c"]
    rounds = play(plain, [0, 1], lambda n, i, w: w + n * i)
    for name, variant in zip("abc", variants, strict=True):
        *states, last = play(variant, [0, 1], lambda n, i, w: w + n * i if n < 3 else w * 2)
        assert variant.recipe() == plain.recipe()
        for one, other in zip(rounds, states, strict=True):
            assert one.tensors["weights"].tolist() == other.tensors["weights"].tolist()
        (tuning,) = variant.plan(states[-1])
        assert (tuning.organizations, tuning.model, tuning.epochs, tuning.horizon_epochs) == ((name,), "model 2", 3, 3)
        assert last.tensors["weights"].tolist() == [2 * w for w in states[-1].tensors["weights"]]
        (checkpoint,) = variant.checkpoints(last)
        assert (checkpoint.moment, checkpoint.last, checkpoint.final) == ("stage", name, True)


def test_its_models_are_none_of_the_federations(federation: Federation, play) -> None:
    """Its rounds are no models of its own, and its family is not that of federated settings."""
    variant = Personalized.variants(PersonalizedSettings(rounds=2), federation)[0]
    moments = [[c.moment for c in variant.checkpoints(state)] for state in play(variant, [0], lambda _, __, w: w)]
    assert moments == [["initial"], [], [], ["stage"]]
    assert Personalized.family == "personalized"


def test_it_tunes_with_a_fresh_optimizer(federation: Federation, play) -> None:
    variant = Personalized.variants(PersonalizedSettings(rounds=1), replace(federation, client_state="keep"))[0]
    _, after_rounds, _ = play(variant, [0], lambda _, __, w: w)
    (tuning,) = variant.plan(after_rounds)
    assert (tuning.client_state, tuning.keep_state) == (None, False)


def test_without_an_organization_there_are_models_of_the_others(federation: Federation) -> None:
    variants = Personalized.variants(PersonalizedSettings(leave_one_out=True), federation)
    assert [v.order for v in variants[3:]] == [
        "b + c > b", "b + c > c", "a + c > a", "a + c > c", "a + b > a", "a + b > b"
    ]  # fmt: skip
