"""What the report says to each organization: what it brought, what its code looks like to others, what it lets go."""

from collections.abc import Collection, Sequence

from raysim.analysis.gains import Gain
from raysim.analysis.held_out_copies import copied_in
from raysim.analysis.results import RunResults
from raysim.matching.held_out import CopiedFiles
from raysim.report.sections.overview import quantity
from raysim.tables.names import PUBLIC


def facts(results: RunResults, found: Sequence[Gain], shown: Collection[str]) -> dict[str, list[tuple[str, str]]]:
    """For each organization names and texts of what there is to know beside its gains, as far as it was recorded.

    Args:
        results: of the run.
        found: what every organization gains in every setting.
        shown: the organizations that are asked for.
    """
    copied = copied_in(results)
    return {
        name: [
            *_data(results, name),
            *_shared(results, name),
            *_copied(copied.get(name), [gain for gain in found if gain.organization == name]),
            *_sent(results, name),
        ]
        for name in results.organizations
        if name in shown
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
    found += [("Left out", f"{quantity(dropped)} files by preparation")] if dropped else []
    return [*found, *_redacted(results, name), *_obfuscated(results, name)]


def _redacted(results: RunResults, name: str) -> list[tuple[str, str]]:
    """Secrets and personal data in its files, by what was done about them."""
    rows = [row for row in results.run.table("redactions").to_pylist() if row["organization"] == name]
    titles = {"redact": "Taken out", "report": "Found and left in"}
    return [
        (title, ", ".join(f"{quantity(row['occurrences'])} of {row['kind']}" for row in mine))
        for action, title in titles.items()
        if (mine := [row for row in rows if row["action"] == action])
    ]


def _obfuscated(results: RunResults, name: str) -> list[tuple[str, str]]:
    """How many of its training files were written differently, by transformation."""
    rows = [row for row in results.run.table("obfuscations").to_pylist() if row["organization"] == name]
    parts = [f"{row['transformation']}: {quantity(row['files'])} files" for row in rows if row["outcome"] == "changed"]
    return [("Training files written differently", ", ".join(parts) or "none")] if rows else []


def _shared(results: RunResults, name: str) -> list[tuple[str, str]]:
    """Shares of its lines that others have, too, before any training."""
    rows = [r for r in results.run.table("clones").to_pylist() if r["organization"] == name and r["other"] != name]
    parts = [
        f"{100 * row['share']:.1f} % in {'public references' if row['other'] == PUBLIC else row['other']}"
        for row in sorted(rows, key=lambda row: -row["share"])
    ]
    return [("Lines in common", ", ".join(parts))] if parts else []


def _copied(copied: CopiedFiles | None, mine: Sequence[Gain]) -> list[tuple[str, str]]:
    """What of its validation files is trained on, and the losses without these."""
    if copied is None or not (copied.others or copied.copies):
        return []
    text = f"{100 * copied.share:.1f} % of the lines in others' training splits"
    if copied.copies:
        text += f"; {len(copied.copies)} of {copied.files} files for at least half in some training split"
        known = {"alone": next((gain.alone_without_copies for gain in mine), None)}
        known |= {gain.strategy: gain.together_without_copies for gain in mine}
        losses = [f"{setting} {bits:.3f}" for setting, bits in known.items() if bits is not None]
        text += f"; bits per byte without them: {', '.join(losses)}" if losses else "; none is left without them"
    return [("Validation code", text)]


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
