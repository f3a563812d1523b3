"""Schema of what models give away of an organization beyond models that were never trained on it."""

from raysim.tables.spec import COUNT, FLAG, REAL, SMALL, TEXT, table_spec

COUNTERFACTUALS = table_spec(
    "counterfactuals",
    "Lines of an owner that a setting gives away on the owner's own prompts, minus those of models of the setting that"
    " were never trained on the owner (counterfactual memorization, Zhang et al., arXiv 2112.12938, by organization).",
    "strategy trained_on moment index since owner lines",
    [
        ("strategy", TEXT, "label of the setting"),
        ("family", TEXT, "of the setting"),
        ("arm", TEXT, "hash of the settings that make it one"),
        (
            "trained_on",
            TEXT,
            "organizations so far, one after the other (a > b) or together (a + b); empty: mean over all orders",
        ),
        ("moment", TEXT, "stage, round or epoch"),
        ("index", SMALL, "number of the stage, round or epoch"),
        ("since", SMALL, "stages since the owner's own, 0: it is the last; null: no stages, or never trained on it"),
        ("owner", TEXT, "whose lines and prompts these are"),
        ("trained", FLAG, "whether the models were trained on the owner; else the true effect is none"),
        ("lines", TEXT, "exclusive or covered lines, as in samples"),
        ("reference", TEXT, "which models without the owner these are held against; empty: there are none"),
        ("seeds", SMALL, "seeds that have both"),
        ("prompts", COUNT, "prompts of the owner's training files that all of these models were given"),
        ("given_away", REAL, "lines a prompt, mean over seeds"),
        ("without", REAL, "lines a prompt of the models without the owner"),
        ("effect", REAL, "given_away - without"),
        ("low", REAL, "lower end of its 95 % interval over seeds and files; null where it is refused"),
        ("high", REAL, "upper end of it"),
        ("note", TEXT, "what the interval rests on, or why there is none"),
    ],
)
