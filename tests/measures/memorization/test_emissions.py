"""What models wrote against what they had seen, at the organizations whose lines it is about."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from measured_models import MeasuredModels

from raysim.corpus.line_digests import digest_lines, digest_windows
from raysim.corpus.lines import significant_lines
from raysim.inference.prompts import open_line
from raysim.matching.line_index import LineIndex, build_index
from raysim.matching.overlap import Written, written_windows
from raysim.measures.memorization.client_functions import prompts_at
from raysim.measures.memorization.emissions import Emissions, emissions_at, seen_at, written_at
from raysim.measures.memorization.settings import MemorizationSettings, PromptCounts

SECRET = b"secret"
TEXTS = {
    name: {f"{i}.py": "".join(f"{name}_{i}_{j} = {j}\n" for j in range(5)) for i in range(3)}
    for name in ("alpha", "beta")
}
SETTINGS = MemorizationSettings(prompts=PromptCounts(prefix=1), prefix_tokens=8, min_lines=2)


@pytest.fixture
def models(tmp_path: Path) -> MeasuredModels:
    return MeasuredModels(tmp_path, TEXTS)


def indexes_of(models: MeasuredModels) -> dict[str, LineIndex]:
    return {name: build_index(one.corpus.train, 2, SECRET) for name, one in models.organizations.items()}


def wrote(text: str, owner: str, prompt: str = "p", start: int = 2) -> pa.Table:
    return pa.table({"prompt": [prompt], "owner": [owner], "start": [start], "text": [text]})


def test_others_without_a_common_line_have_seen_nothing(models: MeasuredModels) -> None:
    alpha = models.organizations["alpha"]
    found = seen_at(alpha, 2, indexes_of(models), None, SECRET).to_pylist()
    assert found == [{"organization": "alpha", "others": ["beta"], "lines": 10, "seen": 0, "public": 0}]


def test_others_with_a_file_of_mine_have_seen_its_lines(models: MeasuredModels) -> None:
    alpha = models.organizations["alpha"]
    copied = build_index(alpha.corpus.train[:1], 2, SECRET)
    found = seen_at(alpha, 2, {"alpha": copied, "beta": copied}, copied, SECRET).to_pylist()
    assert found == [{"organization": "alpha", "others": ["beta"], "lines": 10, "seen": 5, "public": 5}]


def test_lines_that_are_given_away_are_counted_at_their_owner(models: MeasuredModels) -> None:
    """Three of ten lines, by a model that was trained on them and by one that was not."""
    alpha = models.organizations["alpha"]
    text = "".join(alpha.corpus.train[0].text.splitlines(keepends=True)[1:4])
    windows = written_windows(wrote(text, "alpha"), {}, "alpha", 2, SECRET)
    written = [Written(("alpha",), windows), Written(("beta",), windows)]
    one, other = (t.to_pylist() for t in emissions_at(alpha, 2, written, indexes_of(models), None, SECRET))
    assert one == [{"owner": "alpha", "lines": 10, "seen": 10, "emitted": 3, "foreseen": 3, "public": 0}]
    assert other == [{"owner": "alpha", "lines": 10, "seen": 0, "emitted": 3, "foreseen": 0, "public": 0}]


def test_a_line_that_a_prompt_begins_is_digested_where_the_prompt_is(models: MeasuredModels) -> None:
    """What comes back holds neither the line nor a hash of its end alone."""
    alpha = models.organizations["alpha"]
    asked = [SETTINGS.model_copy(update={"prefix_tokens": tokens}) for tokens in range(4, 12)]
    prompts = [(settings, *prompts_at(alpha, settings, 1).to_pylist()) for settings in asked]
    settings, prompt = next((s, p) for s, p in prompts if open_line(p["text"])[0] and not p["truth"].startswith("\n"))
    begun, (end, following, *_) = open_line(prompt["text"])[0], prompt["truth"].split("\n")
    matches = {"m": wrote(f"{end}\n{following}", "alpha", prompt["prompt"], 1)}
    (windows,) = written_at(alpha, settings, 1, matches, ["alpha"], SECRET)["m"].values()
    assert windows.tolist() == digest_windows(digest_lines([begun + end, following], SECRET), 2).tolist()


def test_emissions_are_keyed_work_with_every_owner(models: MeasuredModels) -> None:
    """Asked again, nobody needs an index; hashes go to each owner and counts come back."""
    beta = models.organizations["beta"]
    text = "".join(beta.corpus.train[0].text.splitlines(keepends=True)[:2])
    assert len(significant_lines(text)[0]) == 2
    store = models.executor.store
    matched = {("m", "alpha"): store.put({"kind": "match", "version": 1}, {}, tables={"matches": wrote(text, "beta")})}
    reached, asked = {"m": models.model("m", "alpha")}, []

    async def indexes() -> tuple[dict[str, LineIndex], None]:
        asked.append(1)
        return indexes_of(models), None

    async def work() -> Any:
        emissions = Emissions(models.executor, models.context.run, SETTINGS, "references")
        return [await emissions.tables(reached, matched, indexes, SECRET) for _ in range(2)]

    first, second = models.run(work)
    counts = {row["owner"]: row for table in first for row in table.to_pylist()}
    lines = {name: stats.splits["train"]["lines"] for name, stats in models.context.run.client_stats.items()}
    nothing = {"model": "m", "public": 0, "foreseen": 0}
    assert counts["alpha"] == nothing | {
        "owner": "alpha",
        "lines": lines["alpha"],
        "seen": lines["alpha"],
        "emitted": 0,
    }
    assert counts["beta"] == nothing | {"owner": "beta", "lines": lines["beta"], "seen": 0, "emitted": 2}
    assert [table.to_pylist() for table in second] == [table.to_pylist() for table in first]
    assert (asked, models.done()) == ([1], ["emissions"])
    (key,) = [key for key in models.executor.used if store.get(key).recipe["kind"] == "emissions"]  # type: ignore[union-attr]
    moved = [(row["sender"], row["receiver"], row["kind"]) for row in store.get(key).info["crossings"]]  # type: ignore[union-attr]
    assert sorted(moved) == [
        ("alpha", "server", "emissions"),
        ("alpha", "server", "line hashes"),
        ("beta", "server", "emissions"),
        ("server", "alpha", "line hashes"),
        ("server", "alpha", "match"),
        ("server", "beta", "line hashes"),
    ]
