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

FILE_LICENCES = table_spec(
    "file_licences",
    "Under which licences the training files of an organization are, as its source states them or, where they are"
    " looked for (preparation.find_licences), as the files and the texts beside them do.",
    "organization licence",
    [
        ("organization", TEXT, "whose files"),
        ("licence", TEXT, "'not stated' where nothing says it"),
        ("files", COUNT, "training files under it"),
    ],
)

REDACTIONS = table_spec(
    "redactions",
    "Secrets and personal data that were found in the files that preparation keeps (preparation.redact); no rows where"
    " they were not looked for. What has no form is not found, such as names of people.",
    "organization category kind",
    [
        ("organization", TEXT, "whose files, of all splits"),
        ("category", TEXT, "secrets or personal"),
        ("kind", TEXT, "what was found; of secrets as detect-secrets calls it"),
        ("action", TEXT, "report: it was counted and has stayed; redact: a placeholder stands in its place"),
        ("files", COUNT, "files that had any"),
        ("occurrences", COUNT, "in all of them"),
    ],
)

OBFUSCATIONS = table_spec(
    "obfuscations",
    "What became of training files that were to be written differently (preparation.obfuscate); no rows where none"
    " were.",
    "organization transformation outcome",
    [
        ("organization", TEXT, "whose training files"),
        ("transformation", TEXT, "rename, reorder, comments or reformat"),
        (
            "outcome",
            TEXT,
            "changed; why it left files as they are: nothing to change, not parsed by this Python, line ends of both"
            " kinds, not verified (the result was not the same code); or licence notices, which are kept",
        ),
        ("files", COUNT, "files with this outcome, each variant counted"),
        ("changes", COUNT, "edits in all of them; of licence notices, how many there are"),
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
