"""Canaries: lines with a random secret, planted in a training split so often as an experiment states.

What a model gives away of them can be held against chance exactly, since nothing else in the world holds the secret
(Carlini et al., The Secret Sharer, USENIX Security 2019).
"""

import ast
import warnings
from collections.abc import Iterator, Set
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
import pydantic
from pydantic import Field

from raysim.core.errors import InputError
from raysim.core.keys import seed_of
from raysim.core.settings import Settings
from raysim.corpus.corpus import Canary, Corpus
from raysim.corpus.files import SourceFile

CANARIES_VERSION = 1
"""Numerics version of drawing secrets; where they are planted shows in the corpus."""

CANARIES = "(canaries)"
"""The repository of files that are canaries; it is part of the corpus, and so of its fingerprint."""

_HOLE = "{secret}"


class CanarySettings(Settings):
    """Canaries, as in The Secret Sharer: a format with a hole, and the space that secrets are drawn from."""

    organizations: tuple[str, ...] | None = Field(
        default=None, description="in whose training split they are planted; unset: everyone's"
    )
    repeats: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        default=(0, 1, 4, 16), min_length=1, description="how often a canary occurs there; 0: never, for comparison"
    )
    count: int = Field(default=4, ge=1, description="canaries for each number of repeats, each with its own secret")
    format: str = Field(default='API_KEY = "{secret}"', description="the line, with {secret} where the secret goes")
    alphabet: str = Field(default="0123456789abcdef", min_length=2, description="characters of a secret")
    length: int = Field(default=16, ge=1, le=256, description="characters of a secret")
    place: Literal["files", "lines"] = Field(
        default="files", description="files of their own, or lines between the statements of training files"
    )

    @pydantic.field_validator("repeats")
    @classmethod
    def _distinct(cls, repeats: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(repeats)) < len(repeats):
            raise ValueError("a number of repeats is named twice; raise count instead")
        return repeats

    @pydantic.field_validator("format")
    @classmethod
    def _one_line_with_one_hole(cls, given: str) -> str:
        if given.count(_HOLE) != 1 or len(given.splitlines()) != 1:
            raise ValueError(f"write one line that has {_HOLE} in it once")
        return given

    @pydantic.field_validator("alphabet")
    @classmethod
    def _plain_alphabet(cls, alphabet: str) -> str:
        if len(set(alphabet)) < len(alphabet) or not alphabet.isprintable() or " " in alphabet:
            raise ValueError("name printable characters, each once, no blank")
        return alphabet

    @pydantic.model_validator(mode="after")
    def _room_for_all(self) -> "CanarySettings":
        if self.space <= self.num_canaries:
            raise ValueError(
                f"{self.num_canaries} canaries need more than the {self.space} secrets that there are; raise length"
            )
        return self

    @property
    def space(self) -> int:
        """How many secrets there are."""
        return len(self.alphabet) ** self.length

    @property
    def num_canaries(self) -> int:
        """Canaries of one organization."""
        return self.count * len(self.repeats)

    def planted_in(self, organization: str) -> bool:
        """Whether `organization` is to have canaries."""
        return self.organizations is None or organization in self.organizations

    def text(self, secret: str) -> str:
        """The line with `secret` in it, and its line end."""
        return self.format.replace(_HOLE, secret) + "\n"

    def recipe(self) -> dict[str, Any]:
        """The settings that decide which canaries an organization has; not where they are, nor who else has any."""
        chosen = self.model_dump(mode="json", include={"repeats", "count", "format", "alphabet", "length"})
        return {"kind": "canaries", "version": CANARIES_VERSION, **chosen}


def make_canaries(settings: CanarySettings, organization: str, split_seed: int) -> tuple[Canary, ...]:
    """The canaries of one organization, each with a secret that no other of them has."""
    canaries: list[Canary] = []
    for repeats in settings.repeats:
        for number in range(settings.count):
            seed = seed_of(split_seed, "canary", organization, repeats, number)
            taken = {canary.secret for canary in canaries}
            canaries.append(Canary(f"{repeats}x{number}", repeats, next(draw_secrets(settings, seed, taken))))
    return tuple(canaries)


def draw_secrets(settings: CanarySettings, seed: int, taken: Set[str]) -> Iterator[str]:
    """Distinct secrets in seeded order, uniform over the space without `taken`; endless once the space is used up."""
    generator = np.random.Generator(np.random.Philox(seed))
    drawn = set(taken)
    while True:
        secret = "".join(settings.alphabet[i] for i in generator.integers(len(settings.alphabet), size=settings.length))
        if secret not in drawn:
            drawn.add(secret)
            yield secret


def plant(corpus: Corpus, settings: CanarySettings, split_seed: int) -> Corpus:
    """`corpus` with canaries in its training split, after preparation and split, so that nothing takes copies out.

    Raises:
        InputError: a file is called like a canary's.
    """
    canaries = make_canaries(settings, corpus.organization, split_seed)
    copies = [(canary, copy) for canary in canaries for copy in range(canary.repeats)]
    if settings.place == "files":
        files = tuple(
            SourceFile(f"canaries/{canary.name}-{copy}.py", settings.text(canary.secret), CANARIES)
            for canary, copy in copies
        )
        taken = {source.path for source in corpus.train + corpus.valid} & {source.path for source in files}
        if taken:
            raise InputError(f"canaries.place: there is a file {min(taken)} already; exclude it, or set place: lines")
        return replace(corpus, train=corpus.train + files, canaries=canaries)
    train = list(corpus.train)
    for canary, copy in copies:
        seed = seed_of(split_seed, "canary place", corpus.organization, canary.name, copy)
        generator = np.random.Generator(np.random.Philox(seed))
        chosen = int(generator.integers(len(train)))
        text = train[chosen].text
        places = _between_statements(text)
        at = places[int(generator.integers(len(places)))]
        text = f"{_ended(text[:at])}{settings.text(canary.secret)}{text[at:]}"
        train[chosen] = replace(train[chosen], text=text)
    return replace(corpus, train=tuple(train), canaries=canaries)


def _between_statements(text: str) -> list[int]:
    """Positions where a line may go without breaking a Python file: behind its first statement; else the end alone."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # doubtful escapes in other people's code
            body = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        body = []
    if "\r" in text.replace("\r\n", ""):
        body = []  # Python ends lines there, too, so that its line numbers are not those of the lines below
    begins = [0]
    for line in text.split("\n"):
        begins.append(begins[-1] + len(line) + 1)
    # What follows a semicolon does not begin a line, and may come behind a string of several.
    margin = [node for node in body[1:] if node.col_offset == 0]
    lines = [min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))]) for node in margin]
    places = [begins[line - 1] for line in lines]
    return [place for place in places if not text[:place].endswith("\\\n")] + [len(text)]


def _ended(text: str) -> str:
    return text if not text or text.endswith("\n") else f"{text}\n"
