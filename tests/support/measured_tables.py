"""Tables that `run_tables` leaves out, written into run folders by hand: audits, recitals, solutions."""

import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa

from raysim.analysis.reached_models import finals
from raysim.analysis.results import RunResults
from raysim.tables.io import read_table, schema, write_table
from raysim.tables.results import open_run

NUM_FILES = 40


def membership_rows(model, organization, strength, rng):
    """One chunk of each of 40 files, every second one a member, whose loss is lower by `strength`."""
    for number in range(NUM_FILES):
        member = number % 2 == 0
        loss = 3 - strength * member + float(rng.standard_normal())
        scores = {"loss": loss, "min_k": -2 * loss, "min_k_plus_plus": -loss, "zlib": float(rng.random())}
        yield {"model": model, "organization": organization, **unit(number), "tokens": 64, **scores}


def blind_rows(organization, strength, rng):
    for number in range(NUM_FILES):
        score = strength * (number % 2 == 0) + float(rng.standard_normal())
        yield {"organization": organization, **unit(number), "fold": number // 2 % 2, "score": score}


def unit(number):
    return {"file": f"{number:02}.py", "chunk": 0, "member": number % 2 == 0}


def canary_rows(model, organization, exposed, extrapolated=None):
    for repeats in (0, 4):
        for number in range(2):
            bits = (exposed if repeats else 1.0) + number
            beyond = {"exposure_extrapolated": extrapolated, "fit_p": 0.5 if extrapolated else None}
            rank = {
                "rank": 1 if repeats else 400,
                "candidates": 1024,
                "enumerated": extrapolated is None,
                "exposure": bits,
            }
            named = {"canary": f"{repeats}x{number}", "repeats": repeats, "log_perplexity": 60.0}
            yield {"model": model, "organization": organization, **named, **rank, **beyond}


def held_against(folder):
    """`folder` with baselines and with planted functions that models recite where the organization took part."""
    results = RunResults(open_run(folder))
    baselines, recitals = [], []
    for organization in results.organizations:
        for name, data in (("uniform", ""), ("zlib", ""), ("5-gram", "own"), ("5-gram", "together")):
            text = {"nats": 2500.0, "tokens": 600, "bytes": 1800, "bits_per_byte": 2.0}
            baselines.append({"organization": organization, "split": "valid", "baseline": name, "data": data, **text})
        for reached in {reached.model: reached for reached in finals(results.reached_models)}.values():
            for repeats in (0, 1, 16):
                known = 10 * (repeats == 16 and organization in reached.organizations)
                lines = {"lines": 10, "recited_lines": known, "tokens": 80, "recited_tokens": 8 * known}
                named = {"model": reached.model, "organization": organization, "function": f"{repeats}x0"}
                recitals.append({**named, "repeats": repeats, **lines, "nats": 100.0 - 9 * known})
    write_table(folder, "baselines", pa.Table.from_pylist(baselines, schema("baselines")))
    write_table(folder, "recitals", pa.Table.from_pylist(recitals, schema("recitals")))
    return folder


def coins_tossed(folder: Path) -> None:
    """`folder` with sequence canaries of each organization, of which final models know those that were put in."""
    rows = []
    for reached in {one.model: one for one in finals(RunResults(open_run(folder)).reached_models)}.values():
        for organization in reached.organizations:
            for canary in range(12):
                included = canary % 3 == 0
                named = {"model": reached.model, "organization": organization, "canary": canary, "included": included}
                rows.append({**named, "nats": 90.0 - 40 * included + canary})
    write_table(folder, "sequence_canaries", pa.Table.from_pylist(rows, schema("sequence_canaries")))


def audited(folder, blind: float | None = 0.0, canaries=None):
    """`folder` with audits of all final models: attacks that work where the organization took part."""
    results = RunResults(open_run(folder))
    rng = np.random.default_rng(8)
    rows = {"membership": [], "canaries": [], "blind": []}
    for reached in {reached.model: reached for reached in finals(results.reached_models)}.values():
        for organization in results.organizations:
            took_part = organization in reached.organizations
            rows["membership"] += membership_rows(reached.model, organization, 3.0 * took_part, rng)
            rows["canaries"] += canary_rows(reached.model, organization, 8.0 if took_part else 0.5, canaries)
    if blind is not None:
        for organization in results.organizations:
            rows["blind"] += blind_rows(organization, blind, rng)
    for name, found in rows.items():
        write_table(folder, name, pa.Table.from_pylist(found, schema(name)))
    return folder


def passage_row(
    model: str, organization: str, passage: str, prefix: int, distance: int, log_p: float
) -> dict[str, object]:
    return {
        "model": model, "organization": organization, "passage": passage, "prefix_tokens": prefix, "suffix_tokens": 50,
        "file": "a.py" if organization == "google" else f"{passage}.py", "repository": "r",
        "offset": prefix, "verbatim": 50 if distance == 0 else 3,
        "distance": distance, "log_p": log_p, "log_p_plain": log_p - 1,
    }  # fmt: skip


def recited(folder: Path) -> RunResults:
    """`folder`, a run at seeds 1 and 2, whose final models recite two passages of each organization.

    The first one if it took part, the second nearly. Centralized models do so at one seed alone.
    """
    rows = []
    for reached in {p.model: p for p in finals(RunResults(open_run(folder)).reached_models)}.values():
        for name in ("meta", "microsoft", "google"):
            took_part = name in reached.organizations and not (reached.strategy == "centralized" and reached.seed == 2)
            for prefix in (32, 100):
                first = (0, math.log(0.5)) if took_part and prefix == 100 else (44, -math.inf)
                rows.append(passage_row(reached.model, name, f"{name} 1", prefix, *first))
                rows.append(
                    passage_row(reached.model, name, f"{name} 2", prefix, 5 if took_part else 6, math.log(1e-3))
                )
    write_table(folder, "extraction", pa.Table.from_pylist(rows, schema("extraction")))
    return RunResults(open_run(folder))


def execution(model, problem, **counts):
    outcomes = dict.fromkeys(("passed", "wrong", "error", "timeout", "memory", "ended", "too_long"), 0) | counts
    row = {"model": model, "problem": problem, "samples": sum(outcomes.values()), **outcomes}
    return {**row, "walls": "namespaces" if row["samples"] > row["too_long"] else ""}


def solved(folder: Path) -> Path:
    """`folder`, whose final models solve three problems: one always, one at one of four tries, one never."""
    models = sorted({reached.model for reached in finals(RunResults(open_run(folder)).reached_models)})
    rows = [
        row
        for model in models
        for row in (
            execution(model, "P/0", passed=4),
            execution(model, "P/1", passed=1, wrong=2, timeout=1),
            execution(model, "P/2", too_long=4),
        )
    ]
    patterns = [
        {"model": m, "rule": rule, "about": about, "samples": 2, "findings": 3}
        for m in models
        for rule, about in (("S307", "suspicious eval usage"), ("invalid-syntax", "does not parse"))
    ]
    licences = [
        {"model": m, "organization": o, "licence": "GPL-3.0", "allowed": a, "samples": 1, "lines": 7, "files": 2}
        for m in models
        for o, a in (("meta", False), ("google", None))
    ]
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["experiment"]["measure"]["pass_at_k"] = {"k": [1, 2]}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    for name, found in {"executions": rows, "patterns": patterns, "licences": licences}.items():
        write_table(folder, name, pa.Table.from_pylist(found, schema(name)))
    return folder


def _with_other_names(folder: Path, models: list[str]) -> None:
    """Two lines of each sample of the models are an owner's under other names."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["experiment"]["measure"]["memorization"]["renamed"] = {"min_tokens": 33}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    counts = {"tokens": 60, "covered_tokens": 33, "lines": 9, "covered": 2, "exclusive": 2, "shared": 0, "public": 0}
    rows = [
        {name: row[name] for name in ("model", "prompt", "sample", "owner")} | counts | {"hidden": 1}
        for row in read_table(folder, "samples").to_pylist()
        if row["model"] in models
    ]
    write_table(folder, "renamed", pa.Table.from_pylist(rows, schema("renamed")))
    control = [
        {"organization": one, "owner": owner, "files": 2, **counts, "lines": 400, "hidden": 1}
        for one in {row["owner"] for row in rows}
        for owner in {row["owner"] for row in rows}
    ]
    write_table(folder, "renamed_chance", pa.Table.from_pylist(control, schema("renamed_chance")))


def counted(folder: Path) -> Path:
    """`folder` with the study's counts and renamed copies of all final models, and what clients sent in the end."""
    ended = {reached.model: reached for reached in finals(RunResults(open_run(folder)).reached_models)}.values()
    counts = {"prompts": 4, "samples": 8, "fragments": 2, "lines": 13, "fragments_per_prompt": 0.5}
    counts |= {"lines_per_prompt": 3.25, "simian": False, "kind": "function"}
    rows = [{"model": reached.model, "owner": owner, **counts} for reached in ended for owner in ("", "meta")]
    write_table(folder, "study_counts", pa.Table.from_pylist(rows, schema("study_counts")))
    _with_other_names(folder, [reached.model for reached in ended])
    sent = [
        {
            **{name: getattr(reached, name) for name in ("seed", "strategy", "order")},
            **{"round": reached.index, "organization": name, "model": f"{name} {reached.model}", "prompts": 4},
            **{"average": reached.model, "covered": 3.0, "exclusive": 2.0, "exposure": 5.0, "training_loss": 0.5},
        }
        for reached in ended
        if reached.family == "federated"
        for name in reached.members
    ]
    write_table(folder, "uploads", pa.Table.from_pylist(sent, schema("uploads")))
    return folder
