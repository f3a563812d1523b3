import pickle
import tracemalloc

import pytest

from raysim.simulation.lineage import Increased, Lineage


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


def test_clients_of_many_share_what_they_have_not_seen() -> None:
    """Memory of a round is linear in the number of clients: of twice as many it is twice as much, not four times."""
    sizes = []
    for number in (200, 400):
        server = Lineage((), {f"client {i}": 10 for i in range(number)}, 1, 0.0)
        tracemalloc.start()
        clients = [
            server.trained("server", {f"client {i}": 5}, {"steps": 1, "learning_rate_sum": 0.0}) for i in range(number)
        ]
        sizes.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        after = server.aggregated([str(i) for i in range(number)], clients)
        assert after.tokens_seen == {f"client {i}": 15 for i in range(number)}
    assert sizes[1] < 2.5 * sizes[0]


def test_increased_counts_are_a_mapping_as_any_other() -> None:
    found = Increased({"a": 1, "b": 2}, {"b": 3, "c": 4})
    assert found == {"a": 1, "b": 5, "c": 4}
    assert found == {"a": 1, "b": 5, "c": 4}
    assert (list(found), len(found), dict(found)["b"], found.get("d", 0)) == (["a", "b", "c"], 3, 5, 0)
    assert pickle.loads(pickle.dumps(found)) == found
    with pytest.raises(KeyError):
        found["d"]


def test_an_upload_of_several_stages_adds_all_of_them() -> None:
    server = Lineage((), {"a": 10, "b": 20}, 4, 0.0)
    once = server.trained("server", {"a": 10}, {"steps": 1, "learning_rate_sum": 0.0})
    twice = once.trained("stage", {"a": 1, "c": 3}, {"steps": 1, "learning_rate_sum": 0.0})
    assert server.aggregated(["twice"], [twice]).tokens_seen == {"a": 21, "b": 20, "c": 3}
