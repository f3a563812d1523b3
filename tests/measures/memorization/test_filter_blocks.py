"""What an output filter is made of, what of it crosses, and what is counted of what it did."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from measured_models import MeasuredModels

from raysim.corpus.line_digests import digest_lines, digest_windows, from_binary, to_binary
from raysim.corpus.lines import significant_lines
from raysim.measures.memorization.comparisons import Comparisons
from raysim.measures.memorization.filter_blocks import FilterBlocks
from raysim.measures.memorization.filter_functions import filter_at, filter_share_at
from raysim.measures.memorization.pipeline import MemorizationMeasure
from raysim.measures.memorization.settings import MemorizationSettings
from raysim.store.entries import Entry

LINES = 2
TEXTS = {
    name: {f"{i}.py": "".join(f"{name}_{i}_{j} = {j}\n" for j in range(9)) + "a = 1\nb = 2\n" for i in range(3)}
    for name in ("alpha", "beta")
}


def settings(**changes: Any) -> MemorizationSettings:
    raw = {"prompts": {"prefix": 2}, "prefix_tokens": 8, "samples": 2, "new_tokens": 12, "min_lines": 1}
    return MemorizationSettings.model_validate({**raw, "output_filter": {"lines": LINES, **changes}})


@pytest.fixture
def models(tmp_path: Path) -> MeasuredModels:
    return MeasuredModels(tmp_path, TEXTS)


def comparisons(models: MeasuredModels, chosen: MemorizationSettings) -> Comparisons:
    return Comparisons(models.context, models.executor, chosen, b"secret of the run")


def windows_of(models: MeasuredModels, name: str, key: bytes) -> set[bytes]:
    """All windows of an organization's training files, file by file."""
    files = [significant_lines(one.text)[0] for one in models.organizations[name].corpus.train]
    return {w for lines in files for w in to_binary(digest_windows(digest_lines(lines, key), LINES))}


def test_each_filter_holds_the_windows_of_its_owner_under_one_key(models: MeasuredModels) -> None:
    async def work() -> Any:
        made = comparisons(models, settings())
        return await made.filters(), await made.filter_key()

    filters, key = models.run(work)
    assert filters.keys() == TEXTS.keys()
    for name, other in (("alpha", "beta"), ("beta", "alpha")):
        own, others = windows_of(models, name, key), windows_of(models, other, key)
        assert filters[name].holds(from_binary(sorted(own))).all()
        assert len(own & others) == 1
        assert filters[name].holds(from_binary(sorted(others - own))).sum() == 0
        # Under another key nothing is found.
        assert not filters[name].holds(from_binary(sorted(windows_of(models, name, b"guessed")))).any()


def test_the_key_follows_from_all_training_splits_and_from_no_secret(models: MeasuredModels, tmp_path: Path) -> None:
    changed = {**TEXTS, "beta": {path: text.replace("beta_1_", "bete_1_") for path, text in TEXTS["beta"].items()}}
    others = [MeasuredModels(tmp_path / str(i), texts) for i, texts in enumerate((TEXTS, changed))]
    keys = []
    for one, secret in ((models, b"one"), (others[0], b"other"), (others[1], b"one")):

        async def work(one: MeasuredModels = one, secret: bytes = secret) -> bytes:
            return await Comparisons(one.context, one.executor, settings(), secret).filter_key()

        keys.append(one.run(work))
    assert keys[0] == keys[1] != keys[2]
    shares = [filter_share_at(one.organizations["beta"]) for one in (models, *others)]
    assert shares[0] == shares[1] != shares[2]
    assert shares[0] != filter_share_at(models.organizations["alpha"])
    assert models.context.run.client_stats["beta"].train_fingerprint not in shares[0].hex()


def test_what_crosses_is_the_filter_and_the_share_of_the_key(models: MeasuredModels) -> None:
    async def work() -> Any:
        made = comparisons(models, settings())
        await made.filters()
        return await made.filters_sent("alpha"), await made.filters_sent("server"), await made.filter_key()

    to_alpha, to_server, key = models.run(work)
    assert [(t.sender, t.receiver, t.kind) for t in to_alpha] == [
        ("beta", "alpha", "filter key"),
        ("beta", "alpha", "line filter"),
    ]
    assert {(t.sender, t.kind) for t in to_server} == {
        (name, kind) for name in TEXTS for kind in ("filter key", "line filter")
    }
    made = filter_at(models.organizations["beta"], settings().output_filter, key)  # type: ignore[arg-type]
    assert to_alpha[1].num_bytes == len(made.bits) < 300


