"""What a run measures of models on their way: losses of both splits along every curve, and what the server receives."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from drive import raysim

from raysim.store.task_log import read_log
from raysim.tables.io import read_table

MEMORIZATION = {
    "prompts": {"prefix": 3},
    "prefix_tokens": 8,
    "samples": 2,
    "new_tokens": 12,
    "min_lines": 1,
    "when": ["every_round", "every_epoch"],
    "uploads": "every_round",
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_writer: Any) -> Path:
    """One round of all epochs, so that a client sends what its organization trains alone; and two rounds of one."""
    folder = tmp_path_factory.mktemp("measured")
    write = tiny_writer(folder)
    path = write(
        strategies=[
            "single",
            {"centralized": {"leave_one_out": True}},
            {"fedavg": {"rounds": 1}},
            {"fedyogi": {"rounds": 2}},
        ],
        trainer={"epochs": 2, "sequence_length": 64, "batch_size": 8},
        measure={"perplexity": {"training_sequences": 4}, "memorization": MEMORIZATION},
        canaries={"repeats": [0, 2], "count": 1, "length": 4},
        execution={"backend": "inline"},
    )
    ended = raysim("run", path, "--out", folder / "out")
    assert ended.returncode == 0, ended.stderr
    return folder / "out"


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    return read_table(folder, name).to_pylist()


def test_every_model_of_every_curve_has_losses_of_both_splits(finished: Path) -> None:
    models = rows(finished, "models")
    moments = Counter((row["strategy"], row["moment"]) for row in models if len(row["members"]) == 3)
    assert moments["centralized", "epoch"] == moments["fedyogi", "round"] == 2
    assert sum(row["moment"] == "epoch" for row in models if row["strategy"] == "single") == 6
    found = rows(finished, "losses")
    assert {row["model"] for row in found} == {row["model"] for row in models}
    of_training = [row for row in found if row["split"] == "train"]
    places = Counter((row["model"], row["organization"]) for row in of_training)
    assert set(places.values()) == {1}
    assert len(places) == 3 * len({row["model"] for row in models})
    assert {(row["file"], row["tokens"]) for row in of_training} == {("", 4 * 63)}
    # An organization is fitted by training on it.
    losses = {(row["model"], row["organization"]): row["nats"] for row in of_training}
    for row in models:
        if row["strategy"] == "single" and row["final"]:
            own = row["members"][0]
            initial = next(m for m in models if m["moment"] == "initial")
            assert losses[row["model"], own] < losses[initial["model"], own]


def test_a_federations_steps_in_sequence_are_those_of_its_slowest_client(finished: Path) -> None:
    models = rows(finished, "models")
    alone = {row["members"][0]: row["steps"] for row in models if row["strategy"] == "single" and row["final"]}
    for row in models:
        if row["strategy"] in ("fedavg", "fedyogi") and row["final"]:
            assert row["steps"] == sum(alone.values())
            assert row["steps_in_sequence"] == max(alone.values()) < row["steps"]


def test_leave_one_out_of_centralized(finished: Path) -> None:
    pools = [row for row in rows(finished, "models") if row["strategy"] == "centralized" and row["final"]]
    assert len({row["arm"] for row in pools}) == 1
    assert sorted(len(row["members"]) for row in pools) == [2, 2, 2, 3]
    assert all(sorted(row["organizations"]) == sorted(row["members"]) for row in pools)


def test_what_a_client_sends_is_probed_as_a_model_is(finished: Path) -> None:
    """In one round of all epochs it is the model of its organization alone, whose own tables say the same of it."""
    models, uploads = rows(finished, "models"), rows(finished, "uploads")
    alone = {row["members"][0]: row["model"] for row in models if row["strategy"] == "single" and row["final"]}
    (average,) = [row["model"] for row in models if row["strategy"] == "fedavg" and row["final"]]
    of_fedavg = [row for row in uploads if row["strategy"] == "fedavg"]
    assert {row["organization"]: row["model"] for row in of_fedavg} == alone
    owner_of = {row["prompt"]: row["organization"] for row in rows(finished, "prompts")}
    samples, losses, canaries = (rows(finished, name) for name in ("samples", "losses", "canaries"))
    for row in of_fedavg:
        of = row["organization"]
        assert (row["seed"], row["round"], row["average"]) == (1, 1, average)
        mine = [s for s in samples if s["model"] == row["model"] and s["owner"] == of and owner_of[s["prompt"]] == of]
        prompts = {s["prompt"] for s in mine}
        assert row["prompts"] == len(prompts) == 3
        assert row["covered"] == sum(s["covered"] for s in mine) / 3
        assert row["exclusive"] == sum(s["exclusive"] for s in mine) / 3
        (loss,) = [x for x in losses if (x["model"], x["organization"], x["split"]) == (row["model"], of, "train")]
        assert row["training_loss"] == loss["nats"] / loss["tokens"]
        (canary,) = [c for c in canaries if (c["model"], c["organization"]) == (row["model"], of) and c["repeats"]]
        assert row["exposure"] == canary["exposure"]


def test_what_a_client_sends_is_no_model_of_the_run(finished: Path) -> None:
    uploads = [row for row in rows(finished, "uploads") if row["strategy"] == "fedyogi"]
    assert [row["round"] for row in uploads] == [1, 1, 1, 2, 2, 2]
    averages = {row["index"]: row["model"] for row in rows(finished, "models") if row["strategy"] == "fedyogi"}
    assert all(row["average"] == averages[row["round"]] for row in uploads)
    sent = {row["model"] for row in uploads}
    assert len(sent) == 6
    for name in ("models", "losses", "samples", "generations", "canaries", "emissions", "study_counts"):
        assert not sent & {row["model"] for row in rows(finished, name)}
    # Each is probed at its own organization alone: one piece of work of each kind.
    log = [row for row in read_log(finished / "stages.jsonl") if "fedyogi, upload of" in row["label"]]
    assert Counter(row["kind"] for row in log) == dict.fromkeys(("generate", "match", "training_losses", "exposure"), 6)
    assert "What the server receives" in (finished / "report.html").read_text(encoding="utf-8")


def test_neither_is_anything_computed_twice_nor_an_upload_kept(finished: Path) -> None:
    before = [row["key"] for row in read_log(finished / "stages.jsonl") if row["status"] == "computed"]
    assert len(before) == len(set(before))
    ended = raysim("run", finished.parent / "tiny.yaml", "--out", finished)
    assert ended.returncode == 0, ended.stderr
    after = [row["key"] for row in read_log(finished / "stages.jsonl") if row["status"] == "computed"]
    assert after == before
    sent = {row["model"] for row in rows(finished, "uploads") if row["strategy"] == "fedyogi"}
    kept = [key for key in sent if any((finished / "store/objects" / key).glob("*weights*"))]
    assert kept == []
