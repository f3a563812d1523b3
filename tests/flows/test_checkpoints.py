"""Checkpoints and types of models that a run cannot be made of, and names whose content moves."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drive import raysim
from hub_cache import COMMITS, OFFLINE, publish
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from raysim.corpus.tokenizer import CodeTokenizer
from raysim.tables.io import read_table
from raysim.training.models import ModelSettings, build_model

FEW: dict[str, Any] = {"strategies": [{"fedavg": {"rounds": 1}}], "measure": {}}
GENERATES: dict[str, Any] = {
    "memorization": {"prompts": {"prefix": 2}, "prefix_tokens": 16, "samples": 1, "new_tokens": 8, "min_lines": 2}
}
SMALL = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
END = "<|endoftext|>"


def save_model(folder: Path, seed: int = 1, **config: Any) -> Path:
    settings = ModelSettings(config={"model_type": "llama", **SMALL, **config})
    build_model(settings, 512, 0, 128, seed).save_pretrained(folder)
    return folder


def save_tokenizer(folder: Path, tokenizer: CodeTokenizer, extra: tuple[str, ...] = (), **tokens: str | None) -> None:
    built = Tokenizer.from_str(tokenizer.json)
    built.add_special_tokens(list(extra))
    PreTrainedTokenizerFast(tokenizer_object=built, **(tokens or {"bos_token": END})).save_pretrained(folder)


def trained(out: Path) -> set[str]:
    """The models at the end, the one that all started from aside."""
    models = read_table(out, "models").to_pylist()
    return {row["model"] for row in models if row["final"] and row["strategy"] != "base"}


def refused(path: Path, tmp_path: Path, *words: str, command: str = "run") -> None:
    """Exit code 2, one line, and nothing was trained."""
    out = ("--out", tmp_path / "out")
    ended = raysim(command, path, *out)
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert len(ended.stderr.splitlines()) == 1, ended.stderr
    assert all(word in ended.stderr for word in words), ended.stderr
    log = tmp_path / "out" / "stages.jsonl"
    assert not log.exists() or not any(json.loads(line)["kind"] == "train" for line in log.read_text().splitlines())


@pytest.mark.parametrize("command", ["plan", "run"])
def test_models_of_the_wrong_kind(command: str, tiny: Callable[..., Path], tmp_path: Path) -> None:
    """Told by what they compute, before any training."""
    bert = tiny("bert", model={"config": {"model_type": "bert", **SMALL}}, **FEW)
    refused(bert, tmp_path, "of type bert", "sees the tokens that it is to predict", command=command)
    state_space = {"config": {"model_type": "mamba", "hidden_size": 16, "num_hidden_layers": 1, "state_size": 4}}
    mamba = tiny("mamba", model=state_space, **{**FEW, "measure": GENERATES})
    refused(mamba, tmp_path, "of type mamba", command=command)


@pytest.mark.slow
def test_a_state_space_model_is_trained_where_it_need_not_write(tiny: Callable[..., Path], tmp_path: Path) -> None:
    state_space = {"config": {"model_type": "mamba", "hidden_size": 16, "num_hidden_layers": 1, "state_size": 4}}
    ended = raysim("run", tiny(model=state_space, **FEW), "--out", tmp_path / "out")
    assert ended.returncode == 0, ended.stderr
    assert len(read_table(tmp_path / "out", "losses")) > 0


def test_a_sweep_over_models_is_refused_before_its_first_point(tiny: Callable[..., Path], tmp_path: Path) -> None:
    bert, gpt2 = {"model_type": "bert", **SMALL}, {"model_type": "gpt2", "n_layer": 1, "n_head": 2, "n_embd": 16}
    refused(tiny(sweep={"model.config": [gpt2, bert]}, **FEW), tmp_path, "point ", "of type bert")
    assert not list(tmp_path.glob("out/points/*/stages.jsonl"))


def test_a_broken_checkpoint(
    tiny: Callable[..., Path], tmp_path: Path, tokenizer: CodeTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(tmp_path / "base")
    path = tiny(model={"pretrained": "base"}, **FEW)
    weights = tmp_path / "base/model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    for command in ("plan", "run"):
        refused(path, tmp_path, "model.pretrained", str(weights), "cannot be read", command=command)
    weights.write_bytes(whole)
    lora = tiny("tied", model={"pretrained": "tied", "lora": {"targets": ["lm_head"]}}, **FEW)
    save_model(tmp_path / "tied", tie_word_embeddings=True)
    refused(lora, tmp_path, "model.lora.targets", "lm_head", "one matrix", command="plan")
    # Code that comes with it is neither run nor offered.
    config = json.loads((tmp_path / "base/config.json").read_text())
    own = {"model_type": "own", "auto_map": {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}}
    (tmp_path / "base/config.json").write_text(json.dumps({**config, **own}))
    (tmp_path / "base/own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    refused(path, tmp_path, "base/config.json", "auto_map", command="plan")
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
def test_a_name_of_the_hub_is_what_it_means_now(
    tiny: Callable[..., Path], tmp_path: Path, tokenizer: CodeTokenizer
) -> None:
    """A branch moves: other results, and the old ones again when it moves back. Exports are of what was trained."""
    cache, found, losses = tmp_path / "hub", [], []
    for seed, commit in enumerate(COMMITS):
        folder = save_model(tmp_path / commit, seed)
        save_tokenizer(folder, tokenizer)
        publish(cache, "someone/model", commit, folder)
    named = {"pretrained": "someone/model"}
    path = tiny(model=named, tokenizer=named, **FEW)
    branch = cache / "models--someone--model/refs/main"
    for commit in (*COMMITS, COMMITS[0]):
        branch.write_text(commit)
        ended = raysim(
            "run",
            path,
            "--out",
            tmp_path / "out",
            "--store",
            tmp_path / "store",
            before=OFFLINE.format(cache=str(cache)),
        )
        assert ended.returncode == 0, ended.stderr
        found.append(trained(tmp_path / "out"))
        losses.append(read_table(tmp_path / "out", "losses").to_pylist())
    assert found[0] == found[2] != found[1]
    assert losses[0] == losses[2] != losses[1]
    branch.write_text(COMMITS[1])
    ended = raysim(
        "export-model", tmp_path / "out", *found[2], tmp_path / "exported", before=OFFLINE.format(cache=str(cache))
    )
    assert ended.returncode == 0, ended.stderr


def test_a_tokenizer_of_the_hub_is_what_it_means_now(
    tiny: Callable[..., Path], tmp_path: Path, tokenizer: CodeTokenizer, hub_cache: Path
) -> None:
    from raysim.corpus.tokenizer import TokenizerSettings, load_tokenizer

    found = []
    for commit, extra in zip(COMMITS, ("", "<fim>"), strict=True):
        save_tokenizer(tmp_path / commit, tokenizer, tuple(filter(None, [extra])))
        publish(hub_cache, "someone/tokenizer", commit, tmp_path / commit)
        found.append(load_tokenizer(TokenizerSettings(pretrained="someone/tokenizer"), tmp_path).fingerprint)
    assert found[0] != found[1]


def test_a_data_set_is_what_it_holds_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name is in no key: what is read under it is."""
    from datasets import config

    from raysim.corpus.corpus import fingerprint
    from raysim.corpus.sources import SourceSettings, read_source

    monkeypatch.setattr(config, "HF_DATASETS_CACHE", tmp_path / "cache")
    source = SourceSettings.model_validate({"hub": {"name": "code", "split": "train"}})
    (tmp_path / "code").mkdir()
    found = []
    for text in ("a = 1\n", "a = 22\n", "a = 1\n"):
        (tmp_path / "code/train.jsonl").write_text(json.dumps({"content": text, "path": "a.py"}) + "\n")
        found.append(fingerprint(read_source(source, tmp_path).files))
    assert found[0] == found[2] != found[1]


