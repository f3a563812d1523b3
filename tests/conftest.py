"""Fixtures for all tests: a tiny corpus of real code, a tokenizer trained on it, tiny models, the one Ray session."""

import importlib.metadata
import os
import shutil
import signal
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from shared import made_once

# A shell that starts tests in the background has them ignore Ctrl-C, and so all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = [
    "examples",
    "federations",
    "hub_cache",
    "run_tables",
    "studies",
    "sweep_tables",
    "tiny_models",
    "train_requests",
]

if TYPE_CHECKING:
    from raysim.corpus.tokenizer import CodeTokenizer
    from raysim.organizations.organization import ModelSpec, PreparationContext

# No telemetry, no progress bars, no warning about accelerator variables, and one thread a process, since two processes
# test at once: set before anything imports torch, Ray or Flower.
os.environ.update(
    OMP_NUM_THREADS="1",
    RAY_USAGE_STATS_ENABLED="0",
    RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0",
    RAY_DATA_DISABLE_PROGRESS_BARS="1",
    FLWR_TELEMETRY_ENABLED="0",
    # Every Ray asks for the same token, whether `ray.init`, which asks by itself, starts it, or a test of clusters.
    RAY_AUTH_MODE="token",
    RAY_AUTH_TOKEN="0f" * 32,
)


def pytest_configure(config: pytest.Config) -> None:
    """Private folders of organizations lie where they go with the session, whose workers share them."""
    if not hasattr(config, "workerinput"):
        config.stash[_CACHE] = tempfile.TemporaryDirectory(prefix="raysim-tests-")
        os.environ["XDG_CACHE_HOME"] = config.stash[_CACHE].name


def pytest_unconfigure(config: pytest.Config) -> None:
    if cache := config.stash.get(_CACHE, None):
        cache.cleanup()


_CACHE = pytest.StashKey[tempfile.TemporaryDirectory[str]]()

STDLIB_FILES = {
    "alpha": ("bisect.py", "sched.py", "fnmatch.py", "stat.py", "reprlib.py"),
    "beta": ("getpass.py", "netrc.py", "nturl2path.py", "tty.py", "secrets.py", "genericpath.py"),
    "gamma": ("colorsys.py", "keyword.py", "token.py", "linecache.py", "codeop.py"),
}
"""A few short modules of the standard library for each of three organizations."""

SEQUENCE_LENGTH = 64


QUICK_FLOWS = ("flows/keys/", "flows/test_docs.py")
"""Flows that take seconds; `make check` leaves the others, which run experiments from end to end, to `make test`."""

SLOW_FILES = (
    "analysis/test_clone_contrasts.py",
    "analysis/test_confounds_of_material.py",
    "analysis/test_extraction.py",
    "analysis/test_file_attacks.py",
    "analysis/test_findings.py",
    "cli/test_audit.py",
    "cli/test_doctor.py",
    "cli/test_ending.py",
    "cli/test_jobs.py",
    "cluster/",
    "core/test_locks.py",
    "corpus/obfuscation/",
    "corpus/test_diversity.py",
    "corpus/test_sources.py",
    "experiment/estimate/test_memory.py",
    "experiment/test_execute.py",
    "experiment/test_preview.py",
    "experiment/test_resources.py",
    "experiment/test_schema.py",
    "experiment/test_write_tables.py",
    "experiment/tracking/",
    "flows/keys/test_experiment_fields.py",
    "inference/",
    "measures/memorization/test_reciting.py",
    "measures/pass_at_k/",
    "measures/test_",
    "organizations/test_host.py",
    "report/test_",
    "sandbox/",
    "scan/",
    "simulation/test_executor.py",
    "simulation/test_importance.py",
    "simulation/test_pooled_clients.py",
    "simulation/test_privacy.py",
    "simulation/test_validated_rounds.py",
    "store/test_entries.py",
    "tasks/test_ray_data.py",
    "training/test_adapters.py",
    "training/test_deepspeed_engine.py",
    "training/test_dry_run.py",
    "training/test_goldfish.py",
    "training/test_libraries.py",
    "training/test_lora.py",
    "training/test_process_memory.py",
    "training/test_torch_engine.py",
)
"""Files and folders whose tests start processes or a Ray, draw whole pages, measure memory or compare with brute force:
three quarters of the time of all that are no flows; `make check` leaves them to `make test`, too."""

LONG_FILES = (
    "flows/test_chaos.py",
    "cluster/test_rank_launcher.py",
    "flows/test_trainers.py",
    "flows/test_sweep.py",
    "flows/test_nodes.py",
    "flows/test_run.py",
    "flows/",
    "cluster/",
    "training/",
)
"""Files, and folders of files, whose tests take longest: they come first, so that all workers end at about one time."""


