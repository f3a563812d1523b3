"""What a methods paragraph says of models: tokenizer, architecture, optimization, ways of training together, seeds."""

from collections.abc import Mapping
from typing import Any

from raysim.analysis.reached_models import finals
from raysim.analysis.results import RunResults
from raysim.report.methods.words import described, listed, number, settings_of, shown
from raysim.report.publication import without_paths

_TRAINER = (
    ("epochs", "{} epochs"),
    ("sequence_length", "sequences of {} tokens"),
    ("batch_size", "batches of {}"),
    ("accumulation", "gradients accumulated over {} batches"),
    ("learning_rate", "peak learning rate {}"),
    ("schedule", "schedule {}"),
    ("warmup_fraction", "warm-up over a fraction {} of the steps"),
    ("weight_decay", "weight decay {}"),
    ("adam_betas", "betas {}"),
    ("adam_epsilon", "epsilon {}"),
    ("gradient_clip", "gradients clipped at norm {}"),
    ("precision", "precision {}"),
    ("device", "on {}"),
    ("ranks", "ranks: {}"),
)


def training_sentences(results: RunResults) -> list[str]:
    """On tokenizer, model, optimization, settings and seeds."""
    run = results.run
    found = [_tokenizer(run.setting("tokenizer") or {}), _model(results), *_base(run.setting("model", "pretrain"))]
    found += [_trainer(run.setting("trainer") or {}), _settings(results), _seeds(results)]
    return [sentence for sentence in found if sentence]


def _tokenizer(settings: Mapping[str, Any]) -> str:
    if name := settings.get("pretrained"):
        return f"The tokenizer was that of {without_paths(name)}."
    trained = settings.get("train")
    if not trained:
        return ""
    size = f"of at most {shown(trained.get('vocab_size'))} tokens"
    sample = f", from a sample of {number(trained['sample'])} bytes" if trained.get("sample") else ""
    return f"A byte-pair tokenizer {size} was trained on the {trained.get('corpus')}{sample}."


def _model(results: RunResults) -> str:
    settings = results.run.setting("model") or {}
    sizes = sorted({m.parameters for m in results.reached_models})
    size = f", with {listed(map(number, sizes))} trainable parameters" if sizes else ""
    revision = f" (revision {settings['revision']})" if settings.get("revision") else ""
    if name := settings.get("pretrained"):
        kind = f"Models began from {without_paths(name)}{revision}"
    elif config := settings.get("config"):
        rest = {key: value for key, value in config.items() if key != "model_type"}
        kind = f"Models were of the type {config.get('model_type')} ({shown(rest)}), from random weights"
    else:
        return ""
    more = described(settings, (("dropout", "dropout {}"), ("lora", "low-rank adapters ({})")))
    return "; ".join([f"{kind}{size}", *more]) + "."


def _base(settings: Mapping[str, Any] | None) -> list[str]:
    if not settings:
        return []
    words = (("epochs", "{} epochs"), ("limit", "at most {} bytes"), ("learning_rate", "peak learning rate {}"))
    more = listed(described(settings, (*words, ("batch_size", "batches of {}"), ("seed", "seed {}"))))
    return [f"They were first trained on the {settings.get('corpus')} alone ({more}); all settings began from there."]


def _trainer(settings: Mapping[str, Any]) -> str:
    phrases = described({name: value for name, value in settings.items() if _says_something(name, value)}, _TRAINER)
    optimizer = f" by {settings['optimizer']}" if settings.get("optimizer") else ""
    return f"Training{optimizer}: {', '.join(phrases)}." if phrases else ""


def _says_something(name: str, value: Any) -> bool:
    """One rank, and no accumulation, are no part of a method."""
    return not (name in ("ranks", "accumulation") and value == 1)


def _settings(results: RunResults) -> str:
    entries = [settings_of(entry) for entry in results.run.setting("strategies") or ()]
    if not entries:
        return ""
    trained = len({m.model for m in finals(results.reached_models)})
    ended = f" They ended with {number(trained)} distinct models." if trained else ""
    return f"Settings: {'; '.join(entries)}.{ended}"


def _seeds(results: RunResults) -> str:
    seeds = results.run.setting("seed") or ()
    return f"Training was done under seed{'s' * (len(seeds) > 1)} {listed(map(str, seeds))}." if seeds else ""
