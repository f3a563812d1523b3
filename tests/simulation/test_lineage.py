import pytest

from raysim.simulation.lineage import Lineage


def test_stages_add_up() -> None:
    one = Lineage().trained("initial", {"a": 100}, {"steps": 5, "learning_rate_sum": 0.5})
    two = one.trained("one", {"b": 50, "a": 10}, {"steps": 3, "learning_rate_sum": 0.25})
    assert (one.parents, one.tokens_seen, one.steps, one.learning_rate_sum) == (("initial",), {"a": 100}, 5, 0.5)
    assert (two.parents, two.tokens_seen, two.steps, two.learning_rate_sum) == (("one",), {"a": 110, "b": 50}, 8, 0.75)


def test_steps_of_a_round_are_those_of_all_clients() -> None:
    server = Lineage(("before",), {"a": 10, "b": 20}, 4, 0.4)
    a = server.trained("server", {"a": 10}, {"steps": 1, "learning_rate_sum": 0.3})
    b = server.trained("server", {"b": 20}, {"steps": 2, "learning_rate_sum": 0.2})
    both = server.aggregated(["stage a", "stage b"], [a, b])
    assert (both.parents, both.tokens_seen, both.steps) == (("stage a", "stage b"), {"a": 20, "b": 40}, 4 + 1 + 2)
    assert both.learning_rate_sum == pytest.approx(0.4 + 0.3 + 0.2)


def test_a_client_that_sat_out_is_not_counted_again() -> None:
    server = Lineage((), {"a": 10, "b": 20}, 4, 0.0)
    a = server.trained("server", {"a": 10}, {"steps": 1, "learning_rate_sum": 0.0})
    assert server.aggregated(["stage a"], [a]).tokens_seen == {"a": 20, "b": 20}


def test_steps_in_sequence_are_those_of_the_longest_client_of_each_round() -> None:
    server = Lineage()
    for slow, quick in ((5, 3), (2, 4)):
        a = server.trained("server", {"a": 10}, {"steps": slow, "learning_rate_sum": 0.0})
        b = server.trained("server", {"b": 10}, {"steps": quick, "learning_rate_sum": 0.0})
        server = server.aggregated(["stage a", "stage b"], [a, b])
    assert (server.steps, server.steps_in_sequence) == (5 + 3 + 2 + 4, 5 + 4)


def test_one_stage_after_the_other_has_all_its_steps_in_sequence() -> None:
    one = Lineage().trained("initial", {"a": 100}, {"steps": 5, "learning_rate_sum": 0.5})
    two = one.trained("one", {"b": 50}, {"steps": 3, "learning_rate_sum": 0.25})
    assert two.steps_in_sequence == two.steps == 8


def test_dropout_is_shared_out_over_the_steps() -> None:
    assert Lineage().dropout_share == 1.0
    one = Lineage().trained("initial", {"a": 1}, {"steps": 6, "learning_rate_sum": 0.0, "steps_without_dropout": 3})
    assert one.dropout_share == 0.5
    assert one.trained("one", {"b": 1}, {"steps": 6, "learning_rate_sum": 0.0}).dropout_share == 0.75
    a, b = (one.trained("one", {n: 1}, {"steps": 2, "learning_rate_sum": 0.0}) for n in "ab")
    assert one.aggregated(["a", "b"], [a, b]).dropout_share == pytest.approx(1 - 3 / 10)
