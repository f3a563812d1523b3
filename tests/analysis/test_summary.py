"""The summary equals numbers counted by hand on two models of two organizations; null is what was not measured."""

import json
from math import log
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from measured_tables import audited, counted, held_against, recited, solved
from run_tables import Options, build

from raysim.analysis.attacks import attacks_table
from raysim.analysis.gains import gains
from raysim.analysis.results import RunResults
from raysim.analysis.summary import summary_table
from raysim.tables.io import schema, write_table
from raysim.tables.results import open_run

Rows = list[dict[str, Any]]

ALONE, TOGETHER = "a" * 32, "f" * 32
OWNERS = ("acme", "beta")


def model(strategy: str, family: str, name: str, members: tuple[str, ...], seen: dict[str, int]) -> dict[str, Any]:
    return {
        "seed": 3, "strategy": strategy, "family": family, "arm": strategy, "fraction": 1.0,
        "order": " + ".join(members), "members": list(members), "moment": "round", "index": 2, "final": True,
        "model": name, "parents": [], "organizations": list(seen), "last": "", "tokens_seen": sorted(seen.items()),
        "steps": 20, "steps_in_sequence": 10, "learning_rate_sum": 0.1, "dropout": 0.0, "parameters": 9,
    }  # fmt: skip


MODELS = [
    model("single", "single", ALONE, ("acme",), {"acme": 100}),
    model("fedavg", "federated", TOGETHER, OWNERS, {"acme": 100, "beta": 60}),
]


def write(folder: Path, tables: dict[str, Rows]) -> RunResults:
    folder.mkdir(exist_ok=True)
    manifest = {"name": "small", "organizations": list(OWNERS), "experiment": {"measure": {"memorization": {}}}}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    for name, rows in tables.items():
        write_table(folder, name, pa.Table.from_pylist(rows, schema(name)))
    return RunResults(open_run(folder))


def summary(results: RunResults) -> dict[tuple[str, str], dict[str, Any]]:
    rows = summary_table(results, attacks_table(results.run)).to_pylist()
    return {(row["strategy"], row["organization"]): row for row in rows}


def loss(name: str, owner: str, split: str, file: str, nats: float, correct: int) -> dict[str, Any]:
    counts = {"tokens": 10, "correct": correct, "bytes": 40}
    return {"model": name, "organization": owner, "split": split, "file": file, "nats": nats, **counts}


def prompt(name: str, owner: str, eligible: bool = True) -> dict[str, Any]:
    facts = {"kind": "function", "organization": owner, "file": f"{name}.py", "repository": "r", "licence": None}
    copies = {"copies_within": 0, "copies_across": 0, "copies_public": 0, "licence_header": False}
    return {"prompt": name, **facts, "lines_to_come": 9, "eligible": eligible, **copies}


def sample(name: str, asked: str, owner: str, exclusive: int = 0, shared: int = 0, public: int = 0) -> dict[str, Any]:
    counts = {"exclusive": exclusive, "shared": shared, "public": public, "covered": exclusive + shared + public}
    return {"model": name, "prompt": asked, "sample": 0, "owner": owner, "lines": 30, **counts, "continued": 0}


def test_losses_by_hand(tmp_path: Path) -> None:
    losses = [
        loss(TOGETHER, "acme", "valid", "1.py", 20.0, 4),
        loss(TOGETHER, "acme", "valid", "2.py", 30.0, 5),
        loss(TOGETHER, "beta", "valid", "3.py", 10.0, 9),
        loss(TOGETHER, "acme", "train", "", 7.0, 9),
    ]
    rows = summary(write(tmp_path, {"models": MODELS, "losses": losses}))
    found = rows["fedavg", "acme"]
    assert found["bits_per_byte"] == pytest.approx(50 / log(2) / 80)
    assert (found["log_perplexity"], found["accuracy"], found["training_loss"]) == (2.5, 0.45, 0.7)
    assert rows["fedavg", "beta"]["training_loss"] is None
    assert rows["fedavg", "beta"]["joint_bits_per_byte"] == pytest.approx(60 / log(2) / 120)
    assert rows["single", "acme"]["bits_per_byte"] is None


def test_who_took_part_and_what_it_cost(tmp_path: Path) -> None:
    rows = summary(write(tmp_path, {"models": MODELS}))
    assert list(rows) == [(s, o) for s in ("single", "fedavg") for o in OWNERS]
    assert [row["took_part"] for row in rows.values()] == [True, False, True, True]
    assert [row["tokens_seen"] for row in rows.values()] == [100, 0, 100, 60]
    assert {(row["seed"], row["steps_in_sequence"], row["arm"]) for row in rows.values()} == {
        (3, 10, "single"), (3, 10, "fedavg"),
    }  # fmt: skip


def test_lines_by_hand(tmp_path: Path) -> None:
    prompts = [prompt("p", "acme"), prompt("q", "acme", eligible=False), prompt("r", "beta")]
    samples = [
        sample(TOGETHER, "p", "acme", exclusive=6, public=1),
        sample(TOGETHER, "p", "beta"),
        sample(TOGETHER, "q", "acme", shared=8),
        sample(TOGETHER, "q", "beta", shared=8),
        sample(TOGETHER, "r", "acme", exclusive=9),
        sample(TOGETHER, "r", "beta"),
    ]
    found = summary(write(tmp_path, {"models": MODELS, "prompts": prompts, "samples": samples}))["fedavg", "acme"]
    assert (found["exclusive"], found["shared"], found["public"], found["covered"]) == pytest.approx(
        (15 / 3, 8 / 3, 1 / 3, 24 / 3)
    )
    assert (found["covered_eligible"], found["exclusive_eligible"]) == (16 / 2, 15 / 2)
    assert (found["own_prompts"], found["own_lines"], found["own_leaking"]) == (2, 6 / 2, 1 / 2)
    assert (found["ratio"], found["ratio_eligible"], found["matched_share"]) == (24 / 3, 16 / 2, 1.0)


