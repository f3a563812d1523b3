"""A data card says what the tables say of an organization's code, and has none of it."""

from pathlib import Path

import pyarrow as pa
import pytest
from described import unchanged, with_experiment
from huggingface_hub import DatasetCard

from raysim.analysis.results import RunResults
from raysim.report.cards.data_card import biases, data_card, write_data_cards
from raysim.report.cards.facts import OrganizationRows
from raysim.report.run_page import write_run_page
from raysim.tables.io import schema
from raysim.tables.results import open_run

TEXT = "def secret_of_meta(self):\nreturn self.key\n"


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose report is written, and with it its summary."""
    folder = tmp_path_factory.mktemp("cards") / "run"
    with_experiment(folder, unchanged, text=TEXT, prompts=4)
    write_run_page(folder)
    return folder


@pytest.fixture
def results(reported: Path) -> RunResults:
    return RunResults(open_run(reported))


def card(results: RunResults, name: str = "meta") -> str:
    return data_card(results, OrganizationRows(results), name)


def test_there_is_one_of_each_organization(results: RunResults, tmp_path: Path) -> None:
    write_data_cards(results, tmp_path)
    assert {path.stem for path in (tmp_path / "data_cards").iterdir()} == {"meta", "microsoft", "google"}
    loaded = DatasetCard.load(tmp_path / "data_cards" / "meta.md")
    head = loaded.data.to_dict()
    assert (head["pretty_name"], head["size_categories"], head["tags"]) == ("Code of meta", "n<1K", ["code", "raysim"])


def test_it_says_what_the_tables_say(results: RunResults) -> None:
    text = card(results)
    for line in (
        "- installed Python packages: torch 2.13.7",
        "| train | 12 | 40,000 | 1,040 | 14,400 |",
        "| fewer than 5 assignments | 9 | 27,900 |",
        "They were not looked for: there may be any.",
        "| Sharing | only weights and counts leave; its code stays with it |",
        "- It makes 33% of the training tokens of 3 organizations.",
        "- 9.0% of its lines occur more than once within it.",
        "- Of configuration and test files, a share of 0.7 was left out by chance: they are rarer here.",
    ):
        assert line in text.splitlines()
    summary = [row for row in results.run.table("summary").to_pylist() if row["organization"] == "meta"]
    (central,) = (row for row in summary if row["strategy"] == "centralized")
    assert f"| centralized | yes | {central['bits_per_byte']:.3f} | " in text
    alone = [row for row in summary if (row["strategy"], row["took_part"]) == ("single", False)]
    mean = sum(row["own_lines"] for row in alone) / len(alone)
    assert f" | {mean:.3f} | " in next(line for line in text.splitlines() if line.startswith("| single | no |"))


def test_there_is_no_code_in_it(results: RunResults) -> None:
    assert any("secret_of_meta" in (row["text"] or "") for row in results.run.table("matches").to_pylist())
    assert "secret_of_meta" not in card(results)


def test_what_was_found_and_under_which_licences_it_is(results: RunResults) -> None:
    found = {"category": "personal", "kind": "IBAN", "action": "report", "files": 1, "occurrences": 2}
    changed = {"transformation": "rename", "outcome": "changed", "files": 7, "changes": 8}
    tables = {"redactions": [found], "file_licences": [{"licence": "MIT", "files": 12}], "obfuscations": [changed]}
    for name, rows in tables.items():
        named = [{"organization": "meta", **row} for row in rows]
        results.run._tables[name] = pa.Table.from_pylist(named, schema(name))
    results.run.manifest["experiment"]["preparation"]["redact"] = {"secrets": "off", "personal": "report"}
    lines = card(results).splitlines()
    assert "Looked for: personal (report). What has no form, such as names of people, is not found." in lines
    assert "| personal | IBAN | report | 1 | 2 |" in lines
    assert "| MIT | 12 |" in lines
    assert "| rename | changed | 7 | 8 |" in lines
    assert any("they were obfuscated" in line for line in lines)
    assert "obfuscated" not in card(results, "google")
    assert any(line.startswith("- Secrets or personal data that were found") for line in lines)
    assert "| MIT | 12 |" not in card(results, "google").splitlines()


def test_a_sample_and_what_is_cut_are_biases(results: RunResults) -> None:
    experiment = results.run.manifest["experiment"]
    experiment["organizations"]["meta"]["limit"] = 40_000
    experiment["preparation"] |= {"truncate_files": 1_024, "config_or_test_drop_probability": 0}
    told = " ".join(biases(results, OrganizationRows(results), "meta"))
    assert "at most 40,000 bytes" in told
    assert "the first 1,024 tokens" in told
    assert "configuration" not in told
