"""`raysim export-model`: a model of a run as a Hugging Face folder, from its store alone."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysim.core.errors import DamagedEntry, InputError
from raysim.core.keys import Key
from raysim.core.run_folder import RunFolder
from raysim.corpus.tokenizer import CodeTokenizer, load_tokenizer
from raysim.experiment.config import LoadedExperiment, restore_experiment
from raysim.store.entries import Entry
from raysim.store.store import Store
from raysim.tables.io import read_table
from raysim.training.lora import assign_merged, plain_state
from raysim.training.models import ModelSettings, build_model
from raysim.training.weights import assign

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ORIGIN_FILE = "raysim.json"
"""Says, beside an exported checkpoint, which model of a run it is."""


def export_model(run_dir: Path, key: str, target: Path) -> Key:
    """Writes config, weights (safetensors) and tokenizer of a model, for `transformers` and everybody who reads them.

    Adapters are added up with the checkpoint that they were trained beside.

    Args:
        run_dir: folder of a run.
        key: of the model, or enough of its beginning.
        target: folder to write.

    Returns:
        the whole key.

    Raises:
        InputError: no run, no such model, its weights were evicted, or `target` is there already.
    """
    folder = RunFolder.reopen(run_dir)
    loaded = restore_experiment(folder.read_manifest())
    store = Store(folder.store)
    entry = store.get(_whole_key(run_dir, key))
    if entry is None or entry.dropped:
        raise InputError(
            f"{run_dir}: the weights of {key} are not in the store any more, and a finished run does not compute them"
            " again; run its command with another --out and --store and --set store.keep=models: the key stays the same"
        )
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{target}: is there already; name a new folder, or an empty one")
    trained = _trained(store, entry)
    settings = _settings(loaded, trained["model"])
    tokenizer = _tokenizer(store, loaded, settings, trained["tokenizer"])
    model = _model(settings, trained["model"], entry)
    model.save_pretrained(target)
    _save_tokenizer(tokenizer, target)
    (target / ORIGIN_FILE).write_text(json.dumps({"model": entry.key}), encoding="utf-8")
    return entry.key


def _whole_key(run_dir: Path, beginning: str) -> Key:
    models = read_table(run_dir, "models").to_pylist()
    found = {row["model"] for row in models if row["model"].startswith(beginning)} if beginning else set()
    if len(found) == 1:
        return found.pop()
    final = sorted({(row["strategy"], row["order"], row["seed"], row["model"]) for row in models if row["final"]})
    listed = "\n".join(f"  {model}  {strategy} {order}, seed {seed}" for strategy, order, seed, model in final)
    raise InputError(f"{run_dir}: {len(found)} models have a key that begins with {beginning!r}; final ones:\n{listed}")


def _trained(store: Store, entry: Entry) -> Mapping[str, Any]:
    """The recipe of the stage behind a model, or of one behind one: it names the model's shape and the tokenizer."""
    recipe = entry.recipe
    while recipe["kind"] != "train":
        behind = _made_from(recipe)
        found = store.peek(behind) if behind else None
        if found is None:
            raise InputError(f"{entry.key}: is no model that was trained, or what it was made from is gone")
        recipe = found.recipe
    return recipe


def _made_from(recipe: Mapping[str, Any]) -> Key | None:
    """What a model was made from: its stage, a client's, or the model before a round that nobody was drawn for."""
    if recipe["kind"] == "snapshot":
        return recipe["stage"]
    return next(iter(recipe.get("results", ())), recipe.get("state"))


def _settings(loaded: LoadedExperiment, recipe: Mapping[str, Any]) -> ModelSettings:
    """The settings of the model, of a checkpoint at the commit that the run took."""
    pinned = loaded.experiment.model
    if commit := (recipe["pretrained"] or {}).get("revision"):
        pinned = pinned.model_copy(update={"revision": commit})
    settings = pinned.resolved(loaded.base)
    if settings.recipe(*_shape(recipe)) != recipe:
        raise InputError(f"model.pretrained: {settings.pretrained}: has changed since the run; put the old one back")
    return settings


def _shape(recipe: Mapping[str, Any]) -> tuple[int, int, int]:
    return recipe["vocab_size"], recipe["bos_id"], recipe["context"]


def _tokenizer(store: Store, loaded: LoadedExperiment, model: ModelSettings, fingerprint: str) -> CodeTokenizer:
    settings = loaded.experiment.tokenizer
    if settings.train is None:
        tokenizer = load_tokenizer(settings, loaded.base, model.eos)
        if tokenizer.fingerprint != fingerprint:
            raise InputError(
                f"tokenizer.pretrained: {settings.pretrained}: has changed since the run; put the old one back"
            )
        return tokenizer
    for key in store:
        entry = None
        with suppress(DamagedEntry):  # it may be another run's
            entry = store.peek(key)
        if entry and entry.recipe["kind"] == "tokenizer":
            tokenizer = CodeTokenizer(json=entry.info["json"], bos_id=entry.info["bos_id"])
            if tokenizer.fingerprint == fingerprint:
                return tokenizer
    raise InputError("the tokenizer is not in the store any more; run the run's command again")


def _model(settings: ModelSettings, recipe: Mapping[str, Any], entry: Entry) -> "PreTrainedModel":
    import torch

    from raysim.inference.model_checks import require_equal, whole_logits

    weights = entry.array("weights")
    model = build_model(settings, *_shape(recipe))
    assign(model, weights)
    if not settings.lora:
        return model
    plain = build_model(settings.model_copy(update={"lora": None}), *_shape(recipe))
    ids = torch.arange(min(16, recipe["context"]))[None]
    with torch.no_grad():
        apart = whole_logits(model, ids)
        assign_merged(model, weights)
        plain.load_state_dict(plain_state(model))
        require_equal(apart, whole_logits(plain, ids))
    return plain


def _save_tokenizer(tokenizer: CodeTokenizer, target: Path) -> None:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    built = Tokenizer.from_str(tokenizer.json)
    bos = built.id_to_token(tokenizer.bos_id)
    # Spaces before punctuation are code, and no typing mistake.
    fast = PreTrainedTokenizerFast(
        tokenizer_object=built, bos_token=bos, eos_token=bos, clean_up_tokenization_spaces=False
    )
    fast.save_pretrained(target)
