"""Schemas of what a run trained, how good it is, and what was transferred for it."""

import pyarrow as pa

from raysim.tables.spec import COUNT, FLAG, REAL, SMALL, TEXT, table_spec

MODELS = table_spec(
    "models",
    "A model that a setting passed through. Settings share stages, so one model may be in several rows.",
    "seed strategy order moment index",
    [
        ("seed", COUNT, "seed of the training run; the split has a seed of its own"),
        ("strategy", TEXT, "label of the setting in the experiment, for example incremental or fedyogi"),
        (
            "family",
            TEXT,
            "how the setting brings organizations together: single, centralized, incremental (one after the other),"
            " cyclic (so in several passes), federated (in rounds), personalized (in rounds, then each alone: an"
            " organization's own model) or unlearned (one that has gone is to be forgotten), as its strategy says",
        ),
        (
            "arm",
            TEXT,
            "hash of the strategy and its settings; one for all seeds and orders of a setting, whatever its label, and"
            " another for settings that differ",
        ),
        ("fraction", REAL, "of each organization's training sequences that the setting trains on"),
        ("order", TEXT, "organizations: 'a > b' one after the other, 'a + b' together, 'a' alone"),
        (
            "members",
            pa.list_(TEXT),
            "organizations that take part in the setting, in the order in which they are introduced; those that begin"
            " together as in the experiment",
        ),
        ("moment", TEXT, "initial, stage, round or epoch: what had just ended when the model was taken"),
        ("index", SMALL, "number of that stage, round or epoch, from 1; 0 for initial"),
        ("final", FLAG, "whether the setting ends with this model"),
        ("model", TEXT, "key of the model: a hash of everything that made it"),
        ("parents", pa.list_(TEXT), "keys of the models that it was made from"),
        ("organizations", pa.list_(TEXT), "whose data it has seen, directly or through others' weights"),
        ("last", TEXT, "the organization trained last; empty where several were at once"),
        ("tokens_seen", pa.map_(TEXT, COUNT), "training tokens of each organization, repeats counted"),
        ("steps", COUNT, "optimizer steps on the way to this model, summed over its organizations"),
        (
            "steps_in_sequence",
            COUNT,
            "optimizer steps one after the other: of a round those of the organization that made most; otherwise steps",
        ),
        ("learning_rate_sum", REAL, "sum of the learning rate over those steps"),
        ("dropout", REAL, "dropout probability in force during training, as a mean over its steps"),
        ("parameters", COUNT, "number of trainable parameters"),
    ],
)

LOSSES = table_spec(
    "losses",
    "A model's loss on one validation file, or on a sample of an organization's training sequences.",
    "model organization split file",
    [
        ("model", TEXT, "key of the model"),
        ("organization", TEXT, "whose text it is"),
        (
            "split",
            TEXT,
            "valid; test, where there is such a split; or train: a fixed sample of training sequences as a whole, the"
            " same for all models, in eval mode",
        ),
        ("file", TEXT, "path of the file within its organization; empty for train"),
        ("nats", REAL, "negative log-likelihood of the file's tokens, summed, in nats"),
        ("tokens", COUNT, "tokens predicted"),
        ("correct", COUNT, "tokens whose most probable prediction was right"),
        ("bytes", COUNT, "bytes of the text predicted"),
    ],
    added={"split": "valid"},
)

BASELINES = table_spec(
    "baselines",
    "What is reached on an organization's validation files without any network.",
    "organization split baseline data",
    [
        ("organization", TEXT, "whose validation files"),
        ("split", TEXT, "valid"),
        ("baseline", TEXT, "uniform (over the vocabulary), zlib (file by file) or 5-gram (interpolated Kneser-Ney)"),
        (
            "data",
            TEXT,
            "what it was trained on: own (the organization's training sequences), together (all organizations'; only"
            " where all share data), base (the public code of model.pretrain), base + own, base + together; else empty",
        ),
        ("nats", REAL, "negative log-likelihood of the files, summed, in nats; of zlib its bits"),
        ("tokens", COUNT, "tokens predicted, as in losses"),
        ("bytes", COUNT, "bytes of the text"),
        ("bits_per_byte", REAL, "nats / ln 2 / bytes"),
    ],
)

LEDGER = table_spec(
    "ledger",
    "A transfer over an organization's boundary.",
    "work sender receiver kind",
    [
        ("sender", TEXT, "who sent"),
        ("receiver", TEXT, "who received"),
        ("kind", TEXT, "what was sent: weights, inventory, sequences, texts, objective, or the kind of a measure"),
        ("bytes", COUNT, "bytes sent"),
        ("sha256", TEXT, "hash of the content"),
        ("work", TEXT, "key of the work that it was sent for"),
    ],
    folder="",
)
