"""The table `file_attacks`: by hand on a few files, what is refused, and which models are the references."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from run_tables import Options, build

from raysim.analysis.auc import true_positives_at
from raysim.analysis.file_attacks import _true_positives, file_attacks_table, reference_models
from raysim.analysis.reached_models import finals
from raysim.analysis.reference_attacks import lira, rmia
from raysim.analysis.results import RunResults
from raysim.tables.io import schema, write_table
from raysim.tables.results import open_run

MEMBERS, OTHERS = 130, 120
CHUNKS = 2


def attacked(folder: Path, others: int = OTHERS, **options: Any) -> RunResults:
    """A run whose final models know files that they were trained on a little better; files differ far more."""
    results = RunResults(open_run(build(folder, Options(prompts=1, files=1, **options))))
    rng = np.random.default_rng(4)
    rows, guesses = [], []
    files = [(f"m{i}.py", True) for i in range(MEMBERS)] + [(f"v{i}.py", False) for i in range(others)]
    for organization in results.organizations:
        hard = {name: rng.uniform(1.0, 3.0) for name, _ in files}
        for number, (name, member) in enumerate(files):
            where = {"organization": organization, "file": name, "member": member}
            guess = {**where, "fold": number % 5}
            guesses += [{**guess, "chunk": chunk, "score": rng.normal()} for chunk in range(CHUNKS)]
        for reached in {m.model: m for m in finals(results.reached_models)}.values():
            for name, member in files:
                known = 0.25 * (member and organization in reached.organizations)
                for chunk in range(CHUNKS):
                    loss = max(0.01, hard[name] - known + rng.normal(0, 0.1))
                    scores = {"loss": loss, "min_k": -loss, "min_k_plus_plus": -loss, "zlib": loss / 2}
                    place = {"model": reached.model, "organization": organization, "file": name, "member": member}
                    rows.append({**place, "chunk": chunk, "tokens": 10 + 20 * chunk, **scores})
    write_table(folder, "membership", pa.Table.from_pylist(rows, schema("membership")))
    write_table(folder, "blind", pa.Table.from_pylist(guesses, schema("blind")))
    return RunResults(open_run(folder))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> RunResults:
    options = {"leave_one_out": True, "seeds": (1, 2), "without": ("fedyogi", "incremental")}
    return attacked(tmp_path_factory.mktemp("attacked") / "run", **options)


@pytest.fixture(scope="module")
def rows(results: RunResults) -> list[dict[str, Any]]:
    return file_attacks_table(results).to_pylist()


def losses_by_hand(results: RunResults, model: str, organization: str) -> dict[str, float]:
    found: dict[str, list[tuple[float, int]]] = {}
    mine = (pc.field("model") == model) & (pc.field("organization") == organization)
    for row in results.run.membership.filter(mine).to_pylist():
        found.setdefault(row["file"], []).append((row["loss"], row["tokens"]))
    return {file: sum(x * n for x, n in of_file) / sum(n for _, n in of_file) for file, of_file in found.items()}


def test_the_references_are_the_models_without_the_owner_of_every_seed(results: RunResults) -> None:
    ends = finals(results.reached_models)
    whole = next(m for m in ends if m.strategy == "fedavg" and len(m.members) == 3 and m.seed == 2)
    found, kind = reference_models(whole, "google", ends)
    assert sorted((m.seed, m.strategy, m.members) for m in found) == [
        (seed, "fedavg", ("meta", "microsoft")) for seed in (1, 2)
    ]
    assert kind == "the same without it"
    # Nobody is left out of centralized here: those of other settings.
    pool = next(m for m in ends if m.strategy == "centralized")
    found, kind = reference_models(pool, "google", ends)
    assert kind == "other settings without it"
    assert all("google" not in m.organizations for m in found)
    assert {m.strategy for m in found} == {"single", "fedavg"}
    assert reference_models(pool, "google", [pool]) == ([], "")


def test_values_by_hand(results: RunResults, rows: list[dict[str, Any]]) -> None:
    ends = finals(results.reached_models)
    whole = next(m for m in ends if m.strategy == "fedavg" and len(m.members) == 3)
    references, _ = reference_models(whole, "meta", ends)
    own = losses_by_hand(results, whole.model, "meta")
    files = sorted(own)
    theirs = np.array(
        [
            [of_file[name] for name in files]
            for of_file in (losses_by_hand(results, m.model, "meta") for m in references)
        ]
    )
    member = np.array([name.startswith("m") for name in files])
    of_model = np.array([own[name] for name in files])
    expected = {"loss": -of_model, "lira": lira(of_model, theirs), "rmia": rmia(of_model, theirs, ~member)}
    mine = {r["score"]: r for r in rows if (r["model"], r["organization"]) == (whole.model, "meta")}
    assert set(mine) == {"loss", "zlib", "min_k", "min_k_plus_plus", "lira", "rmia"}
    for name, scores in expected.items():
        pairs = [(a > b) + 0.5 * (a == b) for a in scores[member] for b in scores[~member]]
        row = mine[name]
        assert row["auc"] == pytest.approx(np.mean(pairs))
        assert row["low"] < row["auc"] < row["high"]
        assert row["tpr_at_1_fpr"] == true_positives_at(scores, member, 0.01)
        assert row["tpr_at_01_fpr"] == pytest.approx(np.mean(scores[member] > scores[~member].max()))
        assert row["tpr_at_1_fpr_low"] <= row["tpr_at_1_fpr"] <= row["tpr_at_1_fpr_high"]
        assert row["gain"] == pytest.approx(row["auc"] - row["blind_auc"])
        assert (row["member_files"], row["non_member_files"]) == (MEMBERS, OTHERS)
    assert mine["lira"]["references"] == mine["rmia"]["references"] == 2
    assert mine["loss"]["references"] is None


def test_references_find_what_the_loss_alone_does_not(rows: list[dict[str, Any]]) -> None:
    trained = [r for r in rows if r["trained"]]
    untrained = [r for r in rows if not r["trained"]]
    by = {name: np.mean([r["auc"] for r in trained if r["score"] == name]) for name in ("loss", "lira", "rmia")}
    assert by["lira"] > 0.8 > by["loss"]
    assert by["rmia"] > 0.8
    assert all(r["verdict"] == "shows membership" for r in trained if r["score"] == "lira")
    found = [r["low"] <= 0.5 <= r["high"] for r in untrained if r["score"] in ("lira", "rmia")]
    assert np.mean(found) >= 0.8


def test_the_interval_of_true_positives_is_a_bootstrap_of_both_classes() -> None:
    """Held against resampling one file at a time, with the threshold found anew in each draw."""
    rng = np.random.default_rng(6)
    member = np.arange(300) % 2 == 0
    scores = rng.normal(1.5 * member, 1.0)
    found = _true_positives("tpr_at_1_fpr", 0.01, scores, member, ("any",))
    drawn = []
    for _ in range(2000):
        inside = [scores[member][int(rng.integers(150))] for _ in range(150)]
        outside = sorted((scores[~member][int(rng.integers(150))] for _ in range(150)), reverse=True)
        drawn.append(np.mean([score > outside[1] for score in inside]))  # one of 150 may be taken for a member
    assert found["tpr_at_1_fpr_low"] == pytest.approx(np.percentile(drawn, 2.5), abs=0.05)
    assert found["tpr_at_1_fpr_high"] == pytest.approx(np.percentile(drawn, 97.5), abs=0.05)


def test_fewer_than_a_hundred_non_members_are_refused_and_counted(tmp_path: Path) -> None:
    rows = file_attacks_table(attacked(tmp_path / "run", others=99, without=("incremental", "fedyogi"))).to_pylist()
    assert {r["verdict"] for r in rows} == {"refused"}
    assert {r["note"] for r in rows} == {"too few non-members: 99 files, 100 are needed"}
    assert all(r["auc"] is None and r["tpr_at_1_fpr"] is None for r in rows)
    assert {r["non_member_files"] for r in rows} == {99}


def test_without_a_reference_two_attacks_are_refused(tmp_path: Path) -> None:
    found = attacked(tmp_path / "run", without=("single", "incremental", "fedyogi", "fedavg"))
    verdicts = {(r["score"], r["verdict"] == "refused") for r in file_attacks_table(found).to_pylist()}
    assert {score for score, refused in verdicts if refused} == {"lira", "rmia"}


def test_without_membership_there_is_nothing(build_results: Any) -> None:
    assert file_attacks_table(build_results(prompts=1)).num_rows == 0
