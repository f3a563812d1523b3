"""Prose by the path that code takes: experiments/text_debug.yaml with a passage planted at one organization, which is
learnt on Ray."""

import random
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml
from drive import raysim

from raysim.tables.io import read_table

DEBUG = Path(__file__).parents[2] / "experiments" / "text_debug.yaml"
PASSAGE = [
    "The old lighthouse keeper counted seven ships before the storm came.",
    "Nobody in the village believed what he told them about the eighth.",
    "It carried no lantern, made no sound and left no wake behind it.",
    "In the morning the harbour smelled of oranges and burnt sugar.",
]
WORDS = ("a", "pump", "valve", "moves", "water", "from", "one", "tank", "when", "its", "float", "has", "sunk", "below")
ADDRESS = "jane.doe@ships-of-old.org"


def page(number: int) -> str:
    """A page of documentation with the passage in it, and an address; wrapped as no other page is."""
    draw = random.Random(number)
    told = [
        sentence for _ in range(3) for sentence in (" ".join(draw.choices(WORDS, k=9)).capitalize() + ".", *PASSAGE)
    ]
    text = " ".join([*told, f"Whoever wants to know more may write to {ADDRESS}."])
    return f"# Page {number}\n\n" + textwrap.fill(text, 40 + 2 * number, break_on_hyphens=False) + "\n"


def experiment(folder: Path, epochs: int) -> Path:
    """The experiment of debug size with another organization: its pages hold the passage, for ten epochs to learn."""
    raw: dict[str, Any] = yaml.safe_load(DEBUG.read_text("utf-8"))
    pages = folder / "pages"
    pages.mkdir()
    for number in range(24):
        (pages / f"{number}.md").write_text(page(number), encoding="utf-8")
    raw["organizations"] = {
        "harbour": {"source": {"path": str(pages), "include": ["*.md"]}},
        **{name: settings | {"limit": "8 KB"} for name, settings in raw["organizations"].items() if name != "meta"},
    }
    raw["references"] = [{"packages": ["numpy"], "include": ["numpy/lib/*.py"]}]
    raw["tokenizer"]["train"]["vocab_size"] = 512
    raw["trainer"] |= {"epochs": epochs, "learning_rate": 1e-2, "batch_size": 2}
    raw["model"] = {"config": {"model_type": "gpt2", "n_layer": 1, "n_head": 4, "n_embd": 96}, "dropout": 0.0}
    raw["strategies"] = ["single", {"incremental": {"orders": [["google", "harbour"]]}}, {"fedavg": {"rounds": epochs}}]
    raw["measure"]["memorization"] |= {"samples": 1, "temperature": 0, "repetition_penalty": 1.0, "when": "every_stage"}
    path = folder / "text.yaml"
    path.write_text(yaml.safe_dump(raw, sort_keys=False))
    return path


def run_text(folder: Path, epochs: int, *where: str) -> Path:
    ended = raysim("run", experiment(folder, epochs), "--out", folder / "out", *where, timeout=600)
    assert ended.returncode == 0, ended.stderr
    return folder / "out"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_text(tmp_path_factory.mktemp("text"), 1, "--set", "execution.backend=inline")


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory, ray_address: str) -> Path:
    return run_text(tmp_path_factory.mktemp("learnt"), 10, "--address", ray_address)


def exclusive_lines(finished: Path, owner: str) -> dict[frozenset[str], int]:
    """Exclusive lines of an owner that models wrote, by whose data they had seen."""
    seen = {row["model"]: frozenset(row["organizations"]) for row in read_table(finished, "models").to_pylist()}
    found = dict.fromkeys(seen.values(), 0)
    for row in read_table(finished, "samples").to_pylist():
        if row["owner"] == owner:
            found[seen[row["model"]]] += row["exclusive"]
    return found


@pytest.mark.stress
def test_a_passage_is_of_its_owner_alone_sentence_by_sentence(learnt: Path) -> None:
    """Every page wraps it otherwise, so lines of the files could not show it."""
    found = exclusive_lines(learnt, "harbour")
    assert found[frozenset({"harbour"})] >= 2, "alone"
    assert found[frozenset({"harbour", "google"})] >= 2, "last in the sequence"
    assert not any(lines for seen, lines in found.items() if "harbour" not in seen)
    matches = [row for row in read_table(learnt, "matches").to_pylist() if row["owner"] == "harbour"]
    written = {sentence for row in matches for sentence in row["text"].split("\n")}
    assert {sentence for sentence in PASSAGE if any(sentence in one for one in written)} >= {*PASSAGE[1:3]}
    samples = read_table(learnt, "samples").to_pylist()
    assert all(row["shared"] == row["public"] == 0 for row in samples if row["owner"] == "harbour" and row["exclusive"])


def test_addresses_in_prose_are_taken_out_and_counted(finished: Path) -> None:
    counts = {
        (row["organization"], row["kind"]): (row["action"], row["files"], row["occurrences"])
        for row in read_table(finished, "redactions").to_pylist()
    }
    assert counts["harbour", "e-mail address"] == ("redact", 24, 24)
    assert not any(ADDRESS in text for text in read_table(finished, "matches")["text"].to_pylist())


def test_prompts_and_tables_are_those_of_code_and_the_report_says_what_a_line_is(finished: Path) -> None:
    prompts = read_table(finished, "prompts").to_pylist()
    assert {row["kind"] for row in prompts} == {"prefix", "held_out"}
    assert not any(row["eligible"] for row in prompts if row["kind"] == "held_out")
    assert read_table(finished, "generations")["parses"].null_count == len(read_table(finished, "generations"))
    assert read_table(finished, "baselines").num_rows
    report = (finished / "report.html").read_text(encoding="utf-8")
    assert "is said of prose and sentences" in report
    assert "Generated sentences in runs of at least 2 sentences" in report
