"""What commands print for people, of numbers made up here."""

from typing import Any

import pytest
from printed import printed, rows

from raysim.cli.views import garbage_view, inspect_view, plan_view, store_view, verification_view

STAGES = {"naive": 18, "unique": 15, "cached": 4}
TOKENS = {"train": 12_000, "losses": 0, "generate": 300, "extract": 0}
UNKNOWN_MEMORY: dict[str, Any] = {"unknown": "no such family", "warnings": []}
PLAN: dict[str, Any] = {
    "name": "mine",
    "strategies": {"incremental": STAGES},
    "parameters": 27_616,
    "models": 9,
    "tokens": TOKENS,
    "hours": 2.5,
    "seconds": {"start": 7.0, "preparation": 20.0, "work": 8400.0, "report": 4.2},
    "runs_in_log": 0,
    "warnings": [],
    "assumed_flop_per_s": 4.2e9,
    "slots": 2,
    "peak_bytes": 3_400_000,
    "bytes": 1_200,
    "keep": "leaves",
    "memory": UNKNOWN_MEMORY,
}


def test_a_plan_counts_what_is_in_the_store_and_what_is_to_come() -> None:
    text = printed(plan_view(PLAN))
    assert ["incremental", "18", "15", "4", "11"] in rows(text)
    assert "27,616 parameters; 9 models will exist." in text
    assert "12,000 to train on, 0 to score, 300 to generate." in text
    times = "7 s to start, 20 s to prepare the corpora, 2.3 hours of work, 4 s for tables and report"
    assert f"About 2.5 hours: {times}, on 2 slot(s); no run on this machine is known yet." in text
    assert "corrected by 3 earlier run(s) on this machine" in printed(plan_view(PLAN | {"runs_in_log": 3}))
    assert "Warning: few files." in printed(plan_view(PLAN | {"warnings": ["few files"]}))
    there = {"asked": 30, "took_part": 21, "dropped_out": 6, "late": 3, "begun_again": 2, "seconds": 540.0}
    attended = printed(plan_view(PLAN | {"participation": {"fedavg": there}}))
    assert "Participation (fedavg): 21 of 30 times that an organization is asked to train (6 drop out, 3" in attended
    assert "late, 2 rounds begun again), 9 minutes of simulated time a run." in attended
    assert "about 3.4 MB at most, 1.2 KB in the end (store.keep: leaves)" in text
    assert "Memory cannot be told beforehand of this model (no such family)." in text


@pytest.mark.parametrize(
    ("hours", "shown"),
    [(0.01, "36 s"), (0.5, "30 minutes"), (1.5, "1.5 hours"), (71.0, "71.0 hours"), (72.0, "3 days")],
)
def test_time_is_told_in_a_fitting_unit(hours: float, shown: str) -> None:
    assert f"About {shown}:" in printed(plan_view(PLAN | {"hours": hours}))


@pytest.mark.parametrize(
    ("count", "shown"), [(999, "999 bytes"), (1000, "1.0 KB"), (5 * 10**6, "5.0 MB"), (2 * 10**12, "2,000.0 GB")]
)
def test_bytes_are_told_in_a_fitting_unit(count: int, shown: str) -> None:
    assert f"about {shown} at most" in printed(plan_view(PLAN | {"peak_bytes": count}))


STEP = {"weights": 10**6, "optimizer": 2 * 10**6, "working": 3 * 10**6, "buckets": 10**6}
MEMORY: dict[str, Any] = {
    "memory_bytes": 8 * 10**9,
    "training": {"step": STEP, "process_bytes": 10**9, "at_once_bytes": 2 * 10**9},
    "generation": {"measure.memorization": {"process_bytes": 5 * 10**8, "at_once_bytes": 10**9}},
    "warnings": ["too little"],
}


def test_memory_is_told_by_its_parts() -> None:
    text = printed(plan_view(PLAN | {"memory": MEMORY}))
    assert (
        "Memory to train: about 1.0 GB a process (weights 1.0 MB, optimizer 2.0 MB, gradients and activations 4.0 MB),"
        " 2.0 GB at once; there are 8.0 GB."
    ) in text
    assert "Memory to generate (measure.memorization): about 500.0 MB a worker, 1.0 GB at once." in text
    assert "Warning: too little" in text


@pytest.mark.parametrize(
    ("there", "shown"), [(24 * 10**9, "of its 24.0 GB; 1.0 GB"), (None, "there is none here to compare; 1.0 GB")]
)
def test_memory_of_a_gpu_comes_first(there: int | None, shown: str) -> None:
    training = MEMORY["training"] | {"device_bytes": 10**9, "device_at_once_bytes": 3 * 10**9}
    text = printed(plan_view(PLAN | {"memory": MEMORY | {"training": training, "device_memory_bytes": there}}))
    assert "Memory to train: about 3.0 GB of a GPU (weights" in text
    assert f"{shown} of the machine's a process, 2.0 GB at once; there are 8.0 GB." in text


