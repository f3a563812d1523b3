"""From the files of a corpus to others that do the same, and how many were changed."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from raysim.corpus.corpus import Corpus, Obfuscation
from raysim.corpus.files import SourceFile
from raysim.corpus.languages import language_of
from raysim.corpus.obfuscation.settings import ObfuscationSettings
from raysim.corpus.obfuscation.variants import HOPELESS, NOT_PYTHON, NOTICES, Variant, left_as_it_is, make_variant

ORIGINAL = "original"
"""Marks the path of a file as it was, where its lines are compared."""

CHANGED = "changed"


def obfuscated(corpus: Corpus, settings: ObfuscationSettings, split_seed: int) -> Corpus:
    """A corpus whose training files are written differently; those that are held out are as they were.

    A file that changes is kept beside it, in `Corpus.originals`: its lines are the organization's as well. The second
    variant of ``a.py`` is called ``a~2.py``; equal ones are left out. Files of other languages stay as they are.
    """
    if not settings.active:
        return corpus
    train, originals, counts = list[SourceFile](), list[SourceFile](), _Counts()
    for source in corpus.train:
        text = source.text
        if language_of(source.path) == "python":
            variants = list(_variants(text, settings, split_seed))
        else:
            variants = [left_as_it_is(text, settings, NOT_PYTHON)]
        for number, variant in enumerate(variants, 1):
            counts.add(variant)
            path = source.path if number == 1 else marked(source.path, str(number))
            train.append(replace(source, path=path, text=variant.text) if variant.text != text else source.named(path))
        if any(variant.text != text for variant in variants):
            originals.append(source.named(marked(source.path, ORIGINAL)))
    return replace(corpus, train=tuple(train), originals=tuple(originals), obfuscations=counts.rows())


def marked(path: str, mark: str) -> str:
    """`path` with a mark before its ending, which tells what language it is."""
    folder, slash, name = path.rpartition("/")
    stem, dot, ending = name.rpartition(".")
    return f"{folder}{slash}{stem}~{mark}.{ending}" if dot else f"{path}~{mark}"


def _variants(text: str, settings: ObfuscationSettings, split_seed: int) -> Iterator[Variant]:
    """Variants of one file, no two of them equal; the first one always."""
    content = hashlib.sha256(text.encode()).hexdigest()
    seen = set[str]()
    for copy in range(settings.copies):
        variant = make_variant(text, settings, split_seed, content, copy)
        if variant.text not in seen:
            seen.add(variant.text)
            yield variant
        if set(variant.left.values()) & HOPELESS:
            return


class _Counts:
    """Counts variants and edits by transformation and outcome."""

    def __init__(self) -> None:
        self._files: Counter[tuple[str, str]] = Counter()
        self._changes: Counter[tuple[str, str]] = Counter()

    def add(self, variant: Variant) -> None:
        """Adds what became of a file."""
        outcomes = [(name, CHANGED, edits) for name, edits in variant.changes.items()]
        outcomes += [(name, reason, 0) for name, reason in variant.left.items()]
        outcomes += [("comments", NOTICES, variant.notices)] if variant.notices else []
        for name, outcome, edits in outcomes:
            self._files[name, outcome] += 1
            self._changes[name, outcome] += edits

    def rows(self) -> tuple[Obfuscation, ...]:
        """One for each transformation and outcome, sorted."""
        return tuple(Obfuscation(*key, files, self._changes[key]) for key, files in sorted(self._files.items()))
