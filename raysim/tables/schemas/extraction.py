"""Schema of the table ``extraction``."""

from raysim.tables.spec import REAL, SMALL, TEXT, table_spec

EXTRACTION = table_spec(
    "extraction",
    "How a model recites a passage of training text behind a prefix of one length. Every share and curve of extraction"
    " is a view of it.",
    "model organization passage prefix_tokens",
    [
        ("model", TEXT, "key of the model that recites"),
        ("organization", TEXT, "whose training sequences the passage was drawn from"),
        ("passage", TEXT, "key of the passage, the same for all models and lengths of prefix"),
        ("prefix_tokens", SMALL, "tokens of it that the model is shown"),
        ("suffix_tokens", SMALL, "tokens right behind them that it is to recite"),
        ("file", TEXT, "path of the passage's file within its organization"),
        ("repository", TEXT, "repository or package of that file"),
        ("offset", SMALL, "first token of the suffix in its packed training sequence, from 0"),
        ("verbatim", SMALL, "tokens of the suffix that greedy decoding gets right before it first errs"),
        ("distance", SMALL, "Levenshtein distance in tokens of the greedy continuation to the suffix; 0: extracted"),
        (
            "log_p",
            REAL,
            "log-probability in nats that the run's temperature and top-p (no repetition penalty) draw the suffix;"
            " -infinity: never",
        ),
        ("log_p_plain", REAL, "the same at temperature 1 and without top-p"),
    ],
)
