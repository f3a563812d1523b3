"""The sentences of "Who gains?" are functions of the table: ties, zeros, one setting, one seed, nothing at all."""

from dataclasses import replace

import pytest

from raysim.analysis.gains import Gain
from raysim.report.sections.gains import advice, gain_rows, settings_of, who_gains
from raysim.report.sections.zeros import TrainedLess

GAIN = Gain(
    "meta", "centralized", "centralized", "a", 5, 30, 2.0, 1.9, 0.1, 0.05, 0.15, 0.4, 20, 0.1, 0.3, "30 files redrawn"
)


def row(organization: str = "meta", strategy: str = "centralized", gain: float | None = 0.1, **more: object) -> Gain:
    low, high = (None, None) if gain is None else (gain - 0.05, gain + 0.05)
    values = {"organization": organization, "strategy": strategy, "gain": gain, "low": low, "high": high} | more
    return replace(GAIN, **values)  # type: ignore[arg-type]


def test_everybody_gains() -> None:
    both = [row("meta"), row("google"), row("meta", "fedavg", 0.06), row("google", "fedavg", 0.06)]
    assert who_gains(both) == "Both organizations gain by training with others, most in centralized."


def test_each_by_another_setting() -> None:
    found = [row("meta"), row("meta", "fedavg", 0.06), row("google", gain=0.06), row("google", "fedavg", 0.2)]
    text = who_gains(found)
    assert text == ("Both organizations gain by training with others, meta most in centralized; google most in fedavg.")


def test_some_gain_some_lose_some_do_not_know() -> None:
    text = who_gains([row("meta"), row("google", gain=-0.2), row("microsoft", gain=0.01)])
    assert "Meta gains by training with others, most in centralized." in text
    assert "Google does better alone than in any setting." in text
    assert "For microsoft it is undecided: the interval of the best setting holds zero." in text


def test_one_organization() -> None:
    assert who_gains([row("meta")]) == "Meta gains by training with others, most in centralized."


def test_nothing_measured() -> None:
    assert who_gains([]) == ""
    assert who_gains([row(gain=None)]) == ""
    assert "`single` among the strategies" in advice([row(gain=None, alone=None)])


def test_no_interval_is_said() -> None:
    found = [row(low=None, high=None, note="3 files are too few for an interval")]
    assert who_gains(found) == (
        "For meta there is no interval, only means in bits per byte: meta +0.100 in centralized."
    )
    assert advice(found) == (
        "By the means alone centralized is the best (+0.100 bits per byte); no interval: 3 files are too few for an"
        " interval."
    )


def test_a_gain_of_exactly_zero_is_no_gain() -> None:
    zero = row(gain=0.0, low=0.0, high=0.0)
    assert zero.verdict == "unclear"
    assert advice([zero]).startswith("Undecided: centralized is the best, 0.000 bits per byte")


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (
            0.4,
            "Join, in centralized: +0.100 bits per byte better than alone; it gives away 0.40 of its lines a prompt.",
        ),
        (
            0.0,
            "Join, in centralized: +0.100 bits per byte better than alone; none of its own lines was given away"
            " (≤ 30 % of prompts; fit not known).",
        ),
        (None, "Join, in centralized: +0.100 bits per byte better than alone."),
    ],
)
def test_the_price(lines: float | None, text: str) -> None:
    assert advice([row(lines=lines)]) == text


def test_a_cheaper_setting_that_gains_less_is_named() -> None:
    text = advice([row(), row(strategy="fedavg", gain=0.06, lines=0.1)])
    assert text.endswith("; fedavg gains +0.060; it gives away 0.10 of its lines a prompt.")


def test_equal_settings_name_the_one_that_gives_away_less() -> None:
    assert advice([row(), row(strategy="fedavg", lines=0.1)]).startswith("Join, in fedavg")
    assert advice([row(strategy="b"), row(strategy="a")]).startswith("Join, in a")


def test_worse_everywhere() -> None:
    assert advice([row(gain=-0.2), row(strategy="fedavg", gain=-0.1)]) == (
        "Stay alone: even the best setting, fedavg, is 0.100 bits per byte worse."
    )


def test_rows_and_bounds_at_zero() -> None:
    found = [row(lines=0.0, leaking=0.0), row(strategy="fedavg", lines=None, leaking_high=None)]
    assert settings_of(found) == ["centralized", "fedavg"]
    (only,) = gain_rows(found)
    assert only.alone == "2.000"
    assert [cell.lines for cell in only.cells] == ["no line; ≤ 30 % of prompts; fit not known", ""]
    assert [cell.tone for cell in only.cells] == ["gains", "gains"]
    assert gain_rows([row(together=None)]) == []


@pytest.mark.parametrize("fit", ["fitted", "undertrained"])
def test_a_zero_says_whether_the_models_are_fitted(fit: str) -> None:
    (only,) = gain_rows([row(lines=0.0, leaking=0.0, fit=fit)])
    assert only.cells[0].lines == f"no line; ≤ 30 % of prompts; {fit}"
    assert only.advice.endswith(f"none of its own lines was given away (≤ 30 % of prompts; {fit}).")


def test_a_zero_of_a_setting_that_is_trained_less_says_so() -> None:
    less = {name: TrainedLess(1.17, "centralized", 0.68) for name in ("fedavg", "incremental")}
    found = [row(strategy="fedavg", lines=0.0, leaking=0.0), row(strategy="incremental", gain=-0.1)]
    (only,) = gain_rows([row(lines=0.0, leaking=0.0, gain=0.0), *found], less)
    assert [cell.caution for cell in only.cells] == ["", "trained less: 1.17 against 0.68 nats", ""]
    assert only.advice.endswith(
        "none of its own lines was given away (≤ 30 % of prompts; fit not known; trained less: 1.17 against 0.68 nats)."
    )


TESTED = {"test_alone": 2.0, "test_together": 2.3, "test_gain": -0.3, "test_low": -0.4, "test_high": -0.2}


def test_what_is_best_on_validation_is_quoted_on_test() -> None:
    found = [replace(row(), **TESTED), row(strategy="fedavg", gain=0.05, test_together=1.9, test_gain=0.1)]
    text = advice(found)
    assert "Undecided: centralized is the best on validation files, −0.300 bits per byte on test files" in text
    assert "(−0.400 to −0.200) lies below zero, though not every other setting's does" in text
    assert "for meta the setting that is best on validation files is worse than alone" in who_gains(found).lower()
    (only,) = gain_rows(found)
    first = only.cells[0]
    assert (first.loss, first.gain, first.tone) == ("2.300", "−0.300", "loses")
    assert only.alone == "2.000"


def test_all_settings_lose_on_test() -> None:
    assert advice([replace(row(), **TESTED)]).startswith(
        "Stay alone: even the best setting, centralized, is 0.300 bits per byte w"
    )


def test_the_best_setting_is_worse_and_another_is_undecided() -> None:
    found = [row(gain=-0.1, low=-0.15, high=-0.05), row(strategy="fedavg", gain=-0.2, low=-0.5, high=0.1)]
    assert who_gains(found) == ("For meta the best setting is worse than alone, and not every other is shown to be.")
    assert "lies below zero" in advice(found)
