"""Arrays go as soon as nobody will read them, and not before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raysim.store.retention import Keep, Retention, parents_of

# initial -> a -> ab, initial -> b; every model is scored; an aggregation of a and b starts from the initial model.
RECIPES = {
    "initial": {"kind": "initial"},
    "a": {"kind": "train", "weights": "initial", "client_state": None},
    "b": {"kind": "train", "weights": "initial", "client_state": "a"},
    "ab": {"kind": "train", "weights": "a", "client_state": None},
    "sum": {"kind": "aggregate", "state": "initial", "results": ["a", "b"]},
    **{f"score {model}": {"kind": "losses", "weights": model} for model in ("initial", "a", "ab", "sum")},
}
LEAVES = frozenset({"ab", "sum"})
PARENTS = {key: parents_of(recipe) for key, recipe in RECIPES.items()}
READERS = {key: {work for work, parents in PARENTS.items() if key in parents} for key in RECIPES}


def test_parents_are_what_a_recipe_reads_arrays_of() -> None:
    assert parents_of(RECIPES["b"]) == ("initial", "a")
    assert parents_of(RECIPES["sum"]) == ("initial", "a", "b")
    assert parents_of({"kind": "match", "generations": "g"}) == ()
    assert parents_of({"kind": "snapshot", "stage": "a", "epoch": 1}) == ()  # a stage makes it, it does not read it


def test_one_by_one() -> None:
    retention = Retention("leaves", RECIPES, LEAVES)
    gone = {work: retention.ended(work) for work in RECIPES}
    assert gone == {
        "initial": [], "a": [], "b": [], "ab": [], "sum": ["b"], "score initial": ["initial", "score initial"],
        "score a": ["a", "score a"], "score ab": ["score ab"], "score sum": ["score sum"],
    }  # fmt: skip


def test_keeping_all_lets_nothing_go() -> None:
    retention = Retention("all", RECIPES, LEAVES)
    assert [gone for work in RECIPES for gone in retention.ended(work)] == []
    assert not retention.bounded
    assert retention.kept({"a", "ab"}) == {"a", "ab"}


def test_keeping_models_evicts_what_clients_sent_once_it_has_been_read() -> None:
    retention = Retention("models", RECIPES, LEAVES, models={"initial", "a", "ab", "sum"})
    gone = {work: [key for key in retention.ended(work) if "score" not in key] for work in RECIPES}
    assert {work: keys for work, keys in gone.items() if keys} == {"sum": ["b"]}
    assert not retention.bounded
    assert retention.kept({"a", "ab", "b"}) == {"a", "ab"}


@pytest.mark.parametrize(("keep", "stays"), [("leaves", {"ab"}), ("metrics", set())])
def test_what_stays(keep: Keep, stays: set[str]) -> None:
    retention = Retention(keep, RECIPES, LEAVES)
    assert retention.bounded
    assert retention.kept({"a", "ab"}) == stays


@given(st.permutations(list(RECIPES)), st.sampled_from(["leaves", "metrics"]), st.sets(st.sampled_from(list(RECIPES))))
def test_in_any_order_nothing_goes_that_is_read_later_or_referenced(
    order: list[str], keep: Keep, referenced: set[str]
) -> None:
    """Against the definition: what goes has no reader to come, is no leaf that stays, and is not referenced."""
    retention = Retention(keep, RECIPES, LEAVES, referenced=lambda: referenced)
    gone: set[str] = set()
    for number, work in enumerate(order):
        gone |= set(retention.ended(work))
        to_come = set(order[number + 1 :])
        kept = LEAVES if keep == "leaves" else set()
        for key in gone:
            assert not READERS[key] & to_come
            assert key not in kept | referenced
    assert gone == set(RECIPES) - referenced - (LEAVES if keep == "leaves" else set())


def test_work_that_begins_again_holds_on_to_its_parents() -> None:
    retention = Retention("metrics", RECIPES, LEAVES)
    for work in RECIPES:
        retention.ended(work)
    retention.begins_again("ab")
    retention.begins_again("sum")
    assert "a" not in retention.ended("sum")
    assert "a" in retention.ended("ab")


@pytest.mark.parametrize(
    ("keep", "passes"), [("all", set()), ("models", {"c"}), ("leaves", {"c"}), ("metrics", {"c", "again"})]
)
def test_what_only_passes_is_read_by_training_and_aggregations_and_does_not_stay(keep: Keep, passes: set[str]) -> None:
    """`a` is another stage's optimizer state, `initial`, `ab` and `sum` are scored."""
    recipes = {
        **RECIPES,
        "c": {"kind": "train", "weights": "sum", "client_state": None},
        "again": {"kind": "aggregate", "state": "sum", "results": ["c"]},
    }
    found = [Retention(keep, recipes, LEAVES | {"again"}, models=LEAVES, write=write) for write in ("all", "kept")]
    stages = [key for key, recipe in recipes.items() if recipe["kind"] in ("initial", "train", "aggregate")]
    assert [{key for key in stages if one.in_passing(key)} - {"b"} for one in found] == [set(), passes]


def test_what_is_held_stays_as_long_as_anybody_holds_it() -> None:
    retention = Retention("leaves", RECIPES, LEAVES)
    retention.hold("b")
    retention.hold("b")
    assert [retention.ended(work) for work in ("ab", "sum")] == [[], []]
    assert retention.release("b") == []
    assert retention.release("b") == ["b"]


def test_a_final_model_that_was_not_planned_stays() -> None:
    retention = Retention("leaves", RECIPES, LEAVES)
    retention.end_with("b")
    assert retention.ended("sum") == []
    assert retention.kept({"a", "b", "ab"}) == {"b", "ab"}
    # The score of a never comes: what it was to read is left over.
    assert retention.left_over({"a", "b", "ab"}) == {"a"}
