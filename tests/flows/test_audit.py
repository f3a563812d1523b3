"""An audit of an exported checkpoint gives the tables of its run; one of a foreign checkpoint says what it found."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from drive import raysim
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedTokenizerFast,
)

from raysim.analysis.audit import AuditReport
from raysim.core.errors import InputError
from raysim.corpus.tokenizer import CodeTokenizer
from raysim.experiment.audit import AuditRequest, audit_experiment, planting_notes
from raysim.experiment.config import load_experiment
from raysim.tables.io import read_table, table_hash, write_table

SIZES: dict[str, dict[str, Any]] = {
    "gpt2": {"n_layer": 1, "n_head": 2, "n_embd": 32, "n_positions": 96},
    "llama": {"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 32, "intermediate_size": 48},
    "qwen2": {
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "hidden_size": 32,
        "intermediate_size": 48,
    },
}


def audit(*words: Any) -> AuditReport:
    ended = raysim("audit", *words, "--set", "execution.backend=inline", "--json")
    assert ended.returncode == 0, ended.stderr
    jsonschema.validate(json.loads(ended.stdout), AuditReport.model_json_schema())
    return AuditReport.model_validate_json(ended.stdout)


def of_model(out: Path, name: str, model: str) -> pa.Table:
    """Rows of a table about a model, without its key."""
    table = read_table(out, name)
    chosen = table.filter(pc.field("model") == model)
    return chosen.drop_columns([c for c in ("model", "baseline_model") if c in chosen.column_names])


@pytest.mark.slow
def test_like_its_run_an_exported_checkpoint_gives_the_tables_of_the_run(
    tiny: Callable[..., Path], tmp_path: Path
) -> None:
    memorization = {
        "prompts": {"function": 3, "prefix": 3, "held_out": 2},
        "prefix_tokens": 16,
        "function_tokens": 32,
        "samples": 2,
        "new_tokens": 24,
        "min_lines": 1,
    }
    measure = {"perplexity": {}, "memorization": memorization, "exposure": {}, "membership": {"chunk_tokens": 32}}
    canaries = {"repeats": [0, 4], "count": 2, "length": 4}
    path = tiny(strategies=["centralized"], measure=measure, canaries=canaries)
    out, there = tmp_path / "out", tmp_path / "exported"
    ended = raysim("run", path, "--out", out)
    assert ended.returncode == 0, ended.stderr
    (model,) = {row["model"] for row in read_table(out, "models").to_pylist() if row["final"]}
    ended = raysim("export-model", out, model, there)
    assert ended.returncode == 0, ended.stderr

    report = audit("--model", there, "--like", out, "--out", tmp_path / "audit")

    (given,) = {row["model"] for row in read_table(tmp_path / "audit", "models").to_pylist()}
    assert given != model
    for name in ("losses", "samples", "generations", "matches", "canaries", "membership", "study_counts"):
        theirs, ours = of_model(out, name, model), of_model(tmp_path / "audit", name, given)
        assert ours.num_rows or name == "matches", name
        assert table_hash(ours) == table_hash(theirs), name
    assert table_hash(read_table(out, "prompts")) == table_hash(read_table(tmp_path / "audit", "prompts"))
    assert [corpus.organization for corpus in report.corpora] == ["alpha", "beta", "gamma"]
    assert all(corpus.verdict == "refused" for corpus in report.corpora), "five files are too few for a verdict"


@pytest.fixture
def foreign(tmp_path: Path, tokenizer: CodeTokenizer) -> Callable[[str], Path]:
    """Makes a checkpoint of random weights and a tokenizer, as transformers writes them."""

    def make(family: str) -> Path:
        from tokenizers import Tokenizer

        torch.manual_seed(1)
        common = {"vocab_size": 300, "max_position_embeddings": 96, "bos_token_id": 0, "eos_token_id": 0}
        config = AutoConfig.for_model(family, **common, **SIZES[family])
        AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / family)
        text = Tokenizer.from_str(tokenizer.json)
        bos = text.id_to_token(0)
        PreTrainedTokenizerFast(tokenizer_object=text, bos_token=bos, eos_token=bos).save_pretrained(tmp_path / family)
        return tmp_path / family

    return make


@pytest.mark.slow
@pytest.mark.parametrize("family", list(SIZES))
def test_a_foreign_checkpoint(
    foreign: Callable[[str], Path], corpus_folders: dict[str, Path], tmp_path: Path, family: str
) -> None:
    few = ("--set", "measure.memorization.prompts={prefix: 2, held_out: 1}", "--set", "measure.memorization.samples=1")
    alpha, beta = (f"{name}={corpus_folders[name]}" for name in ("alpha", "beta"))
    held_out = f"alpha={corpus_folders['gamma']}"
    report = audit(
        "--model", foreign(family), "--corpus", alpha, "--corpus", beta, "--held-out", held_out, *few,
        "--out", tmp_path / "audit",
    )  # fmt: skip
    assert [corpus.organization for corpus in report.corpora] == ["alpha", "beta"]
    corpora = read_table(tmp_path / "audit", "corpora").to_pylist()
    files = {(row["organization"], row["split"]): row["files"] for row in corpora}
    assert files["alpha", "train"] == len(list(corpus_folders["alpha"].glob("*.py")))
    assert files["alpha", "valid"] == len(list(corpus_folders["gamma"].glob("*.py")))
    assert files["beta", "valid"] == 0
    losses = read_table(tmp_path / "audit", "losses").to_pylist()
    assert {(row["organization"], row["split"]) for row in losses} == {
        ("alpha", "train"), ("alpha", "valid"), ("beta", "train"),
    }  # fmt: skip
    membership = report.corpora[0].membership
    assert membership is not None
    assert membership.verdict == "refused"
    assert "100 are needed" in membership.why


def test_code_that_was_trained_on_is_never_held_out(corpus_folders: dict[str, Path], tmp_path: Path) -> None:
    from raysim.corpus.preparation_settings import PreparationSettings
    from raysim.organizations.organization import Organization, PreparationContext
    from raysim.organizations.settings import OrganizationSettings

    shutil.copytree(corpus_folders["gamma"], tmp_path / "held")
    some = sorted(corpus_folders["alpha"].glob("*.py"))[0]
    shutil.copy(some, tmp_path / "held/again.py")
    settings = OrganizationSettings.model_validate(
        {"source": {"path": str(corpus_folders["alpha"])}, "held_out": {"path": str(tmp_path / "held")}}
    )
    context = PreparationContext(PreparationSettings.off(), 1, None, 64, 6)
    corpus = Organization("alpha", settings, tmp_path)._filter_and_split(context, lambda text: 1)
    assert {f.path for f in corpus.valid} == {f.name for f in corpus_folders["gamma"].glob("*.py")}
    assert ("held out: copy of a training file", 1) in {(drop.reason, drop.files) for drop in corpus.drops}


def test_what_is_planted_is_spoken_of_before_the_work(finished_small: tuple[Path, Path], tmp_path: Path) -> None:
    run = shutil.copytree(finished_small[1], tmp_path / "run")
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    request = AuditRequest(model, like=run)

    def notes(**planted: Any) -> list[str]:
        experiment, base = audit_experiment(request)
        return planting_notes(request, load_experiment({**experiment, **planted}, (), base).experiment)

    assert notes() == []
    survive, unknown = notes(canaries={"repeats": [0, 4], "count": 1})
    assert survive == "canaries: planted after preparation, so that no filter, deduplication or limit drops any of them"
    assert unknown.startswith("canaries: this model is not known to be trained on them")
    (model / "raysim.json").write_text(json.dumps({"model": read_table(run, "models").column("model")[0].as_py()}))
    (survive,) = notes(canaries={"repeats": [0, 4], "count": 1}, plants={"functions": {0: 1, 2: 1}})
    assert survive.startswith("canaries and planted functions: planted after preparation")


def test_like_a_run_takes_its_seed_and_not_its_findings(finished_small: tuple[Path, Path], tmp_path: Path) -> None:
    """A seed of 0 is one; arms that findings name are not in an audit."""
    run = tmp_path / "run"
    shutil.copytree(finished_small[1], run)
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["experiment"]["findings"] = {"F2": {"arms": ["fedyogi"]}}
    (run / "manifest.json").write_text(json.dumps(manifest))
    models = read_table(run, "models")
    zero = models.set_column(models.column_names.index("seed"), "seed", pa.array([0] * len(models), pa.int64()))
    write_table(run, "models", zero)
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    foreign, _ = audit_experiment(AuditRequest(model, like=run))
    assert foreign["tokenizer"] == {"pretrained": str(model)}
    (model / "raysim.json").write_text(json.dumps({"model": models.column("model")[0].as_py()}))
    own, base = audit_experiment(AuditRequest(model, like=run))
    assert (own["seed"], base) == ([0], Path(manifest["base"]))
    assert own["tokenizer"] == manifest["experiment"]["tokenizer"]
    assert "findings" not in own
    manifest["points"] = [{"name": "one", "folder": "points/one", "values": {}}]
    (run / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="is a sweep; name the run of one of its points, such as points/one"):
        audit_experiment(AuditRequest(model, like=run))
