from raysim.tasks.kinds import AGGREGATE, FISHER, INITIAL, SNAPSHOT, TRAIN, TRAINING_KINDS


def test_kinds_of_training_are_those_of_its_recipes(make_context) -> None:
    from raysim.simulation.run_context import RunContext
    from raysim.simulation.strategy import Importance, TrainInstruction

    context = make_context({"a": 3})
    assert context.stage(TrainInstruction(("a",), "m", 1, 1)).recipe["kind"] == TRAIN.name
    assert context.importance_recipe(Importance("a", "m", 1))["kind"] == FISHER.name
    assert context.initial["kind"] == INITIAL.name
    assert RunContext.epoch_checkpoint("stage", 1)["kind"] == SNAPSHOT.name
    assert [kind.name for kind in TRAINING_KINDS] == ["initial", "train", "fisher", "aggregate", "snapshot"]
    assert AGGREGATE.passes == 0


def test_a_training_step_is_about_three_forward_passes() -> None:
    assert (TRAIN.passes, TRAIN.flop_per_parameter, TRAIN.doing) == (3.0, 4, "training")
