"""The commented experiment that `raysim init` writes."""

from collections.abc import Sequence
from pathlib import Path

from raysim.core.errors import InputError
from raysim.core.yaml_files import yaml_text
from raysim.measures.registry import measures

_TEMPLATE = """\
# An experiment for your own data. Look at it before you train: raysim inspect {file}
name: {name}
seed: [1]                    # each seed repeats the training; five give confidence intervals

organizations:               # each holds its own code; PATH is a folder or .jsonl(.gz), .json.gz, .parquet, .csv
{organizations}
# agreement: what an organization has agreed to. 'weights': its code never leaves it. 'data': it may be pooled with
# others' code, which the setting 'centralized' needs.

references: [stdlib]         # what is here, too, is public and counts as nobody's; never trained on
# deduplication: {{across: first_owner}}     # a file of several organizations stays with the first; or drop_all, keep
tokenizer: {{train: {{corpus: references, vocab_size: 1024}}}}     # or {{pretrained: FOLDER}}
model: {{config: {{model_type: gpt2, n_layer: 2, n_head: 4, n_embd: 192}}}}     # or {{pretrained: FOLDER}}

trainer:
  epochs: 20                 # passes over the data; federated rounds share them out
  sequence_length: 256
  batch_size: 8
  learning_rate: 3.0e-3
  # optimizer: adafactor     # or yogi; adamw unless set
  precision: fp32            # bf16 is faster where the processor knows it (raysim doctor says so)

strategies:
  - single                   # every organization alone
{centralized}  - incremental: {{orders: {orders}}}     # one after the other; {which}
  - fedavg: {{rounds: 10}}
  - fedyogi: {{rounds: 10}}

measure:
{measures}
# canaries: {{repeats: [0, 1, 4, 16], count: 4}}     # random secrets to plant, and to rank
"""


def write_experiment(file: Path, organizations: Sequence[str]) -> None:
    """Writes an experiment over `organizations`, each ``NAME=PATH``.

    Raises:
        InputError: no organization, one that is not NAME=PATH or named twice, a missing path, or a file that is there.
    """
    if file.exists():
        raise InputError(f"{file}: is there already; give another name with --file, or delete it")
    sources: dict[str, str] = {}
    for given in organizations:
        name, separator, path = given.partition("=")
        if not (separator and name and path):
            raise InputError(f"--org {given}: expected NAME=PATH, for example --org acme=./code/acme")
        if name in sources:
            raise InputError(f"--org {given}: {name!r} is named twice")
        if not Path(path).exists():
            raise InputError(f"--org {given}: {path}: no such file or folder")
        place = yaml_text(str(Path(path).resolve()))
        sources[name] = f"{{path: {place}}}" if Path(path).is_dir() else f"{{files: [{place}]}}"
    if not sources:
        raise InputError("--org: name at least one organization, for example --org acme=./code/acme")
    rows = [
        f"  {yaml_text(name)}: {{source: {source}, agreement: {{share: weights}}}}\n"
        for name, source in sources.items()
    ]
    few = len(sources) <= 4
    file.write_text(
        _TEMPLATE.format(
            file=file,
            name=yaml_text(file.stem),
            organizations="".join(rows),
            orders="all" if few else f"{{sample: {2 * len(sources)}, seed: 1, design: latin}}",
            which="every order" if few else "a balanced sample of the orders",
            measures=_measures(),
            centralized="  # - centralized            # all code in one place: needs share: data of everyone\n",
        ),
        encoding="utf-8",
    )


_ASKED = ("perplexity", "memorization")
"""Measures that a new experiment takes; the others are offered in comments."""


def _measures() -> str:
    """The section ``measure``: a few, and what else is installed, as comments."""
    lines: list[str] = []
    for name, measure in measures().items():
        lead = "  " if name in _ASKED else "  # "
        lines += [lead + line for line in measure.example.splitlines()]
    return "\n".join(lines) + "\n"
