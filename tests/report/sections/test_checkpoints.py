from raysim.report.sections.checkpoints import best_beside_last

ROW = {
    "strategy": "fedavg",
    "order": "a + b",
    "moment": "round",
    "best": 4,
    "last": 10,
    "best_bits_per_byte": 2.0,
    "last_bits_per_byte": 2.5,
    "best_exclusive": 0.1,
    "last_exclusive": 0.4,
    "best_test_bits_per_byte": None,
    "last_test_bits_per_byte": None,
}


def test_seeds_are_averaged():
    (line,) = best_beside_last([ROW, ROW | {"best": 6, "last_bits_per_byte": 2.7, "last_exclusive": 0.6}])
    assert (line.setting, line.best, line.last) == ("fedavg", "rounds 4 to 6", "round 10")
    assert (line.bits, line.later, line.exclusive) == (("2.000", "2.600"), "+0.600", ("0.10", "0.50"))
    assert line.test == ("–", "–")


def test_where_the_last_is_the_best_nothing_is_lost():
    (line,) = best_beside_last([ROW | {"best": 10, "best_bits_per_byte": 2.5}])
    assert (line.best, line.later) == ("round 10", "0.000")


def test_what_was_not_measured_under_each_seed_is_no_mean():
    (line,) = best_beside_last([ROW, ROW | {"best_exclusive": None}])
    assert line.exclusive == ("–", "0.40")


def test_models_of_one_organization_are_apart():
    single = [ROW | {"strategy": "single", "order": name, "moment": "epoch"} for name in ("a", "b")]
    assert [line.setting for line in best_beside_last([*single, ROW])] == ["single: a", "single: b", "fedavg"]


def test_nothing_measured():
    assert best_beside_last([]) == []
