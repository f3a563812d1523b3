"""Checkpoints that are broken, changed, quantized, or that would run code of their own."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from examples import scaled
from hub_cache import COMMITS, publish
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from raysim.core.errors import InputError
from raysim.training.models import ModelSettings, build_model
from raysim.training.weights import flatten

VOCABULARY, CONTEXT = 40, 16
GPT2: dict[str, Any] = {"model_type": "gpt2", "n_layer": 1, "n_head": 2, "n_embd": 8}
LLAMA: dict[str, Any] = {
    "model_type": "llama", "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 1, "num_attention_heads": 2
}  # fmt: skip


def build(settings: ModelSettings) -> Any:
    return build_model(settings, VOCABULARY, 0, CONTEXT, seed=3)


def read(folder: Path | str, revision: str | None = None) -> Any:
    return build(ModelSettings(pretrained=str(folder), revision=revision))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints") / "gpt2"
    build(ModelSettings(config=GPT2)).save_pretrained(folder)
    return folder


@pytest.fixture
def checkpoint(saved: Path, tmp_path: Path) -> Path:
    """A copy of a whole checkpoint of one file, with tied embeddings."""
    return Path(shutil.copytree(saved, tmp_path / "checkpoint"))


def change_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    file = folder / "model.safetensors"
    save_file(change(load_file(file)), file, {"format": "pt"})


def change_config(folder: Path, **fields: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def with_a_return(folder: Path) -> None:
    """A kind of numbers that a library quotes in what it says."""
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes().replace(b'"F32"', b'"\\r "', 1))


def without(*names: str) -> Callable[[Path], None]:
    return lambda folder: change_tensors(folder, lambda t: {n: v for n, v in t.items() if n not in names})


def changed(name: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Path], None]:
    return lambda folder: change_tensors(folder, lambda t: {**t, name: change(t[name])})


def prefixed(folder: Path) -> None:
    change_tensors(folder, lambda tensors: {f"_orig_mod.{name}": value for name, value in tensors.items()})


def cut(length: int) -> Callable[[Path], object]:
    return lambda folder: (folder / "model.safetensors").write_bytes(
        (folder / "model.safetensors").read_bytes()[:length]
    )


def as_pickle(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()
        (folder / "pytorch_model.bin").write_bytes(change((folder / "pytorch_model.bin").read_bytes()))

    return make


def hostile(folder: Path) -> None:
    """A pickle that would make a file."""
    import pickle

    class Hostile:
        def __reduce__(self) -> Any:
            return Path.touch, (folder / "ran",)

    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"transformer.wte.weight": Hostile()}))


def elsewhere(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder.parent / "other.safetensors")
    names = load_file(folder.parent / "other.safetensors")
    index = {"metadata": {}, "weight_map": dict.fromkeys(names, "../other.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def foreign(folder: Path) -> None:
    (folder / "own.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\n")
    change_config(folder, model_type="own", auto_map={"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"})


def text(name: str, content: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(content)


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"
LN, WTE = "transformer.ln_f.weight", "transformer.wte.weight"

BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "a tensor is missing": (without(LN), rf"model\.safetensors: tensors are missing: {LN}$"),
    "both names of a tied matrix are missing": (without(WTE, "lm_head.weight"), rf"tensors are missing: .*{WTE}"),
    "every name has a prefix": (prefixed, r"model\.safetensors: tensors are missing: .* and \d+ more; .*: _orig_mod\."),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), r"model\.safetensors"),
    "empty": (cut(0), r"model\.safetensors: cannot be read"),
    "cut in its header": (cut(100), r"model\.safetensors: cannot be read"),
    "cut in its tensors": (cut(3000), r"model\.safetensors: cannot be read"),
    "a return in its header": (with_a_return, r"model\.safetensors: cannot be read: .*\\r"),
    "another vocabulary": (
        lambda folder: change_config(folder, vocab_size=VOCABULARY + 8),
        rf"another shape than config\.json says: {WTE} \[40, 8\] \(config: \[48, 8\]\)$",
    ),
    "another width": (lambda folder: change_config(folder, n_embd=16), r"another shape .* and \d+ more$"),
    "quantized": (
        lambda folder: change_config(folder, quantization_config={"quant_method": "awq", "bits": 4}),
        r"config\.json: its weights are quantized \(awq\)",
    ),
    "weights that Git LFS left away": (
        text("model.safetensors", POINTER),
        r"model\.safetensors: a Git LFS pointer, not",
    ),
    "a config that Git LFS left away": (text("config.json", POINTER), r"config\.json: a Git LFS pointer, not the file"),
    "a pickle that Git LFS left away": (
        as_pickle(lambda content: POINTER.encode()),
        r"pytorch_model\.bin: a Git LFS pointer, not the file; fetch it with git lfs pull",
    ),
    "integers": (changed(LN, lambda v: v.to(torch.int8)), rf"tensors are integers.*: {LN}$"),
    "not a number": (changed(LN, lambda v: v * float("nan")), rf"tensors are not finite: {LN}$"),
    "a pickle, cut": (as_pickle(lambda content: content[:500]), r"pytorch_model\.bin: cannot be read"),
    "a pickle, empty": (as_pickle(lambda content: b""), r"pytorch_model\.bin: cannot be read"),
    "a hostile pickle": (hostile, r"pytorch_model\.bin: cannot be read"),
    "an index that leads elsewhere": (elsewhere, r"index\.json: names a file elsewhere: \.\./other\.safetensors"),
    "an index that is none": (text("model.safetensors.index.json", "[]"), r"index\.json: cannot be read"),
    "code of its own": (foreign, r"config\.json: needs code of its own \(auto_map\), which is never run here"),
    "adapters": (text("adapter_config.json", "{}"), r"adapter_config\.json: adapters are no whole model"),
    "an empty config": (text("config.json", ""), r"config\.json: cannot be read"),
    "a config that is a list": (text("config.json", "[]"), r"config\.json: cannot be read: expected a JSON object"),
    "a config without a type": (text("config.json", "{}"), r"config\.json: cannot be read"),
    "a config of another type": (text("config.json", '{"model_type": "vit"}'), "cannot be built"),
    "a deep config": (text("config.json", "[" * 100_000), r"config\.json: cannot be read"),
    "a negative width": (lambda folder: change_config(folder, n_embd=-8), "cannot be read: .*negative"),
    "a kernel of the hub": (
        lambda folder: change_config(folder, attn_implementation="someone/kernel"),
        "attn_implementation someone/kernel is code of the hub",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_wrong_is_said_with_file_and_tensors(
    case: str, checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    change, message = BROKEN[case]
    if case == "an index that is none":
        (checkpoint / "model.safetensors").unlink()
    change(checkpoint)
    monkeypatch.setattr("builtins.input", lambda _: "y")
    with pytest.raises(InputError, match=rf"^model.*{message}") as caught:
        read(checkpoint)
    assert len(str(caught.value).splitlines()) == 1
    assert not (checkpoint / "ran").exists()
    assert "LOAD REPORT" not in "".join(capfd.readouterr())


def same(model: Any, folder: Path) -> bool:
    return np.array_equal(flatten(model), flatten(read(folder)))


@pytest.mark.parametrize(
    "config", [GPT2, {**GPT2, "tie_word_embeddings": False}, LLAMA], ids=["tied", "untied", "llama"]
)
def test_whole_checkpoints_come_back(config: dict[str, Any], tmp_path: Path) -> None:
    """In one file or several, as a pickle, in half precision, with buffers that nobody needs any more."""
    model = build(ModelSettings(config=config))
    model.save_pretrained(tmp_path / "one")
    assert same(model, tmp_path / "one")
    model.save_pretrained(tmp_path / "several", max_shard_size="2KB")
    assert len(list((tmp_path / "several").glob("*.safetensors"))) > 1
    assert same(model, tmp_path / "several")
    as_pickle(lambda content: content)(Path(shutil.copytree(tmp_path / "one", tmp_path / "pickle")))
    assert same(model, tmp_path / "pickle")
    model.half().save_pretrained(tmp_path / "half")
    assert same(model, tmp_path / "half")
    change_tensors(tmp_path / "one", lambda t: {**t, "transformer.h.0.attn.bias": torch.ones(1, 1, 4, 4).bool()})
    assert same(model.float(), tmp_path / "half")


def test_a_broken_file_that_is_not_read_does_no_harm(checkpoint: Path) -> None:
    (checkpoint / "pytorch_model.bin").write_bytes(b"old")
    assert same(read(checkpoint), checkpoint)


def test_a_known_type_with_code_of_its_own_is_read_by_the_known_code(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign(checkpoint)
    change_config(checkpoint, model_type="gpt2")
    monkeypatch.setattr("builtins.input", lambda _: "y")
    assert type(read(checkpoint)).__module__.startswith("transformers.models.gpt2")
    assert not (checkpoint / "ran").exists()


def test_a_name_of_the_hub_is_the_commit_that_it_means_now(hub_cache: Path, saved: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(saved, tmp_path / "other"))
    changed(LN, lambda v: v + 1)(other)
    named, found = ModelSettings(pretrained="someone/model"), []
    for commit, folder in zip(COMMITS, (saved, other), strict=True):
        publish(hub_cache, "someone/model", commit, folder)
        resolved = named.resolved(tmp_path)
        assert resolved.recipe(VOCABULARY, 0, CONTEXT)["pretrained"] == {"hub": "someone/model", "revision": commit}
        found.append(resolved)
    assert all(same(build(one), folder) for one, folder in zip(found, (saved, other), strict=True))
    pinned = ModelSettings(pretrained="someone/model", revision=COMMITS[0]).resolved(tmp_path)
    assert pinned == found[0]


def test_names_that_lead_nowhere(hub_cache: Path, saved: Path, tmp_path: Path) -> None:
    for name in ("nobody/nothing", "./nowhere", str(tmp_path / "gone")):
        with pytest.raises(InputError, match=r"^model\.pretrained: .*: no folder .* not to be had from the hub: ."):
            ModelSettings(pretrained=name).resolved(tmp_path)
    with pytest.raises(InputError, match=r"model\.revision: v1: goes with names of the hub"):
        ModelSettings(pretrained=str(saved), revision="v1").resolved(tmp_path)
    with pytest.raises(ValueError, match="revision goes with pretrained"):
        ModelSettings(config=GPT2, revision="v1")


def test_the_token_that_ends_a_text(checkpoint: Path) -> None:
    named = ModelSettings(pretrained=str(checkpoint))
    for eos, expected in ((7, 7), ([5, 6], 5), ([], None), (None, None)):
        change_config(checkpoint, eos_token_id=eos)
        assert named.eos() == expected
    assert ModelSettings(config=GPT2).eos() is None


@pytest.fixture(scope="module")
def scratch(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(saved, tmp_path_factory.mktemp("fuzzed") / "checkpoint"))


SMALL = st.none() | st.booleans() | st.integers(-3, 70) | st.floats() | st.text(max_size=5)
TREES = st.recursive(SMALL, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner))


@settings(
    max_examples=scaled(100),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_whatever_stands_in_its_files_is_read_or_said(data: st.DataObject, saved: Path, scratch: Path) -> None:
    """Bytes of the weights' header, its JSON, and any field of the config."""
    config, weights = json.loads((saved / "config.json").read_text()), (saved / "model.safetensors").read_bytes()
    length = 8 + int.from_bytes(weights[:8], "little")
    match data.draw(st.sampled_from(["field", "byte", "header", "cut"])):
        case "field":
            config[data.draw(st.sampled_from(sorted(config)))] = data.draw(TREES)
        case "byte":
            place = data.draw(st.integers(0, length - 1))
            weights = weights[:place] + bytes([data.draw(st.integers(0, 255))]) + weights[place + 1 :]
        case "header":
            header = json.loads(weights[8:length])
            name = data.draw(st.sampled_from(sorted(header)))
            fact = data.draw(st.sampled_from(sorted(header[name])))
            header[name][fact] = data.draw(TREES)
            text = json.dumps(header).encode()
            weights = len(text).to_bytes(8, "little") + text + weights[length:]
        case "cut":
            weights = weights[: data.draw(st.integers(0, len(weights)))]
    (scratch / "config.json").write_text(json.dumps(config))
    (scratch / "model.safetensors").write_bytes(weights)
    model, said = None, ["a model"]
    try:
        model = read(scratch)
    except InputError as error:
        said = str(error).splitlines()
    assert len(said) == 1, said
    if model is not None:
        assert all(parameter.isfinite().all() for parameter in model.parameters())
        with safe_open(scratch / "model.safetensors", "pt") as tensors:
            assert set(tensors.keys()) >= {WTE, LN}
