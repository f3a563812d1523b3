"""What the report says to each organization: what it brought, what its code looks like to others, what it lets go."""

from raysim.analysis.results import RunResults
from raysim.report.sections.overview import quantity
from raysim.tables.names import PUBLIC


def facts(results: RunResults) -> dict[str, list[tuple[str, str]]]:
    """For each organization names and texts of what there is to know beside its gains, as far as it was recorded."""
    return {
        name: [*_data(results, name), *_shared(results, name), *_sent(results, name)] for name in results.organizations
    }


def _data(results: RunResults, name: str) -> list[tuple[str, str]]:
    rows = [row for row in results.run.table("corpora").to_pylist() if row["organization"] == name]
    found = [
        (
            f"Data, {row['split']}",
            f"{quantity(row['files'])} files, {quantity(row['bytes'], 'B')}, {quantity(row['tokens'])} tokens",
        )
        for row in rows
    ]
    dropped = sum(row["files"] for row in results.run.table("drops").to_pylist() if row["organization"] == name)
    return [*found, ("Left out", f"{quantity(dropped)} files by preparation")] if dropped else found


def _shared(results: RunResults, name: str) -> list[tuple[str, str]]:
    """Shares of its lines that others have, too, before any training."""
    rows = [r for r in results.run.table("clones").to_pylist() if r["organization"] == name and r["other"] != name]
    parts = [
        f"{100 * row['share']:.1f} % in {'public references' if row['other'] == PUBLIC else row['other']}"
        for row in sorted(rows, key=lambda row: -row["share"])
    ]
    return [("Lines in common", ", ".join(parts))] if parts else []


def _sent(results: RunResults, name: str) -> list[tuple[str, str]]:
    """What crossed its boundary, by kind."""
    ledger = results.run.table("ledger")
    if not ledger.num_rows:
        return []
    sums: dict[str, int] = {}
    for row in (
        ledger.select(["sender", "kind", "bytes"])
        .group_by(["sender", "kind"])
        .aggregate([("bytes", "sum")])
        .to_pylist()
    ):
        if row["sender"] == name:
            sums[row["kind"]] = row["bytes_sum"]
    parts = [
        f"{kind} {quantity(size, 'B')}" for kind, size in sorted(sums.items(), key=lambda item: (-item[1], item[0]))
    ]
    return [("Left its boundary", ", ".join(parts))] if parts else []
