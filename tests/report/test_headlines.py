import dataclasses
import math

import pytest

from raysim.analysis.results import RunResults
from raysim.analysis.sweep import open_sweep
from raysim.report.headlines import (
    against_centralized,
    best_order,
    given_away,
    headline,
    key_numbers,
    quality,
    sweep_headline,
    sweep_numbers,
    trained_last,
)
from raysim.report.sections.orders import OrderBlock, RankedOrder
from raysim.report.sections.overview import scoreboard
from raysim.tables.results import open_run


def detail(number):
    assert number is not None
    return number.value, number.detail


def test_the_best_is_named():
    found = quality([(3.249, "fedmedian"), (3.12, "single: a")], [], None)
    assert detail(found) == ("3.120", "bits per byte, the best: single: a")


def test_the_best_federated_is_held_against_centralized():
    federated = [(2.6, "fedavg"), (2.5, "fedyogi")]
    found = quality([*federated, (2.4, "centralized")], federated, 2.4)
    assert detail(found) == (
        "2.400",
        "bits per byte, the best: centralized; best federated, fedyogi: 2.500 (+0.100 on centralized)",
    )


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([(2.0, "a")], "bits per byte of a, the only setting measured"),
        ([(2.0, "a"), (2.0, "b")], "bits per byte, the same in all 2 settings"),
        ([(2.0, "a"), (2.0, "b"), (2.1, "c")], "bits per byte, the best: a and b"),
        # Apart by less than what is shown: the table shows them as equal.
        ([(2.0001, "a"), (2.0, "b"), (2.1, "c")], "bits per byte, the best: a and b"),
        ([(2.0, x) for x in "abcd"] + [(2.1, "e")], "bits per byte, the best: 4 settings alike"),
    ],
)
def test_ties_are_said_to_be_some(values, says):
    assert detail(quality(values, [], None))[1] == says


def test_nothing_measured_is_no_number():
    assert quality([], [], None) is given_away([]) is against_centralized([], 1.0) is None


@pytest.mark.parametrize(
    ("values", "value", "says"),
    [
        # A12: "0.00 ... the most of any setting".
        ([(0.0, "a"), (0.0, "b")], "0.00", "none in any setting measured"),
        ([(0.004, "a"), (0.0, "b")], "0.00", "under 0.005 in any setting measured"),
        ([(0.0, "a")], "0.00", "none in any setting measured"),
        ([(0.5, "a"), (0.0, "b")], "0.50", "the most of any setting: a"),
        ([(0.5, "a"), (0.5, "b")], "0.50", "the same in all 2 settings"),
    ],
)
def test_zero_is_not_the_most(values, value, says):
    found = detail(given_away(values))
    assert (found[0], found[1].endswith(says)) == (value, True)


@pytest.mark.parametrize(
    ("values", "value"),
    [
        ([(0.5, "fedavg")], "−50 %"),
        ([(0.5, "fedavg"), (1.5, "fedyogi")], "−50 to +50 %"),
        ([(1.0, "fedavg"), (1.0, "fedyogi")], "+0 %"),
        ([(0.999, "fedavg"), (1.001, "fedyogi")], "+0 %"),
        ([(0.0, "fedavg")], "−100 %"),
    ],
)
def test_each_federated_setting_is_held_against_centralized(values, value):
    """A3: their mean was one number, which none of them had."""
    assert detail(against_centralized(values, 1.0))[0] == value


@pytest.mark.parametrize("reference", [None, 0.0, 0.004])
def test_nothing_is_held_against_nothing(reference):
    assert against_centralized([(0.5, "fedavg")], reference) is None


def block(*ranks):
    ranked = [RankedOrder(rank, f"o{i}", 2.0, 0.1, 2.0, False, "", "", []) for i, rank in enumerate(ranks)]
    return OrderBlock("incremental", "tree", "", 0.05, ranked, [], len(ranked))


