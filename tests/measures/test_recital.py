"""Recital against greedy decoding that really goes on token by token."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from audited import organization_of, slow_log_probs, spec_of

from raysim.corpus.corpus import PlantedFunction
from raysim.corpus.planted_functions import PlantSettings, write_functions
from raysim.inference.greedy import continue_greedily
from raysim.measures.recital import recitals
from raysim.organizations.organization import Organization
from raysim.training.models import build_model

TEXTS = {f"{i}.py": f"value_{i} = {i * 37}\nkey = {i}\n" * 4 for i in range(6)}
LENGTH = 512
FUNCTIONS = write_functions(PlantSettings(functions={1: 3}), "alpha", 1)


@pytest.fixture
def organization(tmp_path: Path) -> Organization:
    return organization_of(tmp_path, {**TEXTS, **{f"{f.name}.py": f.text for f in FUNCTIONS}})


def model_of(organization: Organization) -> Any:
    spec = spec_of(organization, n_positions=LENGTH, n_embd=32)
    return build_model(spec.settings, spec.vocab_size, 0, LENGTH, seed=3)


def fit(model: Any, organization: Organization, functions: tuple[PlantedFunction, ...], steps: int) -> None:
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for step in range(steps):
        ids = torch.tensor([[0, *organization.tokenizer.encode(functions[step % len(functions)].text)]])
        optimizer.zero_grad()
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()


def greedily(model: Any, organization: Organization, function: PlantedFunction) -> tuple[int, int]:
    """Tokens and lines that a model goes on with word for word, decoded one after the other."""
    tokens = [0, *organization.tokenizer.encode(function.text)]
    shown = len(organization.tokenizer.encode(function.signature)) + 1
    with torch.inference_mode():
        written = continue_greedily(model, torch.tensor([tokens[:shown]]), len(tokens) - shown)[0].tolist()
    right = next((i for i, (a, b) in enumerate(zip(written, tokens[shown:], strict=True)) if a != b), len(written))
    text = organization.tokenizer.decode(tokens[1 : shown + right])
    lines, recited = function.text.splitlines(), text.splitlines()
    whole = [a for a, b in zip(lines[1:], recited[1:], strict=False) if a == b]
    return right, len(whole)


def test_it_is_what_greedy_decoding_writes(organization: Organization) -> None:
    model = model_of(organization)
    fit(model, organization, FUNCTIONS[:2], 160)
    model.eval()
    rows = recitals(model, FUNCTIONS, organization.tokenizer, LENGTH, 2).to_pylist()
    expected = [greedily(model, organization, function) for function in FUNCTIONS]
    assert [(row["recited_tokens"], row["recited_lines"]) for row in rows] == expected
    assert rows[0]["recited_lines"] > rows[2]["recited_lines"], "the third it never saw"
    assert [row["lines"] for row in rows] == [11, 11, 11]
    window = [0, *organization.tokenizer.encode(FUNCTIONS[2].text)]
    shown = len(organization.tokenizer.encode(FUNCTIONS[2].signature))
    slow = [row[token] for row, token in zip(slow_log_probs(model, window), window[1:], strict=True)]
    assert rows[2]["nats"] == pytest.approx(-sum(slow[shown:]), rel=1e-4)


def test_a_model_that_knows_one_function_recites_all_of_it(organization: Organization) -> None:
    model = model_of(organization)
    fit(model, organization, FUNCTIONS[:1], 150)
    known, *others = recitals(model.eval(), FUNCTIONS, organization.tokenizer, LENGTH, 8).to_pylist()
    assert (known["recited_lines"], known["recited_tokens"]) == (11, known["tokens"])
    assert all(row["recited_lines"] < 6 for row in others)


def test_what_is_longer_than_a_sequence_is_cut(organization: Organization) -> None:
    (row,) = recitals(model_of(organization), FUNCTIONS[:1], organization.tokenizer, 64, 8).to_pylist()
    shown = len(organization.tokenizer.encode(FUNCTIONS[0].signature))
    assert row["tokens"] == 64 - shown
    assert row["lines"] < 11
    assert np.isfinite(row["nats"])
