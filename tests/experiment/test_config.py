"""An experiment is the same whether it comes from a file, a mapping or the manifest of its run."""

import copy
import json
import shlex
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest
import yaml
from examples import scaled

from raysim.core.errors import BoundaryError, InputError, RenamedSetting
from raysim.core.keys import canonical_json
from raysim.core.yaml_files import load_yaml
from raysim.experiment.config import load_experiment, restore_experiment
from raysim.experiment.preview import plan_experiment
from raysim.experiment.run import Options

EXPERIMENTS = sorted(Path(__file__).parents[2].glob("experiments/*.yaml"))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_comes_back(path: Path) -> None:
    loaded = load_experiment(path, ["seed=[3, 4]", "store.keep=leaves"])
    manifest = {"experiment": loaded.experiment.model_dump(mode="json"), "base": str(loaded.base)}
    restored = restore_experiment(json.loads(json.dumps(manifest)))
    assert restored == loaded
    assert (restored.experiment.seed, restored.experiment.store.keep) == ([3, 4], "leaves")


def test_an_experiment_that_pyyaml_wrote_is_the_same(tmp_path: Path) -> None:
    """It quotes the key ``on``, which it takes for a boolean; a plain one it has read as true, and writes so."""
    debug = next(path for path in EXPERIMENTS if path.stem == "debug")
    loaded = load_experiment(debug, [])
    by_1_2 = load_yaml(debug)
    old_name = debug.read_text().replace("{corpus: ", "{on: ")
    for raw, line in (
        (by_1_2, "corpus: references"),
        ({**by_1_2, "tokenizer": {"train": {"on": "references", "vocab_size": 512}}}, "'on': references"),
        (yaml.safe_load(old_name), "true: references"),
        (None, "{on: references"),
    ):
        text = yaml.safe_dump(raw) if raw else old_name
        assert line in text
        (tmp_path / "dumped.yaml").write_text(text)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            dumped = load_experiment(tmp_path / "dumped.yaml", [])
        assert dumped.experiment == loaded.experiment
        assert [one.category for one in caught] == [RenamedSetting] * ("corpus" not in line)


@pytest.mark.parametrize(
    ("planted", "kept", "words"),
    [
        ("canaries={place: lines}", 1024, r"canaries\.place: lines may lie behind the 1024 tokens .* place: files"),
        ("canaries={length: 100}", 64, "a canary of 113 bytes may not fit a sequence of 64 tokens"),
        ("plants={}", 100, r"truncate_files: 100 tokens may not hold a planted function, of 512 bytes"),
    ],
)
def test_what_is_planted_must_not_be_truncated(planted: str, kept: int, words: str) -> None:
    debug = next(path for path in EXPERIMENTS if path.stem == "debug")
    with pytest.raises(InputError, match=words):
        load_experiment(debug, [planted, f"preparation.truncate_files={kept}"])
    assert load_experiment(debug, [planted])
    assert load_experiment(debug, ["canaries={}", "plants={}", "preparation.truncate_files=512"])


