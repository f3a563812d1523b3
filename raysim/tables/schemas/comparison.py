"""Schema of what differs between runs."""

from raysim.tables.spec import COUNT, REAL, SMALL, TEXT, table_spec

COMPARISON = table_spec(
    "comparison",
    "What differs between two runs or points of a sweep, a setting or a contrast; `raysim compare --json` prints it.",
    "run finding what setting",
    [
        ("run", TEXT, "the run, or point of a sweep, that is compared"),
        ("baseline", TEXT, "what it is compared with: the first that was named"),
        ("finding", TEXT, "F1 to F7 where a contrast of the findings shifts; empty where a setting is compared"),
        ("what", TEXT, "the measure, or the contrast"),
        ("setting", TEXT, "label of the setting, or of the contrast's arm"),
        ("difference", REAL, "the run minus the baseline, mean over seeds; null where a model has diverged"),
        ("low", REAL, "lower end of its 95 % interval; null where there is none"),
        ("high", REAL, "upper end of it"),
        ("unit", TEXT, "of the three"),
        ("seeds", SMALL, "seeds that both have"),
        ("items", COUNT, "prompts or validation files that both have"),
        ("note", TEXT, "what the interval rests on, or why there is none"),
    ],
)
