"""Schemas of what mitigations cost and spare: by setting, and for each organization."""

from raysim.tables.spec import COUNT, FLAG, REAL, SMALL, TEXT, table_spec

FRONT = table_spec(
    "front",
    "A setting under a mitigation beside the same setting as it is, on the files and prompts that both have; in the"
    " folder of the comparison alone.",
    "mitigation strategy",
    [
        ("mitigation", TEXT, "label of the mitigation; none: the experiment as it is"),
        ("strategy", TEXT, "label of the setting"),
        ("family", TEXT, "of the setting"),
        (
            "changed",
            FLAG,
            "whether the mitigation makes another model of the setting, or has it answer otherwise; false: it does not"
            " concern the setting",
        ),
        ("seeds", SMALL, "seeds of the setting under the mitigation"),
        ("bits_per_byte", REAL, "loss on the joint validation split, mean over seeds; null: not measured"),
        ("bits_more", REAL, "loss minus that of the baseline on the files that both have; null: no such pair"),
        ("bits_low", REAL, "lower end of its 95 % interval; null where there is none"),
        ("bits_high", REAL, "upper end of it"),
        ("exclusive", REAL, "exclusive covered lines a prompt, mean over seeds; null: not measured"),
        ("lines_more", REAL, "exclusive lines minus those of the baseline on the prompts that both have"),
        ("lines_low", REAL, "lower end of its 95 % interval; null where there is none"),
        ("lines_high", REAL, "upper end of it"),
        ("prompts", COUNT, "prompts that both have; a mitigation that changes the files changes the prompts"),
        (
            "renamed",
            REAL,
            "exclusive lines a prompt but for names, literals and layout, mean over seeds; null: not asked for"
            " (memorization.renamed)",
        ),
        ("tokens_seen", COUNT, "training tokens of all organizations, repeats counted; mean over seeds"),
        (
            "dominated_by",
            TEXT,
            "a mitigation under which the setting has no greater loss and gives away no more lines, under other names"
            " neither where these were looked for, and one of them is less, by means; empty: none, or not measured",
        ),
    ],
)

FRONT_OWNERS = table_spec(
    "front_owners",
    "A setting under a mitigation as one organization sees it: its own files, its own lines; in the folder of the"
    " comparison alone.",
    "organization mitigation strategy",
    [
        ("organization", TEXT, "whose validation files and prompts these are"),
        ("mitigation", TEXT, "label of the mitigation; none: the experiment as it is"),
        ("strategy", TEXT, "label of the setting"),
        ("bits_per_byte", REAL, "loss on its own test files where there are any, else on its own validation files"),
        ("gain", REAL, "bits per byte that it gains over training alone without a mitigation; null: not measured"),
        ("low", REAL, "lower end of the 95 % interval of the gain; null where there is none, as under mitigations"),
        ("high", REAL, "upper end of it"),
        ("lines", REAL, "exclusive lines of the organization that the setting gives away, per prompt of its own"),
        ("leaking", REAL, "share of these prompts that make the setting give away such a line"),
        ("leaking_high", REAL, "upper end of its 95 % Wilson interval, with the prompts' files as trials"),
        ("affordable", FLAG, "whether its loss is within findings.F1.margin of the least that it can have"),
        ("recommended", FLAG, "whether it is what the organization is advised; none is where it is best off alone"),
        ("reason", TEXT, "of the advice, on the row that it is about; empty: none is about this one"),
    ],
)
