"""Commands for jobs end in a line that says what to do; whole jobs are in ``tests/flows/test_jobs.py``."""

import socket
from pathlib import Path

import pytest
from drive import raysim


@pytest.fixture
def nobody() -> str:
    """An address at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("command", [["jobs"], ["attach", "j-1"], ["stop", "j-1"]], ids=str)
def test_a_head_that_is_not_there(command: list[str], nobody: str) -> None:
    ended = raysim(*command, "--address", nobody)
    assert (ended.returncode, ended.stdout, len(ended.stderr.splitlines())) == (2, "", 1)
    assert ended.stderr.startswith(f"error: --address {nobody}: no job server of Ray answers there (")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--out", "s3://bucket/run", "--store", "x"], "--store: a run whose --out is a URL has its store there"),
        (["--out", "x"], "--address: of which cluster is not said"),
        (["--out", "x", "--address", "auto"], "--address auto: jobs go to the head's job server"),
        (["--out", "x", "--address", "ray://10.0.0.1:10001"], "jobs go to the head's job server"),
    ],
)
def test_what_is_wrong_before_anything_is_sent(
    options: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "mine.yaml"
    file.write_text(
        "name: mine\norganizations: {a: {source: {path: /data/a}}}\ntokenizer: {train: {corpus: organizations}}\n"
        "model: {config: {model_type: gpt2}}\nstrategies: [single]\n"
    )
    ended = raysim("submit", file, *options)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1), ended.stderr
    assert said in ended.stderr


def test_what_is_fetched_is_counted(run: Path, tmp_path: Path) -> None:
    ended = raysim("fetch", run, tmp_path / "here")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(f"{tmp_path / 'here'}: ")
    assert raysim("tables", tmp_path / "here").stdout == raysim("tables", run).stdout