def entry(models: MeasuredModels, name: str, rows: list[dict[str, Any]]) -> Entry:
    table = pa.Table.from_pylist(rows)
    tables = {
        "generations": table.select(["prompt", "sample", "new_tokens", "ended"]),
        "blocks": table.select(["prompt", "sample", "windows", "lost_tokens"]),
    }
    return models.executor.store.put({"kind": "generate", "version": 1, "of": name}, {}, None, tables)


def test_blocks_are_counted_by_kind_and_owner(models: MeasuredModels) -> None:
    """By hand: windows of one, of both, and one of nobody that a loose filter holds all the same."""
    reached, chosen = models.model(), settings(false_positive_rate=0.3)
    kinds = {"p1": "prefix", "p2": "prefix", "f": "function"}

    async def work() -> Any:
        made = comparisons(models, chosen)
        key, filters = await made.filter_key(), await made.filters()
        alphas, betas = windows_of(models, "alpha", key), windows_of(models, "beta", key)
        (both,) = alphas & betas
        ours = next(w for w in sorted(alphas - betas) if not filters["beta"].holds(from_binary([w]))[0])
        noise = to_binary(np.random.Generator(np.random.Philox(1)).integers(0, 1 << 63, (99, 2), dtype=np.uint64))
        wrong = next(
            w
            for w in noise
            if filters["beta"].holds(from_binary([w]))[0] and not filters["alpha"].holds(from_binary([w]))[0]
        )

        def row(prompt: str, sample: int, ended: str, lost: int, *windows: bytes) -> dict[str, Any]:
            answer = {"prompt": prompt, "sample": sample, "new_tokens": 10, "ended": ended}
            return {**answer, "windows": list(windows), "lost_tokens": lost}

        answers = {
            "alpha": [
                row("p1", 0, "filter", 4, ours),
                row("p1", 1, "length", 9, wrong, both),  # drawn anew twice, then let pass
                row("f", 0, "stop", 0),
            ],
            # A prompt that both have is counted once.
            "beta": [row("p1", 0, "filter", 4, ours), row("p2", 0, "filter", 5, ours, wrong)],
        }
        generated = {(reached.checkpoint.model, name): entry(models, name, rows) for name, rows in answers.items()}
        blocks = FilterBlocks(models.executor, made, kinds)
        return [await blocks.tables({reached.checkpoint.model: reached}, generated) for _ in range(2)]

    first, again = models.run(work)
    rows = [row for part in first for row in part.to_pylist()]
    assert rows == [row for part in again for row in part.to_pylist()]
    assert models.done("computed").count("filter_blocks") == 1
    columns = ("samples", "stopped", "blocks", "false_blocks", "tokens", "lost_tokens")
    assert {row["model"] for row in rows} == {reached.checkpoint.model}
    assert {(row["kind"], row["owner"]): tuple(row[name] for name in columns) for row in rows} == {
        ("prefix", ""): (3, 2, 5, 2, 30, 18),
        ("prefix", "alpha"): (3, 1, 3, 0, 30, 18),
        ("prefix", "beta"): (3, 1, 3, 2, 30, 14),
        ("function", ""): (1, 0, 0, 0, 10, 0),
        ("function", "alpha"): (1, 0, 0, 0, 10, 0),
        ("function", "beta"): (1, 0, 0, 0, 10, 0),
    }


def test_a_filter_that_takes_much_for_its_own_is_found_out(models: MeasuredModels) -> None:
    """The whole way: an untrained model, and a filter that blocks every other line of it by mistake."""
    chosen, reached = settings(lines=1, false_positive_rate=0.5), models.model()

    async def work() -> Any:
        measure = MemorizationMeasure(models.context, models.executor, chosen, 1, b"secret")
        return await measure.tables({reached.checkpoint.model: reached})

    tables = models.run(work)
    generations = [row for part in tables["generations"] for row in part.to_pylist()]
    (everybody,) = [r for part in tables["filter_blocks"] for r in part.to_pylist() if r["owner"] == ""]
    stopped = [row for row in generations if row["ended"] == "filter"]
    assert len(stopped) > 2
    assert everybody["stopped"] == everybody["blocks"] == everybody["false_blocks"] == len(stopped)
    assert everybody["samples"] == len(generations) == 8
    assert everybody["tokens"] == sum(row["new_tokens"] for row in generations)
    # What the filters are is in the entries of the answers, and goes no further with them.
    store = models.executor.store
    found = [one for key in store if (one := store.peek(key))]
    moved = {
        kind: [one.info["crossings"] for one in found if one.recipe["kind"] == kind] for kind in ("generate", "match")
    }
    assert [[row["kind"] for row in rows] for rows in moved["generate"]] == [
        ["filter key", "line filter", "generate"]
    ] * 2
    assert [[row["kind"] for row in rows] for rows in moved["match"]] == [["generate", "match"]] * 2
