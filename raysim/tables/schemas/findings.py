"""Schemas of the findings and of the contrasts that they rest on."""

from raysim.tables.spec import COUNT, REAL, SMALL, TEXT, table_spec

CONTRASTS = table_spec(
    "contrasts",
    "A difference between settings under one seed, with its bootstrap interval within that seed.",
    "finding contrast seed",
    [
        ("finding", TEXT, "F1 to F7"),
        ("contrast", TEXT, "what is compared"),
        ("seed", COUNT, "seed of the training run"),
        ("value", REAL, "the difference"),
        ("unit", TEXT, "its unit"),
        ("low", REAL, "lower end of the 95 % bootstrap interval over repositories or files"),
        ("high", REAL, "upper end of it"),
        ("n", COUNT, "prompts or files that enter"),
        ("note", TEXT, "budgets compared, and what the contrast cannot show"),
    ],
)

FINDINGS = table_spec(
    "findings",
    "The verdict on one finding of the study.",
    "finding",
    [
        ("finding", TEXT, "F1 to F7"),
        ("statement", TEXT, "the finding as stated by the study"),
        ("verdict", TEXT, "supported, contradicted, inconclusive, indicated (n seeds) or not measured"),
        ("contrast", TEXT, "the primary contrast that the verdict rests on"),
        ("value", REAL, "its mean over seeds; null where not measured"),
        ("low", REAL, "lower end of its 95 % interval"),
        ("high", REAL, "upper end of it"),
        ("unit", TEXT, "unit of the three"),
        ("seeds", SMALL, "seeds that entered"),
        ("note", TEXT, "what to know before quoting it; for 'not measured' the YAML line to add"),
    ],
)
