from raysim.strategies.given import Given

from raysim.simulation.strategy import Federation, ModelCheckpoint, StrategySettings


def test_the_model_is_measured_as_it_comes_and_counts_as_trained_on_all(federation: Federation) -> None:
    (given,) = Given.variants(StrategySettings(), federation)
    state = given.init("model", None)  # type: ignore[arg-type]
    assert given.members == federation.names
    assert given.plan(state) == []
    assert given.checkpoints(state) == [ModelCheckpoint("model", "initial", 0, final=True)]
