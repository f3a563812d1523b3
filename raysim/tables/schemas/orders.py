"""Schemas of what the order of incremental training does."""

import pyarrow as pa

from raysim.tables.spec import COUNT, FLAG, REAL, SMALL, TEXT, table_spec

ORDERS = table_spec(
    "orders",
    "What an order of incremental training ended with; only orders over all organizations of the run.",
    "seed strategy order",
    [
        ("seed", COUNT, "seed of the training run"),
        ("strategy", TEXT, "label of the incremental setting"),
        ("order", TEXT, "organizations, 'a > b': first a, then b"),
        ("model", TEXT, "key of its final model"),
        ("bits_per_byte", REAL, "loss on the joint validation split; null where not measured"),
        ("exclusive", REAL, "exclusive covered lines a prompt; null where not measured"),
        ("covered_eligible", pa.map_(TEXT, REAL), "covered lines of each owner per eligible prompt"),
        ("leakage_weight", REAL, "bits per byte that one exclusive line a prompt is worth, as stated"),
        ("score", REAL, "bits_per_byte + leakage_weight * exclusive; lower is better"),
        ("rank", SMALL, "place by score among the orders of the same seed and setting, from 1; ties share it"),
        ("pareto", FLAG, "whether no order beats it in both bits_per_byte and exclusive, averaged over seeds"),
    ],
)

ORDER_EFFECTS = table_spec(
    "order_effects",
    "What the order does to one measure of the final incremental models: within a seed, then averaged.",
    "strategy measure owner method term",
    [
        ("strategy", TEXT, "label of the incremental setting"),
        ("measure", TEXT, "bits_per_byte, exclusive or covered_eligible, as in orders"),
        ("owner", TEXT, "whose lines covered_eligible counts; empty for the other measures"),
        (
            "method",
            TEXT,
            "position, predecessor: mean of the orders with the term minus mean of all; precedence: mean with "
            "it minus mean without; pairwise: regression coefficient; shapley: mean change by the stage",
        ),
        ("term", TEXT, "'a at 2', 'a right before b', 'a before b', or the organization"),
        ("organization", TEXT, "the organization a of the term"),
        ("other", TEXT, "the organization b of the term; empty where there is none"),
        ("position", SMALL, "the position of the term, from 1; null where there is none"),
        ("estimate", REAL, "the effect, averaged over seeds"),
        ("low", REAL, "lower end of Student's 95 % interval over seeds; null with one seed"),
        ("high", REAL, "upper end of it"),
        ("unit", TEXT, "unit of the three"),
        ("seeds", SMALL, "seeds that enter"),
        ("n", COUNT, "orders that enter, summed over seeds; those with the term, for position and predecessor"),
        (
            "r_squared",
            REAL,
            "share of the variance over orders explained within a seed: by the place of a, by what follows a, "
            "by a before b, by the whole regression; null for shapley, without variance or without residual",
        ),
    ],
)
