"""Schemas of what clients sent to be aggregated, and what became of it."""

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

UPDATE_NORMS = table_spec(
    "update_norms",
    "How far each client of a round moved and how far the server stepped: Euclidean norms over all trained weights.",
    "seed strategy order round organization",
    [
        ("seed", COUNT, "seed of the training run"),
        ("strategy", TEXT, "label of the setting"),
        ("order", TEXT, "as in models"),
        ("round", SMALL, "from 1"),
        ("organization", TEXT, "who trained"),
        ("model", TEXT, "key of what it sent"),
        ("average", TEXT, "key of the model that the round made"),
        ("update_norm", REAL, "of its change: its weights minus those that it started from; null: not noted"),
        ("step_norm", REAL, "of the server's change in the round, the same for all of its clients; null: not noted"),
        (
            "factor_gap",
            REAL,
            "of low-rank adapters: what averaging factors B and A apart loses of the average of the clients' products"
            " B A: norm of the difference over norm of the average, all layers together; 0 where A is frozen; null: no"
            " adapters, no average, or not noted",
        ),
        (
            "average_gap",
            REAL,
            "the same of the model that the server made: what is lost in the way that `adapters` chose; null where the"
            " server does more than average",
        ),
    ],
    added={"factor_gap": None, "average_gap": None},
)

UPDATE_SIZES = table_spec(
    "update_sizes",
    "What clients sent in a round in place of their whole weights, where a setting has compression or secure"
    " aggregation. Norms are Euclidean, over all trained weights; the simulation notes them, the server does not learn"
    " them.",
    "seed strategy order round organization",
    [
        ("seed", COUNT, "seed of the training run"),
        ("strategy", TEXT, "label of the setting"),
        ("order", TEXT, "as in models"),
        ("round", SMALL, "from 1"),
        ("organization", TEXT, "who sent it"),
        ("model", TEXT, "key of what it sent"),
        ("average", TEXT, "key of the model that the round made"),
        ("form", TEXT, "what was done to the update: top_k, int8 or masked"),
        ("raw_bytes", COUNT, "of its whole weights, which it would send otherwise"),
        ("bytes", COUNT, "that it sent, as in ledger"),
        ("update_norm", REAL, "of its change in training"),
        ("cut_norm", REAL, "of its change, and of what error feedback had kept, minus what the server has of it"),
        (
            "clipped",
            COUNT,
            "elements outside the range of secure aggregation, which were cut to it; null: no such range",
        ),
    ],
)
