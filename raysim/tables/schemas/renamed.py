"""Schemas of matches under other names: of what models wrote, and of code that nobody was trained on."""

import pyarrow as pa

from raysim.tables.spec import COUNT, SMALL, TEXT, table_spec


def _counted(number: pa.DataType, whose: str) -> list[tuple[str, pa.DataType, str]]:
    return [
        ("tokens", number, f"tokens {whose}; white space and comments are none, a string is one"),
        ("covered_tokens", number, "of these, tokens in a window of min_tokens that is the owner's but for names"),
        ("lines", number, "lines in which such tokens begin; the lines of a string but its first are none"),
        ("covered", number, "of these, lines all of whose tokens are covered"),
        ("exclusive", number, "covered lines that no other organization and no reference covers so"),
        ("shared", number, "covered lines that another organization covers so, too, and no reference"),
        ("public", number, "covered lines that a reference covers so, too"),
        (
            "hidden",
            number,
            "exclusive lines in no verbatim match with the owner's: renamed, laid out anew, or too few lines",
        ),
    ]


COUNTED = tuple(name for name, _, _ in _counted(COUNT, ""))
"""What both tables count."""

RENAMED = table_spec(
    "renamed",
    "A sample against one owner's training split by its tokens, names and literals taken as equal and layout left out"
    " (memorization.renamed); no rows where that was not asked for.",
    "model prompt sample owner",
    [
        ("model", TEXT, "key of the model that generated"),
        ("prompt", TEXT, "key of the prompt"),
        ("sample", SMALL, "number of the sample, from 0"),
        ("owner", TEXT, "the organization whose training split it is compared with"),
        *_counted(SMALL, "generated"),
    ],
)

RENAMED_CHANCE = table_spec(
    "renamed_chance",
    "The control of `renamed`: an organization's held-out files, which nobody was trained on, against one owner's"
    " training split. What matches of other organizations' code does so by chance, or is common code.",
    "organization owner",
    [
        ("organization", TEXT, "whose held-out files, of validation and test splits"),
        ("owner", TEXT, "whose training split; the organization itself: its held-out code beside its training code"),
        ("files", COUNT, "how many"),
        *_counted(COUNT, "of the files"),
    ],
)
