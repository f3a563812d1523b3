"""Every sentence and number that a reader meets first, as functions of the tables: of a run, a sweep, an order.

They hold for ties, zeros, one setting, one seed and models that have diverged: who is named as the best is so to the
digits that are shown, and where several are, all are named.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from raysim.analysis.front import compares_mitigations
from raysim.analysis.reached_models import finals
from raysim.analysis.results import Row, RunResults
from raysim.analysis.sweep import SweepResults, Trial, plain_value
from raysim.mitigations.registry import BASELINE
from raysim.report.sections.orders import OrderBlock, RankedOrder
from raysim.report.sections.overview import NO_PROMPTS, WORDS, counted, listed, quantity

MOST_NAMED = 3
"""Settings of one value that are named; of more it is said how many."""


@dataclass(frozen=True)
class Number:
    """A number to read at a glance, what it is, and what to hold it against."""

    value: str
    name: str
    detail: str


Values = Sequence[tuple[float, str]]
"""Values of a measure, each with the name of its setting; none is NaN."""


def leaders(values: Values, sign: int, digits: int) -> tuple[str, list[str]]:
    """The best value as it is shown, and everyone who has it.

    Args:
        values: at least one.
        sign: 1: the largest is the best; -1: the smallest.
        digits: behind the decimal point.
    """
    top = _shown(max(values, key=lambda one: sign * one[0])[0], digits)
    return top, [name for value, name in values if _shown(value, digits) == top]


def standing(values: Values, sign: int, digits: int, title: str) -> str:
    """Who leads: ', the best: a'; ', the best: a and b'; ', the same in all 4 settings'; ', of a alone'."""
    _, names = leaders(values, sign, digits)
    if len(values) == 1:
        return f" of {names[0]}, the only setting measured"
    if len(names) == len(values):
        return f", the same in all {len(values)} settings"
    return f", {title}: {listed(names) if len(names) <= MOST_NAMED else f'{len(names)} settings alike'}"


def quality(
    values: Values, federated: Values, centralized: float | None, on_test: Mapping[str, float] | None = None
) -> Number | None:
    """The best bits per byte, and how far the best federated setting is from centralized.

    Args:
        values: on validation files; the best is chosen on them.
        federated: those of federated settings.
        centralized: that of the centralized setting, if there is but one.
        on_test: by setting its value on the test split, which is then the number of who was chosen; None: there is
            none.
    """
    if not values:
        return None
    value, best = leaders(values, -1, 3)
    detail = "bits per byte" + standing(values, -1, 3, "the best")
    if federated and centralized is not None:
        near, names = leaders(federated, -1, 3)
        gap = _signed(min(value for value, _ in federated) - centralized, 3)
        detail += f"; best federated, {listed(names)}: {near} ({gap} on centralized)"
    if on_test and all(name in on_test for name in best):
        tests = sorted(on_test[name] for name in best)
        shown = list(dict.fromkeys(_shown(test, 3) for test in (tests[0], tests[-1])))
        return Number("–".join(shown), "Quality", f"on the test split; chosen on validation, {value} {detail}")
    return Number(value, "Quality", detail)


def given_away(values: Values) -> Number | None:
    """The most lines that a setting gives away; of none it is not said that one gives away the most."""
    if not values:
        return None
    value, _ = leaders(values, 1, 2)
    what = "lines a prompt that one organization alone owns"
    if not any(_shown(one, 2) != _shown(0.0, 2) for one, _ in values):
        some = any(one > 0 for one, _ in values)
        return Number(value, "Given away", f"{what}: {'under 0.005' if some else 'none'} in any setting measured")
    return Number(value, "Given away", what + standing(values, 1, 2, "the most of any setting"))


def against_centralized(federated: Values, centralized: float | None) -> Number | None:
    """How much less each federated setting gives away than centralized; nothing where that gives away none."""
    if not federated or centralized is None or _shown(centralized, 2) == _shown(0.0, 2):
        return None
    changes = sorted(100 * (value / centralized - 1) for value, _ in federated)
    texts = list(dict.fromkeys(_signed(change, 0) for change in changes))
    shown = texts[0] if len(texts) == 1 else f"{texts[0]} to {texts[-1]}"
    names = ", ".join(f"{name} {value:.2f}" for value, name in federated)
    detail = f"exclusive lines a prompt, federated against centralized: {names}; centralized {centralized:.2f}"
    return Number(f"{shown} %", "Federated", detail)


def trained_last(last: float, before: float) -> Number:
    """Covered lines a prompt of the organization trained last, and of those before it."""
    value, other = _shown(last, 2), _shown(before, 2)
    what = "covered lines a prompt of the organization trained last"
    if value == other:
        held = "none of one trained earlier, either" if value == _shown(0.0, 2) else "the same of one trained earlier"
        return Number(value, "Trained last", f"{what}; {held}")
    return Number(value, "Trained last", f"{what}, against {other} of one trained earlier")


def best_order(block: OrderBlock) -> str:
    """Which order is the best at the stated weight, or which are; what is chosen on validation has its test losses."""
    tests = [one.test for one in block.ranked if one.rank == 1]
    text = _best_order(block)
    if not tests or None in tests:
        return text
    listed_tests = listed(list(dict.fromkeys(f"{test:.3f}" for test in tests)))
    return f"{text}; chosen on validation, on the test split {listed_tests} bits per byte"


def _best_order(block: OrderBlock) -> str:
    first = [one for one in block.ranked if one.rank == 1]
    weight = f"At {block.weight:g} bits per byte for an exclusive line a prompt"
    if len(block.ranked) == 1:
        return f"{weight}, the only order is {first[0].order}{_of_order(first[0])}"
    if len(first) == len(block.ranked):
        return f"{weight}, all {len(first)} orders are alike"
    names = listed([one.order for one in first])
    if len(first) > 1:
        return f"{weight}, the best orders are {names}"
    return f"{weight}, the best order is {names}{_of_order(first[0])}"


def _of_order(one: RankedOrder) -> str:
    return f": {one.bits_per_byte:.3f} bits per byte and {one.exclusive:.2f} exclusive lines a prompt"


SENTENCES = "Their files are prose, a sentence a line: what is said of code and lines is said of prose and sentences."


def headline(results: RunResults) -> str:
    """What was run, in one sentence or two, and what a line is where it is none of code."""
    text = _what_was_run(results)
    return f"{text} {SENTENCES}" if holds_prose(results) else text


def holds_prose(results: RunResults) -> bool:
    """Whether lines are sentences."""
    return results.run.setting("preparation", "domain") == "text"


def _what_was_run(results: RunResults) -> str:
    names = results.organizations
    finished = finals(results.reached_models)
    settings = len({reached.strategy for reached in finished})
    seeds = len({reached.seed for reached in finished})
    models = len({reached.model for reached in results.reached_models if reached.moment != "initial"})
    sizes = {reached.parameters for reached in finished}
    text = f"{counted(len(names), 'organization').capitalize()} ({listed(names)}) "
    if not finished:
        return text + "are in this run; no model was finished yet."
    size = f" of {quantity(max(sizes))} parameters" if sizes else ""
    text += (
        f"in {counted(settings, 'setting')}, under {counted(seeds, 'seed')}: {models} model{'s' * (models != 1)}{size}"
    )
    arrays = results.prompts
    if arrays.empty:
        asked = results.run.setting("measure", "memorization") is not None
        return text + (f". {NO_PROMPTS}" if asked else ". Memorization was not measured.")
    samples = int(arrays.num_samples.max(initial=0))
    prompts = f"{len(arrays.prompts)} prompt{'s' * (len(arrays.prompts) != 1)}"
    return text + f", each probed with up to {prompts} and {counted(samples, 'sample')} a prompt."


def key_numbers(results: RunResults) -> list[Number]:
    """Three or four numbers that carry the result, as far as they were measured."""
    rows = results.final_rows()
    federated = [row for row in rows if row.family == "federated" and not row.partial]
    central = [row for row in rows if row.family == "centralized"]

    def of(measure: str, chosen: list[Row]) -> list[tuple[float, str]]:
        return [(value, row.label) for row in chosen if (value := row.mean(measure)) is not None]

    def reference(measure: str) -> float | None:
        # Of several centralized settings none is the one to compare with.
        return central[0].mean(measure) if len(central) == 1 else None

    numbers = [
        quality(
            of("bits_per_byte", rows),
            of("bits_per_byte", federated),
            reference("bits_per_byte"),
            {name: value for value, name in of("test_bits_per_byte", rows)},
        ),
        given_away(of("exclusive", rows)),
        against_centralized(of("exclusive", federated), reference("exclusive")),
    ]
    if position := _last_against_before(results):
        numbers.append(trained_last(*position))
    return [number for number in numbers if number]


def sweep_headline(sweep: SweepResults) -> str:
    """What was swept, in a sentence or two."""
    if compares_mitigations(sweep):
        return _mitigated_headline(sweep)
    swept = [
        f"{short} ({', '.join(_brief(plain_value(text)) for text in sweep.values(path))})"
        for path, short in sweep.parameters.items()
    ]
    kind = "combination" if len(swept) > 1 else "value"
    return f"{counted(len(sweep.points), 'point').capitalize()}: every {kind} of {listed(swept)}.{_progress(sweep)}"


def _mitigated_headline(sweep: SweepResults) -> str:
    """Which mitigations are compared, and whether there is anything that they could spare."""
    names = [point.name for point in sweep.points if point.name != BASELINE]
    text = f"The experiment as it is, and under {counted(len(names), 'mitigation')}: {listed(names)}."
    lines = [value for trial in sweep.trials if (value := trial.row.mean("exclusive")) is not None]
    if lines and not any(lines):
        text += " No model gives away a line, so nothing says what a mitigation spares: plant functions, or train more."
    return text + _progress(sweep)


def _progress(sweep: SweepResults) -> str:
    """How many points have finished, as a sentence; empty: all."""
    finished = sum(point.finished for point in sweep.points)
    diverged = sum(bool(point.diverged) for point in sweep.points)
    if finished == len(sweep.points):
        return ""
    number = WORDS[finished] if finished < len(WORDS) else str(finished)
    end = f"{diverged} diverged" if finished + diverged == len(sweep.points) else "the same command goes on"
    return f" {number.capitalize()} of them finished; {end}."


def sweep_numbers(sweep: SweepResults) -> list[Number]:
    """Numbers that carry the result of a sweep, as far as they were measured."""

    def of(measure: str) -> list[tuple[float, str]]:
        trials = [(trial.row.mean(measure), _named(sweep, trial)) for trial in sweep.trials]
        return [(value, name) for value, name in trials if value is not None]

    numbers: list[Number] = []
    if (found := of("bits_per_byte")) and (
        number := quality(found, [], None, {name: value for value, name in of("test_bits_per_byte")})
    ):
        numbers.append(number)
    if leaks := of("exclusive"):
        least, _ = leaders(leaks, -1, 2)
        most, _ = leaders(leaks, 1, 2)
        detail = "exclusive lines a prompt" + standing(leaks, -1, 2, "the least")
        if least != most:
            detail += standing(leaks, 1, 2, "the most").replace(",", ";", 1)
        numbers.append(Number(least if least == most else f"{least}–{most}", "Given away", detail))
    asked, distinct = _stage_counts(sweep)
    if asked:
        detail = f"training stages for the {asked} that the points ask for; the others were shared"
        numbers.append(Number(str(distinct), "Trained", detail))
    return numbers


def _brief(text: str, longest: int = 40) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _named(sweep: SweepResults, trial: Trial) -> str:
    """A setting and those of its parameters that it depends on."""
    given = [(short, sweep.shown(path, trial.values(path))) for path, short in sweep.parameters.items()]
    where = ", ".join(f"{short} {_brief(value)}" for short, value in given if value != "any")
    return f"{trial.row.label} with {where}" if where else trial.row.label


def _last_against_before(results: RunResults) -> tuple[float, float] | None:
    last, before = [], []
    for reached in finals(results.reached_models):
        if reached.family != "incremental":
            continue
        for owner in reached.organizations:
            value = results.measures(reached.model).get(("covered_eligible", owner))
            if value is not None and isfinite(value):
                (last if reached.last == owner else before).append(value)
    return (sum(last) / len(last), sum(before) / len(before)) if last and before else None


def _stage_counts(sweep: SweepResults) -> tuple[int, int]:
    """Training stages that the points ask for, each for itself, and distinct ones."""
    keys = [{s["key"] for s in results.run.stages if s.get("kind") == "train"} for _, results in sweep.begun]
    return sum(map(len, keys)), len(set().union(*keys))


def _shown(value: float, digits: int) -> str:
    return f"{value + 0.0:.{digits}f}".replace("-", "−")


def _signed(value: float, digits: int) -> str:
    return f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "−")
