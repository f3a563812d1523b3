"""The commented experiment that `raysim init` writes."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import pydantic

from raysim.core.errors import InputError
from raysim.core.settings import Size
from raysim.core.yaml_files import yaml_text
from raysim.corpus.preparation_settings import PreparationSettings
from raysim.corpus.sources import SourceSettings, read_source
from raysim.corpus.whole_splits import whole_split_seed
from raysim.measures.registry import measures

_TEMPLATE = """\
# An experiment for your own data. Look at it before you train: raysim inspect {file}
name: {name}
seed: [1]                    # each seed repeats the training; five give confidence intervals
{split_seed}
organizations:               # each holds its own code; PATH is a folder or .jsonl(.gz), .json.gz, .parquet, .csv
{organizations}
# agreement: what an organization has agreed to. 'weights': its code never leaves it. 'data': it may be pooled with
# others' code, which the setting 'centralized' needs.

references: [stdlib]         # what is here, too, is public and counts as nobody's
# deduplication: {{across: first_owner}}     # a file of several organizations stays with the first; or drop_all, keep
tokenizer: {{train: {{corpus: references, vocab_size: 1024}}}}     # or {{pretrained: FOLDER}}
model: {{config: {{model_type: gpt2, n_layer: 2, n_head: 4, n_embd: {width}}}}}     # or {{pretrained: FOLDER}}
# In the model, pretrain: {{limit: 2 MB}} first trains a base on the references, from which every setting starts.

trainer:
  epochs: {epochs}                 # passes over the data; federated rounds share them out
  sequence_length: 256
  batch_size: 8
  learning_rate: 3.0e-3
  # optimizer: adafactor     # or yogi; adamw unless set
  precision: fp32            # bf16 is faster where the processor knows it (raysim doctor says so)

strategies:
  - single                   # every organization alone
{centralized}  - incremental: {{orders: {orders}}}     # one after the other; {which}
  - fedavg: {{rounds: {rounds}}}
  - fedyogi: {{rounds: {rounds}}}

measure:
{measures}
# canaries: {{repeats: [0, 1, 4, 16], count: 4}}     # random secrets to plant, and to rank
# plants: {{functions: {{0: 4, 1: 4, 4: 4, 16: 2}}}}     # functions to plant that often, and to be recited
"""


_SMALL_BYTES = 480_000
"""Code that all stages of a small experiment train on together, repeats of an epoch aside: ten minutes on two cores."""
_SPLIT_SEEDS = range(1, 31)
_LEAST_BYTES = 8_000
"""Of an organization; less leaves no file that is a quarter of it."""


def write_experiment(
    file: Path,
    organizations: Sequence[str],
    limits: Sequence[str] = (),
    shares: Sequence[str] = (),
    small: bool = False,
) -> None:
    """Writes an experiment over `organizations`, each ``NAME=PATH``.

    Args:
        file: to write.
        organizations: who takes part.
        limits: of code to keep, ``NAME=SIZE`` or, for all that are not named, ``SIZE``.
        shares: what organizations agree to share, ``NAME=data``, ``data`` and likewise with ``weights``.
        small: whether a run is to take about ten minutes on two cores.

    Raises:
        InputError: no organization, one that is not NAME=PATH or named twice, a missing path, a file that is there, or
            a limit or an agreement that is none or of nobody.
    """
    if file.exists():
        raise InputError(f"{file}: is there already; give another name with --file, or delete it")
    sources: dict[str, str] = {}
    places: dict[str, str] = {}
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
        places[name] = path
    if not sources:
        raise InputError("--org: name at least one organization, for example --org acme=./code/acme")
    limit_of = _by_name("--limit", limits, sources, _check_size)
    share_of = _by_name("--share", shares, sources, _check_share)
    count, few = len(sources), len(sources) <= (3 if small else 4)
    if small:
        # What every byte is trained in: alone, pooled, twice in rounds, and in the tree, or the sample, of the orders.
        times = 4 + {1: 1, 2: 2, 3: 5}.get(count, count)
        limit = f"{max(_LEAST_BYTES, _SMALL_BYTES // (count * times)) // 1000} KB"
        limit_of = dict.fromkeys(sources, limit) | limit_of
    rows = []
    for name, source in sources.items():
        limit = f"limit: {limit_of[name]}, " if name in limit_of else ""
        share = share_of.get(name, "weights")
        rows.append(f"  {yaml_text(name)}: {{source: {source}, {limit}agreement: {{share: {share}}}}}\n")
    split_seed = ""
    if small:
        seed = _split_seed(places, limit_of)
        split_seed = (
            f"split_seed: {seed}                # a split in which all have validation files\n" if seed > 1 else ""
        )
    pooled = count > 1 and all(share_of.get(name) == "data" for name in sources)
    file.write_text(
        _TEMPLATE.format(
            file=file,
            name=yaml_text(file.stem),
            organizations="".join(rows),
            split_seed=split_seed,
            orders="all" if few else f"{{sample: {count if small else 2 * count}, seed: 1, design: latin}}",
            which="every order" if few else "a balanced sample of the orders",
            measures=_measures(),
            centralized=f"  {'' if pooled else '# '}- centralized            # all code in one place: needs share:"
            " data of everyone\n",
            width=128 if small else 192,
            epochs=10 if small else 20,
            rounds=5 if small else 10,
        ),
        encoding="utf-8",
    )


def _split_seed(places: Mapping[str, str], limits: Mapping[str, str]) -> int:
    """A seed under which little code falls to both splits at everyone; 1 if none is found, or a source is wrong."""
    readings = {}
    try:
        for name, place in places.items():
            limit = pydantic.TypeAdapter(Size).validate_python(limits[name])
            readings[name] = read_source(SourceSettings.at(place, "content"), Path()), limit
    except InputError:
        return 1  # `raysim inspect` says what is wrong with it
    return whole_split_seed(readings, PreparationSettings(), _SPLIT_SEEDS) or 1


def _by_name(
    option: str, given: Sequence[str], names: Collection[str], check: Callable[[str, str], str]
) -> dict[str, str]:
    """What each organization was given, ``NAME=VALUE``; a ``VALUE`` alone is for all that are not named."""
    found: dict[str, str] = {}
    rest: dict[str, str] = {}
    for text in given:
        name, separator, value = text.rpartition("=")
        if separator and name not in names:
            raise InputError(f"{option} {text}: {name!r} is no organization; there are: {', '.join(names)}")
        chosen = [name] if separator else list(names)
        if twice := set(chosen) & set(found if separator else rest):
            raise InputError(f"{option} {text}: {min(twice)!r} is given two values")
        (found if separator else rest).update(dict.fromkeys(chosen, check(f"{option} {text}", value)))
    return rest | found


def _check_size(origin: str, value: str) -> str:
    try:
        pydantic.TypeAdapter(Size).validate_python(value)
    except pydantic.ValidationError:
        raise InputError(f"{origin}: {value!r} is no size; write for example 40 KB, 1.5 MB or 2 GB") from None
    return value


def _check_share(origin: str, value: str) -> str:
    if value not in ("data", "weights"):
        raise InputError(f"{origin}: expected data or weights")
    return value


_ASKED = ("perplexity", "memorization")
"""Measures that a new experiment takes; the others are offered in comments."""


def _measures() -> str:
    """The section ``measure``: a few, and what else is installed, as comments."""
    lines: list[str] = []
    for name, measure in measures().items():
        lead = "  " if name in _ASKED else "  # "
        lines += [lead + line for line in measure.example.splitlines()]
    return "\n".join(lines) + "\n"
