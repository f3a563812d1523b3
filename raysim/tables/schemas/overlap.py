"""Schemas of the tables that predict what models give away, and compare it with what they did."""

from raysim.tables.spec import COUNT, FLAG, REAL, SMALL, TEXT, table_spec

COPIES = table_spec(
    "copies",
    "In how many places of one training split the true continuation of a prompt is found, before any training; zeros"
    " are kept. The sum over what a model was trained on predicts which prompts it is likely to give away.",
    "prompt organization",
    [
        (
            "prompt",
            TEXT,
            "key of the prompt; one whose continuation has too few whole lines in its sequence has no rows",
        ),
        ("organization", TEXT, "whose training split"),
        ("places", SMALL, "places with the first min_lines lines of the continuation, its own place included"),
    ],
)

EMISSIONS = table_spec(
    "emissions",
    "How much of an owner's training split a model gives away, and how much of that it had seen. A line counts once,"
    " however often the model wrote it, and only if it lies in a window of min_lines lines that the model wrote whole.",
    "model owner",
    [
        ("model", TEXT, "key of the model"),
        ("owner", TEXT, "whose lines are counted"),
        ("lines", COUNT, "significant lines of the owner's training split"),
        ("seen", COUNT, "of these, lines in windows of the training splits that the model was trained on: the bound"),
        ("emitted", COUNT, "of these, lines in windows that the model wrote, over all prompts"),
        ("foreseen", COUNT, "of the emitted, lines in windows that it wrote and had seen; at most seen"),
        ("public", COUNT, "of the emitted, lines in windows of the references"),
    ],
)

PREDICTIONS = table_spec(
    "predictions",
    "What was predicted of a model before training, beside what was measured: of an organization's lines, and of the"
    " prompts from its training split whose continuation has min_lines lines.",
    "seed strategy order moment index organization",
    [
        ("seed", COUNT, "seed of the training run"),
        ("strategy", TEXT, "label of the setting"),
        ("order", TEXT, "as in models"),
        ("moment", TEXT, "as in models"),
        ("index", SMALL, "as in models"),
        ("model", TEXT, "key of the model"),
        ("organization", TEXT, "whose lines and prompts; empty: the prompts of all"),
        ("trained", FLAG, "whether the model was trained on its data; null where it is of all"),
        ("bound", REAL, "seen / lines, as in emissions: what could be repeated from what was seen"),
        ("measured", REAL, "emitted / lines: what was given away"),
        ("foreseen", REAL, "foreseen / lines: the part of measured that had been seen; never above bound"),
        ("prompts_0", COUNT, "prompts whose continuation is nowhere in what the model was trained on"),
        ("given_0", COUNT, "of these, prompts with a sample that holds lines of the prompt's organization"),
        ("prompts_1", COUNT, "prompts whose continuation is there once"),
        ("given_1", COUNT, "of these, prompts given away"),
        ("prompts_2", COUNT, "prompts whose continuation is there twice or more"),
        ("given_2", COUNT, "of these, prompts given away"),
        ("auc", REAL, "chance that a prompt given away has more places than one that was not; ties count half"),
        ("low", REAL, "lower end of its 95 % interval, files taken for independent; null where there is none"),
        ("high", REAL, "upper end of it"),
    ],
)