QUICK = "not slow and not stress"
"""The marks by which `make check` chooses."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Spares `make check` the imports of files of which it takes nothing."""
    left_out = config.getoption("markexpr") == QUICK and collection_path.suffix == ".py"
    return True if left_out and _is_slow(collection_path) else None


def _is_slow(file: Path) -> bool:
    path = file.relative_to(Path(__file__).parent).as_posix()
    return path.startswith(SLOW_FILES) or (path.startswith("flows/") and not path.startswith(QUICK_FLOWS))


@pytest.hookimpl(tryfirst=True)  # before those of a mark are chosen
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sorts the files; what is in a file stays in its order. Marks tests of whole runs as slow."""
    tests = Path(__file__).parent

    def place(item: pytest.Item) -> int:
        path = item.path.relative_to(tests).as_posix()
        return next((n for n, start in enumerate(LONG_FILES) if path.startswith(start)), len(LONG_FILES))

    items.sort(key=place)
    for item in items:
        if _is_slow(item.path):
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("stress"):
            item.add_marker(pytest.mark.timeout(0))


@pytest.fixture(scope="session", autouse=True)
def no_timings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What runs of tests took says nothing of this machine, and what is known of it nothing of tests."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="session")
def corpus_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """For each of the organizations alpha, beta and gamma a folder with real files of the standard library."""
    stdlib = Path(sysconfig.get_path("stdlib"))

    def copy(base: Path) -> None:
        for name, files in STDLIB_FILES.items():
            (base / name).mkdir()
            for file in files:
                shutil.copy(stdlib / file, base / name / file)

    base = made_once(tmp_path_factory, "corpora", copy)
    return {name: base / name for name in STDLIB_FILES}


@pytest.fixture(scope="session")
def tokenizer(corpus_folders: dict[str, Path]) -> "CodeTokenizer":
    """A byte-level BPE tokenizer of at most 300 ids, trained on the tiny corpus."""
    from raysim.corpus.tokenizer import train_tokenizer

    files = [file for folder in corpus_folders.values() for file in sorted(folder.glob("*.py"))]
    return train_tokenizer([file.read_text(encoding="utf-8") for file in files], 300)


@pytest.fixture(scope="session")
def preparation_context(tokenizer: "CodeTokenizer", corpus_folders: dict[str, Path]) -> "PreparationContext":
    """Every file is kept, one in three is for validation."""
    from splits import splitting_seed

    from raysim.corpus.preparation_settings import PreparationSettings
    from raysim.corpus.split import SplitSettings
    from raysim.organizations.organization import PreparationContext

    preparation = PreparationSettings.off().model_copy(update={"split": SplitSettings(valid=0.3)})
    return PreparationContext(preparation, splitting_seed(corpus_folders), tokenizer, SEQUENCE_LENGTH, 3)


def model_spec(config: dict[str, Any], vocab_size: int, dropout: float | None) -> "ModelSpec":
    from raysim.training.model_host import ModelSpec
    from raysim.training.models import ModelSettings

    return ModelSpec(ModelSettings(config=config, dropout=dropout), vocab_size, 0, SEQUENCE_LENGTH)


@pytest.fixture(scope="session")
def gpt2_spec() -> "Callable[..., ModelSpec]":
    """Makes the spec of a GPT-2 with tied embeddings: one layer of width 16, vocabulary 300, context 64."""

    def make(dropout: float | None = 0.1, vocab_size: int = 300) -> "ModelSpec":
        return model_spec({"model_type": "gpt2", "n_layer": 1, "n_head": 2, "n_embd": 16}, vocab_size, dropout)

    return make


@pytest.fixture(scope="session")
def llama_spec() -> "ModelSpec":
    """A Llama whose embeddings are not tied: one layer of width 16, vocabulary 300, context 64."""
    size = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = {"model_type": "llama", "num_key_value_heads": 2, "tie_word_embeddings": False, **size}
    return model_spec(config, 300, 0.0)


@pytest.fixture
def pretend_update(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Makes another version of a library, or of ``python``, be the one that recipes see."""
    from raysim.core import keys as recipe

    installed = importlib.metadata.version

    def update(library: str) -> None:
        recipe.versions_of.cache_clear()
        if library == "python":
            monkeypatch.setattr(recipe, "sys", SimpleNamespace(version_info=(3, 99)))
        monkeypatch.setattr(importlib.metadata, "version", lambda name: "99" if name == library else installed(name))

    yield update
    recipe.versions_of.cache_clear()


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    """The one Ray of the test session, of 2 CPUs; it starts when the first test asks for it."""
    import logging

    import ray
    from drive import share_fork_server

    share_fork_server()
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def ray_address(ray_session: None) -> str:
    """Where commands join the one Ray, for tests to which it does not matter who has started it."""
    import ray

    return ray.get_runtime_context().gcs_address
