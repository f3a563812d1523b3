import numpy as np

from raysim.simulation.round_norms import RoundNorms, norms_of, told
from raysim.simulation.strategy import ClientUpdate, TrainInstruction


def updates() -> list[ClientUpdate]:
    weights = {"a": [4.0, 1.0], "b": [1.0, 1.0]}
    return [
        ClientUpdate(TrainInstruction((name,), "m", 1, 1), f"of {name}", 1, np.array(one, np.float32))
        for name, one in weights.items()
    ]


def test_norms_by_hand() -> None:
    before, after = np.array([1, -3], np.float32), np.array([1, -1], np.float32)
    assert norms_of(before, updates(), after) == {"updates": [5.0, 4.0], "step": 2.0}
    huge = np.full(2, 3e38, np.float32)
    assert norms_of(huge, updates(), -huge)["step"] > 8e38


def test_rows_are_the_clients_and_entries_without_norms_have_none() -> None:
    known = {"norms": {"updates": [5.0, 4.0], "step": 2.0}}
    for info, expected in ((known, [(5.0, 2.0), (4.0, 2.0)]), ({}, [(None, None)] * 2)):
        rows = RoundNorms(1, "fedavg", "a + b", 3, "average", updates(), info).rows()
        assert [(row["organization"], row["model"]) for row in rows] == [("a", "of a"), ("b", "of b")]
        assert [(row["update_norm"], row["step_norm"]) for row in rows] == expected
        assert {(row["round"], row["average"]) for row in rows} == {(3, "average")}
        assert {(row["factor_gap"], row["average_gap"]) for row in rows} == {(None, None)}


def test_a_gap_is_that_of_all_clients_of_a_round() -> None:
    info = {"norms": {"updates": [5.0, 4.0], "step": 2.0, "factor_gap": 0.25}}
    rows = RoundNorms(1, "fedyogi", "a + b", 3, "average", updates(), info).rows()
    assert [(row["factor_gap"], row["average_gap"]) for row in rows] == [(0.25, None)] * 2


def test_a_round_in_words_names_settings_and_organizations() -> None:
    recipe = {"strategy": "fedyogi", "version": 1, "eta": 1e30, "tau": 0.001}
    norms = {"updates": [5.0, 4.25], "step": float("inf")}
    assert told(norms, updates(), recipe) == (
        "the server's step under eta: 1e+30, tau: 0.001 has norm inf, updates a 5, b 4.25"
    )
    assert told(norms, updates(), {"strategy": "fedavg", "version": 1}).startswith("the server's step has norm inf")
