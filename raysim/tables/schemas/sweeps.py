"""Schema of what the points of a sweep ended with."""

import pyarrow as pa

from raysim.tables.spec import COUNT, REAL, TEXT, table_spec

SWEEP = table_spec(
    "sweep",
    "A final model of one point of a sweep; in the folder of the sweep alone.",
    "point seed strategy order",
    [
        ("point", TEXT, "name of the point, which is its folder below points/"),
        ("parameters", pa.map_(TEXT, TEXT), "for each swept path of the experiment its value there, as JSON"),
        ("seed", COUNT, "seed of the training run"),
        ("strategy", TEXT, "label of the setting in the experiment"),
        ("order", TEXT, "organizations: 'a > b' one after the other, 'a + b' together, 'a' alone"),
        ("model", TEXT, "key of the model; the same in points that share it"),
        ("tokens_seen", COUNT, "training tokens of all organizations, repeats counted"),
        ("steps", COUNT, "optimizer steps on the way to this model, summed over its organizations"),
        ("bits_per_byte", REAL, "loss on the joint validation split, per byte of text; null: not measured"),
        ("perplexity", REAL, "exponential of the mean loss of a token of that split"),
        ("accuracy", REAL, "share of that split's tokens that the model ranks first"),
        ("exclusive", REAL, "covered lines that one organization alone owns, a prompt"),
        ("ratio_eligible", REAL, "covered lines of any owner, an eligible prompt"),
        ("matched_share", REAL, "share of samples with at least one covered line"),
        ("passes", REAL, "share of solutions that pass their tests, as a mean over problems (pass@1)"),
        ("test_bits_per_byte", REAL, "as bits_per_byte, on the test split, on which nothing is chosen; null: none"),
    ],
    added={"test_bits_per_byte": None},
)
