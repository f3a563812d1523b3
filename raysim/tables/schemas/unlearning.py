"""Schema of what is left of an organization in a model that was to forget it."""

from raysim.tables.spec import COUNT, REAL, SMALL, TEXT, table_spec

UNLEARNING = table_spec(
    "unlearning",
    "An organization that has gone: what a pooled model gives away of it and how well it models code, before it was to"
    " forget the organization, afterwards, and trained without it from the beginning. Means over seeds.",
    "strategy organization",
    [
        ("strategy", TEXT, "label of the setting, of the family unlearned"),
        ("organization", TEXT, "that has gone"),
        ("seeds", SMALL, "seeds of the setting"),
        ("prompts", COUNT, "prompts of its training files; null: memorization was not measured"),
        ("lines_before", REAL, "exclusive lines of it for each of these prompts, by the pooled model"),
        ("lines_after", REAL, "by the model that was to forget it"),
        ("lines_without", REAL, "by the model that was trained without it: nothing of it can be left there"),
        ("own_before", REAL, "bits per byte on its own validation files, of the pooled model; null: not measured"),
        ("own_after", REAL, "of the model that was to forget it; far above `own_without` it is damaged, not forgetful"),
        ("own_without", REAL, "of the model that was trained without it"),
        ("others_before", REAL, "bits per byte on the others' validation files, a mean over them, of the pooled model"),
        ("others_after", REAL, "of the model that was to forget it: what forgetting costs those who stay"),
        ("others_without", REAL, "of the model that was trained without it"),
    ],
)
