"""What the report shows in place of a line for each of very many organizations."""

from dataclasses import replace

from raysim.analysis.gains import Gain
from raysim.report.sections.many import LISTED, corpora_spread, drops_by_reason, extremes, gain_spread

BLANK = Gain("", "fedavg", "federated", "", 1, 1, None, None, None, None, None, None, None, None, None, "")


def gain(number: int, value: float | None, width: float = 0.5, setting: str = "fedavg") -> Gain:
    low, high = (None, None) if value is None else (value - width, value + width)
    return replace(BLANK, organization=f"org{number}", strategy=setting, gain=value, low=low, high=high)


def test_few_are_all_shown_and_of_many_those_that_gain_least_and_most() -> None:
    few = [gain(number, float(number)) for number in range(LISTED)]
    assert extremes(few) == {f"org{number}" for number in range(LISTED)}
    # By its best setting, a third has no gain at all, and the first would be last by its other setting.
    many = [gain(number, float(number) if number % 3 else None) for number in range(90)]
    many.append(gain(1, 100.0, setting="fedyogi"))
    ranked = [number for number in range(2, 90) if number % 3]
    assert extremes(many) == {f"org{number}" for number in (*ranked[:15], *ranked[-14:], 1)}


def test_where_nobody_has_a_gain_the_first_are_shown() -> None:
    assert extremes([gain(number, None) for number in range(100)]) == {f"org{number}" for number in range(LISTED)}


def test_gains_are_counted_by_what_their_interval_says() -> None:
    found = [gain(number, value) for number, value in enumerate((-2.0, -0.25, 0.25, 1.0, 4.0))]
    found += [gain(9, None), gain(0, None, setting="fedyogi")]
    assert gain_spread(found) == [["fedavg", "5", "2", "1", "−2.000", "−0.250", "+0.250", "+1.000", "+4.000"]]


def test_sizes_are_summed_and_spread() -> None:
    rows = [{"split": "train", "files": files, "bytes": 1000 * files, "tokens": None} for files in (1, 2, 3, 4, 10)]
    assert corpora_spread(rows) == [
        ["train", "5", "files", "20", "1", "2", "3", "4", "10"],
        ["train", "5", "bytes", "20 kB", "1 kB", "2 kB", "3 kB", "4 kB", "10 kB"],
    ]


def test_drops_are_counted_by_reason() -> None:
    rows = [
        {"organization": name, "reason": reason, "files": files, "bytes": 10 * files}
        for name, reason, files in (("a", "copy", 1), ("b", "copy", 2), ("b", "binary", 4))
    ]
    assert drops_by_reason(rows) == [
        {"organization": "2 organizations", "reason": "copy", "files": 3, "bytes": 30},
        {"organization": "1 organizations", "reason": "binary", "files": 4, "bytes": 40},
    ]
