"""Sentences on corpora and their preparation, and on what was trained from them."""

from pathlib import Path

import pyarrow as pa
from described import text_of, unchanged, with_experiment

from raysim.tables.io import schema


def test_what_the_study_does_is_said(tmp_path: Path) -> None:
    text = text_of(with_experiment(tmp_path / "run", unchanged))
    for sentence in (
        "3 organizations took part: meta (installed Python packages: torch 2.13.7; training split: 12 files, 40,000"
        " bytes, 14,400 tokens; validation split: 3 files, 10,000 bytes, 3,600 tokens; content 3f2a and 77b1);",
        "files with fewer than 5 equals signs",
        "left out, over all organizations, by reason: duplicate of another file: 15; fewer than 5 assignments: 27.",
        "Files were split by hash (seed 1), in shares of 0.8 for training and 0.2 for validation.",
        "A byte-pair tokenizer of at most 32,768 tokens was trained on the references.",
        "with 1,182,336 trainable parameters; dropout 0.1.",
        "Training by adamw: 10 epochs, sequences of 1,024 tokens, batches of 2, peak learning rate 0.0005",
        "fedyogi (rounds: 10; local_epochs: 1)",
        "Training was done under seed 1.",
        "models answered at most 1,000 function prompts of each organization (5 samples each,",
        "Software: raysim 0.1.0, ray 2.60.0, torch 2.13.0 and transformers 5.23.0.",
    ):
        assert sentence in text


def test_packages_without_a_version_and_paths_that_lead_elsewhere(tmp_path: Path) -> None:
    sources = {
        "meta": {"packages": ["unknown"]},
        "microsoft": {"path": "/home/ada/code"},
        "google": {"files": ["../ada/a.jsonl", "b.jsonl"]},
    }
    organizations = {name: {"source": source} for name, source in sources.items()}
    text = text_of(with_experiment(tmp_path / "run", lambda e: e.update(organizations=organizations)))
    assert "meta (installed Python packages: unknown; training split" in text
    assert "microsoft (files of code; training split" in text
    assert "google (records of a.jsonl and b.jsonl; training split" in text
    assert "/ada" not in text


def test_how_parts_were_dealt(tmp_path: Path) -> None:
    skew = {"dirichlet": {"column": {"name": "folder", "depth": 2}, "alpha": 0.5, "balance": True}}
    ways = {
        "meta": ({"by": skew, "parts": 3, "part": 0}, "by folder (2 deep) in shares from Dir(0.5), balanced, seed 4"),
        "microsoft": ({"by": {"sizes": "linear"}, "parts": 3, "part": 1}, "by chance in linear sizes, seed 4"),
        "google": ({"by": {"column": {"name": "author"}}, "part": "ada"}, "by author"),
    }
    organizations = {
        name: {"source": "stdlib", "partition": {**partition, "seed": 4, "copies": "apart"}}
        for name, (partition, _) in ways.items()
    }
    text = text_of(with_experiment(tmp_path / "run", lambda e: e.update(organizations=organizations)))
    for name, (partition, how) in ways.items():
        dealt = f"{name} (Python's standard library; part {partition['part']} of its files, dealt {how}; training split"
        assert dealt in text


def test_what_was_agreed_to_and_what_was_taken_out(tmp_path: Path) -> None:
    agreed = {"source": "stdlib", "agreement": {"train_on": ["MIT", "Apache-2.0"]}}
    organizations = {"meta": agreed, "microsoft": {"source": "stdlib"}, "google": agreed}
    results = with_experiment(tmp_path / "run", lambda e: e.update(organizations=organizations))
    rows = [
        {"organization": name, "category": "personal", "kind": "IBAN", "action": action, "files": 1, "occurrences": n}
        for name, action, n in (("meta", "redact", 2), ("google", "redact", 1_000), ("microsoft", "report", 3))
    ]
    assert "Secrets" not in text_of(results)
    results.run._tables["redactions"] = pa.Table.from_pylist(rows, schema("redactions"))
    text = text_of(results)
    assert (
        "Only files under these licences were used: MIT and Apache-2.0 of meta; MIT and Apache-2.0 of google." in text
    )
    assert "Secrets and personal data were replaced by placeholders: IBAN: 1,002." in text
    assert "Secrets and personal data were counted and left as they are: IBAN: 3." in text


def test_what_prose_was_made_of_is_said(tmp_path: Path) -> None:
    prose = {"domain": "text", "min_sentences": 4}
    text = text_of(with_experiment(tmp_path / "run", lambda e: e["preparation"].update(prose)))
    assert "each sentence of 5 words or more that ends in a terminal mark" in text
    assert "files of fewer than 4 sentences" in text
    assert "Generated sentences in runs of at least 6 sentences that equal" in text
    assert "equals signs" not in text
    code = text_of(with_experiment(tmp_path / "code", unchanged))
    assert "sentences" not in code.replace("min_sentences", "")


def test_what_was_obfuscated(tmp_path: Path) -> None:
    results = with_experiment(tmp_path / "run", lambda e: e["preparation"].update(obfuscate={"copies": 3}))
    assert "obfuscated" not in text_of(results)
    rows = [
        {"organization": name, "transformation": what, "outcome": outcome, "files": 700, "changes": 9}
        for name, what, outcome in (
            ("meta", "rename", "changed"), ("google", "rename", "changed"), ("google", "reformat", "not parsed"),
        )
    ]  # fmt: skip
    results.run._tables["obfuscations"] = pa.Table.from_pylist(rows, schema("obfuscations"))
    assert (
        "Training files were obfuscated, in up to 3 variants of each (local variables renamed: 1,400); generated lines"
        " are compared with the originals as well." in text_of(results)
    )
