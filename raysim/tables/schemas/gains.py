"""Schema of what each organization gains or loses by training with others."""

from raysim.tables.spec import COUNT, REAL, SMALL, TEXT, table_spec

GAINS = table_spec(
    "gains",
    "What an organization gains by a setting over training alone, on its own validation files, and what it gives away.",
    "organization strategy",
    [
        ("organization", TEXT, "whose validation files and prompts these are"),
        ("strategy", TEXT, "label of the setting"),
        ("family", TEXT, "of the setting"),
        ("arm", TEXT, "hash of the settings that make it one"),
        ("seeds", SMALL, "seeds that have both this setting and the organization alone"),
        ("files", COUNT, "validation files of the organization"),
        ("alone", REAL, "bits per byte of its model trained alone, mean over seeds"),
        ("together", REAL, "bits per byte of the setting's final models on the same files, mean over orders and seeds"),
        ("gain", REAL, "alone minus together: above zero the organization is better off in the setting"),
        ("low", REAL, "lower end of the 95 % interval of the gain; null where there is none"),
        ("high", REAL, "upper end of it"),
        ("lines", REAL, "exclusive lines of the organization that the setting gives away, per prompt of its own"),
        ("prompts", COUNT, "prompts of its training files that were given; null: memorization was not measured"),
        ("leaking", REAL, "share of these prompts that make the setting give away such a line"),
        ("leaking_high", REAL, "upper end of its 95 % Wilson interval, with the prompts' files as trials"),
        ("note", TEXT, "what the interval rests on"),
        (
            "fit",
            TEXT,
            "fitted, or undertrained: the setting codes training text of the organization in no fewer bits a byte than"
            " zlib its validation files, so that it says little if nothing is given away; empty: not measured",
        ),
        ("test_alone", REAL, "as alone, on the organization's test files, on which nothing is chosen; null: none"),
        ("test_together", REAL, "as together, on the test files"),
        ("test_gain", REAL, "as gain, on the test files"),
        ("test_low", REAL, "lower end of its 95 % interval; null where there is none"),
        ("test_high", REAL, "upper end of it"),
        ("test_note", TEXT, "what it rests on"),
        (
            "alone_without_copies",
            REAL,
            "as alone, without validation files of which at least half stands in a training split (held_out_copies);"
            " null: not looked for, or none is left",
        ),
        ("together_without_copies", REAL, "as together, without these"),
    ],
    added={"fit": "", "test_note": ""}
    | dict.fromkeys(("test_alone", "test_together", "test_gain", "test_low", "test_high"))
    | dict.fromkeys(("alone_without_copies", "together_without_copies")),
)
