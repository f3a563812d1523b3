"""Planted functions: whole Python functions that nothing else holds, in a training split as often as asked.

What a model recites of them is caused by their planting alone, since chance decides which function is planted how
often: a randomized dose, where natural duplicates also differ in what they are (boilerplate, licence headers).
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from raysim.core.errors import InputError
from raysim.core.keys import seed_of
from raysim.core.settings import Settings
from raysim.corpus.corpus import Corpus, PlantedFunction
from raysim.corpus.files import SourceFile

PLANTS_VERSION = 1
"""Numerics version of writing functions; where they are planted shows in the corpus."""

PLANTS = "(planted functions)"
"""The repository of their files; it is part of the corpus, and so of its fingerprint."""

NUM_LINES = 12
"""Significant lines of every function, its signature included."""
MOST_BYTES = 512
"""No function has more; a token has one at least."""

_VERBS = "align apply bound clamp count drain evict fetch group index join match merge order parse place prune rank"
_NOUNS = "batch border bucket cable cargo cell chart client clock column crate delta edge event field frame gauge grid"
_MORE = (
    "hinge item joint label lane layer ledger limit marker meter node offer order panel phase pivot plate pulse queue"
)
_LAST = "quota range ratio record relay ring route rule sample scale shard signal slice slot span stamp stock stream"
_WORDS = (
    f"{_NOUNS} {_MORE} {_LAST} table tally tape tile token total track trail tunnel valve vault vector wheel window"
)
_NUMBER = re.compile(r"(\d+)")
_NAME = re.compile(r"[a-z_]+")


class PlantSettings(Settings):
    """Functions that are written by chance and planted, to see what repetition alone makes models recite."""

    organizations: tuple[str, ...] | None = Field(
        default=None, description="in whose training split they are planted; unset: everyone's"
    )
    functions: dict[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=1)]] = Field(
        default={0: 4, 1: 4, 4: 4, 16: 2, 64: 2},
        min_length=1,
        description="for each number of repeats how many functions occur so often; 0: never, for comparison",
    )
    variant: Literal["exact", "fuzzy", "renamed"] = Field(
        default="exact",
        description="what becomes of copies: exact; fuzzy: each has two numbers of its own; renamed: each has names of"
        " its own for its variables. Models are asked for the original",
    )
    owners: Literal["each", "together"] = Field(
        default="each",
        description="each: every organization has functions of its own; together: all have the same, so often each",
    )
    together: dict[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] = Field(
        default={},
        description="for each number of repeats how many further functions all of them have, so often each: clones"
        " across organizations",
    )

    @property
    def num_functions(self) -> int:
        """Functions of one organization."""
        return sum(self.functions.values()) + sum(self.together.values())

    def planted_in(self, organization: str) -> bool:
        """Whether `organization` is to have functions."""
        return self.organizations is None or organization in self.organizations

    def recipe(self) -> dict[str, Any]:
        """The settings that decide which functions an organization has; not how its copies differ, nor who has any."""
        functions = sorted(self.functions.items())
        recipe = {"kind": "plants", "version": PLANTS_VERSION, "functions": functions, "owners": self.owners}
        return {**recipe, "together": sorted(self.together.items())} if self.together else recipe


def write_functions(settings: PlantSettings, organization: str, split_seed: int) -> tuple[PlantedFunction, ...]:
    """The functions of one organization, no two with one name; not what their copies look like."""
    owner = organization if settings.owners == "each" else ""
    # Those of all come first, so that no name of an organization's own changes them.
    doses = (("all", settings.together, ("", "together")), ("", settings.functions, (owner,)))
    functions: dict[str, PlantedFunction] = {}
    for prefix, counts, whose in doses:
        for repeats, count in sorted(counts.items()):
            for number in range(count):
                seed = seed_of(split_seed, "planted function", *whose, repeats, number)
                drafts = (_write(np.random.Generator(np.random.Philox(seed_of(seed, again)))) for again in range(1000))
                text = next(draft for draft in drafts if _name(draft) not in functions)
                name, signature = f"{prefix}{repeats}x{number}", text.partition("\n")[0]
                functions[_name(text)] = PlantedFunction(name, repeats, signature, text, seed)
    return tuple(functions.values())


def _name(text: str) -> str:
    return text.partition("(")[0]


def plant_functions(corpus: Corpus, settings: PlantSettings, split_seed: int) -> Corpus:
    """`corpus` with functions in its training split, each copy a file, after preparation and split.

    Raises:
        InputError: a file is called like one of theirs.
    """
    functions = write_functions(settings, corpus.organization, split_seed)
    files = tuple(
        SourceFile(f"planted/{function.name}-{copy}.py", text, PLANTS)
        for function in functions
        for copy, text in enumerate(_copies(function, settings))
    )
    taken = {source.path for source in corpus.train + corpus.valid + corpus.test} & {source.path for source in files}
    if taken:
        raise InputError(f"plants: there is a file {min(taken)} already; exclude it")
    return replace(corpus, train=corpus.train + files, plants=functions)


def _copies(function: PlantedFunction, settings: PlantSettings) -> Iterator[str]:
    for copy in range(function.repeats):
        generator = np.random.Generator(np.random.Philox(seed_of(function.seed, settings.variant, copy)))
        match settings.variant:
            case "exact":
                yield function.text
            case "fuzzy":
                yield _with_other_numbers(function.text, generator)
            case "renamed":
                yield _with_other_names(function.text, generator)


def _write(generator: np.random.Generator) -> str:
    """A function of `NUM_LINES` significant lines, which Python can run; short, as each copy is trained on."""
    words = iter(generator.permutation(_WORDS.split()).tolist())
    verb, adjective, noun, first, second = str(generator.choice(_VERBS.split())), *(next(words) for _ in range(4))
    lines = [f"def {verb}_{adjective}_{noun}({first}s, {second}={_number(generator)}):"]
    others = [int(number) for number in generator.choice(len(_BLOCKS), size=2, replace=False)]
    blocks = [_loop, *(_BLOCKS[number] for number in others)]
    results: list[str] = []
    for place in generator.permutation(len(blocks)):
        name, word, item = (next(words) for _ in range(3))
        lines += blocks[int(place)](name, word, item, first, second, lambda: _number(generator))
        results.append(name)
    lines.append(f"    return {', '.join(results)}")
    assert len(lines) == NUM_LINES
    return "\n".join(lines) + "\n"


def _number(generator: np.random.Generator) -> int:
    return int(generator.integers(11, 100))


def _loop(name: str, word: str, item: str, first: str, second: str, number: Any) -> list[str]:
    return [
        f"    {name} = {number()}",
        f"    for {item} in {first}s:",
        f"        if {item} % {number()} < {second}:",
        f"            {name} += {item} * {number()} - {number()}",
    ]


def _listing(name: str, word: str, item: str, first: str, second: str, number: Any) -> list[str]:
    return [
        f"    {name} = [{item} + {number()} for {item} in {first}s]",
        f"    {name}.sort(key=lambda {word}: {word} % {number()})",
        f"    {name}.append({second} - {number()})",
    ]


def _mapping(name: str, word: str, item: str, first: str, second: str, number: Any) -> list[str]:
    return [
        f'    {name} = {{"{word}": {number()}, "{item}": {second}}}',
        f'    {name}["{word}"] -= len({first}s) * {number()}',
        f"    {name}[{number()}] = {second} + {number()}",
    ]


def _countdown(name: str, word: str, item: str, first: str, second: str, number: Any) -> list[str]:
    return [
        f"    {name} = {second} * {number()}",
        f"    while {name} > {number()}:",
        f"        {name} = {name} // 2 - {number()}",
    ]


def _guard(name: str, word: str, item: str, first: str, second: str, number: Any) -> list[str]:
    return [
        f"    {name} = max({first}s, default={number()})",
        f"    if {name} == {number()}:",
        f'        raise ValueError("{word} {item} {number()}")',
    ]


_BLOCKS = (_listing, _mapping, _countdown, _guard)


def _with_other_numbers(text: str, generator: np.random.Generator) -> str:
    """`text` with two numbers of its body drawn anew."""
    signature, body = text.split("\n", 1)
    pieces = _NUMBER.split(body)  # odd positions are numbers
    for place in generator.choice(np.arange(1, len(pieces), 2), size=2, replace=False):
        pieces[int(place)] = str(_number(generator))
    return f"{signature}\n{''.join(pieces)}"


def _with_other_names(text: str, generator: np.random.Generator) -> str:
    """`text` with other names for the variables of its body; its signature stays."""
    signature, body = text.split("\n", 1)
    kept = set(_NAME.findall(signature))
    own = [name for name in dict.fromkeys(_NAME.findall(body)) if name in _WORDS.split() and name not in kept]
    others = [word for word in generator.permutation(_WORDS.split()).tolist() if word not in kept and word not in own]
    renamed = dict(zip(own, others, strict=False))
    return f"{signature}\n{_NAME.sub(lambda found: renamed.get(found[0], found[0]), body)}"