def test_a_plan_of_a_sweep_lists_its_points() -> None:
    def point(name: str, new: int, warnings: list[str]) -> dict[str, Any]:
        memory = {"warnings": warnings}
        return {
            "point": name,
            "unique": 15,
            "new": new,
            "tokens": {"train": 7_000},
            "hours": 0.01,
            "memory": memory,
        } | {"warnings": ["few files"]}

    points = [point("epochs=1", 15, []), point("epochs=2", 3, ["too little"])]
    text = printed(plan_view(PLAN | {"stages": STAGES | {"unique": 18}, "points": points}))
    assert "Plan of mine: a sweep of 2 points" in text
    assert ["incremental", "18", "15", "4", "11"] in rows(text)
    assert ["all, shared ones once", "18", "18", "4", "14"] in rows(text)
    assert ["epochs=2", "15", "3", "7,000", "36 s"] in rows(text)
    assert "epochs=2: too little" in text
    assert "epochs=1: few files" in text
    assert "epochs=1: too" not in text


def test_corpora_are_shown_with_what_was_left_out_of_them() -> None:
    counts = {"files": 2, "bytes": 3_000, "lines": 40, "tokens": 900, "sequences": 14}
    alone = {"organization": "a", "other": "a", "lines": 40, "covered": 0}
    inspected: dict[str, Any] = {
        "organizations": {
            "a": {
                "splits": {"train": counts, "valid": counts | {"lines": 7}},
                "duplicate_lines": 10,
                "line_spectrum": [[1, 20], [2, 10]],
                "line_entropy_bits": 4.874,
                "diversity": 0.75,
                "drops": [{"reason": "not [UTF-8]", "files": 1, "bytes": 11}],
                "licences": {"MIT": 2},
                "redactions": [
                    {
                        "category": "personal",
                        "kind": "e-mail [address]",
                        "action": "redact",
                        "files": 2,
                        "occurrences": 1_003,
                    }
                ],
            }
        },
        "diversity_lines": 40,
        "references": {"files": 1, "bytes": 9, "drops": [{"reason": "empty", "files": 3, "bytes": 5}]},
        "warnings": ["few files"],
        "sweep": {},
        "deduplication": {"across": "keep", "match": "exact"},
        "xray": {"min_lines": 6, "clones": [alone], "bounds": [], "policies": [], "prompts": {}, "split_copies": []},
    }
    text = printed(inspect_view(inspected))
    assert ["a", "train", "2", "3,000", "40", "900", "14", "10 (25.0%)"] in rows(text)
    assert ["a", "valid", "2", "3,000", "7", "900", "14", ""] in rows(text)
    assert ["a", "40", "30", "4.87", "0.750"] in rows(text)
    assert ["a", "not [UTF-8]", "1", "11"] in rows(text)
    assert ["(references)", "empty", "3", "5"] in rows(text)
    assert ["a", "MIT", "2"] in rows(text)
    assert ["a", "personal: e-mail [address]", "2", "1,003", "redact"] in rows(text)
    inspected["organizations"]["a"]["redactions"] = []
    assert "differently" not in text
    row = {"transformation": "rename", "outcome": "changed", "files": 1_002, "changes": 3}
    inspected["organizations"]["a"]["obfuscations"] = [row]
    assert ["a", "rename", "changed", "1,002", "3"] in rows(printed(inspect_view(inspected)))
    assert "Secrets" not in printed(inspect_view(inspected))
    assert "The sweep over" not in text
    swept = printed(inspect_view(inspected | {"sweep": {"trainer.epochs": [1, 2]}}))
    assert "The sweep over trainer.epochs (2 values) may change them from point to point." in swept


def test_verified_work_is_counted_by_kind() -> None:
    text = printed(verification_view(1_234, {"train": 15, "losses": 3}))
    assert "1,234 entries hashed" in text
    assert "to the same bits: 3 losses, 15 train." in text


@pytest.mark.parametrize("damaged", [0, 2])
def test_a_store_is_shown_by_kind_and_by_run(damaged: int) -> None:
    usage = {
        "store": "here",
        "entries": 5,
        "bytes": 2_000,
        "kinds": {"train": {"entries": 3, "bytes": 1_500, "arrays let go": 1}},
        "runs": [{"run": "one", "entries": 4, "bytes": 1_900, "alone": {"entries": 2, "bytes": 300}}],
        "no run": {"entries": 1, "bytes": 100},
        "damaged": damaged,
    }
    text = printed(store_view(usage))
    assert ["train", "3", "1.5 KB", "1"] in rows(text)
    assert ["one", "4", "1.9 KB", "2", "300 bytes"] in rows(text)
    assert ["no run", "1", "100 bytes", "", ""] in rows(text)
    assert ("Damaged and in no count: 2 entries; gc removes them" in text) == bool(damaged)


def test_what_was_removed_is_counted() -> None:
    garbage = {"store": "here", "bytes": 2_500, "removed": 3, "arrays let go": 4, "kept": 1_005}
    text = printed(garbage_view(garbage | {"checkpoints and damaged entries": 2}))
    assert "here: 2.5 KB in 3 entries that no run refers to, the arrays of 4 entries" in text
    assert "2 left-over checkpoints and damaged entries; 1,005 entries stay." in text