@pytest.mark.parametrize(
    ("ranks", "says"),
    [
        ((1, 2, 3), "the best order is o0"),
        ((1, 1, 3), "the best orders are o0 and o1"),
        ((1, 1), "all 2 orders are alike"),
        ((1,), "the only order is o0"),
    ],
)
def test_orders_of_one_rank_are_all_the_best(ranks, says):
    numbers = ": 2.000 bits per byte and 0.10 exclusive lines a prompt" * (says.endswith("o0"))
    assert best_order(block(*ranks)) == f"At 0.05 bits per byte for an exclusive line a prompt, {says}{numbers}"


@pytest.fixture(scope="module")
def results(run):
    return RunResults(open_run(run))


def test_the_numbers_to_read_first(results):
    names = [number.name for number in key_numbers(results)]
    assert names == ["Quality", "Given away", "Federated", "Trained last"]


def test_no_number_without_a_measure(build_run):
    assert key_numbers(RunResults(open_run(build_run(memorization=False, perplexity=False)))) == []


def test_the_first_numbers_are_those_of_the_scoreboard(results):
    """A12: whoever is named as the best is so in the table below."""
    scores, rows = scoreboard(results)
    column = [score.name for score in scores].index("bits_per_byte")
    shown = {row.label: cells[column].text for row, cells in rows}
    number = next(number for number in key_numbers(results) if number.name == "Quality")
    assert number.value == min(shown.values())
    assert all(label in number.detail for label, text in shown.items() if text == number.value)


def test_a_diverged_model_is_not_the_best(build_run):
    results = RunResults(open_run(build_run(memorization=False)))
    (end,) = [m for m in results.reached_models if m.final and m.strategy == "centralized"]
    results.losses.nats[results.losses.model_index[end.model]] = math.nan
    (number,) = key_numbers(results)
    assert "nan" not in number.value
    assert "centralized" not in number.detail


def test_a_sweep_names_single_settings_too(sweep):
    """A12: "the best: fedmedian 3.249" where single had 3.120."""
    best = min(value for trial in sweep.trials if (value := trial.row.mean("bits_per_byte")) is not None)
    number = next(number for number in sweep_numbers(sweep) if number.name == "Quality")
    assert number.value == f"{best:.3f}"


def test_the_headline_counts_what_was_run(results):
    assert headline(results).startswith("Three organizations (meta, microsoft and google) in five settings, under one")
    nothing = RunResults(dataclasses.replace(results.run, _tables={"models": results.run.table("models").slice(0, 0)}))
    assert headline(nothing).endswith("no model was finished yet.")


def test_the_best_is_chosen_on_validation_and_quoted_on_test():
    tests = {"a": 2.9, "b": 2.1, "c": 2.9}
    one = detail(quality([(2.0, "a"), (2.5, "b")], [], None, tests))
    assert one == ("2.900", "on the test split; chosen on validation, 2.000 bits per byte, the best: a")
    assert detail(quality([(2.0, "a"), (2.0, "b"), (2.5, "c")], [], None, tests))[0] == "2.100–2.900"
    assert detail(quality([(2.0, "a"), (2.0, "c")], [], None, tests))[0] == "2.900"
    # Where not all that are chosen have a test loss, validation stays.
    assert detail(quality([(2.0, "d"), (2.5, "b")], [], None, tests))[0] == "2.000"


def test_the_best_order_has_its_test_loss():
    one = block(1, 2)
    ranked = [dataclasses.replace(order, test=test) for order, test in zip(one.ranked, (2.6, 1.9), strict=True)]
    text = best_order(dataclasses.replace(one, ranked=ranked))
    assert text.endswith("a prompt; chosen on validation, on the test split 2.600 bits per byte")


