"""Schema of who took part in the rounds of federations."""

from raysim.tables.spec import COUNT, FLAG, REAL, SMALL, TEXT, table_spec

PARTICIPATION = table_spec(
    "participation",
    "Who was selected for a round of a federation, who took part in it, and how long it took in simulated time. Times"
    " are of a model of the federation (`availability` of a strategy), drawn by seed, round and organization; nothing"
    " is measured.",
    "seed strategy order round organization",
    [
        ("seed", COUNT, "seed of the training run"),
        ("strategy", TEXT, "label of the setting"),
        ("order", TEXT, "as in models"),
        ("round", SMALL, "from 1"),
        ("organization", TEXT, "a member of the federation"),
        ("selected", FLAG, "whether it was asked to train in the round"),
        ("took_part", FLAG, "whether it trained and the server aggregated what it sent"),
        (
            "reason",
            TEXT,
            "not selected, dropped out or late; empty: neither. Where the server waits, who was late or dropped out and"
            " began again takes part all the same",
        ),
        ("attempts", SMALL, "how often it began to train in the round; more than once where dropouts are waited for"),
        ("simulated_seconds", REAL, "of its attempts, in the last attempt at the round; null: time is not simulated"),
        ("round_attempts", SMALL, "how often the round was begun, since too few organizations came through"),
        ("round_seconds", REAL, "of all attempts at the round, the same for all rows of it; null: not simulated"),
    ],
)
