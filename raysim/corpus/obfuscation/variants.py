"""One variant of one file: each transformation in turn, each result checked."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from raysim.core.keys import seed_of
from raysim.corpus.obfuscation.comments import drop_comments
from raysim.corpus.obfuscation.identifiers import Place, rename_identifiers
from raysim.corpus.obfuscation.layout import reformat
from raysim.corpus.obfuscation.python_text import UNREADABLE, PythonText, edited
from raysim.corpus.obfuscation.same_tree import same_tree
from raysim.corpus.obfuscation.settings import ObfuscationSettings
from raysim.corpus.obfuscation.statements import reorder_statements

UNPARSABLE = "not parsed"
MIXED_LINE_ENDS = "line ends of both kinds"
NOT_PYTHON = "not Python"
UNCHANGED = "nothing to change"
UNVERIFIED = "not verified"
EMPTIED = "nothing would be left"
"""Why a transformation leaves a file as it is."""

HOPELESS = {UNPARSABLE, MIXED_LINE_ENDS, EMPTIED}
"""Reasons that no other draw changes."""

NOTICES = "licence notices"
"""What of comments is kept and counted."""


@dataclass(frozen=True)
class Variant:
    """A file written differently.

    Attributes:
        text: the new text, or the old one.
        changes: by transformation, how many edits it made.
        left: by transformation, why it made none.
        notices: blocks of comments that are kept as licence or copyright notices.
    """

    text: str
    changes: dict[str, int]
    left: dict[str, str]
    notices: int = 0


def left_as_it_is(text: str, settings: ObfuscationSettings, reason: str) -> Variant:
    """A file that no transformation changes, for this reason."""
    return Variant(text, {}, dict.fromkeys(_asked(settings), reason))


def make_variant(text: str, settings: ObfuscationSettings, split_seed: int, content: str, copy: int) -> Variant:
    """Writes a file differently; what it does stays the same.

    The syntax tree at the end is compared with the first one: it must be equal but for the new names and the order of
    what was moved. A result that is not is thrown away.

    Args:
        text: the file.
        settings: what is to be changed.
        split_seed: of all draws.
        content: a hash of `text`, which all draws depend on, so that equal files become equal ones.
        copy: which variant, from 0.
    """
    names = _asked(settings)
    returns = text.count("\r\n")
    if returns and returns != text.count("\n"):
        return left_as_it_is(text, settings, MIXED_LINE_ENDS)
    before = code = PythonText(text.replace("\r\n", "\n"))
    changes, left, notices, renamed = dict[str, int](), dict[str, str](), 0, {}
    try:
        for name in names:
            generator = np.random.Generator(np.random.Philox(seed_of(split_seed, "obfuscation", name, content, copy)))
            match name:
                case "rename":
                    edits, renamed = rename_identifiers(code, generator)
                case "reorder":
                    edits = reorder_statements(code, generator)
                case "comments":
                    edits, notices = drop_comments(code)
                case _:
                    edits = reformat(code, generator)
            if edits := [edit for edit in edits if code.text[edit.start : edit.end] != edit.text]:
                changes[name], code = len(edits), PythonText(edited(code.text, edits))
            else:
                left[name] = UNCHANGED
    except UNREADABLE:
        return left_as_it_is(text, settings, UNPARSABLE)
    if changes and not _is_same(before, code, renamed, settings.reorder):
        return left_as_it_is(text, settings, UNVERIFIED)
    if changes and not code.text.strip():
        return left_as_it_is(text, settings, EMPTIED)
    new = code.text.replace("\n", "\r\n") if returns else code.text
    return Variant(new if changes else text, changes, left, notices)


def _is_same(
    before: PythonText, after: PythonText, renamed: Mapping[Place, Mapping[str, str]], reordered: bool
) -> bool:
    try:
        return same_tree(before.tree, after.tree, renamed, reordered=reordered)
    except UNREADABLE:
        return False


def _asked(settings: ObfuscationSettings) -> list[str]:
    asked = {
        "rename": settings.rename,
        "reorder": settings.reorder,
        "comments": settings.comments == "drop",
        "reformat": settings.reformat,
    }
    return [name for name, on in asked.items() if on]
