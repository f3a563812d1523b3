"""What is wrong with a request is said in a line, before anything is measured."""

from pathlib import Path

import pytest
from drive import raysim


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--model", "nowhere", "--corpus", "a=."), "no Hugging Face folder"),
        (("--model", "model"), "--corpus NAME=PATH: name the code"),
        (("--model", "model", "--corpus", "here"), "--corpus here: expected NAME=PATH"),
        (("--model", "model", "--corpus", "a=.", "--held-out", "b=."), "there is no --corpus b=PATH"),
        (("--model", "model", "--corpus", "a=.", "--corpus", "a=.."), "a is there twice"),
        (("--model", "model", "--like", "nowhere"), "nowhere"),
    ],
)
def test_one_readable_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text('{"model_type": "gpt2"}')
    ended = raysim("audit", *words)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