def test_a_run_with_a_test_split_quotes_it(build_run):
    results = RunResults(open_run(build_run(memorization=False, test={"centralized": 1.0})))
    (number,) = key_numbers(results)
    rows = {row.label: row for row in results.final_rows()}
    assert number.detail.startswith("on the test split; chosen on validation, ")
    (best,) = [row for label, row in rows.items() if f"the best: {label}" in number.detail]
    assert number.value == f"{best.mean('test_bits_per_byte'):.3f}"
    assert (best.mean("test_bits_per_byte") or 0) > min(row.mean("test_bits_per_byte") or 0 for row in rows.values())


@pytest.mark.parametrize(
    ("last", "before", "value", "says"),
    [
        (1.5, 0.25, "1.50", "trained last, against 0.25 of one trained earlier"),
        (0.0, 0.25, "0.00", "trained last, against 0.25 of one trained earlier"),
        (0.251, 0.249, "0.25", "trained last; the same of one trained earlier"),
        (0.0, 0.0, "0.00", "trained last; none of one trained earlier, either"),
    ],
)
def test_who_was_trained_last(last, before, value, says):
    found = detail(trained_last(last, before))
    assert (found[0], found[1].endswith(says)) == (value, True)


def test_one_of_each_is_said_in_the_singular(build_run):
    rest = ("centralized", "incremental", "fedavg", "fedyogi")
    results = RunResults(open_run(build_run(organizations=("meta",), prompts=1, samples=1, without=rest)))
    assert headline(results) == (
        "One organization (meta) in one setting, under one seed: 1 model of 1.18 M parameters, each probed with up to"
        " 1 prompt and one sample a prompt."
    )
    assert [number.name for number in key_numbers(results)] == ["Quality", "Given away"]
    assert all("the only setting measured" in n.detail or "none in any" in n.detail for n in key_numbers(results))


def test_a_sweep_of_one_point_and_one_setting(build_sweep):
    rest = ("single", "centralized", "incremental", "fedyogi")
    settings = {"prompts": 4, "files": 2, "leak": 0.0, "without": rest}
    sweep = open_sweep(build_sweep({"rate": "rate"}, [(("0.1",), settings)]))
    assert sweep_headline(sweep).startswith("One point: every value of rate (0.1).")
    best, leaks = sweep_numbers(sweep)
    assert best.detail.endswith("of fedavg with rate 0.1, the only setting measured")
    assert (leaks.value, leaks.detail.endswith("the only setting measured")) == ("0.00", True)


def test_points_that_are_alike_are_said_to_be(build_sweep):
    rest = ("single", "centralized", "incremental", "fedyogi")
    settings = {"prompts": 4, "files": 2, "leak": 0.0, "without": rest}
    runs = [(("0.1",), settings), (("0.2",), settings | {"seeds": (1, 2)})]
    sweep = open_sweep(build_sweep({"rate": "rate"}, runs))
    leaks = next(number for number in sweep_numbers(sweep) if number.name == "Given away")
    assert (leaks.value, leaks.detail) == ("0.00", "exclusive lines a prompt, the same in all 2 settings")


def test_mitigations_are_named_and_how_far_their_points_have_come(mitigated, build_sweep):
    begun = " Three of them finished; the same command goes on."
    assert sweep_headline(mitigated) == (
        f"The experiment as it is, and under three mitigations: better, worse and later.{begun}"
    )
    silent = {"prompts": 4, "files": 2, "leak": 0.0}
    runs = [(('"none"',), silent), (('"dropout"',), silent)]
    nothing = open_sweep(build_sweep({"mitigation": "mitigation"}, runs, ["none", "dropout"]))
    assert sweep_headline(nothing).startswith(
        "The experiment as it is, and under one mitigation: dropout. No model gives away a line, so nothing says what a"
        " mitigation spares: "
    )


def test_of_prose_it_is_said_that_lines_are_sentences(results):
    manifest = {**results.run.manifest, "experiment": {"preparation": {"domain": "text"}}}
    prose = RunResults(dataclasses.replace(results.run, manifest=manifest))
    assert headline(prose).endswith("what is said of code and lines is said of prose and sentences.")
    assert "sentence a line" not in headline(results)
