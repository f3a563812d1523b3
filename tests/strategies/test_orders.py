import itertools
from typing import Any

import pytest
from raysim.strategies.designs import latin_orders, random_orders
from raysim.strategies.incremental import Incremental, IncrementalSettings
from raysim.strategies.orders import MAX_ALL

from raysim.core.errors import InputError
from raysim.core.settings import validate
from raysim.core.yaml_files import parse_yaml
from raysim.simulation.strategy import ClientInfo, Federation

MEMBERS = (
    ClientInfo("a", 3, 300, 0.50, 0.25),
    ClientInfo("b", 9, 900, 0.75, 0.00),
    ClientInfo("c", 3, 250, 0.50, 0.50),
    ClientInfo("d", 9, 900, 0.25, 0.00),
)
"""b and d tie in size and in duplicates, a and c in diversity."""


def orders_of(written: str, clients: tuple[ClientInfo, ...] = MEMBERS) -> list[str]:
    """The orders of an experiment that says ``orders: WRITTEN``, each as one word."""
    settings = validate(IncrementalSettings, {"orders": parse_yaml(written, "test")}, "incremental")
    variants = Incremental.variants(settings, Federation(clients, 1, "reset"))
    return [strategy.order.replace(" > ", "") for strategy in variants]


def many(count: int) -> tuple[ClientInfo, ...]:
    return tuple(ClientInfo(f"o{i}", 1, 64, 1.0, 0.0) for i in range(count))


def test_all_is_the_default() -> None:
    variants = Incremental.variants(IncrementalSettings(), Federation(MEMBERS, 1, "reset"))
    assert [s.order.replace(" > ", "") for s in variants] == ["".join(o) for o in itertools.permutations("abcd")]
    assert orders_of("all") == orders_of("{all: true}") == [s.order.replace(" > ", "") for s in variants]


def test_listed_orders_stay_as_they_are() -> None:
    assert orders_of("[[c, a], [b]]") == orders_of("{listed: [[c, a], [b]]}") == ["ca", "b"]


@pytest.mark.parametrize(
    ("written", "order"),
    [
        ("by_size", "cabd"),
        ("by_diversity", "dacb"),
        ("by_duplicates", "bdac"),
        ("{by: size}", "cabd"),
        ("{by: size, descending: true}", "bdac"),
        ("{by: diversity, descending: true}", "bacd"),
        ("{by: duplicates, descending: true}", "cabd"),
        ("{by: duplicates, descending: false}", "bdac"),
    ],
)
def test_ranked_orders_keep_ties_as_in_the_experiment(written: str, order: str) -> None:
    assert orders_of(written) == [order]


def test_ties_follow_the_experiment() -> None:
    assert orders_of("by_size", MEMBERS[::-1]) == ["cadb"]
    assert orders_of("by_diversity", MEMBERS[::-1]) == ["dcab"]


def test_samples_name_the_organizations_of_their_design() -> None:
    assert orders_of("{sample: 5}") == ["".join("abcd"[i] for i in order) for order in random_orders(4, 5, 1)]
    assert orders_of("{sample: 5, seed: 9, design: random}") == [
        "".join("abcd"[i] for i in order) for order in random_orders(4, 5, 9)
    ]
    assert orders_of("{sample: 8, seed: 9, design: latin}") == [
        "".join("abcd"[i] for i in order) for order in latin_orders(4, 8, 9)
    ]


@pytest.mark.parametrize("design", ["random", "latin"])
def test_a_sample_of_many_organizations(design: str) -> None:
    """40 organizations have 8e47 orders."""
    orders = orders_of(f"{{sample: 40, design: {design}}}", many(40))
    assert len(set(orders)) == 40


def test_all_orders_end_at_six_organizations() -> None:
    assert MAX_ALL == 6
    assert len(orders_of("all", many(6))) == 720
    with pytest.raises(InputError, match=r"all orders of 7 organizations are too many.*13,699 stages.*sample: 28"):
        orders_of("all", many(7))
    with pytest.raises(InputError, match=r"over 10\^19 stages"):
        orders_of("all", many(21))
    assert orders_of("[[o6, o0]]", many(7)) == ["o6o0"]
    assert len(orders_of("{sample: 28, seed: 1, design: latin}", many(7))) == 28


FORMS = r"all, a list of orders, \{sample: 24, .*by_size, by_diversity, by_duplicates"

ERRORS: list[tuple[str, str]] = [
    # What the organizations do not have.
    ("[[a, x]]", r"unknown organization 'x' in \['a', 'x'\]; known: a, b, c, d"),
    ("[[a, b, a]]", "named twice"),
    ("[[a], []]", "an order is empty"),
    ("[]", "the list is empty"),
    ("[[a, b], [b], [a, b]]", "listed twice"),
    ("{sample: 25}", r"\.sample: 25 orders, but 4 organizations have 24; write at most 24"),
    ("{sample: 28, design: latin}", r"\.sample: 28 orders, but 4 organizations have 24"),
    ("{sample: 10, design: latin}", r"\.sample: 10 orders.* multiple of .*4; nearest: 8 or 12$"),
    ("{sample: 3, design: latin}", r"nearest: 4$"),
    # What no organizations have: the field, what was given, what is allowed.
    ("by_age", f"write {FORMS}.*given: 'by_age'"),
    ("7", f"write {FORMS}.*given: 7"),
    ("null", f"write {FORMS}.*given: None"),
    ("[a, b]", r"\.listed\.0: .*valid list.*given: 'a'"),
    ("[[a, 1]]", r"\.listed\.0\.1: .*valid string.*given: 1"),
    ("{}", "exactly one of all, listed, sample, by; here are none"),
    ("{all: false}", "here are none"),
    ("{sample: 2, by: size}", r"here are \['sample', 'by'\]"),
    ("{sample: 0}", r"\.sample: .*greater than or equal to 1.*given: 0"),
    ("{sample: some}", r"\.sample: .*integer.*given: 'some'"),
    ("{sample: 4, design: greek}", r"\.design: .*'random' or 'latin'.*given: 'greek'"),
    ("{sample: 4, seeds: 2}", r"\.seeds: unknown key; known here: all, by, descending, design, listed, sample, seed"),
    ("{by: age}", r"\.by: .*'size', 'diversity' or 'duplicates'.*given: 'age'"),
    ("{by: size, seed: 2}", "seed goes with sample, not with by"),
    ("{all: true, design: latin}", "design goes with sample, not with all"),
    ("{sample: 4, descending: true}", "descending goes with by, not with sample"),
]


@pytest.mark.parametrize(("written", "message"), ERRORS)
def test_errors_say_what_is_wrong_in_one_line(written: str, message: str) -> None:
    with pytest.raises(InputError, match=rf"orders.*{message}") as raised:
        orders_of(written)
    lines = str(raised.value).splitlines()
    assert len(lines) == (2 if written == "[a, b]" else 1)  # a line for each of the two organizations


def test_settings_may_be_made_in_code() -> None:
    chosen: Any = {"sample": 4, "design": "latin"}
    settings = IncrementalSettings.model_validate({"orders": chosen})
    assert IncrementalSettings(orders=settings.orders) == settings
