"""Schemas of the findings and of the contrasts that they rest on."""

from raysim.tables.spec import COUNT, REAL, SMALL, TEXT, table_spec

CONTRASTS = table_spec(
    "contrasts",
    "A difference between settings under one seed, with its interval within that seed.",
    "finding contrast arm seed",
    [
        ("finding", TEXT, "F1 to F7"),
        ("contrast", TEXT, "what is compared"),
        (
            "arm",
            TEXT,
            "label of the setting that is compared, with its counterpart's if there are several; or empty",
        ),
        ("seed", COUNT, "seed of the training run"),
        ("value", REAL, "the difference"),
        ("unit", TEXT, "its unit"),
        ("low", REAL, "lower end of the 95 % interval over repositories or files; null where they are too few"),
        ("high", REAL, "upper end of it"),
        ("n", COUNT, "prompts or files that enter"),
        ("models", TEXT, "which models entered, a side after the other"),
        ("note", TEXT, "budgets compared, and what the contrast cannot show"),
    ],
)

FINDINGS = table_spec(
    "findings",
    "The verdict on one finding of the study, and beside it one on each of its arms.",
    "finding arm contrast",
    [
        ("finding", TEXT, "F1 to F7"),
        (
            "arm",
            TEXT,
            "label of the setting that the row is about; empty: the finding, which holds if it does in all",
        ),
        ("statement", TEXT, "the finding as stated by the study"),
        (
            "verdict",
            TEXT,
            "supported, contradicted, no effect beyond the margin, inconclusive; with fewer than five seeds indicated,"
            " indicated against or indicated: no effect beyond the margin (n seeds); not comparable; not measured",
        ),
        (
            "contrast",
            TEXT,
            "the primary contrast that the verdict rests on; of a finding, of its least certain arm",
        ),
        ("value", REAL, "its mean over seeds; null where not measured"),
        ("low", REAL, "lower end of its 95 % interval over seeds and material; null where it is refused"),
        ("high", REAL, "upper end of it"),
        ("adjusted_low", REAL, "lower end of the interval at the level that the adjustment over findings leaves it"),
        ("adjusted_high", REAL, "upper end of it"),
        ("margin", REAL, "smallest difference of interest, as declared"),
        ("unit", TEXT, "unit of these"),
        ("p", REAL, "of what the estimate may show, adjusted over findings (Holm) and arms; null below five seeds"),
        ("seeds", SMALL, "seeds that entered"),
        ("models", TEXT, "which models entered, a side after the other"),
        (
            "confound",
            TEXT,
            "what else could explain it, as far as the tables show: one or two that apply, else those that were looked"
            " for; null where nothing was compared",
        ),
        ("note", TEXT, "what to know before quoting it; for 'not measured' the YAML line to add"),
    ],
    added={"confound": None},
)