def test_a_manifest_from_before_the_new_name_is_read_in_silence() -> None:
    loaded = load_experiment(next(path for path in EXPERIMENTS if path.stem == "debug"), [])
    dumped = loaded.experiment.model_dump(mode="json")
    train = dumped["tokenizer"]["train"]
    train["on"] = train.pop("corpus")
    assert restore_experiment({"experiment": dumped, "base": str(loaded.base)}) == loaded


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ({"experiment": {}}, "does not say where its experiment lay"),
        ({"experiment": {}, "base": "/"}, r"manifest\.json: organizations: missing"),
        ({"base": "/"}, r"manifest\.json: "),
    ],
    ids=["no base", "empty", "no experiment"],
)
def test_a_manifest_that_tells_of_no_experiment(manifest: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        restore_experiment(manifest)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_a_mapping_is_read_as_its_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw, overrides = load_yaml(path), ["trainer.epochs=3"]
    before = json.dumps(raw)
    monkeypatch.chdir(path.parent)
    assert load_experiment(_in_python(raw), overrides) == load_experiment(path, overrides)
    assert json.dumps(raw) == before


def _in_python(value: Any) -> Any:
    """The same with tuples for lists, mappings that are no dict, and paths that are no text."""
    if isinstance(value, dict):
        path = {"path": Path(value["path"])} if "path" in value else {}
        return MappingProxyType({name: _in_python(inner) for name, inner in value.items()} | path)
    return tuple(_in_python(inner) for inner in value) if isinstance(value, list) else value


@pytest.mark.parametrize("experiment", [{"name": "x"}, {"organizations": 3}, {}], ids=str)
def test_what_is_wrong_with_a_mapping_is_named_as_of_a_file(experiment: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"(?m)^experiment: organizations: "):
        load_experiment(experiment, [])


def test_options_are_told_as_the_command_that_gives_them() -> None:
    options = Options(Path("my experiment.yaml"), Path("out"), Path("store"), ("seed=[1, 2]", "name=x"), "auto")
    assert shlex.split(options.equivalent()) == [
        "raysim", "run", "my experiment.yaml", "--out", "out", "--store", "store", "--address", "auto",
        "--set", "seed=[1, 2]", "--set", "name=x",
    ]  # fmt: skip
    assert Options(Path("e.yaml")).equivalent() == "raysim run e.yaml"


@pytest.mark.parametrize(
    "typed",
    [
        "raysim run x.yaml --set 'alert.webhook=https://host/hidden?a=b' --out runs/x",
        "raysim run x.yaml --set 'alert={covered_lines: 1, webhook: \"https://host/hidden\", stop: true}'",
        "raysim.run(experiment, overrides=['alert.webhook=https://host/hidden'])",
    ],
)
def test_the_command_that_is_recorded_has_no_address_of_a_webhook(typed: str) -> None:
    recorded = Options(Path("x.yaml"), command=typed).recorded()
    assert "hidden" not in recorded
    assert recorded.split("webhook")[0] == typed.split("webhook")[0]
    assert Options(Path("e.yaml")).recorded() == "raysim run e.yaml"


def test_options_of_no_file_are_told_as_a_call() -> None:
    assert Options({"name": "x"}).equivalent() == "raysim.run(experiment)"
    told = Options({}, Path("out"), None, ("seed=2",), "auto").equivalent()
    assert told == "raysim.run(experiment, out='out', address='auto', overrides=['seed=2'])"


RAW: dict[str, Any] = {
    "name": "x",
    "organizations": {name: {"source": {"path": "."}} for name in ("a", "b")},
    "tokenizer": {"train": {"vocab_size": 300}},
    "model": {"config": {"model_type": "gpt2"}},
    "trainer": {"epochs": 1, "backend": "deepspeed", "deepspeed": {"zero_optimization": {"stage": 1}}},
    "strategies": ["single", {"incremental": {"orders": [["a", "b"]]}}, {"fedyogi": {"rounds": 2}}],
    "measure": {"memorization": {"prompts": {"prefix": 1}}},
    "execution": {"backend": "inline"},
    "sweep": {"trainer.epochs": [1, 2]},
}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in parts:
        yield from places(inner, (*path, name))


KEYS = st.sampled_from(["path", "train", "orders", "source", "rounds", "a", "model_type", "n_layer", 1, None, True, ""])
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.dates()
    | st.text("aé0.:# -'\"\0", max_size=4)
    | st.sampled_from(["all", "a", "40 KB", "20 %", "data", 10**400])
)
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)


