"""Schema of attacks on whole files, those with reference models among them."""

from raysim.tables.spec import COUNT, FLAG, REAL, SMALL, TEXT, table_spec

FILE_ATTACKS = table_spec(
    "file_attacks",
    "How well a score tells an organization's training files from its validation files, with LiRA and RMIA, whose"
    " references were never trained on the organization, beside a guess without a model.",
    "model organization score",
    [
        ("model", TEXT, "key of the model"),
        ("organization", TEXT, "whose files are told apart"),
        ("score", TEXT, "loss, min_k, min_k_plus_plus or zlib, means over a file's chunks; lira or rmia"),
        ("trained", FLAG, "whether the model was trained on the organization; else nothing is to be found"),
        ("references", SMALL, "models without the organization that lira and rmia go by; null for other scores"),
        ("reference", TEXT, "which these are; empty: none, or another score"),
        ("member_files", COUNT, "files of the training split"),
        ("non_member_files", COUNT, "files of the validation split"),
        ("auc", REAL, "chance that a member scores above a non-member; 0.5 is guessing; null where it is refused"),
        ("low", REAL, "lower end of its 95 % interval over files"),
        ("high", REAL, "upper end of it"),
        ("tpr_at_1_fpr", REAL, "share of members found while at most 1 % of the non-members are taken for one"),
        ("tpr_at_1_fpr_low", REAL, "lower end of its 95 % interval, by a bootstrap of files"),
        ("tpr_at_1_fpr_high", REAL, "upper end of it"),
        ("tpr_at_01_fpr", REAL, "the same at 0.1 %: below 1,000 non-members none may be taken for a member"),
        ("tpr_at_01_fpr_low", REAL, "lower end of its 95 % interval"),
        ("tpr_at_01_fpr_high", REAL, "upper end of it"),
        ("blind_auc", REAL, "AUC of the guess without a model, within its folds; null where there is none"),
        ("blind_low", REAL, "lower end of its 95 % interval"),
        ("blind_high", REAL, "upper end of it"),
        ("blind_tpr_at_1_fpr", REAL, "as tpr_at_1_fpr, of the guess without a model, within its folds"),
        ("gain", REAL, "auc - blind_auc"),
        ("gain_low", REAL, "lower end of its 95 % interval, paired by file"),
        ("gain_high", REAL, "upper end of it"),
        ("verdict", TEXT, "as in attacks; refused: too few files, or no reference"),
        ("note", TEXT, "why it is refused"),
    ],
)
