"""Schema of the validations by which rounds ended early."""

from raysim.tables.spec import COUNT, FLAG, REAL, SMALL, TEXT, table_spec

VALIDATIONS = table_spec(
    "validations",
    "The validations by which settings with early_stop decided when their rounds end, up to the last one that was"
    " trained. Losses are those of the table losses, over the validation files of all members together.",
    "seed strategy order round",
    [
        ("seed", COUNT, "seed of the training run"),
        ("strategy", TEXT, "label of the setting"),
        ("order", TEXT, "as in models"),
        ("round", SMALL, "whose model was validated, from 1"),
        ("model", TEXT, "its key"),
        ("loss", REAL, "in nats a token: the sum over all tokens of all members' validation files, over their number"),
        ("improved", FLAG, "whether it is below the best one before it by more than min_delta"),
        ("kept", FLAG, "whether the setting ends with this model"),
        ("last", FLAG, "whether no round was trained after it"),
        ("rounds", SMALL, "that the setting would have had without early_stop"),
    ],
)
