"""Schemas of what organizations own, before any training."""

from raysim.tables.names import PUBLIC
from raysim.tables.spec import COUNT, REAL, TEXT, table_spec

CORPORA = table_spec(
    "corpora",
    "The size of one organization's split after preparation.",
    "organization split",
    [
        ("organization", TEXT, "whose data"),
        ("split", TEXT, "train, valid or, where one is asked for, test"),
        ("files", COUNT, "files"),
        ("bytes", COUNT, "bytes of text"),
        ("lines", COUNT, "significant lines"),
        ("tokens", COUNT, "tokens under the run's tokenizer"),
        ("sequences", COUNT, "packed training sequences; 0 of what is held out"),
    ],
)

DROPS = table_spec(
    "drops",
    "What reading and preparation left out, and why.",
    "organization reason",
    [
        ("organization", TEXT, "whose data; (public): the references'"),
        ("reason", TEXT, "why the files were left out"),
        ("files", COUNT, "files left out for this reason"),
        ("bytes", COUNT, "bytes left out for this reason"),
    ],
)

CLONES = table_spec(
    "clones",
    "How much of one training split is found in another, before any training.",
    "organization other",
    [
        ("organization", TEXT, "whose lines are counted"),
        ("other", TEXT, f"where they are looked for; itself: duplicates within; {PUBLIC}: the references"),
        ("lines", COUNT, "significant lines of the organization's training split"),
        ("covered", COUNT, "of these, lines that the other holds in windows of min_lines lines"),
        ("share", REAL, "covered / lines"),
        ("fragments", COUNT, "distinct maximal fragments in common"),
    ],
)

HELD_OUT_COPIES = table_spec(
    "held_out_copies",
    "How much of one held-out file stands in training splits, in windows of min_lines lines: equal files fall alike,"
    " near copies may not.",
    "organization split file",
    [
        ("organization", TEXT, "whose file"),
        ("split", TEXT, "valid or test"),
        ("file", TEXT, "path of the file within its organization"),
        ("lines", COUNT, "its significant lines"),
        ("own", COUNT, "of these, lines in the organization's own training split"),
        ("others", COUNT, "lines in another organization's"),
        ("trained", COUNT, "lines in any of them"),
        ("public", COUNT, "lines in the references"),
    ],
)
