"""What the report says of baselines: bits per byte without a network, beside those of each setting, by organization."""

from collections.abc import Mapping

from raysim.analysis.results import Row, RunResults
from raysim.measures.base import Section, SectionTable

Bits = Mapping[tuple[str, str], float]
"""Bits per byte by baseline and organization."""


def section(results: RunResults) -> Section | None:
    """The section of the report on baselines; None where none was computed."""
    rows = results.run.table("baselines").to_pylist()
    if not rows:
        return None
    bits = {(_label(row["baseline"], row["data"]), row["organization"]): row["bits_per_byte"] for row in rows}
    labels = list(dict.fromkeys(sorted((label for label, _ in bits), key=_place)))
    table = [(label, *(_shown(bits.get((label, name))) for name in results.organizations)) for label in labels]
    table += _settings(results, bits)
    missing = (
        ""
        if any("all organizations" in label for label in labels) or len(results.organizations) < 2
        else (" N-grams of all organizations' code are left out: not all of them share data.")
    )
    return Section(
        "baselines",
        "Baselines",
        "Baselines",
        150,
        lead="Bits per byte on each organization's own validation files: what is reached without any network, and what"
        " the settings reach.",
        tables=(SectionTable(("", *results.organizations), table),),
        note="A model that does not beat zlib and n-grams of its own training data has learned nothing that counting"
        f" would not give: such numbers are marked with ↓.{missing}",
    )


def _settings(results: RunResults, bits: Bits) -> list[tuple[str, ...]]:
    found = []
    for row in results.final_rows():
        cells = []
        for name in results.organizations:
            value = row.mean("bits_per_byte", name)
            weaker = value is not None and value > _to_beat(row, name, bits)
            cells.append(_shown(value) + (" ↓" if weaker else ""))
        if any(cell != "–" for cell in cells):
            found.append((row.label, *cells))
    return found


def _to_beat(row: Row, organization: str, bits: Bits) -> float:
    """The best of zlib and of the n-grams that saw what the setting trains on; nothing where that was not computed."""
    data = {"base": "base", "single": "own"}.get(row.family, "together")
    trained_here = row.family != "single" or row.order == organization
    known = [value for (label, name), value in bits.items() if name == organization and label == "zlib, file by file"]
    known += [
        value
        for (label, name), value in bits.items()
        if name == organization and trained_here and label.endswith(f", {_DATA[data]}")
    ]
    return min(known, default=float("inf"))


_DATA = {
    "base": "the base's public code",
    "own": "its own code",
    "together": "all organizations' code",
    "base + own": "the base's code and its own",
    "base + together": "the base's code and all organizations'",
}


def _label(baseline: str, data: str) -> str:
    if baseline == "uniform":
        return "uniform guess"
    return f"{baseline}, {_DATA[data]}" if data else f"{baseline}, file by file"


def _place(label: str) -> tuple[bool, bool, int]:
    ends = [place for place, text in enumerate(_DATA.values()) if label.endswith(f", {text}")]
    return label != "uniform guess", not label.startswith("zlib"), ends[0] if ends else -1


def _shown(bits: float | None) -> str:
    return "–" if bits is None else f"{bits:.2f}"