def test_canaries_and_plants_by_hand(tmp_path: Path) -> None:
    canary = {"model": TOGETHER, "organization": "beta", "log_perplexity": 9.0, "rank": 1, "candidates": 64}
    canaries = [
        {**canary, "canary": f"{n}x{i}", "repeats": n, "enumerated": True, "exposure": bits}
        for n, i, bits in ((0, 0, 1.5), (4, 0, 3.0), (4, 1, 4.0), (16, 0, 8.0))
    ]
    plant = {"model": TOGETHER, "organization": "beta", "lines": 9, "tokens": 50, "recited_tokens": 1, "nats": 40.0}
    recitals = [
        {**plant, "function": f"{n}x{i}", "repeats": n, "recited_lines": lines}
        for n, i, lines in ((0, 0, 0), (1, 0, 5), (1, 1, 0), (16, 0, 6), (16, 1, 9))
    ]
    rows = summary(write(tmp_path, {"models": MODELS, "canaries": canaries, "recitals": recitals}))
    assert (rows["fedavg", "beta"]["exposure"], rows["fedavg", "beta"]["exposure_unplanted"]) == (5.0, 1.5)
    assert (rows["fedavg", "beta"]["recited"], rows["fedavg", "beta"]["recited_unplanted"]) == (0.5, 0.0)
    assert rows["fedavg", "acme"]["exposure"] is None
    assert rows["fedavg", "acme"]["recited"] is None


def test_membership_and_extraction_by_hand(tmp_path: Path) -> None:
    unit = {"model": ALONE, "organization": "acme", "chunk": 0, "tokens": 8, "min_k": 0.0, "min_k_plus_plus": 0.0}
    membership = [
        {**unit, "file": f"{i}.py", "member": i < 2, "loss": nats, "zlib": 1.0 * i}
        for i, nats in enumerate((1.0, 4.0, 2.0, 3.0))  # two members, then two others: 1 beats both, 4 none
    ]
    passage = {"organization": "acme", "file": "a.py", "repository": "r", "offset": 0, "log_p": -1.0, "model": ALONE}
    extraction = [
        {**passage, "passage": str(i), "prefix_tokens": tokens, "suffix_tokens": 50, "verbatim": 1, "distance": away}
        | {"log_p_plain": -1.0}
        for i, tokens, away in ((0, 8, 0), (0, 32, 0), (1, 32, 5), (2, 32, 6), (3, 32, 40))
    ]
    rows = summary(write(tmp_path, {"models": MODELS, "membership": membership, "extraction": extraction}))
    found = rows["single", "acme"]
    assert (found["membership_loss_auc"], found["membership_min_k_auc"]) == (0.5, 0.5)
    assert found["membership_zlib_auc"] == 1.0
    assert found["membership_blind_auc"] is None
    assert (found["extracted"], found["near_extracted"]) == (0.25, 0.5)
    assert rows["single", "beta"]["extracted"] is None


def test_study_counts_and_the_last_upload(tmp_path: Path) -> None:
    count = {"model": TOGETHER, "owner": "acme", "simian": False, "prompts": 4, "samples": 8}
    counts = [
        {**count, "kind": kind, "fragments": n, "lines": 7 * n, "fragments_per_prompt": n / 4, "lines_per_prompt": 0.0}
        for kind, n in (("function", 2), ("prefix", 5))
    ]
    sent = {"seed": 3, "strategy": "fedavg", "order": "acme + beta", "organization": "acme", "average": TOGETHER}
    uploads = [
        {**sent, "round": n, "model": f"u{n}", "prompts": 4, "covered": 2.0 * n, "exclusive": 1.0 * n}
        for n in (1, 2)
    ]  # fmt: skip
    found = summary(write(tmp_path, {"models": MODELS, "study_counts": counts, "uploads": uploads}))["fedavg", "acme"]
    assert (found["study_function_fragments"], found["study_function_lines"]) == (2, 14)
    assert (found["study_prefix_fragments"], found["study_prefix_lines"]) == (5, 35)
    assert (found["upload_round"], found["upload_covered"], found["upload_exclusive"]) == (2, 4.0, 2.0)
    assert found["upload_exposure"] is None


MEASURED = set(schema("summary").names[schema("summary").names.index("bits_per_byte") :])


def test_what_was_not_asked_for_is_null(tmp_path: Path) -> None:
    rows = summary(write(tmp_path, {"models": MODELS}))
    assert {row[name] for row in rows.values() for name in MEASURED} == {None}


def test_every_column_is_filled_where_everything_was_measured(tmp_path: Path) -> None:
    folder = build(tmp_path / "run", Options(seeds=(1, 2)))
    solved(counted(held_against(audited(folder))))
    results = recited(folder)
    rows = list(summary(results).values())
    filled = {name for name in MEASURED if any(row[name] is not None for row in rows)}
    assert MEASURED - filled == {"study_prefix_fragments", "study_prefix_lines"}  # only functions were counted


def test_numbers_are_those_of_the_report(tmp_path: Path) -> None:
    results = RunResults(open_run(build(tmp_path / "run", Options())))
    rows = summary(results)
    for gain in gains(results):
        if gain.family != "incremental":  # of which a gain is a mean over orders
            row = rows[gain.strategy, gain.organization]
            assert (row["bits_per_byte"], row["own_lines"], row["own_leaking"], row["own_prompts"]) == (
                gain.together, gain.lines, gain.leaking, gain.prompts,
            )  # fmt: skip
