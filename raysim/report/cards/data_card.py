"""A data card of each organization's code: what it is, what was left out, what was agreed, what models give away.

All of it comes from the tables and the manifest. There is no code in it, and no path that leads out of the experiment.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from raysim.analysis.results import RunResults
from raysim.report.cards.facts import (
    ABOUT_FIGURES,
    TEMPLATES,
    OrganizationRows,
    agreement,
    figures,
    markdown_table,
    means,
)
from raysim.report.methods.data import source_words
from raysim.report.methods.words import listed, number
from raysim.tables.names import PUBLIC

FOLDER = "data_cards"

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_LARGEST = "n>1M"


def write_data_cards(results: RunResults, folder: Path, names: Iterable[str] | None = None) -> None:
    """Writes ``data_cards/NAME.md`` into `folder` for organizations, of which None means all."""
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    rows = OrganizationRows(results)
    for name in results.organizations if names is None else names:
        (folder / FOLDER / f"{name}.md").write_text(data_card(results, rows, name), encoding="utf-8")


def data_card(results: RunResults, rows: OrganizationRows, name: str) -> str:
    """The card of an organization's code, as text of Markdown with a head of YAML."""
    from huggingface_hub import DatasetCard, DatasetCardData

    head = DatasetCardData(
        pretty_name=f"Code of {name}",
        annotations_creators="no-annotation",
        license="other",
        license_name="see-licences-below",
        size_categories=_size(sum(row["files"] for row in rows.of("corpora", name))),
        task_categories="text-generation",
        tags=["code", "raysim"],
    )
    titles, texts = _memorization(rows, name)
    card = DatasetCard.from_template(
        head,
        template_path=str(TEMPLATES / "data.md.j2"),
        name=name,
        run=results.run.manifest.get("name", ""),
        version=results.run.manifest.get("raysim", ""),
        sources=source_words(results, name),
        **{table: _table(rows, table, name) for table in _COLUMNS},
        looked_for=_looked_for(results),
        agreement=markdown_table(["", ""], agreement(results, name)),
        biases=biases(results, rows, name),
        memorization=markdown_table(["setting", "took part", *titles], texts),
        about_figures=ABOUT_FIGURES,
    )
    return str(card)


_COLUMNS = {
    "corpora": ("split", "files", "bytes", "lines", "tokens"),
    "file_licences": ("licence", "files"),
    "drops": ("reason", "files", "bytes"),
    "redactions": ("category", "kind", "action", "files", "occurrences"),
    "obfuscations": ("transformation", "outcome", "files", "changes"),
}
"""Of each table that a card shows."""


def _table(rows: OrganizationRows, table: str, name: str) -> str:
    columns = _COLUMNS[table]
    return markdown_table(columns, [[row[column] for column in columns] for row in rows.of(table, name)])


def biases(results: RunResults, rows: OrganizationRows, name: str) -> list[str]:
    """What the tables show of it that a user should reckon with, a sentence each."""
    preparation = results.run.setting("preparation") or {}
    found = [*_share_of_all(results, rows, name), *_in_common(rows, name)]
    for setting, what in (
        ("config_or_test_drop_probability", "configuration and test files"),
        ("no_keyword_drop_probability", "files without a function, a class or a loop"),
    ):
        if share := preparation.get(setting):
            found.append(f"Of {what}, a share of {number(share)} was left out by chance: they are rarer here.")
    if limit := results.run.setting("organizations", name, "limit"):
        found.append(f"It is a sample of at most {number(limit)} bytes, in files that were drawn by chance.")
    if cut := preparation.get("truncate_files"):
        found.append(f"Of each training file only the first {number(cut)} tokens are trained on.")
    if any(row["outcome"] == "changed" for row in rows.of("obfuscations", name)):
        found.append("Training files are not as they were written (see above): they were obfuscated.")
    if any(row["action"] == "report" for row in rows.of("redactions", name)):
        found.append("Secrets or personal data that were found (see above) are still in it, and models learn them.")
    return found


def _share_of_all(results: RunResults, rows: OrganizationRows, name: str) -> list[str]:
    tokens = {
        one: row["tokens"]
        for one in results.organizations
        for row in rows.of("corpora", one)
        if row["split"] == "train"
    }
    if name not in tokens or len(tokens) < 2:
        return []
    share = tokens[name] / sum(tokens.values())
    return [f"It makes {share:.0%} of the training tokens of {number(len(tokens))} organizations."]


def _in_common(rows: OrganizationRows, name: str) -> list[str]:
    where = {PUBLIC: "also stand in the public references", name: "occur more than once within it"}
    return [
        f"{row['share']:.1%} of its lines {where.get(row['other'], 'are also code of ' + row['other'])}."
        for row in rows.of("clones", name)
    ]


def _looked_for(results: RunResults) -> str:
    redact = results.run.setting("preparation", "redact") or {}
    asked = [f"{category} ({action})" for category, action in redact.items() if action != "off"]
    if not asked:
        return "They were not looked for: there may be any."
    return f"Looked for: {listed(asked)}. What has no form, such as names of people, is not found."


def _memorization(rows: OrganizationRows, name: str) -> tuple[list[str], list[list[str]]]:
    """Figures of each setting's final models, apart where its code took part and where not, as means over models."""
    groups: dict[tuple[str, bool], list[Mapping[str, Any]]] = {}
    for row in rows.of("summary", name):
        groups.setdefault((row["strategy"], row["took_part"]), []).append(row)
    titles, texts = figures([means(group) for group in groups.values()])
    places = [[strategy, "yes" if took_part else "no"] for strategy, took_part in groups]
    return titles, [[*place, *text] for place, text in zip(places, texts, strict=True)]


def _size(files: int) -> str:
    return next((text for most, text in _SIZES if files < most), _LARGEST)
