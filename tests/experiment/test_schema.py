"""The JSON schema takes what an experiment may say, and refuses what it may not."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from drive import raysim

from raysim.cli.init import write_experiment
from raysim.core.errors import InputError
from raysim.core.settings import apply_overrides
from raysim.core.yaml_files import load_yaml
from raysim.experiment.config import load_experiment
from raysim.experiment.points import points_of
from raysim.experiment.schema import experiment_schema

EXPERIMENTS = sorted(Path(__file__).parents[2].glob("experiments/*.yaml"))
DEBUG = next(path for path in EXPERIMENTS if path.stem == "debug")


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = experiment_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_is_valid(validator: jsonschema.Draft202012Validator, path: Path) -> None:
    validator.validate(load_yaml(path))


def test_what_init_writes_is_valid(validator: jsonschema.Draft202012Validator, tmp_path: Path) -> None:
    (tmp_path / "code: 1, #2").mkdir()
    write_experiment(tmp_path / "mine.yaml", [f"true={tmp_path / 'code: 1, #2'}"])
    raw = load_yaml(tmp_path / "mine.yaml")
    assert raw["organizations"]["true"]["source"] == {"path": str(tmp_path / "code: 1, #2")}
    validator.validate(raw)


@pytest.mark.parametrize(
    "override",
    [
        "trainer.epoch=3",
        "organization={}",
        "organizations.meta.source.package=[torch]",
        "organizations.meta.agreement.share=date",
        "organizations.meta.limit=40 TB",
        "organizations.meta.limit=0",
        "tokenizer.train.corpse=references",
        "tokenizer.train.vocab_size=10",
        "trainer.epochs=many",
        "measure.memorization.when=[finally]",
        "strategies=[fedsgd]",
        "strategies=[{fedsgd: {rounds: 2}}]",
        "strategies.fedavg.round=2",
        "strategies.fedavg.rounds=0",
        "strategies=[{single: {}, fedavg: {}}]",
        "strategies=[{incremental: {orders: by_luck}}]",
        "measure.membership={k: 120}",
        "references=[stdlob]",
    ],
)
def test_what_an_experiment_refuses_is_not_valid(validator: jsonschema.Draft202012Validator, override: str) -> None:
    assert not validator.is_valid(apply_overrides(load_yaml(DEBUG), [override]))
    with pytest.raises(InputError):
        load_experiment(DEBUG, [override])


@pytest.mark.parametrize("entry", ["goldfihs", "{goldfish: {k: 1}}", "{goldfish: {every: 3}}"])
def test_a_mitigation_that_is_refused_is_not_valid(validator: jsonschema.Draft202012Validator, entry: str) -> None:
    override = f"mitigations=[{entry}]"
    assert not validator.is_valid(apply_overrides(load_yaml(DEBUG), [override]))
    with pytest.raises(InputError):
        points_of(load_experiment(DEBUG, [override]).experiment)


@pytest.mark.parametrize(
    "override",
    [
        "seed=3",
        "organizations.meta.source=stdlib",
        "organizations.meta.limit=1.5 kb",
        "organizations.meta.limit=4000",
        "tokenizer.train={}",
        "measure.memorization.when=final",
        "measure.memorization=null",
        "measure.membership={k: 20 %}",
        "measure.membership={k: 0.2}",
        "measure.pass_at_k={k: 1, memory: 2 GB}",
        "strategies=[{single: null}, {single: {label: alone}}]",
        "strategies=[{incremental: {orders: by_size}}]",
        "strategies=[{incremental: {orders: [[meta, google]]}}]",
        "strategies=[{incremental: {orders: {sample: 2, design: latin}}}]",
        "references=[stdlib, {path: here}]",
        "mitigations=[goldfish, {dropout: {share: 0.2}}, {goldfish: {k: 2}, weight_decay: null}]",
    ],
)
def test_short_forms_are_valid(validator: jsonschema.Draft202012Validator, override: str) -> None:
    validator.validate(apply_overrides(load_yaml(DEBUG), [override]))
    load_experiment(DEBUG, [override])


def descriptions(schema: Any) -> int:
    if isinstance(schema, dict):
        return isinstance(schema.get("description"), str) + sum(map(descriptions, schema.values()))
    return sum(map(descriptions, schema)) if isinstance(schema, list) else 0


def test_the_command_prints_it() -> None:
    done = raysim("schema")
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed == json.loads(json.dumps(experiment_schema()))
    assert printed["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert descriptions(printed) > 80
