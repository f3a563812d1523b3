"""Takes secrets and personal data out of files before tokens are made of them, or says how many there are."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Literal

import pydantic

from raysim.core.settings import Settings
from raysim.corpus.corpus import Corpus, Redaction
from raysim.corpus.files import SourceFile
from raysim.corpus.found_secrets import find_secrets
from raysim.corpus.personal_data import CARD, EMAIL, IBAN, IP_ADDRESS, PHONE, find_personal_data
from raysim.corpus.text_spans import TextSpan, apart, replaced

Action = Literal["off", "report", "redact"]


class RedactionSettings(Settings):
    """What is done about secrets and personal data in the files that are kept.

    They are counted by kind, and taken out before any token is made of them; see `raysim.corpus.found_secrets` and
    `raysim.corpus.personal_data`.
    """

    secrets: Action = pydantic.Field(
        default="off",
        description="keys, tokens and passwords (detect-secrets); report: they are counted; redact: `<SECRET>` is put"
        " in their place",
    )
    personal: Action = pydantic.Field(
        default="off",
        description="e-mail, IP addresses, phone, card and account numbers; report: they are counted; redact:"
        " `<EMAIL>`, `<IP_ADDRESS>`, `<PHONE>`, `<CARD>`, `<IBAN>` is put in their place",
    )

    @property
    def actions(self) -> dict[str, Action]:
        """What is done, by category, where something is."""
        return {name: action for name, action in self if action != "off"}


PLACEHOLDERS = {EMAIL: "<EMAIL>", PHONE: "<PHONE>", IP_ADDRESS: "<IP_ADDRESS>", CARD: "<CARD>", IBAN: "<IBAN>"}
SECRET = "<SECRET>"  # noqa: S105
"""In the place of what is a secret of any kind; of personal data see `PLACEHOLDERS`."""

_FINDERS: dict[str, Callable[[str], list[TextSpan]]] = {"secrets": find_secrets, "personal": find_personal_data}


def redacted(corpus: Corpus, settings: RedactionSettings) -> Corpus:
    """A corpus in whose splits there is nothing of what is to be redacted, with what was found counted by kind.

    Raises:
        InputError: a package that this needs is not installed.
    """
    if not settings.actions:
        return corpus
    counts = _Counts()
    splits = {
        name: tuple(_clean(source, settings.actions, counts) for source in getattr(corpus, name))
        for name in ("train", "valid", "test")
    }
    return replace(corpus, **splits, redactions=counts.rows())


def _clean(source: SourceFile, actions: Mapping[str, Action], counts: "_Counts") -> SourceFile:
    found = _find(source.text, actions)
    counts.add((category, span.kind, actions[category]) for span, category in found)
    gone = [(span, PLACEHOLDERS.get(span.kind, SECRET)) for span, category in found if actions[category] == "redact"]
    return replace(source, text=replaced(source.text, gone)) if gone else source


def _find(text: str, actions: Mapping[str, Action]) -> list[tuple[TextSpan, str]]:
    """Spans that do not overlap, and the category of each.

    What is redacted comes before what is only counted, and then a secret: ``https://jane:hunter2@host.org`` holds no
    address.
    """
    found = list[tuple[TextSpan, str]]()
    for name in sorted(actions, key=lambda one: (actions[one] != "redact", one != "secrets")):
        spans = apart(_FINDERS[name](text))
        found += [(span, name) for span in spans if not any(span.overlaps(other) for other, _ in found)]
    return sorted(found)


class _Counts:
    """Counts files and occurrences by category, kind and action."""

    def __init__(self) -> None:
        self._files: Counter[tuple[str, str, str]] = Counter()
        self._occurrences: Counter[tuple[str, str, str]] = Counter()

    def add(self, found: Iterable[tuple[str, str, str]]) -> None:
        """Adds what was found in a file."""
        of_file = Counter(found)
        self._occurrences.update(of_file)
        self._files.update(of_file.keys())

    def rows(self) -> tuple[Redaction, ...]:
        """One for each kind, sorted."""
        return tuple(Redaction(*key, self._files[key], count) for key, count in sorted(self._occurrences.items()))
