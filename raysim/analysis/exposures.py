"""How exposed an organization's canaries are, as a mean over them."""

import pyarrow.compute as pc

from raysim.tables.results import Results


def mean_exposures(run: Results, planted: bool = True) -> dict[tuple[str, str], float]:
    """Mean exposure in bits by model and organization: of canaries that were planted, or of those that never were."""
    chosen = pc.field("repeats") > 0 if planted else pc.field("repeats") == 0
    means = run.table("canaries").filter(chosen).group_by(["model", "organization"])
    rows = means.aggregate([("exposure", "mean")]).to_pylist()
    return {(row["model"], row["organization"]): row["exposure_mean"] for row in rows}
