"""What the report says of federated low-rank adapters: how far their averages are from what clients trained."""

from collections.abc import Sequence

import numpy as np

from raysim.analysis.results import RunResults
from raysim.measures.base import Section, SectionTable


def section(results: RunResults) -> Section | None:
    """The section, a row a setting, from the table ``update_norms``; None where no adapters were averaged."""
    rounds: dict[str, dict[tuple[int, str, int], tuple[float, float | None]]] = {}
    for row in results.run.table("update_norms").to_pylist():
        if row["factor_gap"] is not None:
            place = row["seed"], row["order"], row["round"]
            rounds.setdefault(row["strategy"], {})[place] = row["factor_gap"], row["average_gap"]
    if not rounds:
        return None
    rows = []
    for strategy, found in rounds.items():
        factors, made = ([gaps[side] for gaps in found.values()] for side in (0, 1))
        ends = max(number for *_, number in found)
        last = [gaps[0] for (*_, number), gaps in found.items() if number == ends]
        rows.append((strategy, len({number for *_, number in found}), _mean(factors), _mean(last), _mean(made)))
    return Section(
        "adapters",
        "Averages of adapters",
        "Averages of adapters",
        880,
        lead="What averaging the factors B and A of low-rank adapters apart loses of the average of their products,"
        " which is what clients trained: 0 % loses nothing, at 100 % the error is as large as the average itself.",
        tables=[
            SectionTable(("Setting", "Rounds", "Factors apart", "In the last round", "As it was averaged"), rows),
        ],
        note="Means over rounds, orders and seeds of norms over all adapted layers, relative to the norm of the exact"
        " average. The last column is of the models that the server made; a dash where it does more than average.",
    )


def _mean(gaps: Sequence[float | None]) -> str:
    known = [gap for gap in gaps if gap is not None]
    return f"{100 * np.mean(known):.2g} %" if known else "–"