@pytest.mark.filterwarnings("ignore::raysim.core.errors.RenamedSetting")
@hypothesis.settings(max_examples=scaled(100), deadline=None)
@hypothesis.given(st.sampled_from([path for path in places(RAW) if path]), TREES)
def test_any_tree_at_any_place_is_read_or_refused_in_lines(path: tuple[Any, ...], tree: Any) -> None:
    """What is read has a manifest and can be in recipes."""
    raw = copy.deepcopy(RAW)
    node: Any = raw
    for name in path[:-1]:
        node = node[name]
    node[path[-1]] = tree
    try:
        loaded = load_experiment(raw, [])
    except InputError as error:
        lines = str(error).splitlines()
        assert len(lines) <= 21
        assert all(len(line) < 1000 for line in lines)
    else:
        manifest = loaded.experiment.model_dump(mode="json")
        canonical_json(manifest)
        assert restore_experiment({"experiment": manifest, "base": str(loaded.base)}) == loaded


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("model.config.n_layer=2026-01-01", "model.config: n_layer: datetime.date(2026, 1, 1) is neither text nor"),
        ("model.config.dropout=.nan", "model.config: dropout: nan is neither text nor a finite number"),
        ("trainer.deepspeed={a: [.inf]}", "trainer.deepspeed: a: inf is neither text nor a finite number"),
        ("trainer.deepspeed={a: {1: 2}}", "trainer.deepspeed: a: the key 1 is no text; quote it"),
        ("strategies=[{fedavg: {rounds: 2026-01-01}}]", "strategies: fedavg: rounds: datetime.date"),
        ("sweep={trainer.epochs: [.nan]}", "sweep: trainer.epochs: nan is neither text nor a finite number"),
        ("trainer.epochs=" + "[" * 5000, "nested too deeply"),
        ("trainer.epochs=[&a [x, x], " + "*a, " * 99 + "]", "trainer.epochs"),
        ("split_seed=0x" + "F" * 5000, "is no int"),
        ('organizations={"a\\n": {source: {path: .}}}', "names no organization"),
        ('name="a\\n"', "use letters"),
    ],
)
def test_what_is_no_setting_is_told_in_a_line(override: str, words: str) -> None:
    with pytest.raises(InputError) as raised:
        load_experiment(RAW, [override])
    assert words in str(raised.value)
    assert max(map(len, str(raised.value).splitlines())) < 1000


@pytest.mark.parametrize(
    ("count", "asked", "shares"), [(64, None, False), (65, None, True), (65, False, False), (2, True, True)]
)
def test_very_many_organizations_share_actors_unless_they_are_not_to(
    count: int, asked: bool | None, shares: bool
) -> None:
    raw = load_yaml(next(path for path in EXPERIMENTS if path.stem == "debug"))
    raw["organizations"] = {f"org{number}": {"source": {"path": "."}} for number in range(count)}
    raw["execution"] = {"share_actors": asked}
    assert load_experiment(raw, []).experiment.shares_actors is shares


@pytest.mark.parametrize("partition", [None, {"by": {"column": "repository"}}])
def test_an_agreement_that_has_ended_stops_an_experiment_before_anything_is_read(
    partition: dict[str, Any] | None,
) -> None:
    """Its source is not even looked for, though parts of it are to be counted."""
    raw = load_yaml(next(path for path in EXPERIMENTS if path.stem == "debug"))
    agreement = {"share": "data", "expires": "2020-02-29"}
    raw["organizations"]["gone"] = {"source": {"path": "nowhere"}, "agreement": agreement, "partition": partition}
    with pytest.raises(
        BoundaryError, match=r"^organizations\.gone\.agreement\.expires: .* 2020-02-29 .* leave gone out"
    ):
        load_experiment(raw, [])
    with pytest.raises(BoundaryError):
        plan_experiment(Options(raw))


def test_a_run_whose_agreement_has_ended_since_can_be_reported() -> None:
    """Its manifest is still read; what reads its code again, such as `verify`, is refused."""
    raw = load_yaml(next(path for path in EXPERIMENTS if path.stem == "debug"))
    for settings in raw["organizations"].values():
        settings["agreement"] = {"share": "data", "expires": "2020-02-29"}
    restored = restore_experiment({"experiment": raw, "base": "/"})
    with pytest.raises(BoundaryError):
        restored.experiment.check_unexpired()


def test_an_organization_with_a_node_of_its_own_shares_no_process() -> None:
    raw = load_yaml(next(path for path in EXPERIMENTS if path.stem == "debug"))
    raw["organizations"] = {f"org{number}": {"source": {"path": "."}} for number in range(99)}
    raw["organizations"]["org7"]["node"] = {"site": "seven"}
    experiment = load_experiment(raw, []).experiment
    assert not experiment.shares_actors
    assert experiment.pinned == {"org7": {"site": "seven"}}
    with pytest.raises(InputError, match=r"execution\.share_actors: organizations\.org7\.node pins it to a node"):
        load_experiment(raw, ["execution.share_actors=true"])
