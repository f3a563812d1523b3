"""Runs with differential privacy on real code: what they train, what they account for, and what they refuse."""

import re
from pathlib import Path
from typing import Any

import pytest
from drive import raysim

from raysim.tables.io import read_table

LLAMA = {
    "model_type": "llama",
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "tie_word_embeddings": False,
}
STRATEGIES: list[Any] = [
    {"dp_fedavg": {"rounds": 4, "clients": 1, "target_epsilon": 8, "quantile": 0.5}},
    {"dp_sgd": {"rounds": 2, "target_epsilon": 8, "clip": 0.5}},
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_writer) -> tuple[Path, str]:
    """A run of both units, inline: its folder, and what `plan` says of it beforehand."""
    folder = tmp_path_factory.mktemp("private")
    experiment = tiny_writer(folder)(model={"config": LLAMA}, strategies=STRATEGIES, measure={})
    planned = raysim("plan", experiment)
    assert planned.returncode == 0, planned.stderr
    ended = raysim("run", experiment, "--out", folder / "out")
    assert ended.returncode == 0, ended.stderr
    return folder / "out", planned.stdout


def test_every_round_is_accounted_for(finished) -> None:
    rows = read_table(finished[0], "privacy").to_pylist()
    spent = [(row["strategy"], row["organization"], row["round"]) for row in rows]
    sites = sorted({row["organization"] for row in rows} - {""})
    assert len(sites) == 3
    assert sorted(spent) == sorted(
        [("dp_fedavg", "", n) for n in range(1, 5)] + [("dp_sgd", s, n) for n in (1, 2) for s in sites]
    )
    for row in rows:
        assert row["epsilon"] <= 8
        if row["round"] == (4 if row["strategy"] == "dp_fedavg" else 2):
            assert row["epsilon"] > 7.9
    models = [row for row in read_table(finished[0], "models").to_pylist() if row["moment"] == "round"]
    assert len({row["model"] for row in models}) == 6


def test_the_report_has_unit_and_assumptions(finished) -> None:
    page = (finished[0] / "report.html").read_text("utf-8")
    assert "Differential privacy" in page
    assert "seeded noise protects in a simulation alone" in page
    assert "A file is no unit" in page


def test_a_plan_says_where_nothing_can_be_learned(finished) -> None:
    said = re.sub(r"\s+", " ", finished[1])
    assert "strategies: dp_fedavg: it can hardly learn: the noise of a step has" in said


def test_another_family_is_refused_in_one_line(tiny) -> None:
    ended = raysim("plan", tiny(strategies=[{"dp_sgd": {"rounds": 1}}], measure={}))
    assert ended.returncode == 2
    assert "of type gpt2: dp_sgd cannot clip its sequences one by one" in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