@pytest.mark.slow
def test_files_begin_with_the_token_that_ends_them_for_the_checkpoint(
    tiny: Callable[..., Path], tmp_path: Path, tokenizer: CodeTokenizer
) -> None:
    """A tokenizer without one of its own says another end than the checkpoint: the checkpoint's, in a line."""
    base = save_model(tmp_path / "base", eos_token_id=0, bos_token_id=None)
    save_tokenizer(base, tokenizer, ("<|im_end|>",), bos_token=None, eos_token="<|im_end|>")
    path = tiny(model={"pretrained": "base"}, tokenizer={"pretrained": "base"}, **FEW)
    ended = raysim("run", path, "--out", tmp_path / "out")
    assert ended.returncode == 0, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert line.startswith("warning: tokenizer.pretrained base: it has no bos_token")
    assert f"{END!r} (0)" in line
    assert "'<|im_end|>'" in line
    (final,) = trained(tmp_path / "out")
    assert raysim("export-model", tmp_path / "out", final, tmp_path / "exported").returncode == 0
    assert json.loads((tmp_path / "exported/tokenizer_config.json").read_text())["bos_token"] == END
    # A tokenizer that has changed since would write a model that nobody has trained.
    save_tokenizer(base, tokenizer, ("<|im_end|>", "<fim>"), bos_token=None, eos_token="<|im_end|>")
    shutil.rmtree(tmp_path / "exported")
    ended = raysim("export-model", tmp_path / "out", final, tmp_path / "exported")
    assert ended.returncode == 2
    assert "changed since the run" in ended.stderr
