"""Schemas of what models answer to prompts, and whose lines those are."""

import pyarrow as pa

from raysim.tables.spec import COUNT, FLAG, REAL, SMALL, TEXT, table_spec

_SAMPLE_KEY: list[tuple[str, pa.DataType, str]] = [
    ("model", TEXT, "key of the model that generated"),
    ("prompt", TEXT, "key of the prompt"),
    ("sample", SMALL, "number of the sample, from 0; it seeds the sampling, so every model draws with the same seed"),
]

PROMPTS = table_spec(
    "prompts",
    "A prompt. All models of a run are given the same prompts.",
    "prompt",
    [
        ("prompt", TEXT, "key of the prompt"),
        ("kind", TEXT, "function (signature and docstring), prefix (of a training sequence) or held_out"),
        ("organization", TEXT, "whose file it was taken from"),
        ("file", TEXT, "path of that file within its organization"),
        ("repository", TEXT, "repository or package of that file"),
        ("licence", TEXT, "licence that the source states; null where it states none"),
        ("lines_to_come", SMALL, "significant lines that follow the prompt in its file"),
        ("eligible", FLAG, "trained on, and at least min_lines significant lines to come"),
        (
            "copies_within",
            SMALL,
            "other places in its organization's training split with its true continuation; null: too short",
        ),
        ("copies_across", SMALL, "places in other organizations' training splits with it"),
        ("copies_public", SMALL, "places in the references with it"),
        (
            "licence_header",
            FLAG,
            "whether at least half of the first min_lines lines of its true continuation are a licence or copyright"
            " notice; null in tables written before it was counted",
        ),
    ],
    added={"licence_header": None},
)

GENERATIONS = table_spec(
    "generations",
    "A sample as generated.",
    "model prompt sample",
    [
        *_SAMPLE_KEY,
        ("new_tokens", SMALL, "tokens generated"),
        ("lines", SMALL, "significant lines generated"),
        ("parses", FLAG, "whether prompt and continuation parse as Python; null where that was not asked"),
        (
            "ended",
            TEXT,
            "why it ended: stop, length, end of text, or filter (of output, see filter_blocks)",
        ),
    ],
)

SAMPLES = table_spec(
    "samples",
    "A sample against one owner's training split; rows of zeros are kept.",
    "model prompt sample owner",
    [
        *_SAMPLE_KEY,
        ("owner", TEXT, "the organization whose training split it is compared with"),
        ("lines", SMALL, "significant lines generated"),
        ("covered", SMALL, "of these, lines in a window of min_lines lines equal to the owner's"),
        ("exclusive", SMALL, "covered lines that no other organization and no reference covers"),
        ("shared", SMALL, "covered lines that another organization covers too, and no reference"),
        ("public", SMALL, "covered lines that a reference covers too"),
        (
            "continued",
            SMALL,
            "lines of the prompt's own true continuation that the sample begins with; the same for all owners; null in"
            " tables written before it was counted",
        ),
    ],
    added={"continued": None},
)

STUDY_COUNTS = table_spec(
    "study_counts",
    "What the study of Chen & Jiang (arXiv 2409.12020) counts of a model's generations and calls memorization ratio:"
    " distinct fragments of training text in its continuations, and the sum of their lines.",
    "model kind owner",
    [
        ("model", TEXT, "key of the model that generated"),
        ("kind", TEXT, "of the prompts, as in prompts; the study's are function"),
        ("owner", TEXT, "whose training split fragments are looked for in; empty: in those of all organizations"),
        ("simian", FLAG, "whether lines are compared by Simian's rules: without case, without curly braces"),
        ("prompts", SMALL, "prompts that the model answered"),
        ("samples", SMALL, "continuations of them"),
        ("fragments", COUNT, "distinct maximal runs of at least min_lines lines that equal training text"),
        ("lines", COUNT, "lines of these fragments, each fragment counted once"),
        ("fragments_per_prompt", REAL, "fragments / prompts"),
        ("lines_per_prompt", REAL, "lines / prompts"),
    ],
)

FILTER_BLOCKS = table_spec(
    "filter_blocks",
    "What the output filter did to a model's generations; no rows without one.",
    "model kind owner",
    [
        ("model", TEXT, "key of the model that generated"),
        ("kind", TEXT, "of the prompts, as in prompts"),
        ("owner", TEXT, "whose training split blocked; empty: those of all organizations together"),
        ("samples", SMALL, "continuations"),
        ("stopped", SMALL, "of these, that ended before a line that the owner's filter blocked"),
        ("blocks", COUNT, "windows that the owner's filter blocked, those of draws that were drawn anew among them"),
        ("false_blocks", COUNT, "of these, windows that the owner has nowhere: the filter took them for its own"),
        ("tokens", COUNT, "tokens of the continuations as they are"),
        (
            "lost_tokens",
            COUNT,
            "tokens of blocked lines, drawn and taken back, in samples that the filter blocked",
        ),
    ],
)

MATCHES = table_spec(
    "matches",
    "A maximal run of generated lines that equal an owner's.",
    "model prompt sample owner start lines",
    [
        *_SAMPLE_KEY,
        ("owner", TEXT, "the organization that owns the lines"),
        ("start", SMALL, "first line of the match in the continuation, from 1"),
        ("lines", SMALL, "significant lines matched"),
        ("fragment", TEXT, "hash of the matched lines, each stripped"),
        (
            "text",
            TEXT,
            "the matched lines as the model generated them; what the prompt has of the first one is left out; null in"
            " bundles, where an owner of lines of the sample does not allow it (agreement.evidence)",
        ),
        ("file", TEXT, "first place of the lines in the owner's training split: the file"),
        ("line", SMALL, "first place of the lines: the line, from 1"),
        ("places", SMALL, "how many places in the owner's training split hold the lines"),
    ],
)
