"""Schema of the checkpoint of each setting that is best on validation, beside its last."""

from raysim.tables.spec import REAL, SMALL, TEXT, table_spec

BEST_CHECKPOINTS = table_spec(
    "best_checkpoints",
    "The round or epoch of a setting with the smallest validation loss, beside its last one; of settings that were"
    " evaluated more than once on their way.",
    "strategy order seed",
    [
        ("strategy", TEXT, "label of the setting"),
        ("order", TEXT, "organizations, as in models"),
        ("seed", SMALL, "seed of the training run"),
        ("moment", TEXT, "round or epoch"),
        ("checkpoints", SMALL, "models of the setting that were evaluated"),
        ("best", SMALL, "number of the round or epoch with the smallest loss; of several the first"),
        ("last", SMALL, "number of the last one"),
        ("best_model", TEXT, "key of the best model"),
        ("last_model", TEXT, "key of the last model"),
        (
            "best_bits_per_byte",
            REAL,
            "of the best, on validation files of those that the setting trains on",
        ),
        ("last_bits_per_byte", REAL, "of the last"),
        ("best_exclusive", REAL, "exclusive covered lines a prompt of the best; null: not measured"),
        ("last_exclusive", REAL, "of the last"),
        ("best_test_bits_per_byte", REAL, "of the best, on the test split, on which nothing is chosen; null: none"),
        ("last_test_bits_per_byte", REAL, "of the last"),
    ],
)
