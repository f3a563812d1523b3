"""Schema of the table ``uploads``."""

from raysim.tables.spec import COUNT, REAL, SMALL, TEXT, table_spec

UPLOADS = table_spec(
    "uploads",
    "What a client sent to be aggregated, as the server receives it: probed with its own organization's prompts and"
    " canaries alone. What the average gives away of the same is in the tables of models, by its key.",
    "seed strategy order round organization",
    [
        ("seed", COUNT, "seed of the training run"),
        ("strategy", TEXT, "label of the setting"),
        ("order", TEXT, "as in models"),
        ("round", SMALL, "in which it was sent, from 1"),
        ("organization", TEXT, "who sent it; whose prompts, lines, canaries and training sequences it is probed with"),
        ("model", TEXT, "key of the upload"),
        ("average", TEXT, "key of the model that the round made of all uploads"),
        ("prompts", SMALL, "prompts of the organization that it answered, of all kinds"),
        ("covered", REAL, "lines of the organization that it wrote, for each prompt; as in samples"),
        ("exclusive", REAL, "of these, lines that nobody else covers"),
        ("exposure", REAL, "mean exposure of the organization's planted canaries, in bits; null where not measured"),
        ("training_loss", REAL, "nats a token on a sample of its training sequences, as in losses"),
    ],
)
