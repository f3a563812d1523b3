"""Which setting gives away most, and how sure that is: the sentence beside "Who gains?"."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from math import isfinite

from raysim.analysis.results import Row
from raysim.report.headlines import MOST_NAMED, leaders
from raysim.report.sections.overview import counted, listed


@dataclass(frozen=True)
class Leak:
    """What one setting gives away: exclusive lines a prompt.

    Attributes:
        low, high: range over seeds, orders averaged within each.
        orders_low, orders_high: range over orders, seeds averaged within each.
    """

    setting: str
    seeds: int
    orders: int
    mean: float
    low: float
    high: float
    orders_low: float
    orders_high: float


def leaks_of(rows: Sequence[Row]) -> list[Leak]:
    """Of the rows of the scoreboard those that were measured."""
    cells = [(row, row.cells.get(("exclusive", ""))) for row in rows]
    return [
        Leak(row.label, row.num_seeds, row.num_orders, *astuple(cell))
        for row, cell in cells
        if cell is not None and isfinite(cell.mean)
    ]


def who_leaks(leaks: Sequence[Leak], none_given: str = "") -> str:
    """Who gives away most, who is next, and whether that is a difference; '' where memorization was not measured.

    Args:
        leaks: of all settings.
        none_given: a sentence on those that gave nothing away.
    """
    if not leaks:
        return ""
    top, names = leaders([(one.mean, one.setting) for one in leaks], 1, 2)
    if float(top) == 0:
        some = any(one.mean > 0 for one in leaks)
        text = "No setting gives away a line that one organization alone owns"
        text = "No setting gives away as much as 0.005 exclusive lines a prompt" if some else text
        return _with(f"{text} ({_seeds(leaks)})", none_given)
    first = [one for one in leaks if one.setting in names]
    rest = [one for one in leaks if one.setting not in names]
    return _with(f"{_most(first, top, len(leaks))}{_next(first, rest)}", none_given)


def differs_in_tables(leaks: Sequence[Leak]) -> str:
    """Why other numbers of lines on the page are not that of the sentence; '' where none was measured."""
    if not leaks:
        return ""
    orders = [
        f"{one.setting} a mean over {counted(one.orders, 'order')} ({one.orders_low:.2f} to {one.orders_high:.2f})"
        for one in leaks
        if one.orders > 1
    ]
    means = f"; {listed(orders)}" if orders else ""
    return (
        "Lines that exactly one organization owns, whichever it is, a prompt, over the prompts of all"
        f" organizations{means}. In the table are the lines of each organization alone, a prompt of its own, so that a"
        " setting may be first here and not in each row."
    )


def _most(first: Sequence[Leak], top: str, num_settings: int) -> str:
    names = [one.setting for one in first]
    if num_settings == 1:
        text = f"{_capital(names[0])}, the only setting measured, gives away {top} exclusive lines a prompt"
        return f"{text}{_range(first[0])}"
    if len(first) == num_settings:
        return f"All {num_settings} settings give away {top} exclusive lines a prompt ({_seeds(first)})"
    if len(first) > 1:
        named = listed(names) if len(names) <= MOST_NAMED else f"{len(names)} settings"
        return f"{_capital(named)} give away the most, {top} exclusive lines a prompt each ({_seeds(first)})"
    return f"{_capital(names[0])} gives away the most: {top} exclusive lines a prompt{_range(first[0])}"


def _next(first: Sequence[Leak], rest: Sequence[Leak]) -> str:
    """Who is next, and whether the ranges over seeds of one and the other overlap."""
    if not rest:
        return ""
    value, names = leaders([(one.mean, one.setting) for one in rest], 1, 2)
    if float(value) == 0:
        return "; no other setting gives away any"
    after = [one for one in rest if one.setting in names]
    ranges = _range(after[0], brief=True) if len(after) == 1 else ""
    named = listed(names) if len(names) <= MOST_NAMED else f"{len(names)} settings"
    text = f"; next {'is' if len(names) == 1 else 'are'} {named} with {value}{ranges}"
    if min(one.seeds for one in (*first, *after)) < 2:
        return f"{text}. One seed gives no range, so how sure that is cannot be said"
    apart = min(one.low for one in first) > max(one.high for one in after)
    return f"{text}: the ranges {'do not overlap' if apart else 'overlap, no clear difference'}"


def _range(one: Leak, brief: bool = False) -> str:
    if one.seeds < 2:
        return "" if brief else " (one seed)"
    over = "" if brief else f" over {counted(one.seeds, 'seed')}"
    return f" ({one.low:.2f} to {one.high:.2f}{over})"


def _seeds(leaks: Sequence[Leak]) -> str:
    return counted(min(one.seeds for one in leaks), "seed")


def _with(text: str, none_given: str) -> str:
    return f"{text}. {none_given}".rstrip()


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
