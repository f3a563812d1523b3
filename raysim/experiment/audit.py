"""`raysim audit`: the measuring half of a run, on a model that came from elsewhere, by the code of a run."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raysim.core.errors import InputError
from raysim.core.json_text import parse_json
from raysim.core.run_folder import RunFolder
from raysim.corpus.preparation_settings import PreparationSettings
from raysim.corpus.records import is_record_file
from raysim.experiment.config import Experiment
from raysim.experiment.export import ORIGIN_FILE
from raysim.tables.io import read_table

_LONGEST = 512
"""Tokens that a model is shown and asked for together, where its context allows."""
_PROMPTS = 100


@dataclass(frozen=True)
class AuditRequest:
    """What is asked of which model.

    Attributes:
        model: a Hugging Face folder with weights, config and tokenizer.
        corpora: paths of code that it may have been trained on, by the name of its owner.
        held_out: paths of code of the same owners that it was not trained on: non-members, and a negative control.
        references: paths of public code, beside the standard library.
        like: folder of a run whose organizations, preparation, split and measures are taken; None: all of `corpora`
            counts as trained on.
    """

    model: Path
    corpora: Mapping[str, str] = field(default_factory=dict)
    held_out: Mapping[str, str] = field(default_factory=dict)
    references: Sequence[str] = ()
    like: Path | None = None


def audit_experiment(request: AuditRequest) -> tuple[dict[str, Any], Path]:
    """The experiment that measures the model, and the folder that its relative paths start from.

    Raises:
        InputError: no such model or run, no corpus, or held-out code of nobody.
    """
    if not (request.model / "config.json").is_file():
        raise InputError(f"--model {request.model}: no Hugging Face folder (it has no config.json)")
    if strangers := [name for name in request.held_out if request.like is None and name not in request.corpora]:
        raise InputError(f"--held-out {strangers[0]}=...: there is no --corpus {strangers[0]}=PATH")
    whole = {"pretrained": str(request.model.resolve())}
    if request.like:
        experiment, base = _like(request, request.like)
    elif request.corpora:
        experiment, base = _of_corpora(request), Path.cwd()
    else:
        raise InputError("--corpus NAME=PATH: name the code that the model may have been trained on, or a run (--like)")
    # A run's own checkpoint has its tokenizer, whose file is the same in another writing, and so another key.
    tokenizer = experiment.get("tokenizer", whole)
    return {**experiment, "name": "audit", "model": whole, "tokenizer": tokenizer, "strategies": ["given"]}, base


def planting_notes(request: AuditRequest, experiment: Experiment) -> list[str]:
    """What to know before the work of canaries and planted functions that an audit asks for; a line each.

    They are planted behind preparation (`Organization.prepare`), so nothing in it can drop them. Whether the audited
    model has ever seen them is another matter: only a run's own checkpoint is known to.
    """
    planted = {"canaries": experiment.canaries, "planted functions": experiment.plants}
    names = " and ".join(name for name, settings in planted.items() if settings)
    if not names:
        return []
    notes = [f"{names}: planted after preparation, so that no filter, deduplication or limit drops any of them"]
    if request.like is None or _seed_of(request.model, request.like) is None:
        notes.append(
            f"{names}: this model is not known to be trained on them, as one is that export-model wrote from the run of"
            " --like; what it knows of them will then be what chance does"
        )
    return notes


def _like(request: AuditRequest, run: Path) -> tuple[dict[str, Any], Path]:
    """The experiment of a run, of which the corpora that are named are elsewhere now."""
    manifest = RunFolder.reopen(run).read_manifest()
    if points := manifest.get("points"):
        raise InputError(f"--like {run}: is a sweep; name the run of one of its points, such as {points[0]['folder']}")
    experiment = copy.deepcopy(manifest["experiment"])
    organizations = experiment["organizations"]
    for name, path in request.corpora.items():
        if name not in organizations:
            raise InputError(f"--corpus {name}=...: {run} has no such organization; it has: {', '.join(organizations)}")
        organizations[name]["source"] = _source(path)
    for name, path in request.held_out.items():
        if name not in organizations:
            raise InputError(f"--held-out {name}=...: {run} has no such organization")
        organizations[name]["held_out"] = _source(path)
    experiment["references"] += [_source(path) for path in request.references]
    seed = _seed_of(request.model, run)
    if seed is None:
        del experiment["tokenizer"]
    else:
        experiment["seed"] = [seed]
    # Findings name settings that an audit does not have.
    return {k: value for k, value in experiment.items() if k not in ("sweep", "findings")}, Path(manifest["base"])


def _seed_of(model: Path, run: Path) -> int | None:
    """The seed at which `run` trained the model, if it is one of its own that was exported."""
    try:
        key = parse_json((model / ORIGIN_FILE).read_text(encoding="utf-8"))["model"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return next((row["seed"] for row in read_table(run, "models").to_pylist() if row["model"] == key), None)


def _of_corpora(request: AuditRequest) -> dict[str, Any]:
    """An experiment in which all of the corpora is training text, whatever its form."""
    length = min(_LONGEST, _context(request.model))
    shown = 2 * length // 3
    prompts = {"function": _PROMPTS, "prefix": _PROMPTS}
    memorization: dict[str, Any] = {
        "prompts": prompts | ({"held_out": _PROMPTS} if request.held_out else {}),
        "function_tokens": shown,
        "prefix_tokens": min(64, length // 2),
        "new_tokens": min(128, length - shown),
    }
    measure: dict[str, Any] = {"perplexity": {}, "memorization": memorization, "baselines": None, "recital": None}
    return {
        "organizations": {
            name: {
                "source": _source(path),
                **({"held_out": _source(request.held_out[name])} if name in request.held_out else {}),
            }
            for name, path in request.corpora.items()
        },
        "references": ["stdlib", *map(_source, request.references)],
        "preparation": PreparationSettings.off().model_dump(mode="json") | {"split": {"train": 1.0, "valid": 0.0}},
        "trainer": {"sequence_length": length},
        "measure": measure | ({"membership": {}} if request.held_out else {}),
    }


def _source(path: str) -> dict[str, Any]:
    absolute = str(Path(path).expanduser().absolute())
    return {"files": [absolute]} if is_record_file(absolute) else {"path": absolute}


def _context(model: Path) -> int:
    """Tokens that the model can read at once, by its config."""
    try:
        config = parse_json((model / "config.json").read_text(encoding="utf-8"))
        known = [config[name] for name in ("max_position_embeddings", "n_positions", "n_ctx") if config.get(name)]
        return max(8, int(known[0])) if known else _LONGEST
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"--model {model}: config.json: {error}") from None
