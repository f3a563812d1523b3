"""Schemas of audits: canaries, and whether models tell what they were trained on."""

from raysim.tables.spec import COUNT, FLAG, REAL, SMALL, TEXT, table_spec

CANARIES = table_spec(
    "canaries",
    "How well a model knows a canary of an organization; one that was never planted shows what chance does.",
    "model organization canary",
    [
        ("model", TEXT, "key of the model"),
        ("organization", TEXT, "in whose training split the canary was planted"),
        ("canary", TEXT, "names it: 4x0 is the first of those planted four times"),
        ("repeats", SMALL, "how often it occurs in that split"),
        (
            "log_perplexity",
            REAL,
            "negative log-probability of the whole line, in bits: behind a BOS where canaries are files, behind a line"
            " end where they are lines",
        ),
        ("rank", COUNT, "candidates of no higher log-perplexity, itself included"),
        ("candidates", COUNT, "secrets that it is ranked among, its own included"),
        ("enumerated", FLAG, "whether these are all secrets that there are, or a sample"),
        ("exposure", REAL, "log2(candidates) - log2(rank), in bits; about 1.4 on average by chance"),
        (
            "exposure_extrapolated",
            REAL,
            "an estimate beyond a sample's size, by a skew-normal distribution; null where enumerated",
        ),
        ("fit_p", REAL, "Kolmogorov-Smirnov p of that distribution; below 0.1 do not trust the estimate"),
    ],
)

SEQUENCE_CANARIES = table_spec(
    "sequence_canaries",
    "What a model makes of the training sequences of random tokens that coins put in or left out; privacy_audits has"
    " what follows for epsilon.",
    "model organization canary",
    [
        ("model", TEXT, "key of the model; also of the one that training started from"),
        ("organization", TEXT, "whose training sequences it is in, or is not"),
        ("canary", SMALL, "its number, from 0"),
        ("included", FLAG, "whether its coin put it in"),
        ("nats", REAL, "negative log-likelihood of its tokens but the first, summed, in nats"),
    ],
)

RECITALS = table_spec(
    "recitals",
    "How much of a planted function a model recites from its signature; one never planted shows what chance does.",
    "model organization function",
    [
        ("model", TEXT, "key of the model"),
        ("organization", TEXT, "in whose training split the function was planted"),
        ("function", TEXT, "names it: 4x0 is the first of those planted four times"),
        ("repeats", SMALL, "how often it occurs in that split"),
        ("lines", COUNT, "significant lines behind its signature"),
        ("recited_lines", COUNT, "of these, whole lines from the first on that greedy decoding gives word for word"),
        ("tokens", COUNT, "tokens behind its signature"),
        ("recited_tokens", COUNT, "of these, tokens from the first on that greedy decoding gives"),
        ("nats", REAL, "negative log-likelihood of these tokens, summed, in nats"),
    ],
)

MEMBERSHIP = table_spec(
    "membership",
    "What a model scores of a file, or of a chunk of one, that it may have been trained on.",
    "model organization file chunk member",
    [
        ("model", TEXT, "key of the model"),
        ("organization", TEXT, "whose file it is"),
        ("file", TEXT, "path of the file within its organization"),
        ("chunk", SMALL, "number of the chunk in the file, from 0; 0 for a whole file"),
        ("member", FLAG, "whether it is in the organization's training split; else in its validation split"),
        ("tokens", COUNT, "tokens predicted"),
        ("loss", REAL, "mean negative log-likelihood of a token, in nats; lower for members"),
        ("min_k", REAL, "mean log-probability of the least likely tokens; higher for members"),
        ("min_k_plus_plus", REAL, "the same of log-probabilities normalised over the vocabulary"),
        ("zlib", REAL, "nats over bits of the compressed text; lower for members"),
    ],
)

BLIND = table_spec(
    "blind",
    "A guess from its words alone, without any model, whether a file or chunk is a member; cross-validated.",
    "organization file chunk member",
    [
        ("organization", TEXT, "whose file it is"),
        ("file", TEXT, "path of the file within its organization"),
        ("chunk", SMALL, "number of the chunk in the file, as in membership"),
        ("member", FLAG, "whether it is in the organization's training split"),
        ("fold", SMALL, "which part the classifier had not seen; scores compare within a fold alone"),
        ("score", REAL, "higher for what the classifier takes for a member"),
    ],
)

ATTACKS = table_spec(
    "attacks",
    "How well a score tells an organization's members from its non-members, beside a guess without a model.",
    "model organization score",
    [
        ("model", TEXT, "key of the model"),
        ("organization", TEXT, "whose members are told apart"),
        ("score", TEXT, "loss, min_k, min_k_plus_plus or zlib, as in membership"),
        ("members", COUNT, "files or chunks of the training split"),
        ("non_members", COUNT, "files or chunks of the validation split"),
        (
            "member_files",
            COUNT,
            "files of the members; intervals take files for independent, not chunks",
        ),
        ("non_member_files", COUNT, "files of the non-members"),
        ("auc", REAL, "chance that a member scores above a non-member; 0.5 is guessing"),
        ("low", REAL, "lower end of its 95 % interval; null where all are told apart, or where a split has one file"),
        ("high", REAL, "upper end of it"),
        ("tpr_at_1_fpr", REAL, "share of members found while at most 1 % of the non-members are taken for one"),
        ("blind_auc", REAL, "AUC of the guess without a model; null where a split has one file; noisy below ten"),
        ("blind_low", REAL, "lower end of its 95 % interval"),
        ("blind_high", REAL, "upper end of it"),
        ("blind_tpr_at_1_fpr", REAL, "as tpr_at_1_fpr, of the guess without a model, within its folds"),
        ("gain", REAL, "auc - blind_auc"),
        ("gain_low", REAL, "lower end of its 95 % interval, paired by file"),
        ("gain_high", REAL, "upper end of it"),
        (
            "verdict",
            TEXT,
            "shows membership: auc above 0.5 and gain above 0 by their intervals; else shows nothing, or no baseline",
        ),
    ],
)
