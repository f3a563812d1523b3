"""Checkpoints of transformers in, models for transformers out."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from drive import raysim
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from raysim.corpus.tokenizer import CodeTokenizer
from raysim.tables.io import read_table

CODE = "def f(a, b):\n    return a != b  # 'é'\n"
FEW: dict[str, Any] = {"strategies": [{"fedavg": {"rounds": 1}}], "measure": {}}


@pytest.fixture
def checkpoint(tmp_path: Path, tokenizer: CodeTokenizer) -> Path:
    """A Llama of random weights and a tokenizer, as transformers writes them."""
    from tokenizers import Tokenizer

    size: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
    config = LlamaConfig(vocab_size=512, max_position_embeddings=128, num_attention_heads=2, bos_token_id=0, **size)
    torch.manual_seed(1)
    LlamaForCausalLM(config).save_pretrained(tmp_path / "base")
    fast = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(tokenizer.json), bos_token="<|endoftext|>", eos_token="<|endoftext|>"
    )
    fast.save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def moved(out: Path) -> int:
    """Bytes of weights that crossed."""
    return sum(row["bytes"] for row in read_table(out, "ledger").to_pylist() if row["kind"] == "weights")


def final(out: Path) -> str:
    models = read_table(out, "models").to_pylist()
    (model,) = {row["model"] for row in models if row["final"] and row["strategy"] != "base"}
    return model


def run(path: Path, out: Path) -> None:
    ended = raysim("run", path, "--out", out)
    assert ended.returncode == 0, ended.stderr


def logits(model: Any, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=torch.tensor([ids])).logits[0]


def in_plain_transformers(folder: Path, target: Path) -> tuple[list[int], torch.Tensor]:
    """Token ids and logits in a process that knows nothing of raysim."""
    code = f"""
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained({str(folder)!r})
ids = [tokenizer.bos_token_id, *tokenizer({CODE!r}, add_special_tokens=False).input_ids]
assert tokenizer.decode(ids[1:]) == {CODE!r}
model = AutoModelForCausalLM.from_pretrained({str(folder)!r}).eval()
with torch.no_grad():
    torch.save((ids, model(input_ids=torch.tensor([ids])).logits[0]), {str(target)!r})
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    return torch.load(target)


@pytest.mark.slow
def test_in_and_out(tiny: Callable[..., Path], checkpoint: Path, tmp_path: Path) -> None:
    """Trained from it, exported, read by plain transformers: the logits of the weights in the store."""
    from raysim.store.store import Store
    from raysim.training.models import ModelSettings, build_model
    from raysim.training.weights import assign

    path = tiny(model={"pretrained": "base"}, tokenizer={"pretrained": "base"}, **FEW)
    out, there = tmp_path / "out", tmp_path / "exported"
    run(path, out)
    key = final(out)
    ended = raysim("export-model", out, key[:10], there)
    assert ended.returncode == 0, ended.stderr
    ids, read = in_plain_transformers(there, tmp_path / "logits")
    entry = Store(out / "store").peek(key)
    assert entry is not None
    model = build_model(ModelSettings(pretrained=str(checkpoint)), 300, 0, 64)
    untrained = logits(model, ids)
    assign(model, entry.array("weights"))
    assert torch.equal(logits(model, ids), read)
    assert not torch.allclose(untrained, read, atol=1e-2)
    # What comes out goes in again.
    run(
        tiny("again", model={"pretrained": "exported"}, tokenizer={"pretrained": "exported"}, **FEW), tmp_path / "again"
    )

    again = raysim("export-model", out, key, there)
    assert (again.returncode, "is there already" in again.stderr) == (2, True)
    unknown = raysim("export-model", out, "nothing", tmp_path / "new")
    assert unknown.returncode == 2
    assert key in unknown.stderr


@pytest.mark.slow
def test_adapters_travel_alone_and_are_exported_with_their_base(
    tiny: Callable[..., Path], checkpoint: Path, tmp_path: Path
) -> None:
    """Under 5 % of the bytes; the export is a plain model whose logits are those of base and adapters."""
    from raysim.store.store import Store
    from raysim.training.lora import LoraSettings
    from raysim.training.models import ModelSettings, build_model
    from raysim.training.weights import assign

    whole, few = tmp_path / "whole", tmp_path / "few"
    run(tiny("whole", model={"pretrained": "base"}, tokenizer={"pretrained": "base"}, **FEW), whole)
    probed = {key: value for key, value in FEW.items() if key != "measure"}
    lora = {"pretrained": "base", "lora": {"rank": 2}}
    run(tiny("few", model=lora, tokenizer={"pretrained": "base"}, **probed), few)
    assert 0 < moved(few) < 0.05 * moved(whole)
    key = final(few)
    assert raysim("export-model", few, key, tmp_path / "exported").returncode == 0
    ids, read = in_plain_transformers(tmp_path / "exported", tmp_path / "logits")
    entry = Store(few / "store").peek(key)
    assert entry is not None
    model = build_model(ModelSettings(pretrained=str(checkpoint), lora=LoraSettings(rank=2)), 300, 0, 64)
    untrained = logits(model, ids)
    assign(model, entry.array("weights"))
    torch.testing.assert_close(logits(model, ids), read, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(untrained, read, atol=1e-3)


@pytest.mark.slow
def test_sums_of_products_are_exported_with_what_averaging_factors_lost(
    tiny: Callable[..., Path], checkpoint: Path, tmp_path: Path
) -> None:
    """The export of adapters that were averaged exactly has the matrices that travelled, plus the averages' product."""
    from safetensors.torch import load_file

    from raysim.store.store import Store
    from raysim.training.adapters import adapters_in
    from raysim.training.lora import LoraSettings
    from raysim.training.models import ModelSettings, build_model
    from raysim.training.weights import layout_of

    out, lora = tmp_path / "exact", {"rank": 2, "targets": ["q_proj", "v_proj"], "carry_base": True}
    exact = {"fedavg": {"rounds": 2, "adapters": "exact"}}
    model = {"pretrained": "base", "lora": lora}
    run(tiny("exact", model=model, tokenizer={"pretrained": "base"}, strategies=[exact], measure={}), out)
    key = final(out)
    ended = raysim("export-model", out, key, tmp_path / "exported")
    assert ended.returncode == 0, ended.stderr
    there, base = (load_file(folder / "model.safetensors") for folder in (tmp_path / "exported", checkpoint))
    entry = Store(out / "store").peek(key)
    assert entry is not None
    weights = entry.array("weights")
    adapted = build_model(ModelSettings(pretrained=str(checkpoint), lora=LoraSettings(**lora)), 300, 0, 64)
    names = [name for name in layout_of(adapted).names if name.endswith(".base_layer.weight")]
    layers = adapters_in(adapted)
    assert len(names) == len(layers) == 4
    for name, layer in zip(names, layers, strict=True):
        assert layer.a is not None
        assert layer.base is not None
        plain = name.replace(".base_layer", "")
        carried, product = layer.base.of(weights), layer.scale * (layer.b.of(weights) @ layer.a.of(weights))
        torch.testing.assert_close(there[plain], torch.from_numpy(carried + product), rtol=1e-5, atol=1e-6)
        assert not torch.equal(torch.from_numpy(carried.copy()), base[plain])  # what factors lost is in it
    untouched = set(base) - {name.replace(".base_layer", "") for name in names}
    assert all(torch.equal(there[name], base[name]) for name in untouched)
